"""Sessions: seen, and ended at once, with what was opened by them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import accounts as db_accounts
from waylight.db import sessions as db
from waylight.db.session import Database
from waylight.domain.accounts import Session
from waylight.domain.errors import NotFound, StepUpNeeded
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.accounts.identity import person_of, tell
from waylight.vault import Vault


def list_sessions(database: Database, principal: Principal, *, now: datetime) -> list[Session]:
    """The caller's own sessions, the newest first; before the code that is due, this one alone.

    Raises NotAllowed for whoever is no person.
    """
    with database.intake(autocommit=True) as conn:
        rows = _own(conn, principal, now=now)
    return [_session(row, principal.key_id) for row in rows]


def end_session(
    database: Database, principal: Principal, session_id: UUID, *, now: datetime
) -> None:
    """Ends one session of the caller: its stream within two seconds, its devices at once.

    Raises NotFound for any other session.
    """
    staff_id, organisation_id = person_of(principal)
    with database.intake() as conn:
        if session_id not in {row["id"] for row in _own(conn, principal, now=now)}:
            raise NotFound
        db.end(conn, [session_id], now=now)
        tell(
            conn,
            "session.ended",
            organisation_id=organisation_id,
            account=staff_id,
            by=staff_id,
            now=now,
            session_id=str(session_id),
        )


def end_others(database: Database, principal: Principal, *, now: datetime) -> None:
    """Ends all sessions of the caller but the one that they call with.

    Raises StepUpNeeded where a code is due first.
    """
    staff_id, organisation_id = person_of(principal)
    if principal.must_prove:
        raise StepUpNeeded
    with database.intake() as conn:
        others = [one for one in db.sessions_of(conn, staff_id) if one != principal.key_id]
        if db.end(conn, others, now=now):
            tell(
                conn,
                "session.others_ended",
                organisation_id=organisation_id,
                account=staff_id,
                by=staff_id,
                now=now,
            )


def list_sessions_of(
    database: Database, principal: Principal, staff_id: UUID, *, now: datetime
) -> list[Session]:
    """The sessions of a person of the caller's organisation. Raises NotFound for others."""
    _, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        if db_accounts.find(conn, organisation_id, staff_id) is None:
            raise NotFound
    with database.intake(autocommit=True) as conn:
        rows = db.live(conn, staff_id, now=now)
    return [_session(row, principal.key_id) for row in rows]


def end_session_of(
    database: Database,
    vault: Vault,
    principal: Principal,
    staff_id: UUID,
    session_id: UUID,
    *,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Ends one session of a person of the caller's organisation. Raises NotFound for others."""
    if not _end_of(
        database, vault, principal, staff_id, session_id, request_id=request_id, now=now
    ):
        raise NotFound


def end_sessions_of(
    database: Database,
    vault: Vault,
    principal: Principal,
    staff_id: UUID,
    *,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Ends all sessions of a person of the caller's organisation. Raises NotFound for others."""
    _end_of(database, vault, principal, staff_id, None, request_id=request_id, now=now)


def _end_of(
    database: Database,
    vault: Vault,
    principal: Principal,
    staff_id: UUID,
    session_id: UUID | None,
    *,
    request_id: str | None,
    now: datetime,
) -> int:
    by, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        if db_accounts.find(conn, organisation_id, staff_id) is None:
            raise NotFound
        ended = db.end_of(conn, staff_id, session_id=session_id, now=now)
        if ended:
            tell(
                conn,
                "session.ended",
                organisation_id=organisation_id,
                account=staff_id,
                by=by,
                now=now,
                **({} if session_id is None else {"session_id": str(session_id)}),
            )
            audit.write(
                conn,
                vault,
                "session.ended",
                principal=principal,
                subject_id=staff_id,
                request_id=request_id,
                now=now,
            )
    return ended


def _own(conn: Connection[Any], principal: Principal, *, now: datetime) -> list[dict[str, Any]]:
    """The sessions that a caller sees and ends; before the code that is due, this one alone.

    Who has got hold of somebody's password at a provider must not sign their devices out.
    """
    staff_id, _ = person_of(principal)
    rows = db.live(conn, staff_id, now=now)
    return [row for row in rows if not principal.must_prove or row["id"] == principal.key_id]


def _session(row: Mapping[str, Any], current: UUID | None) -> Session:
    return Session(
        id=row["id"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
        is_current=row["id"] == current,
    )
