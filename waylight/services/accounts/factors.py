"""The second factor: codes that change every 30 seconds (TOTP, RFC 6238), and ten for a bad day."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pyotp
from psycopg import Connection

from waylight.db import accounts as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain import roles
from waylight.domain.accounts import FROM_ADDRESS, RECOVERY_CODES
from waylight.domain.errors import NotAllowed, StateConflict, WrongCredentials
from waylight.domain.principals import Principal
from waylight.services.accounts import turns
from waylight.services.accounts.identity import opened, person_of, record, session_of, tell
from waylight.vault import CROCKFORD, Vault

ISSUER = "Waylight"
STEP_S = 30
DRIFT = 1
"""Steps that a telephone's clock may be off, either way (RFC 6238, 5.2)."""

CODE_DIGITS = 6
RECOVERY_SYMBOLS = 16
"""80 bits; NIST SP 800-63B-4 demands 64 of a recovery code that is stored by a plain hash."""


@dataclass(frozen=True)
class BegunTotp:
    """A secret at the only moment when it can be read."""

    secret: str
    uri: str


@dataclass(frozen=True)
class Proof:
    """A second factor that is right, and not used up yet; nothing where none is set up."""

    step: int | None = None
    recovery: bytes | None = None

    def use(self, conn: Connection[Any], staff_id: UUID) -> bool:
        """Uses it up; False when another was faster with the same. As intake."""
        if self.step is not None:
            return db.use_step(conn, staff_id, self.step)
        if self.recovery is not None:
            return db.use_recovery(conn, staff_id, self.recovery)
        return True


def proof_of(
    vault: Vault, row: Mapping[str, Any], code: str | None, *, now: datetime
) -> Proof | None:
    """What a code proves of an account; None for a wrong one and one used before."""
    if row["totp_secret"] is None:
        return Proof()
    if not code:
        return None
    secret = opened(vault, row, "totp_secret")
    step = None if secret is None else matching_step(secret, code, now=now)
    if step is not None and step > (-1 if row["totp_step"] is None else row["totp_step"]):
        return Proof(step=step)
    recovery = _recovery_hash(vault, row["id"], code)
    return Proof(recovery=recovery) if recovery in row["recovery_hashes"] else None


def matching_step(secret: str, code: str, *, now: datetime) -> int | None:
    """The step of time whose code this is, at most one from now; None for a wrong code."""
    typed = code.replace(" ", "")
    if len(typed) != CODE_DIGITS or not (typed.isascii() and typed.isdigit()):
        return None
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP_S
    steps = range(current - DRIFT, current + DRIFT + 1)
    found = [one for one in steps if hmac.compare_digest(totp.at(one * STEP_S), typed)]
    return found[-1] if found else None


def begin_totp(
    database: Database, vault: Vault, principal: Principal, *, now: datetime
) -> BegunTotp:
    """A new secret, shown this once; what was set up before goes on until it is confirmed.

    Raises NotAllowed for whoever has no account.
    """
    staff_id, organisation_id = _signed_in(principal)
    secret = pyotp.random_base32()
    with database.intake() as conn:
        row = _own(conn, staff_id)
        _keep(conn, vault, row, {"totp_pending": secret}, {}, now=now)
        tell(
            conn,
            "account.totp_begun",
            organisation_id=organisation_id,
            account=staff_id,
            by=staff_id,
            now=now,
        )
    name = opened(vault, row, "email") or row["name"]
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)
    return BegunTotp(secret=secret, uri=uri)


def confirm_totp(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    code: str,
    request_id: str | None = None,
    now: datetime,
) -> tuple[str, ...]:
    """Sets up the secret that was shown, for whoever has its code; returns ten recovery codes.

    Every other session ends: it was opened with less. Raises StateConflict without a secret,
    WrongCredentials, TooManyRequests.
    """
    staff_id, organisation_id = _signed_in(principal)
    turn = turns.of_person(vault, staff_id, FROM_ADDRESS)
    turns.take(database, turn, now=now)
    codes = tuple(_new_code() for _ in range(RECOVERY_CODES))
    with database.intake() as conn:
        row = _own(conn, staff_id)
        secret = opened(vault, row, "totp_pending")
        if secret is None:
            raise StateConflict("There is nothing to confirm: begin with `POST /v1/account/totp`.")
        step = matching_step(secret, code, now=now)
        if step is None:
            raise WrongCredentials("That is not the code of this secret now: wait for the next.")
        changes = {
            "totp_since": now,
            "totp_pending": None,
            "totp_step": step,
            "recovery_hashes": _hashes(vault, staff_id, codes),
        }
        _keep(conn, vault, row, {"totp_secret": secret}, changes, now=now)
        turns.forget(conn, turn)
        _end_others(conn, staff_id, session_of(principal), now=now)
        db_sessions.prove_factor(conn, session_of(principal))
        record(
            conn,
            vault,
            "account.totp_set_up",
            principal=principal,
            organisation_id=organisation_id,
            account=staff_id,
            request_id=request_id,
            now=now,
        )
    return codes


def new_recovery_codes(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    request_id: str | None = None,
    now: datetime,
) -> tuple[str, ...]:
    """Ten new recovery codes in the place of those before. Raises StateConflict without TOTP."""
    staff_id, organisation_id = _signed_in(principal)
    codes = tuple(_new_code() for _ in range(RECOVERY_CODES))
    with database.intake() as conn:
        row = _own(conn, staff_id)
        if row["totp_since"] is None:
            raise StateConflict("Set up a second factor first: `POST /v1/account/totp`.")
        db.change(conn, staff_id, {"recovery_hashes": _hashes(vault, staff_id, codes)}, now=now)
        record(
            conn,
            vault,
            "account.recovery_codes_made",
            principal=principal,
            organisation_id=organisation_id,
            account=staff_id,
            request_id=request_id,
            now=now,
        )
    return codes


def remove_totp(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Takes the second factor away. Raises StateConflict where one is demanded."""
    staff_id, organisation_id = _signed_in(principal)
    with database.intake() as conn:
        row = _own(conn, staff_id)
        if roles.needs_totp(row["roles"], demanded=row["requires_totp"]):
            raise StateConflict("Your role or your organisation demands a second factor.")
        db.change(conn, staff_id, NO_TOTP, now=now)
        record(
            conn,
            vault,
            "account.totp_removed",
            principal=principal,
            organisation_id=organisation_id,
            account=staff_id,
            request_id=request_id,
            now=now,
        )


NO_TOTP: Mapping[str, Any] = {
    "totp_secret": None,
    "totp_since": None,
    "totp_pending": None,
    "recovery_hashes": [],
}
"""An account without a second factor. The last step stays: no code is good twice."""


def _signed_in(principal: Principal) -> tuple[UUID, UUID]:
    session_of(principal)
    return person_of(principal)


def _own(conn: Connection[Any], staff_id: UUID) -> dict[str, Any]:
    row = db.own(conn, staff_id)
    if row is None:
        raise NotAllowed("You have no account here.")
    return row


def _keep(
    conn: Connection[Any],
    vault: Vault,
    row: Mapping[str, Any],
    texts: Mapping[str, str],
    changes: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    sealed = vault.seal_more(row["id"], row["key_version"], row["wrapped_key"], texts)
    db.change(conn, row["id"], {**changes, **sealed}, now=now)


def _end_others(conn: Connection[Any], staff_id: UUID, kept: UUID, *, now: datetime) -> None:
    others = [one for one in db_sessions.sessions_of(conn, staff_id) if one != kept]
    db_sessions.end(conn, others, now=now)


def _new_code() -> str:
    symbols = "".join(secrets.choice(CROCKFORD) for _ in range(RECOVERY_SYMBOLS))
    return "-".join(symbols[at : at + 4] for at in range(0, RECOVERY_SYMBOLS, 4))


def _hashes(vault: Vault, staff_id: UUID, codes: Sequence[str]) -> list[bytes]:
    return [_recovery_hash(vault, staff_id, code) for code in codes]


def _recovery_hash(vault: Vault, staff_id: UUID, code: str) -> bytes:
    typed = "".join(code.split()).replace("-", "").upper()
    return vault.keyed_hash("recovery code", staff_id.bytes + typed.encode(errors="replace"))
