"""What administrators change of their own organisation, and its escalation timetable."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import organisations as db
from waylight.db.session import Database
from waylight.domain.alerts import BOUNDS, waits_of
from waylight.domain.changes import check_says_something
from waylight.domain.errors import InvalidRequest, NotFound, Problem, StaleVersion
from waylight.domain.organisations import CONTACTS, Organisation
from waylight.domain.principals import Principal
from waylight.services import audit, naming
from waylight.services.staff import organisation_of
from waylight.vault import Vault


def read_organisation(
    database: Database, principal: Principal, *, organisation_id: UUID | None = None
) -> Organisation:
    """The caller's organisation. Raises NotFound for any other."""
    with database.staff(organisation_of(principal)) as conn:
        return _organisation(_own(conn, principal, organisation_id))


def edit_organisation(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    organisation_id: UUID,
    values: Mapping[str, Any],
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Organisation:
    """Another `name`, or other ways of `contact`: those given change, the others stay.

    A pack that is loaded later leaves them. Raises NotFound, StaleVersion, and InvalidRequest when
    nothing is to be changed, for the name of another organisation, and of police for any other name
    than that by which the city says that reports are their job.
    """
    check_says_something(is_empty=not values)
    with database.staff(organisation_of(principal)) as conn:
        row = _own(conn, principal, organisation_id)
        _check_name(conn, row, values.get("name"))
        changed = dict(values)
        if "contact" in changed:
            changed["contact"] = {**row["contact"], **changed["contact"]}
        return _change(
            conn,
            vault,
            principal,
            row,
            changed,
            edited=sorted(changed),
            action="organisation.updated",
            data={"changed": sorted(changed)},
            if_match=if_match,
            request_id=request_id,
            now=now,
        )


def set_timetable(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    organisation_id: UUID,
    waits_s: Mapping[int, float | None],
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Organisation:
    """How many seconds a rung of this organisation has to answer, by priority; None is the default.

    It counts for rungs that are told from now on. Raises NotFound, StaleVersion, and InvalidRequest
    for what is out of bounds, with the reason: no ladder is switched off.
    """
    check_waits(waits_s)
    said = {str(priority): wait for priority, wait in waits_s.items() if wait is not None}
    with database.staff(organisation_of(principal)) as conn:
        row = _own(conn, principal, organisation_id)
        return _change(
            conn,
            vault,
            principal,
            row,
            {"escalation": said or None},
            edited=(),
            action="escalation.changed",
            data={"waits_s": said},
            if_match=if_match,
            request_id=request_id,
            now=now,
        )


def check_waits(waits_s: Mapping[int, float | None], *, under: str = "") -> None:
    """Raises InvalidRequest for waits out of bounds, each with the bounds and their reason."""
    problems = []
    for priority, wait in waits_s.items():
        bound = BOUNDS[priority]
        if wait is not None and not bound.least_s <= wait <= bound.most_s:
            detail = f"Send {bound.least_s:g} to {bound.most_s:g} seconds. {bound.why}"
            problems.append(Problem(f"{under}/priority_{priority}_s", "out_of_bounds", detail))
    if problems:
        raise InvalidRequest(problems=problems)


def _check_name(conn: Connection[Any], row: Mapping[str, Any], name: str | None) -> None:
    """Raises InvalidRequest: passengers choose whom they trust by a name."""
    if name is None or name == row["name"]:
        return
    known = db.names(conn, row["id"])
    if known is None:
        return
    if row["kind"] == "police" and row["name"] in known["jobs"]:
        detail = (
            "By this name the city says whose job a report is: whoever runs the installation"
            " changes both."
        )
        raise InvalidRequest(problems=[Problem("/name", "whose_job", detail)])
    naming.check_not_taken(name, (*known["others"], *known["jobs"]))
    naming.check_says_none_of(known, name)


def _change(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    row: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    edited: tuple[str, ...] | list[str],
    action: str,
    data: Mapping[str, Any],
    if_match: int | None,
    request_id: str | None,
    now: datetime,
) -> Organisation:
    if not db.change(conn, row["id"], values, edited=edited, if_match=if_match):
        raise StaleVersion(version=_own(conn, principal, row["id"])["version"])
    audit.tell(
        conn,
        vault,
        action,
        principal=principal,
        subject_id=row["id"],
        data=data,
        request_id=request_id,
        now=now,
    )
    return _organisation(_own(conn, principal, row["id"]))


def _own(
    conn: Connection[Any], principal: Principal, organisation_id: UUID | None
) -> dict[str, Any]:
    own = organisation_of(principal)
    row = db.find(conn, own)
    if row is None or organisation_id not in (None, own):
        raise NotFound
    return row


def _organisation(row: Mapping[str, Any]) -> Organisation:
    return Organisation(
        id=row["id"],
        version=row["version"],
        name=row["name"],
        kind=row["kind"],
        city=row["city"],
        contact={way: row["contact"].get(way) for way in CONTACTS},
        edited=tuple(row["edited"]),
        waits_s=waits_of(row["escalation"]),
        demo=row["demo"],
    )
