"""Where, on what and when teams may be alerted. A change counts from the next report on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import uuid_utils.compat
from psycopg import Connection
from psycopg.errors import QueryCanceled

from waylight.db import coverages as db
from waylight.db import events
from waylight.db import shifts as db_shifts
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain import coverages, schedules
from waylight.domain.categories import GROUPS
from waylight.domain.changes import check_version
from waylight.domain.coverages import Coverage, Rule, Shape
from waylight.domain.errors import InvalidRequest, NotFound, Problem, StateConflict
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.packs.shapes import MODES
from waylight.services.schedules import expand_coverage
from waylight.services.staff import organisation_of
from waylight.services.teams import own_team, visible_team
from waylight.vault import Vault

GEOMETRY_MS = 1_000
"""A shape that PostGIS is not done with by then is refused, and holds nobody up."""


def list_coverages(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> Sequence[Coverage]:
    """Up to `limit` coverages of a team, the oldest first, beyond `after`.

    Raises NotFound for a team that the caller may not see.
    """
    with database.staff(organisation_of(principal)) as conn:
        visible_team(conn, principal, team_id, now=now)
        rows = db.page(conn, team_id, after=after, limit=limit, now=now)
    return [_coverage(row) for row in rows]


def read_coverage(
    database: Database, principal: Principal, *, team_id: UUID, coverage_id: UUID, now: datetime
) -> Coverage:
    """One coverage. Raises NotFound for one that the caller may not see, or of another team."""
    with database.staff(organisation_of(principal)) as conn:
        visible_team(conn, principal, team_id, now=now)
        return _coverage(_found(conn, team_id, coverage_id, now=now))


def add_coverage(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID,
    rule: Rule,
    request_id: str | None = None,
    now: datetime,
) -> Coverage:
    """Gives a team one more coverage; a pack that is loaded later leaves all of the team's alone.

    Raises NotFound; NotAllowed for a team of another organisation that the caller oversees;
    StateConflict for a control room, which is told without one; InvalidRequest with everything that
    is wrong with the rule and its shape, and for one more than a team may have.
    """
    with database.staff(organisation_of(principal)) as conn:
        team = _taken(conn, principal, team_id, now=now)
        if db.count(conn, team_id) >= coverages.MOST_OF_A_TEAM:
            detail = f"A team has {coverages.MOST_OF_A_TEAM} coverages at most: join some."
            raise InvalidRequest(problems=[Problem("", "too_many", detail)])
        if db.count_drawn(conn, team["organisation_id"]) >= coverages.MOST_OF_AN_ORGANISATION:
            detail = (
                f"An organisation has {coverages.MOST_OF_AN_ORGANISATION} shapes at most: join"
                " some, or use areas of the city."
            )
            raise InvalidRequest(problems=[Problem("", "too_many", detail)])
        shape = check_rule(conn, team, rule)
        area_id = _area(conn, principal, team, rule, shape)
        coverage_id = db.add(conn, team_id, area_id, rule, staff_id=principal.staff_id, now=now)
        return _take_effect(
            conn,
            vault,
            principal,
            team,
            coverage_id,
            change="added",
            request_id=request_id,
            now=now,
        )


def change_coverage(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID,
    coverage_id: UUID,
    rule: Rule,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Coverage:
    """Another rule in its place. Raises as `add_coverage`, and StaleVersion."""
    with database.staff(organisation_of(principal)) as conn:
        team, row = _current(conn, principal, team_id, coverage_id, if_match=if_match, now=now)
        shape = check_rule(conn, team, rule)
        area_id = _area(conn, principal, team, rule, shape)
        db.change(conn, coverage_id, area_id, rule, now=now)
        db.rub_out(conn, row["area_id"])
        return _take_effect(
            conn,
            vault,
            principal,
            team,
            coverage_id,
            change="changed",
            request_id=request_id,
            now=now,
        )


def remove_coverage(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID,
    coverage_id: UUID,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """The team is no longer alerted by it. Raises as `change_coverage`."""
    with database.staff(organisation_of(principal)) as conn:
        team, row = _current(conn, principal, team_id, coverage_id, if_match=if_match, now=now)
        db.remove(conn, coverage_id)
        db.rub_out(conn, row["area_id"])
        _tell(
            conn,
            vault,
            principal,
            team,
            coverage_id,
            change="removed",
            request_id=request_id,
            now=now,
        )


def check_rule(
    conn: Connection[Any], team: Mapping[str, Any], rule: Rule, *, under: str = ""
) -> Shape | None:
    """The shape of a rule that can be used for a team; None for one on an area of the city.

    Raises InvalidRequest with everything that is wrong, with pointers below `under`. What a shape
    costs is limited before PostGIS sees it, and by the clock.
    """
    city_id = team["city_id"]
    problems = coverages.rule_problems(
        rule,
        modes=MODES,
        groups=frozenset(GROUPS),
        routes=db.routes(conn, city_id, rule.routes or ()),
    )
    if rule.schedule is not None:
        try:
            schedules.validate(rule.schedule)
        except ValueError as error:
            problems.append(Problem("/schedule", "hours_unreadable", f"{error}."))
    if rule.area is not None and db.city_area(conn, city_id, rule.area) is None:
        detail = "The city has no such area: send a shape."
        problems.append(Problem("/area", "not_found", detail))
    shape = None
    if rule.shape is not None:
        shape, wrong = coverages.read_shape(rule.shape, "/shape")
        problems += wrong
        if shape is not None:
            problems += _shape_problems(
                conn, shape, city_id=city_id, outside_city=rule.outside_city
            )
    if problems:
        raise InvalidRequest(
            problems=[Problem(f"{under}{p.pointer}", p.code, p.detail) for p in problems]
        )
    return shape


def _shape_problems(
    conn: Connection[Any], shape: Shape, *, city_id: UUID, outside_city: bool
) -> list[Problem]:
    try:
        # Taken back: the short patience is for these two statements.
        with conn.transaction(force_rollback=True):
            fault = db.fault(conn, shape, within_ms=GEOMETRY_MS)
            place = None
            if fault is None:
                place = db.place(conn, shape, city_id, within_ms=GEOMETRY_MS)
    except QueryCanceled:
        detail = "This takes too long to understand: draw it more simply."
        return [Problem("/shape/coordinates", "too_intricate", detail)]
    if fault is not None:
        return [_crossing(shape, fault)]
    found: list[Problem] = []
    if place is None:
        return found
    if place["area_m2"] < coverages.LEAST_M2:
        detail = f"This is smaller than {coverages.LEAST_M2:g} square metres."
        found.append(Problem("/shape/coordinates", "too_small", detail))
    if place["other_cities"]:
        detail = (
            f"This reaches into {', '.join(place['other_cities'])}, which has teams of its own:"
            " leave it out."
        )
        found.append(Problem("/shape/coordinates", "other_city", detail))
    # Of no area at all, in the last digits of a number, there is no share.
    outside = place["outside"] or 0.0
    if not outside_city and outside > coverages.OUTSIDE_SHARE:
        detail = (
            f"{max(outside, 0.01):.0%} of this lies outside {place['city']}: draw it"
            " within, or say `outside_city`: true if that is meant. Longitude comes first."
        )
        found.append(Problem("/shape/coordinates", "outside_city", detail))
    return found


def _crossing(shape: Shape, fault: Mapping[str, Any]) -> Problem:
    if fault["lon"] is None:
        detail = f"{fault['reason']}: draw each ring without crossings."
        return Problem("/shape/coordinates", "not_simple", detail)
    at = Point(fault["lon"], fault["lat"])
    detail = (
        f"{fault['reason']} at longitude {at.lon:.6f}, latitude {at.lat:.6f}: draw each ring"
        " without crossings, holes within, polygons apart."
    )
    return Problem(f"/shape{shape.nearest(at)}", "not_simple", detail)


def _area(
    conn: Connection[Any],
    principal: Principal,
    team: Mapping[str, Any],
    rule: Rule,
    shape: Shape | None,
) -> UUID:
    """The area that a checked rule stands on; what was sent as a shape is drawn."""
    if shape is None:
        found = db.city_area(conn, team["city_id"], rule.area or "")
        if found is None:  # a pack that was loaded meanwhile has it no more
            raise InvalidRequest(
                problems=[Problem("/area", "not_found", "The city has no such area.")]
            )
        return found
    area_id: UUID = uuid_utils.compat.uuid7()
    db.draw(
        conn,
        area_id,
        shape,
        city_id=team["city_id"],
        organisation_id=organisation_of(principal),
        name=rule.name or "",
    )
    return area_id


def _taken(
    conn: Connection[Any], principal: Principal, team_id: UUID, *, now: datetime
) -> dict[str, Any]:
    """A field team of the caller's, whose coverages nobody else changes meanwhile.

    Locks the city's row, then the team's: in the order of a pack that is loaded.
    """
    team = own_team(conn, principal, team_id, now=now)
    if team["kind"] != "field":
        raise StateConflict("A control room is told whatever it covers: it has no coverages.")
    db.renew_city(conn, team_id)
    db_shifts.lock_teams(conn, [team_id])
    return team


def _current(
    conn: Connection[Any],
    principal: Principal,
    team_id: UUID,
    coverage_id: UUID,
    *,
    if_match: int | None,
    now: datetime,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A team and one of its coverages, that nobody else changes meanwhile."""
    # Before the coverage is looked at: two changes of a team follow one another.
    team = _taken(conn, principal, team_id, now=now)
    row = _found(conn, team_id, coverage_id, now=now)
    check_version(if_match, row["version"])
    return team, row


def _take_effect(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    team: Mapping[str, Any],
    coverage_id: UUID,
    *,
    change: str,
    request_id: str | None,
    now: datetime,
) -> Coverage:
    expand_coverage(conn, coverage_id, now=now)
    _tell(conn, vault, principal, team, coverage_id, change=change, request_id=request_id, now=now)
    return _coverage(_found(conn, team["id"], coverage_id, now=now))


def _tell(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    team: Mapping[str, Any],
    coverage_id: UUID,
    *,
    change: str,
    request_id: str | None,
    now: datetime,
) -> None:
    db_teams.mark_edited(conn, team["id"], ["coverages"])
    audit.write(
        conn,
        vault,
        f"coverage.{change}",
        principal=principal,
        subject_id=coverage_id,
        request_id=request_id,
        now=now,
    )
    events.write(
        conn,
        events.Event(
            "team.coverages_changed",
            now,
            city_id=team["city_id"],
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data={
                "team_id": str(team["id"]),
                "coverage_id": str(coverage_id),
                "change": change,
            },
        ),
    )


def _found(
    conn: Connection[Any], team_id: UUID, coverage_id: UUID, *, now: datetime
) -> dict[str, Any]:
    row = db.find(conn, team_id, coverage_id, now=now)
    if row is None:
        raise NotFound
    return row


def _coverage(row: Mapping[str, Any]) -> Coverage:
    drawn = row["drawn_by"] is not None
    return Coverage(
        id=row["id"],
        team_id=row["team_id"],
        version=row["version"],
        rule=Rule(
            name=row["area_name"],
            area=None if drawn else row["area_code"],
            shape=orjson.loads(row["shape"]) if drawn else None,
            modes=_words(row["modes"]),
            routes=_words(row["routes"]),
            category_groups=_words(row["category_groups"]),
            schedule=row["schedule"],
        ),
        active=row["active"],
        updated_at=row["updated_at"],
        set_by=row["set_by"],
    )


def _words(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)
