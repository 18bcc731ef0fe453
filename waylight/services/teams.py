"""Which teams there are, and whether they are on duty."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from waylight.db import events
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.errors import InvalidRequest, NotAllowed, NotFound, Problem, StaleVersion
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.domain.teams import Duty, Team, duty_at, is_on_duty
from waylight.services.cities import known_cities
from waylight.services.schedules import is_open_in
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
        row = db_teams.find(conn, team_id, organisation_id, now=now)
    if row is None:
        raise NotFound
    return _team(database, row, now=now)


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

    It counts from the next report on. Raises NotFound, NotAllowed for a team of another
    organisation that the caller oversees, StaleVersion when `if_match` is not the team's version
    any more, InvalidRequest for an `until` in the past.
    """
    if until is not None and until <= now:
        raise InvalidRequest(
            problems=[Problem("/until", "in_the_past", "This moment is over: send a later one.")]
        )
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = db_teams.find(conn, team_id, organisation_id, now=now)
        if row is None:
            raise NotFound
        if row["organisation_id"] != organisation_id:
            raise NotAllowed("Only the team's own organisation sets its duty status.")
        if not db_teams.set_duty(conn, team_id, status=duty, until=until, if_match=if_match):
            raise StaleVersion
        events.write(
            conn,
            events.Event(
                "team.duty_changed",
                now,
                city_id=row["city_id"],
                organisation_id=organisation_id,
                staff_id=principal.staff_id,
                data={"team_id": str(team_id), "duty": duty},
            ),
        )
        row = db_teams.find(conn, team_id, organisation_id, now=now)
    if row is None:
        raise NotFound
    return _team(database, row, now=now)


def _team(database: Database, row: Mapping[str, Any], *, now: datetime) -> Team:
    on_shift = row["on_shift"]
    if row["expanded_until"] is None or row["expanded_until"] < now:
        city = next((c for c in known_cities(database) if c.id == row["city_id"]), None)
        on_shift = city is not None and is_open_in(city, row["shifts"], now)
    duty, until = duty_at(Duty(row["duty_status"]), row["duty_until"], now)
    return Team(
        id=row["id"],
        version=row["version"],
        name=row["name"],
        kind=row["kind"],
        organisation=row["organisation"],
        capabilities=tuple(row["capabilities"]),
        base=Point(row["lon"], row["lat"]),
        shifts=row["shifts"],
        on_shift=on_shift,
        on_duty=is_on_duty(duty, until, on_shift=on_shift, at=now),
        duty=duty,
        duty_until=until,
        demo=row["demo"],
    )
