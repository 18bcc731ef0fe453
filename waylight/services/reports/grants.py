"""Who may read a report and why, and taking that back: everything but consent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import grants as db
from waylight.db.session import Database
from waylight.domain.errors import NotAllowed, NotFound, Problem, StateConflict
from waylight.domain.grants import Author, Cause, Grant, Who, may_revoke, oversees
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.notes import write_note
from waylight.services.staff import organisation_of
from waylight.vault import Vault

WHY_NOT: Mapping[str, str] = {
    "at_work": "One of their alerts about it is not over, and nobody who may be on the way loses"
    " the report: let their team close, decline or hand over first.",
    "watches": "They watch over an incident that is open: wait until it is closed.",
    "last_reader": "Nobody else who is there to help reads it, and its incident is open: hand it"
    " over first, or wait until it is closed.",
}


def list_grants(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    report_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> tuple[Grant, ...]:
    """The grants of a report that there are and were, the oldest first.

    An organisation knows of its own and of those that its people gave by a hand-over; whoever
    oversees the report of all, but for what the passenger has with a support service. The look is
    audited. Raises NotFound for a report of which that is nothing.
    """
    with database.staff(organisation_of(principal)) as conn:
        return _looked_up(conn, vault, principal, report_id, request_id=request_id, now=now)


def revoke_grants(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    report_id: UUID,
    organisation_id: UUID,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> tuple[Grant, ...]:
    """Takes back every grant of an organisation that the caller may take back, at once.

    Its passenger's consent stays. Whoever is told of the report anew is granted it anew; until
    then they take up no alert of its incident that has ended. The reason is kept as a note. With
    none left nothing changes. Returns the grants as they are then. Raises NotFound; NotAllowed for
    consent, and for what the caller neither has, gave nor oversees; StateConflict with the reason.
    """
    us = organisation_of(principal)
    with database.staff(us) as conn:
        known = _looked_up(conn, vault, principal, report_id, request_id=request_id, now=now)
    theirs = [grant for grant in known if grant.organisation_id == organisation_id]
    if not theirs:
        raise NotFound
    causes = [grant.cause for grant in theirs if grant.revocable]
    if not causes:
        if any(grant.revoked_at is None for grant in theirs):
            raise NotAllowed(
                "Consent is taken back by the passenger, and oversight by whoever has it. Anything"
                " else is for whoever oversees the report, or gave it by a hand-over."
            )
        return known
    with database.intake() as conn:
        db.lock(conn, report_id)
        found = db.standing(conn, report_id, organisation_id)
        _check_nobody_is_left_alone(found, causes)
        if db.revoke(
            conn, report_id, organisation_id, causes=causes, by=author(principal), now=now
        ):
            _tell(
                conn,
                vault,
                found,
                reason,
                principal=principal,
                report_id=report_id,
                organisation_id=organisation_id,
                request_id=request_id,
                now=now,
            )
    with database.staff(us) as conn:
        return _known(conn, principal, report_id)


def author(principal: Principal) -> str:
    """How a person stands in a grant that they give or take back."""
    return f"staff:{principal.staff_id}"


def _check_nobody_is_left_alone(found: Mapping[str, Any], causes: Sequence[Cause]) -> None:
    """Raises StateConflict."""
    codes = {
        "at_work": found["is_at_work"],
        "watches": found["is_open"] and Cause.OVERSIGHT in causes,
        "last_reader": found["is_open"] and not found["others_read"],
    }
    for code, holds in codes.items():
        if holds:
            raise StateConflict(
                WHY_NOT[code], problems=[Problem("organisation_id", code, WHY_NOT[code])]
            )


def _tell(
    conn: Connection[Any],
    vault: Vault,
    found: Mapping[str, Any],
    reason: str,
    *,
    principal: Principal,
    report_id: UUID,
    organisation_id: UUID,
    request_id: str | None,
    now: datetime,
) -> None:
    """Beside what the trigger on `grants` tells."""
    write_note(
        conn,
        vault,
        reason,
        kind="revocation",
        incident={**found, "id": found["incident_id"]},
        principal=principal,
        now=now,
    )
    audit.write(
        conn,
        vault,
        "grant.revoked",
        principal=principal,
        report_ids=[report_id],
        incident_id=found["incident_id"],
        subject_id=organisation_id,
        request_id=request_id,
        now=now,
    )


def _looked_up(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    report_id: UUID,
    *,
    request_id: str | None,
    now: datetime,
) -> tuple[Grant, ...]:
    known = _known(conn, principal, report_id)
    audit.write(
        conn,
        vault,
        "grants.read",
        principal=principal,
        report_ids=[report_id],
        request_id=request_id,
        now=now,
    )
    return known


def _known(conn: Connection[Any], principal: Principal, report_id: UUID) -> tuple[Grant, ...]:
    us = organisation_of(principal)
    found = [_grant(row) for row in db.of(conn, report_id, us)]
    if not found:
        raise NotFound
    is_overseer = oversees(found, us)
    return tuple(
        replace(grant, revocable=may_revoke(grant, us, is_overseer=is_overseer)) for grant in found
    )


def _grant(row: Mapping[str, Any]) -> Grant:
    return Grant(
        organisation_id=row["organisation_id"],
        organisation=row["organisation"],
        cause=Cause(row["cause"]),
        level=row["level"],
        given_at=row["created_at"],
        given_by=_author(row, "created_by", "giver"),
        revoked_at=row["revoked_at"],
        revoked_by=_author(row, "revoked_by", "revoker") if row["revoked_at"] else None,
    )


def _author(row: Mapping[str, Any], column: str, person: str) -> Author:
    """A grant that is older than who gave it is known has neither organisation nor person."""
    written = row[column] or ""
    if written in ("consent", "passenger"):
        return Author(Who.PASSENGER)
    if written in ("routing", "oversight"):
        return Author(Who.ROUTING)
    return Author(
        Who.STAFF,
        organisation_id=row[f"{person}_organisation_id"],
        organisation=row[f"{person}_organisation"],
        person=row[f"{person}_name"],
    )
