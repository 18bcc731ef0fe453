"""Accounts from the terminal of whoever runs the service: as the owner of all tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import accounts as db
from waylight.db import identity_providers as db_providers
from waylight.db import keys as db_keys
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain.accounts import Invitation
from waylight.domain.errors import NotFound, StateConflict
from waylight.services import audit, keys, naming, passwords
from waylight.services.accounts import managing
from waylight.services.accounts.identity import tell
from waylight.vault import Vault


@dataclass(frozen=True)
class Made:
    """An account; `invitation` at the only moment when it can be read, None with a password."""

    id: UUID
    invitation: Invitation | None


def create(
    database: Database,
    vault: Vault,
    *,
    organisation: str,
    city: str | None,
    name: str,
    email: str,
    job: str,
    roles: Sequence[str],
    password: str | None,
    now: datetime,
) -> Made:
    """An account for the person of this name and job in an organisation, new if there is none.

    With a password it can sign in at once, else it is invited. Raises NotFound for an unknown
    organisation, InvalidRequest for a name, address or password that is not taken, StateConflict
    where the person or the address has an account.
    """
    hashed = None
    name, job = naming.read_name(name, "/name"), naming.read_name(job, "/job")
    with database.owner() as conn:
        works_for = keys.organisation_named(conn, organisation, city=city)
        if password is not None:
            passwords.check_new(password, known=(name, email, organisation))
            hashed = passwords.hash_password(password)
        staff_id = db_keys.keep_person(
            conn, organisation_id=works_for, name=name, role=job, demo=False, now=now
        )
        if db.find(conn, works_for, staff_id) is not None:
            raise StateConflict(f"{name}, {job}, has an account: {staff_id}.")
        managing.insert_account(
            conn,
            vault,
            staff_id=staff_id,
            organisation_id=works_for,
            email=email,
            roles=roles,
            by=None,
            now=now,
        )
        row = _found(conn, staff_id)
        _audit(conn, vault, "account.created", row, now=now)
        if hashed is None:
            _audit(conn, vault, "account.invited", row, now=now)
            return Made(staff_id, managing.write_invitation(conn, vault, row, by=None, now=now))
        db.change(conn, staff_id, {"password_hash": hashed, "password_set_at": now}, now=now)
        return Made(staff_id, None)


def everyone(database: Database) -> list[dict[str, Any]]:
    """Every account, by organisation: rows of `waylight.db.accounts.SELECT`."""
    with database.owner() as conn:
        return db.everyone(conn)


def invite(
    database: Database, vault: Vault, staff_id: UUID, *, reset_totp: bool, now: datetime
) -> Invitation:
    """A new invitation for an account. Raises NotFound, StateConflict for a disabled one."""
    with database.owner() as conn:
        row = _found(conn, staff_id)
        if row["disabled_at"] is not None:
            raise StateConflict("This account is disabled.")
        _audit(conn, vault, "account.invited", row, now=now)
        return managing.write_invitation(conn, vault, row, by=None, reset_totp=reset_totp, now=now)


def disable(database: Database, vault: Vault, staff_id: UUID, *, now: datetime) -> None:
    """Ends an account with every key of its person. Raises NotFound."""
    with database.owner() as conn:
        row = _found(conn, staff_id)
        changes = {"disabled_at": row["disabled_at"] or now, **managing.NO_INVITATION}
        db.change(conn, staff_id, changes, now=now)
        db_sessions.end(conn, db_keys.live_of(conn, staff_id), now=now)
        _tell(conn, "account.changed", row, now=now, disabled=True)
        _audit(conn, vault, "account.changed", row, now=now)


def sign_out(database: Database, vault: Vault, staff_id: UUID, *, now: datetime) -> int:
    """Ends every session of an account; how many there were. Raises NotFound."""
    with database.owner() as conn:
        row = _found(conn, staff_id)
        ended = db_sessions.end(conn, db_sessions.sessions_of(conn, staff_id), now=now)
        if ended:
            _tell(conn, "session.ended", row, now=now)
            _audit(conn, vault, "session.ended", row, now=now)
        return ended


def providers(database: Database) -> list[dict[str, Any]]:
    """Every OpenID provider, by organisation."""
    with database.owner() as conn:
        return db_providers.everyone(conn)


def disable_provider(database: Database, vault: Vault, provider_id: UUID, *, now: datetime) -> None:
    """Nobody signs in by this provider any more, and its sessions end. Raises NotFound."""
    with database.owner() as conn:
        organisation_id = db_providers.disable(conn, provider_id, now=now)
        if organisation_id is None:
            raise NotFound(
                f"There is no provider {provider_id}: `waylight staff providers` shows all."
            )
        tell(
            conn,
            "identity_provider.changed",
            organisation_id=organisation_id,
            account=None,
            by=None,
            now=now,
            provider_id=str(provider_id),
            changed=["enabled"],
        )
        audit.write(
            conn,
            vault,
            "identity_provider.changed",
            principal=None,
            subject_id=provider_id,
            organisation_id=organisation_id,
            now=now,
        )


def _found(conn: Connection[Any], staff_id: UUID) -> dict[str, Any]:
    found = [row for row in db.everyone(conn) if row["id"] == staff_id]
    if not found:
        raise NotFound(f"There is no account {staff_id}: `waylight staff list` shows all.")
    return found[0]


def _tell(
    conn: Connection[Any], kind: str, row: dict[str, Any], *, now: datetime, **data: object
) -> None:
    tell(
        conn,
        kind,
        organisation_id=row["organisation_id"],
        account=row["id"],
        by=None,
        now=now,
        **data,
    )


def _audit(
    conn: Connection[Any], vault: Vault, action: str, row: dict[str, Any], *, now: datetime
) -> None:
    audit.write(
        conn,
        vault,
        action,
        principal=None,
        subject_id=row["id"],
        organisation_id=row["organisation_id"],
        now=now,
    )
