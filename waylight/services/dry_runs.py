"""Dry-runs: which reports of the past would have gone to another team. Nothing is written."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import coverages as db_coverages
from waylight.db import dry_runs as db
from waylight.db import organisations as db_organisations
from waylight.db.session import Database
from waylight.domain import dry_runs, routing
from waylight.domain.alerts import waits_of
from waylight.domain.cities import City
from waylight.domain.dry_runs import (
    CoverageChange,
    Difference,
    DryRun,
    Proposal,
    TeamChange,
    Told,
)
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    Unavailable,
    WaylightError,
)
from waylight.domain.geo import Point, rounded
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.cities import read_cities
from waylight.services.coverages import check_rule
from waylight.services.organisations import check_waits
from waylight.services.routing.around import candidate
from waylight.services.schedules import expanded
from waylight.services.staff import organisation_of
from waylight.services.teams import capability_problems, outside_problems, own_team, written
from waylight.vault import Vault

BUDGET_S = 2.0
"""Then a page ends where it is; a batch is some tens of milliseconds."""

BATCH = 20
STATEMENT_S = 2.0

_turn = threading.BoundedSemaphore(1)
"""One at a time in a process: reports that come in have the others of its connections."""


@dataclass
class _Changes:
    """A proposal as rows that stand beside those of the tables."""

    areas: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    coverages: list[dict[str, Any]] = field(default_factory=list)
    teams: list[dict[str, Any]] = field(default_factory=list)
    without: list[UUID] = field(default_factory=list)


NOTHING = _Changes()


def dry_run(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    proposal: Proposal,
    days: int,
    after: UUID | None,
    limit: int,
    request_id: str | None = None,
    now: datetime,
) -> DryRun:
    """Which of the reports that the caller's organisation was granted would have gone otherwise.

    Both sides, with and without the proposal, are asked what a submit asks now, under the same
    assumptions (domain/dry_runs.ASSUMPTIONS): what differs is the proposal's doing. The tables are
    only read; who tried is in the audit log, and which reports they were shown for the first time.
    Looks at up to `limit` reports, the newest first, for BUDGET_S seconds.

    Raises InvalidRequest for what could not be changed like that, with pointers into the proposal;
    the same for a team or coverage of another organisation as for one that there is not. Raises
    Unavailable when another dry-run has its turn.
    """
    if proposal.is_empty():
        raise InvalidRequest(
            problems=[Problem("", "nothing_to_change", "Propose at least one change.")]
        )
    organisation_id = organisation_of(principal)
    since, give_up_at = now - timedelta(days=days), monotonic() + BUDGET_S
    with _one_at_a_time():
        with database.staff(organisation_id, within_s=STATEMENT_S) as conn:
            db.only_read(conn)
            changes = _changes(conn, principal, proposal, give_up_at=give_up_at, now=now)
            waits = waits_of(db_organisations.waits(conn, organisation_id))
            total = db.count(conn, organisation_id, since=since)
            rows = db.reports(conn, organisation_id, since=since, after=after, limit=limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        found: list[Difference] = []
        done = 0
        while done < len(rows) and (done == 0 or monotonic() < give_up_at):
            batch = rows[done : done + BATCH]
            found += _compare(database, batch, changes, now=now)
            done += len(batch)
        if proposal.waits_s is not None:
            found += _climbs(rows[:done], waits, proposal.waits_s)
    with database.staff(organisation_id) as conn:
        audit.write(
            conn,
            vault,
            "routing.dry_run",
            principal=principal,
            subject_id=organisation_id,
            request_id=request_id,
            now=now,
        )
        audit.write_first_looks(
            conn,
            vault,
            [{"id": None, "report_id": one.report_id, "incident_id": None} for one in found],
            principal=principal,
            request_id=request_id,
            now=now,
        )
    cut_short = done < len(rows)
    return DryRun(
        items=tuple(sorted(found, key=lambda one: one.report_id, reverse=True)),
        looked_at=done,
        reports=total,
        since=since,
        until=now,
        after=rows[done - 1]["id"] if done and (more or cut_short) else None,
        cut_short=cut_short,
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    if not _turn.acquire(blocking=False):
        raise Unavailable("Another dry-run is at work: try again in a moment.")
    try:
        yield
    finally:
        _turn.release()


def _changes(
    conn: Connection[Any],
    principal: Principal,
    proposal: Proposal,
    *,
    give_up_at: float,
    now: datetime,
) -> _Changes:
    """The proposal as rows. Raises InvalidRequest with pointers into it."""
    found = _Changes()
    for number, one in enumerate(proposal.coverages):
        if number and monotonic() > give_up_at:
            detail = "The shapes up to here took all the time there is: try fewer at once."
            raise InvalidRequest(
                problems=[Problem(f"/coverages/{number}", "too_intricate", detail)]
            )
        with _at(f"/coverages/{number}"):
            _propose_coverage(conn, principal, one, found, now=now)
    for number, other in enumerate(proposal.teams):
        with _at(f"/teams/{number}"):
            _propose_team(conn, principal, other, found, now=now)
    if proposal.waits_s is not None:
        check_waits(proposal.waits_s, under="/timetable")
    return found


@contextmanager
def _at(pointer: str) -> Iterator[None]:
    """Problems with pointers into the proposal; what one may not see is what there is not."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(
            problems=[Problem(f"{pointer}{p.pointer}", p.code, p.detail) for p in error.problems]
        ) from None
    except (NotFound, NotAllowed):
        detail = "There is no such thing that is yours to change."
        raise InvalidRequest(problems=[Problem(pointer, "not_found", detail)]) from None
    except WaylightError as error:
        raise InvalidRequest(problems=[Problem(pointer, error.code, error.detail)]) from None


def _propose_coverage(
    conn: Connection[Any],
    principal: Principal,
    change: CoverageChange,
    found: _Changes,
    *,
    now: datetime,
) -> None:
    team = own_team(conn, principal, change.team_id, now=now)
    if change.coverage_id is not None:
        if db_coverages.find(conn, change.team_id, change.coverage_id, now=now) is None:
            raise NotFound
        found.without.append(change.coverage_id)
    elif change.rule is None:
        detail = "Send a `rule`, new or other, or the `coverage_id` of one to do without."
        raise InvalidRequest(problems=[Problem("/rule", "required", detail)])
    rule = change.rule
    if rule is None:
        return
    shape = check_rule(conn, team, rule, under="/rule")
    if shape is None:
        area_id = db_coverages.city_area(conn, team["city_id"], rule.area or "")
    else:
        area_id = uuid_utils.compat.uuid7()
        found.areas.append(
            {
                "id": area_id,
                "city_id": team["city_id"],
                "name": rule.name,
                "organisation_id": principal.organisation_id,
            }
        )
        found.parts += [{"area_id": area_id, "geom": geom} for geom in db.pieces(conn, shape)]
    row: dict[str, Any] = {
        "id": uuid_utils.compat.uuid7(),
        "team_id": change.team_id,
        "area_id": area_id,
        "modes": rule.modes,
        "routes": rule.routes,
        "category_groups": rule.category_groups,
        "schedule": rule.schedule,
    }
    if rule.schedule is not None:
        ranges, until = expanded(conn, team["city_id"], rule.schedule, now=now)
        row["active_during"] = _multirange(ranges)
        row["expanded_until"] = until
    found.coverages.append(row)


def _propose_team(
    conn: Connection[Any],
    principal: Principal,
    change: TeamChange,
    found: _Changes,
    *,
    now: datetime,
) -> None:
    team = own_team(conn, principal, change.team_id, now=now)
    problems = list(capability_problems(change.capabilities or (), now=now))
    if change.base is not None and not change.outside_city:
        city = next(one for one in read_cities(conn) if one.id == team["city_id"])
        problems += outside_problems(city, change.base, "/base")
    if problems:
        raise InvalidRequest(problems=problems)
    found.teams.append(
        {
            "id": change.team_id,
            "retired": change.retired,
            "base": change.base and change.base.ewkt(),
            "capabilities": (None if change.capabilities is None else written(change.capabilities)),
        }
    )


def _compare(
    database: Database, rows: Sequence[Mapping[str, Any]], changes: _Changes, *, now: datetime
) -> list[Difference]:
    counted = [row for row in rows if row["counts"]]
    queries = [_query(row, n=n, now=now) for n, row in enumerate(counted)]
    if not queries or changes == NOTHING:
        return []
    rules = {
        "station_m": routing.INFER_STATION_M,
        "hub_within_m": 1.0,  # hubs are asked for and no matter here
        "link_m": routing.LINK_WITHIN_M,
    }
    # As the worker's role: the policies of the staff role would make of it a walk of whole tables.
    with database.intake(within_s=STATEMENT_S) as conn:
        db.only_read(conn)
        cities = read_cities(conn)
        before = db.surroundings(conn, queries, vars(NOTHING), **rules)
        after = db.surroundings(conn, queries, vars(changes), **rules)
    found = []
    for row, query, then, now_so in zip(counted, queries, before, after, strict=True):
        was, had = _decide(row, query, then, cities)
        would_be, have = _decide(row, query, now_so, cities)
        why = dry_runs.because(was, would_be, before=had, after=have)
        if why is not None:
            found.append(Difference(row["id"], row["priority"], was, would_be, why))
    return found


def _query(row: Mapping[str, Any], *, n: int, now: datetime) -> dict[str, Any]:
    """The question of a submit, as the ladder asks it again of a stored report."""
    here = rounded(Point(row["lon"], row["lat"]))
    return {
        "n": n,
        "at": dry_runs.as_if(row["received_at"], now=now),
        "sources": [{"lon": here.lon, "lat": here.lat}],
        "modes": row["modes"],
        "route_id": row["route_id"],
        "groups": row["category_groups"],
        "capabilities": row["capabilities"],
        "allows_police": row["facts"]["allows_police"],
        "prefers_police": row["facts"]["prefers_police"],
        "excluded": (),
        "exercise": False,
        "vehicle": None,
    }


def _decide(
    row: Mapping[str, Any],
    query: Mapping[str, Any],
    found: Mapping[str, Any],
    cities: Sequence[City],
) -> tuple[Told | None, Sequence[routing.Candidate]]:
    city = next((one for one in cities if one.id in (row["city_id"], found["city_id"])), None)
    facts = routing.Facts(
        priority=row["priority"],
        has_position=True,
        in_service_area=found["in_service_area"],
        mode=row["mode"],
        capabilities=tuple(row["capabilities"]),
        **row["facts"],
    )
    candidates = [candidate(team, city, query["at"]) for team in found["teams"]]
    room = city.control_room.at(query["at"]) if city and city.control_room else None
    return dry_runs.told(routing.choose(facts, candidates, control_room=room)), candidates


def _climbs(
    rows: Sequence[Mapping[str, Any]],
    waits: Mapping[int, float],
    proposed: Mapping[int, float | None],
) -> list[Difference]:
    """Reports of which the organisation's own first rung would have climbed, or would not have."""
    new = {priority: wait for priority, wait in proposed.items() if wait is not None}
    found = []
    for row in rows:
        if not row["counts"] or row["team_id"] is None:
            continue
        answered = row["answered_after_s"]
        before = dry_runs.climbs(row["priority"], answered, waits)
        after = dry_runs.climbs(row["priority"], answered, new)
        if before != after:
            team = Told(row["team_id"], row["team"], row["organisation"], row["role"])
            because = "would_climb" if after else "would_not_climb"
            found.append(Difference(row["id"], row["priority"], team, team, because))
    return found


def _multirange(ranges: Sequence[tuple[datetime, datetime | None]]) -> str:
    """Stretches as PostgreSQL reads a multirange."""
    said = (
        f"[{opens.isoformat()},{closes.isoformat() if closes else ''})" for opens, closes in ranges
    )
    return "{" + ",".join(said) + "}"
