"""Teams as administrators found, change and retire them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import organisations as db_organisations
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.changes import check_says_something
from waylight.domain.cities import City
from waylight.domain.errors import (
    InvalidRequest,
    NotFound,
    Problem,
    StaleVersion,
    StateConflict,
)
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.domain.teams import (
    Capability,
    Team,
)
from waylight.services import audit, naming
from waylight.services.cities import read_cities
from waylight.services.schedules import expand_team
from waylight.services.staff import organisation_of
from waylight.services.teams.duty import capability_problems, tell, written
from waylight.services.teams.reading import own_team, team_of, visible_team
from waylight.vault import Vault

MOST_TEAMS = 500
"""Of one organisation."""


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
    Raises InvalidRequest for another organisation's name, a base outside the city unless
    `outside_city`, capabilities as `set_capabilities`, and one team more than there may be.
    """
    organisation_id = organisation_of(principal)
    problems = capability_problems(capabilities, now=now)
    team_id: UUID = uuid_utils.compat.uuid7()
    with database.staff(organisation_id) as conn:
        naming.check_says_no_other(conn, organisation_id, name)
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
    return team_of(database, row, now=now)


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
        if name is not None and name != row["name"]:
            naming.check_says_no_other(conn, row["organisation_id"], name)
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
    return team_of(database, row, now=now)


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
    tell(conn, principal, row, kind, data, now=now)
