"""Which teams there are, whether they are on duty, where they are and what they can do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import events
from waylight.db import organisations as db_organisations
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.changes import check_says_something
from waylight.domain.cities import City
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StaleVersion,
    StateConflict,
)
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
from waylight.services import audit
from waylight.services.cities import held_capabilities, known_cities, read_cities
from waylight.services.schedules import expand_team, is_on_shift_in, team_plan
from waylight.services.staff import organisation_of
from waylight.vault import Vault

MOST_TEAMS = 500
"""Of one organisation."""


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
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
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
    problems = capability_problems(capabilities or (), now=now)
    if problems:
        raise InvalidRequest(problems=problems)
    said = None if capabilities is None else written(capabilities)
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if not db_teams.set_capabilities(conn, team_id, said, if_match=if_match):
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
        _tell(
            conn,
            principal,
            row,
            "team.capabilities_changed",
            {"capabilities": said},
            now=now,
        )
        row = visible_team(conn, principal, team_id, now=now)
    return _team(database, row, now=now)


def written(capabilities: Sequence[Capability]) -> dict[str, str | None]:
    """Capabilities as `teams.staff_capabilities` has them."""
    return {one.code: one.until.isoformat() if one.until else None for one in capabilities}


def capability_problems(capabilities: Sequence[Capability], *, now: datetime) -> list[Problem]:
    """What is wrong with what a team is said to be able to do."""
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


def found_team(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    name: str,
    base: Point,
    capabilities: Sequence[Capability],
    outside_city: bool,
    request_id: str | None = None,
    now: datetime,
) -> Team:
    """A new team of the caller's organisation.

    It is told of nothing before it has a coverage and a shift.
    Raises InvalidRequest for a base outside the city unless `outside_city`, for capabilities as
    `set_capabilities`, and for one team more than an organisation may have.
    """
    organisation_id = organisation_of(principal)
    problems = capability_problems(capabilities, now=now)
    team_id: UUID = uuid_utils.compat.uuid7()
    with database.staff(organisation_id) as conn:
        city = city_of(conn, organisation_id)
        if not outside_city:
            problems += outside_problems(city, base, "/base")
        if problems:
            raise InvalidRequest(problems=problems)
        if db_teams.count(conn, organisation_id) >= MOST_TEAMS:
            detail = f"An organisation has {MOST_TEAMS} teams at most: retire some."
            raise InvalidRequest(problems=[Problem("", "too_many", detail)])
        db_teams.found(
            conn,
            team_id,
            organisation_id=organisation_id,
            name=name,
            base=base,
            capabilities=written(capabilities),
        )
        expand_team(conn, team_id, now=now)
        row = visible_team(conn, principal, team_id, now=now)
        _say(
            conn,
            vault,
            principal,
            row,
            kind="team.created",
            data={},
            request_id=request_id,
            now=now,
        )
    return _team(database, row, now=now)


def edit_team(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID,
    name: str | None,
    base: Point | None,
    outside_city: bool,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Team:
    """Another name or base; a pack that is loaded later leaves it. It counts from the next report.

    Raises NotFound, NotAllowed, StaleVersion; InvalidRequest as `found_team` and when nothing is to
    be changed.
    """
    check_says_something(is_empty=name is None and base is None)
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if base is not None and not outside_city:
            problems = outside_problems(city_of(conn, row["organisation_id"]), base, "/base")
            if problems:
                raise InvalidRequest(problems=problems)
        if not db_teams.edit(conn, team_id, name=name, base=base, if_match=if_match):
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
        changed = [said for said, value in (("name", name), ("base", base)) if value is not None]
        _say(
            conn,
            vault,
            principal,
            row,
            kind="team.updated",
            data={"changed": changed},
            request_id=request_id,
            now=now,
        )
        row = visible_team(conn, principal, team_id, now=now)
    return _team(database, row, now=now)


def retire_team(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Takes a team out of use for good: it is alerted no more, and what it did stays.

    An alert that it has not answered climbs at the worker's next look. Raises NotFound, NotAllowed,
    StaleVersion; StateConflict for a city's control room, and while the team has an incident.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        if db_teams.is_control_room(conn, team_id):
            raise StateConflict("A city falls back on its control room: it cannot be retired.")
        if not db_teams.retire(conn, team_id, if_match=if_match):
            raise StaleVersion(version=visible_team(conn, principal, team_id, now=now)["version"])
        # After its row is locked: an acknowledgement that came first is seen.
        if db_teams.is_at_work(conn, team_id):
            raise StateConflict("This team has an incident: close it or hand it over first.")
        _say(
            conn,
            vault,
            principal,
            row,
            kind="team.retired",
            data={},
            request_id=request_id,
            now=now,
        )


def city_of(conn: Connection[Any], organisation_id: UUID) -> City:
    """The city where an organisation is at home. Raises NotFound for one that there is not."""
    city_id = db_organisations.city_id(conn, organisation_id)
    city = next((one for one in read_cities(conn) if one.id == city_id), None)
    if city is None:
        raise NotFound
    return city


def outside_problems(city: City, point: Point, pointer: str) -> list[Problem]:
    """What is wrong with a place that should lie in a city."""
    box = city.bounds
    if box.contains(point):
        return []
    detail = (
        f"This is outside {city.name}: longitude {box.west:g} to {box.east:g}, latitude"
        f" {box.south:g} to {box.north:g}."
    )
    swapped = abs(point.lon) <= 90 and box.contains(Point(point.lat, point.lon))
    fix = (
        "Longitude comes first: swap the two."
        if swapped
        else "Say `outside_city`: true if that is meant."
    )
    return [Problem(pointer, "outside_city", f"{detail} {fix}")]


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


def _say(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    row: Mapping[str, Any],
    *,
    kind: str,
    data: Mapping[str, Any],
    request_id: str | None,
    now: datetime,
) -> None:
    """Tells it, and writes it into the audit log: it decides who is told of reports."""
    audit.write(
        conn,
        vault,
        kind,
        principal=principal,
        subject_id=row["id"],
        request_id=request_id,
        now=now,
    )
    _tell(conn, principal, row, kind, data, now=now)


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
        shifts_set_by="staff" if plan.rules or "shifts" in row["edited"] else "pack",
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
