"""Where teams and hubs are reached by text message and e-mail: added, tried, paused, taken away.

An address is sealed like a story and shown only in part. A keyed hash of its normal form finds it
again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import uuid_utils.compat
from psycopg import Connection

from waylight.db import addresses as db
from waylight.db import events
from waylight.db.push import CHANNEL as WEB_PUSH
from waylight.db.session import Database
from waylight.domain.addresses import (
    HIDDEN,
    MOST,
    Address,
    AddressState,
    Medium,
    masked,
    normal_email,
)
from waylight.domain.alerts import Named
from waylight.domain.errors import (
    InvalidRequest,
    NotFound,
    Problem,
    StaleVersion,
    StateConflict,
    TooManyRequests,
)
from waylight.domain.principals import Principal
from waylight.messages import DEFAULT
from waylight.services import audit
from waylight.services.staff import organisation_of
from waylight.services.telephones import normal_number
from waylight.vault import Sealed, Vault, VaultError

FIELDS = {Medium.SMS: "number", Medium.EMAIL: "email"}
"""Under which name the channel finds it in the target."""

WHERE: Mapping[str, str] = {
    **{medium.value: field for medium, field in FIELDS.items()},
    WEB_PUSH: "endpoint",
}
"""The same of every channel whose addresses are kept."""

TEST_EVERY = timedelta(minutes=1)
"""A test message costs money and rings somebody's telephone."""


def fingerprints(vault: Vault, channel: str, where: str) -> tuple[bytes, ...]:
    """The keyed hashes by which an address is found again: one for each vault key that is held.

    The first is stored with what that key seals; rows of before have one of the others until they
    are wrapped anew. The case of a telephone or a mailbox does not matter, an endpoint's does.
    """
    value = where if channel == WEB_PUSH else f"{channel} {where.casefold()}"
    return vault.keyed_hashes("address", value.encode())


def fingerprint_of(vault: Vault, target: Mapping[str, Any]) -> bytes:
    """The one that is stored, of an address that was opened."""
    channel, field = next((c, field) for c, field in WHERE.items() if field in target)
    return fingerprints(vault, channel, target[field])[0]


def list_addresses(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID | None = None,
    hub_id: UUID | None = None,
) -> list[Address]:
    """The addresses of one team or hub of the caller's organisation, the oldest first.

    Raises NotFound for any other team or hub.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        _recipient(conn, organisation_id, team_id=team_id, hub_id=hub_id)
        rows = db.of(conn, organisation_id, team_id=team_id, hub_id=hub_id)
    return [_address(vault, row) for row in rows]


def read_address(
    database: Database, vault: Vault, principal: Principal, address_id: UUID
) -> Address:
    """One address. Raises NotFound for what is not the caller's organisation's."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        return _address(vault, _one(conn, organisation_id, address_id))


def add_address(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID | None = None,
    hub_id: UUID | None = None,
    channel: Medium,
    address: str,
    name: str,
    language: str = DEFAULT,
    mine: bool = False,
    trying_out: bool = False,
    request_id: str | None = None,
    now: datetime,
) -> tuple[Address, bool]:
    """Gives a team or a hub one more address; with False, the same one that it has already.

    A number without a country code is one of the city's country; it must be able to get texts.
    `mine` says that it is the caller's own: what is answered from it is answered by the caller.
    `trying_out` allows numbers that are kept for drama. Raises NotFound, InvalidRequest for what is
    no such address, StateConflict when there are `MOST` already.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        recipient = _recipient(conn, organisation_id, team_id=team_id, hub_id=hub_id)
        normal = _normal(channel, address, recipient["country"], trying_out=trying_out)
        address_id = uuid_utils.compat.uuid7()
        sealed = _seal(vault, address_id, {FIELDS[channel]: normal, "language": language})
        found_by = fingerprints(vault, channel, normal)
        row = {
            "id": address_id,
            "organisation_id": organisation_id,
            "team_id": team_id,
            "hub_id": hub_id,
            "staff_id": principal.staff_id if mine else None,
            "channel": channel,
            "name": name,
            "fingerprint": found_by[0],
            "fingerprints": list(found_by),
            "created_at": now,
            "created_by": principal.staff_id,
            **_columns(sealed),
        }
        known = db.same(conn, organisation_id, row)
        if known is None:
            if len(db.of(conn, organisation_id, team_id=team_id, hub_id=hub_id)) >= MOST:
                raise StateConflict(f"There are {MOST} addresses already: take one away first.")
            if db.insert(conn, row):
                found = _one(conn, organisation_id, address_id)
                _tell(
                    conn, vault, "address.added", found, principal, request_id=request_id, now=now
                )
                return _address(vault, found), True
            known = db.same(conn, organisation_id, row)
    if known is None:
        raise StateConflict("The same address was added or taken away at this moment: try again.")
    return _address(vault, known), False


def change_address(
    database: Database,
    vault: Vault,
    principal: Principal,
    address_id: UUID,
    *,
    name: str | None = None,
    language: str | None = None,
    state: AddressState | None = None,
    if_match: int | None = None,
    request_id: str | None = None,
    now: datetime,
) -> Address:
    """Gives an address another label or language, pauses it, or resumes one paused or gone.

    Paused means that nothing is sent there. What is answered from it still counts: whoever was sent
    a code has the alert in hand. A telephone that is lost is removed.

    Raises NotFound, StaleVersion when `if_match` is not the version any more, StateConflict for
    resuming one that was added again meanwhile.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _one(conn, organisation_id, address_id)
        changes = {
            "name": row["name"] if name is None else name,
            "state": row["state"] if state is None else state,
            "key_version": row["key_version"],
            "wrapped_key": row["wrapped_key"],
            "address": row["address"],
            "fingerprint": row["fingerprint"],
        }
        if language is not None:
            opened = _opened(vault, row)
            if opened is None:
                raise StateConflict("This address cannot be read any more: add it again.")
            changes |= _columns(_seal(vault, address_id, {**opened, "language": language}))
            changes["fingerprint"] = fingerprint_of(vault, opened)
        changed = db.change(conn, address_id, changes, if_match=if_match)
        if changed is None:
            raise StaleVersion(version=_one(conn, organisation_id, address_id)["version"])
        if not changed:
            raise StateConflict("The same address was added again: it is in the list.")
        found = _one(conn, organisation_id, address_id)
        _tell(conn, vault, "address.changed", found, principal, request_id=request_id, now=now)
    return _address(vault, found)


def remove_address(
    database: Database,
    vault: Vault,
    principal: Principal,
    address_id: UUID,
    *,
    if_match: int | None = None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Takes an address away: its key is destroyed, and what waits for it is not sent.

    Nothing is answered from it any more. Raises NotFound, StaleVersion.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _one(conn, organisation_id, address_id)
        if not db.remove(conn, address_id, if_match=if_match, now=now):
            raise StaleVersion(version=_one(conn, organisation_id, address_id)["version"])
        _tell(conn, vault, "address.removed", row, principal, request_id=request_id, now=now)


def try_address(
    database: Database,
    vault: Vault,
    principal: Principal,
    address_id: UUID,
    *,
    channels: tuple[str, ...],
    request_id: str | None = None,
    now: datetime,
) -> Address:
    """Queues a test message, which says that it is one and goes the whole way.

    Raises NotFound, StateConflict for an address that is not active or on a channel that is not in
    use, TooManyRequests within a minute of the last.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _one(conn, organisation_id, address_id)
        if row["state"] != AddressState.ACTIVE:
            raise StateConflict(f"This address is {row['state']}: make it active first.")
        if row["channel"] not in channels:
            raise StateConflict(f"Nobody is told by {row['channel']} here: it is not switched on.")
    with database.intake() as conn:
        if not db.queue_test(conn, row, not_since=TEST_EVERY, now=now):
            raise TooManyRequests(
                "A test message went out within the last minute: wait for it.",
                retry_after_s=round(TEST_EVERY.total_seconds()),
            )
        events.write(conn, _event("address.tested", row, principal, now=now))
        _audit(conn, vault, "address.tested", row, principal, request_id=request_id, now=now)
    return _address(vault, row)


def _recipient(
    conn: Connection[Any], organisation_id: UUID, *, team_id: UUID | None, hub_id: UUID | None
) -> dict[str, Any]:
    found = db.recipient(conn, organisation_id, team_id=team_id, hub_id=hub_id)
    if found is None:
        raise NotFound
    return found


def _one(conn: Connection[Any], organisation_id: UUID, address_id: UUID) -> dict[str, Any]:
    found = db.find(conn, organisation_id, address_id)
    if found is None:
        raise NotFound
    return found


def _normal(channel: Medium, address: str, country: str, *, trying_out: bool) -> str:
    if channel is Medium.SMS:
        normal = normal_number(address, country, trying_out=trying_out)
        detail = "This must be a number that gets text messages, such as +44 7400 123456."
    else:
        normal = normal_email(address)
        detail = "This must be an e-mail address, such as on.call@example.org."
    if normal is None:
        raise InvalidRequest(problems=[Problem("/address", "invalid", detail)])
    return normal


def _seal(vault: Vault, address_id: UUID, target: Mapping[str, str]) -> Sealed:
    return vault.seal(address_id, {"address": orjson.dumps(target).decode()})


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {
        "key_version": sealed.key_version,
        "wrapped_key": sealed.wrapped_key,
        "address": sealed.ciphertexts["address"],
    }


def _opened(vault: Vault, row: Mapping[str, Any]) -> dict[str, str] | None:
    try:
        opened = vault.open(
            row["id"], row["key_version"], row["wrapped_key"], "address", row["address"]
        )
    except VaultError:
        return None
    found: dict[str, str] = orjson.loads(opened)
    return found


def _address(vault: Vault, row: Mapping[str, Any]) -> Address:
    target = _opened(vault, row) or {}
    full = target.get(FIELDS[Medium(row["channel"])])
    return Address(
        id=row["id"],
        version=row["version"],
        channel=row["channel"],
        name=row["name"],
        shown=masked(row["channel"], full) if full else HIDDEN,
        language=target.get("language", DEFAULT),
        state=AddressState(row["state"]),
        team=Named.known(row["team_id"], row["team"]),
        hub=Named.known(row["hub_id"], row["hub"]),
        person=Named.known(row["staff_id"], row["person"]),
        created_at=row["created_at"],
        last_sent_at=row["last_sent_at"],
    )


def _tell(
    conn: Connection[Any],
    vault: Vault,
    kind: str,
    row: Mapping[str, Any],
    principal: Principal,
    *,
    request_id: str | None,
    now: datetime,
) -> None:
    """An event and an audit entry: who did what to which address, by its id."""
    events.write(conn, _event(kind, row, principal, now=now))
    _audit(conn, vault, kind, row, principal, request_id=request_id, now=now)


def _event(
    kind: str, row: Mapping[str, Any], principal: Principal, *, now: datetime
) -> events.Event:
    about = {"address_id": row["id"], "team_id": row["team_id"], "hub_id": row["hub_id"]}
    told = {name: str(id) for name, id in about.items() if id is not None}
    return events.Event(
        kind,
        now,
        organisation_id=row["organisation_id"],
        staff_id=principal.staff_id,
        data={**told, "channel": row["channel"]},
    )


def _audit(
    conn: Connection[Any],
    vault: Vault,
    action: str,
    row: Mapping[str, Any],
    principal: Principal,
    *,
    request_id: str | None,
    now: datetime,
) -> None:
    audit.write(
        conn,
        vault,
        action,
        principal=principal,
        subject_id=row["id"],
        request_id=request_id,
        now=now,
    )
