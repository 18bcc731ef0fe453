"""The audit log as a chain: what stands in an entry, and what a seal over entries says.

Each entry has one canonical text. A seal is over the digests of the entries that it covers, in
their order, and over the seal before it: whoever changes, takes away, adds or moves an entry
changes every seal from there on.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

ACTIONS = (
    "report.listed",
    "report.read",
    "report.original_read",
    "report.redacted",
    "report.analysed",
    "consent.given",
    "consent.withdrawn",
    "support.read",
    "support.written",
    "support.erased",
    "notes.read",
    "grants.read",
    "address.added",
    "address.changed",
    "address.removed",
    "address.tested",
    "webhook.created",
    "webhook.updated",
    "webhook.enabled",
    "webhook.secret_rotated",
    "webhook.deleted",
    "identity_provider.created",
    "identity_provider.changed",
    "identity_provider.deleted",
    "identity.linked",
    "identity.forgotten",
    "key.created",
    "key.rotated",
    "key.revoked",
    "client.created",
    "client.updated",
    "client.rotated",
    "client.revoked",
    "account.created",
    "account.changed",
    "account.invited",
    "sign_in_policy.changed",
    "session.ended",
    "account.password_set",
    "account.totp_set_up",
    "account.totp_removed",
    "account.recovery_codes_made",
    "coverage.added",
    "coverage.changed",
    "coverage.removed",
    "team.created",
    "team.updated",
    "team.retired",
    "hub.created",
    "hub.retired",
    "organisation.created",
    "organisation.updated",
    "escalation.changed",
    "routing.dry_run",
    "team.granted",
    "grant.revoked",
    "incident.merged",
    "audit.exported",
)
"""Whatever may stand in the log: docs/audit.md says when each is written."""

NOTHING_BEFORE = bytes(32)
"""What the first seal has for the hash of a seal before it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One look or act, by ids and a code alone: no story, no place, no name.

    Without a person it was done at the command line, by a program with a key, or by a passenger;
    without an organisation it concerns all of them.
    """

    id: UUID
    at: datetime
    action: str
    staff_id: UUID | None = None
    organisation_id: UUID | None = None
    key_id: UUID | None = None
    report_id: UUID | None = None
    incident_id: UUID | None = None
    alert_id: UUID | None = None
    subject_id: UUID | None = None
    """What else it is about: the grant, key, account, address or webhook that was changed."""
    request_id: str | None = None
    role: str | None = None
    """By which roles that person did it, with commas between; None before it was written down."""

    def canonical(self) -> bytes:
        """The one text of this entry. Times to the microsecond, in UTC."""
        return _canonical(
            "waylight audit entry 1",
            self.id,
            self.at,
            self.action,
            self.staff_id,
            self.organisation_id,
            self.key_id,
            self.report_id,
            self.incident_id,
            self.alert_id,
            self.subject_id,
            self.request_id,
            # Entries of before have the text that they were signed with.
            *(() if self.role is None else (self.role,)),
        )


@dataclass(frozen=True, kw_only=True)
class Seal:
    """A number of entries in their order, and all that was sealed before them.

    `unsigned_until` is until when entries without a signature are believed: those that a release
    without signatures wrote. It is set by the first seal and stays as it is.
    """

    number: int
    first_position: int
    last_position: int
    count: int
    digest: bytes
    previous: bytes
    sealed_at: datetime
    unsigned_until: datetime

    def hash(self) -> bytes:
        """32 bytes that stand for this seal and for everything before it."""
        return sha256(
            _canonical(
                "waylight audit seal 1",
                self.number,
                self.first_position,
                self.last_position,
                self.count,
                self.digest.hex(),
                self.previous.hex(),
                self.sealed_at,
                self.unsigned_until,
            )
        ).digest()


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How far the chain had come at one moment: kept elsewhere, it shows a tail that was cut off.

    `signature` is that of the seal, by the vault key of `key_version`.
    """

    seal: int
    hash: bytes
    last_position: int
    sealed_at: datetime
    key_version: int
    signature: bytes


@dataclass(frozen=True)
class Break:
    """Where the chain is broken first. `code` never changes; `detail` is for a person."""

    code: str
    detail: str
    seal: int | None = None
    position: int | None = None
    entry_id: UUID | None = None


def digest_of(entry: Entry, position: int, *, is_signed: bool) -> bytes:
    """What a seal covers of one entry: its text, its place, and whether its signature was good."""
    head = f"{position} {'signed' if is_signed else 'unsigned'} ".encode()
    return sha256(head + entry.canonical()).digest()


def seal_over(
    digests: Iterable[bytes], *, before: Seal | None, unsigned_until: datetime, now: datetime
) -> Seal:
    """The seal over entries that come next. `unsigned_until` is for the first seal alone."""
    covered = tuple(digests)
    first = before.last_position + 1 if before else 1
    return Seal(
        number=before.number + 1 if before else 1,
        first_position=first,
        last_position=first + len(covered) - 1,
        count=len(covered),
        digest=digest_over(covered),
        previous=before.hash() if before else NOTHING_BEFORE,
        sealed_at=now,
        unsigned_until=before.unsigned_until if before else unsigned_until,
    )


def digest_over(digests: Iterable[bytes]) -> bytes:
    """What a seal says of its entries."""
    return sha256(b"".join(digests)).digest()


def _canonical(*values: object) -> bytes:
    return json.dumps([_text(value) for value in values], separators=(",", ":")).encode()


def _text(value: object) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if value is None or isinstance(value, int):
        return value
    return str(value)
