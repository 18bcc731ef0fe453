"""Which teams there are, whether they are on duty, where they are and what they can do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.errors import (
    NotAllowed,
    NotFound,
)
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.domain.teams import (
    Duty,
    Team,
    TeamPosition,
    duty_at,
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
    return [team_of(database, row, now=now) for row in rows]


def read_team(database: Database, principal: Principal, *, team_id: UUID, now: datetime) -> Team:
    """One team. Raises NotFound for a team that the caller may not see."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = visible_team(conn, principal, team_id, now=now)
    return team_of(database, row, now=now)


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


def team_of(database: Database, row: Mapping[str, Any], *, now: datetime) -> Team:
    """A team from its row, as of `now`; a horizon that has expired is computed anew."""
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
        position=position_of(row, now=now),
        shifts="\n".join(plan.in_force),
        shifts_set_by="staff" if plan.rules or "shifts" in row["edited"] else "pack",
        on_shift=on_shift,
        on_duty=is_on_duty(duty, until, on_shift=on_shift, at=now),
        duty=duty,
        duty_until=until,
        working_on=row["working_on"],
        demo=row["demo"],
    )


def position_of(row: Mapping[str, Any], *, now: datetime) -> TeamPosition | None:
    """Where it is, of its row; None where that is not known."""
    if row["position_at"] is None:
        return None
    return position_at(
        Point(row["at_lon"], row["at_lat"]),
        row["position_at"],
        row["position_accuracy_m"],
        at=now,
    )
