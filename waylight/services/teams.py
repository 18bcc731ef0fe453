"""Which teams there are, whether they are on duty, where they are and what they can do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.errors import InvalidRequest, NotAllowed, NotFound, Problem, StaleVersion
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.domain.teams import (
    Capability,
    Duty,
    Fix,
    Heartbeat,
    Team,
    TeamPosition,
    duty_at,
    fix_problems,
    fixed_at,
    held,
    is_on_duty,
    position_at,
)
from waylight.services.cities import held_capabilities, known_cities
from waylight.services.schedules import is_on_shift_in, team_plan
from waylight.services.staff import organisation_of


def list_teams(
    database: Database,
    principal: Principal,
    *,
    after: tuple[str, UUID] | None = None,
    limit: int = 100,
    now: datetime,
) -> list[Team]:
    """Up to `limit` of the caller's teams by name, those beyond the name and id `after`.

    Those of the caller's organisation; the one that runs a city's control room sees that city's.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db_teams.page(conn, organisation_id, after=after, limit=limit, now=now)
    return [_team(database, row, now=now) for row in rows]


def read_team(database: Database, principal: Principal, *, team_id: UUID, now: datetime) -> Team:
    """One team. Raises NotFound for a team that the caller may not see."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = visible_team(conn, principal, team_id, now=now)
    return _team(database, row, now=now)


def visible_team(
    conn: Connection[Any], principal: Principal, team_id: UUID, *, now: datetime
) -> dict[str, Any]:
    """The row of a team that the caller may see: its own, or of the city it oversees.

    Raises NotFound.
    """
    row = db_teams.find(conn, team_id, organisation_of(principal), now=now)
    if row is None:
        raise NotFound
    return row


def own_team(
    conn: Connection[Any], principal: Principal, team_id: UUID, *, now: datetime
) -> dict[str, Any]:
    """The row of a team that the caller may change: one of its own organisation.

    Raises NotFound, and NotAllowed for a team of another organisation that the caller oversees.
    """
    row = visible_team(conn, principal, team_id, now=now)
    if row["organisation_id"] != principal.organisation_id:
        raise NotAllowed("Only the team's own organisation changes this.")
    return row


def set_duty(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    duty: Duty,
    until: datetime | None,
    if_match: int | None,
    now: datetime,
) -> Team:
    """A team says that it is available, busy or off, until further notice or until an instant.

    It counts from the next report on. A team that goes off is no longer known to be anywhere, and
    an alert that it has not answered climbs at the worker's next look. Raises NotFound, NotAllowed
    for a team of another
    organisation that the caller oversees, StaleVersion when `if_match` is not the team's version
    any more, InvalidRequest for an `until` in the past.
    """
    if until is not None and until <= now:
        raise InvalidRequest(
            problems=[Problem("/until", "in_the_past", "This moment is over: send a later one.")]
        )
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if not db_teams.set_duty(conn, team_id, status=duty, until=until, if_match=if_match):
            raise StaleVersion
        if duty is Duty.OFF:
            db_teams.forget_position(conn, team_id)
        _tell(conn, principal, row, "team.duty_changed", {"duty": duty}, now=now)
        row = visible_team(conn, principal, team_id, now=now)
    return _team(database, row, now=now)


def set_capabilities(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    capabilities: Sequence[Capability] | None,
    if_match: int | None,
    now: datetime,
) -> Team:
    """What a team can do, each until its certificate ends, in place of what its city pack says.

    None gives the word back to the pack. It counts from the next report on. Raises NotFound,
    NotAllowed, StaleVersion, InvalidRequest for one that is there twice or has ended already.
    """
    problems = _capability_problems(capabilities or (), now=now)
    if problems:
        raise InvalidRequest(problems=problems)
    written = (
        None
        if capabilities is None
        else {one.code: one.until.isoformat() if one.until else None for one in capabilities}
    )
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if not db_teams.set_capabilities(conn, team_id, written, if_match=if_match):
            raise StaleVersion
        _tell(
            conn,
            principal,
            row,
            "team.capabilities_changed",
            {"capabilities": written},
            now=now,
        )
        row = visible_team(conn, principal, team_id, now=now)
    return _team(database, row, now=now)


def _capability_problems(capabilities: Sequence[Capability], *, now: datetime) -> list[Problem]:
    found = []
    times = Counter(one.code for one in capabilities)
    for number, one in enumerate(capabilities):
        pointer = f"/capabilities/{number}"
        if times[one.code] > 1:
            detail = "This is there twice: keep the one that is right."
            found.append(Problem(f"{pointer}/capability", "duplicate", detail))
        if not one.is_valid(now):
            detail = "This has ended: leave the capability out, or send the new end."
            found.append(Problem(f"{pointer}/until", "in_the_past", detail))
    return found


def set_position(
    database: Database, principal: Principal, *, team_id: UUID, fix: Fix, now: datetime
) -> Heartbeat:
    """A team says where it is; the last such position is kept, and none before it.

    A fix that is no newer than the one known changes nothing, and the answer says so. Nothing is
    written but the position: no event, no version. Raises NotFound, NotAllowed, InvalidRequest for
    a fix that cannot be right.
    """
    with database.staff(organisation_of(principal)) as conn:
        own_team(conn, principal, team_id, now=now)
        far_m = db_teams.from_base_m(conn, team_id, fix.point)
        problems = fix_problems(fix, from_base_m=far_m, now=now)
        if problems:
            raise InvalidRequest(problems=problems)
        moved = db_teams.move(
            conn,
            team_id,
            fix.point,
            fixed_at=fixed_at(fix, now=now),
            accuracy_m=fix.accuracy_m,
            now=now,
        )
        position = _position(visible_team(conn, principal, team_id, now=now), now=now)
    if position is None:  # it was forgotten in between: the team has gone off duty
        raise NotFound
    return Heartbeat(ignored=None if moved else "older", position=position)


def _tell(
    conn: Connection[Any],
    principal: Principal,
    row: Mapping[str, Any],
    kind: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    events.write(
        conn,
        events.Event(
            kind,
            now,
            city_id=row["city_id"],
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data={"team_id": str(row["id"]), **data},
        ),
    )


def _team(database: Database, row: Mapping[str, Any], *, now: datetime) -> Team:
    plan = team_plan(row["pack_rule"], row["set_shifts"])
    on_shift = row["on_shift"]
    if row["expanded_until"] is None or row["expanded_until"] < now:
        city = next((c for c in known_cities(database) if c.id == row["city_id"]), None)
        on_shift = city is not None and is_on_shift_in(city, plan, now)
    duty, until = duty_at(Duty(row["duty_status"]), row["duty_until"], now)
    capabilities = held_capabilities(row)
    return Team(
        id=row["id"],
        version=row["version"],
        name=row["name"],
        kind=row["kind"],
        organisation=row["organisation"],
        capabilities=tuple(one.code for one in capabilities if one.is_valid(now)),
        capabilities_set_by="pack" if row["staff_capabilities"] is None else "staff",
        held=held(capabilities, now),
        base=Point(row["lon"], row["lat"]),
        position=_position(row, now=now),
        shifts="\n".join(plan.in_force),
        shifts_set_by="staff" if plan.rules else "pack",
        on_shift=on_shift,
        on_duty=is_on_duty(duty, until, on_shift=on_shift, at=now),
        duty=duty,
        duty_until=until,
        working_on=row["working_on"],
        demo=row["demo"],
    )


def _position(row: Mapping[str, Any], *, now: datetime) -> TeamPosition | None:
    if row["position_at"] is None:
        return None
    return position_at(
        Point(row["at_lon"], row["at_lat"]),
        row["position_at"],
        row["position_accuracy_m"],
        at=now,
    )
