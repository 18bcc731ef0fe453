"""Keeping opening hours and shifts expanded ahead of time, and reading them when they are not."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import holidays as holiday_calendars
from psycopg import Connection
from psycopg.types.multirange import TimestamptzMultirange
from psycopg.types.range import TimestamptzRange

from waylight.db import schedules as db_schedules
from waylight.db import shifts as db_shifts
from waylight.db.operations import chores
from waylight.db.session import Database
from waylight.domain import schedules
from waylight.domain.cities import City
from waylight.domain.shifts import Hours, Plan, ShiftKind, Stretch, is_on, plan_of
from waylight.log import get_logger

AHEAD = timedelta(days=45)
"""How far hours are expanded."""

RENEW_WITHIN = timedelta(days=30)
"""What reaches no further than this is expanded anew: two weeks of silence harm nobody."""

BEHIND = timedelta(days=2)
"""Expanded from so long ago, so that a clock that runs a little late still finds its hours."""

BATCH = 200
PATIENCE_S = 20.0
"""Nobody waits for this work."""

log = get_logger(__name__)

Answer = TypeVar("Answer")


def expand_due(database: Database, *, now: datetime) -> int:
    """Expands what ends within 30 days, to 45 days ahead; returns how many rows.

    Several workers may call it at once: one does the work, the others return. What can never close
    gets a range without an end. Raises Unavailable.
    """
    return _expand_in_batches(database, now=now, before=now + RENEW_WITHIN)


def expand_all(database: Database, *, now: datetime) -> int:
    """Expands everything to 45 days ahead, whether it is due or not. Raises Unavailable."""
    return _expand_in_batches(database, now=now, unlike=now + AHEAD)


def expand_city(conn: Connection[Any], city_id: UUID, *, now: datetime) -> int:
    """Expands everything of one city within the caller's transaction; returns how many rows."""
    rows = db_schedules.due(conn, city_id=city_id)
    _expand(conn, rows, now=now)
    return len(rows)


def expand_team(conn: Connection[Any], team_id: UUID, *, now: datetime) -> None:
    """Works out the shifts of one team anew within the caller's transaction, and locks its row."""
    _expand(conn, db_schedules.due(conn, team_id=team_id), now=now)


def expand_coverage(conn: Connection[Any], coverage_id: UUID, *, now: datetime) -> None:
    """Works out the schedule of one coverage anew within the caller's transaction."""
    _expand(conn, db_schedules.due(conn, coverage_id=coverage_id), now=now)


def team_plan(pack_rule: str, rows: Iterable[Mapping[str, Any]] | None) -> Plan:
    """The plan of a team, from its pack's rule and its rows of `shifts` (or those as JSON)."""
    return plan_of(
        pack_rule,
        (
            Hours(
                kind=ShiftKind(row["kind"]),
                rule=row["rule"],
                starts_at=_instant(row["starts_at"]),
                ends_at=_instant(row["ends_at"]),
            )
            for row in rows or ()
        ),
    )


def is_on_shift_in(city: City, plan: Plan, at: datetime) -> bool:
    """Whether a team is on shift, computed: the answer where nothing is expanded.

    Shifts that cannot be read are none, and logged.
    """
    try:
        return is_on(
            plan, at, time_zone=city.time_zone, holidays=holidays_around(city.holidays, at)
        )
    except ValueError:
        log.exception("schedule_unreadable", city=city.slug)
        return False


def expand_hub(conn: Connection[Any], hub_id: UUID, *, now: datetime) -> None:
    """Expands one hub's hours, with its overrides, within the caller's transaction."""
    _expand(conn, db_schedules.hours_of_hub(conn, hub_id), now=now)


def is_open_in(city: City, expression: str, at: datetime) -> bool:
    """Whether hours are open at an instant, computed: the answer where nothing is expanded.

    Hours that cannot be read are closed, and logged: nobody is sent to a door that may be shut.
    """
    return _of_hours(schedules.is_open, city, expression, at, unreadable=False)


def open_until_in(city: City, expression: str, at: datetime) -> datetime | None:
    """When hours that are open at an instant close, UTC; None when never.

    Hours that cannot be read close at `at`.
    """
    unreadable: datetime | None = at
    return _of_hours(schedules.open_until, city, expression, at, unreadable=unreadable)


def end_of_today_in(city: City, expression: str, at: datetime) -> datetime | None:
    """When the last of today's hours ends, UTC; None when none are left, or they have no end."""
    return _of_hours(schedules.end_of_today, city, expression, at, unreadable=None)


def _of_hours(
    ask: Callable[..., Answer], city: City, expression: str, at: datetime, *, unreadable: Answer
) -> Answer:
    """What a rule of `domain/schedules` says by the clocks and holidays of a city."""
    try:
        return ask(
            expression,
            at,
            time_zone=city.time_zone,
            holidays=holidays_around(city.holidays, at),
        )
    except ValueError:
        log.exception("schedule_unreadable", city=city.slug)
        return unreadable


def holidays_around(calendar: Mapping[str, Any], at: datetime) -> tuple[date, ...]:
    """The public holidays from the year before `at` to two years after it.

    `calendar` is the pack's: {country, subdivision, extra_holidays: [{date, name}]}. Raises
    ValueError when the library `holidays` does not know the country or the subdivision.
    """
    extra = tuple(
        date.fromisoformat(str(holiday["date"])) for holiday in calendar.get("extra_holidays") or ()
    )
    return _holidays(calendar.get("country"), calendar.get("subdivision"), extra, at.year)


@lru_cache(maxsize=256)
def _holidays(
    country: str | None, subdivision: str | None, extra: tuple[date, ...], year: int
) -> tuple[date, ...]:
    known: set[date] = set()
    if country is not None:
        try:
            known = set(
                holiday_calendars.country_holidays(
                    country, subdiv=subdivision, years=range(year - 1, year + 3)
                )
            )
        except NotImplementedError as error:
            raise ValueError(f"no holiday calendar for {country} {subdivision or ''}") from error
    return tuple(sorted(known | set(extra)))


def expanded(
    conn: Connection[Any], city_id: UUID, expression: str, *, now: datetime
) -> tuple[list[Stretch], datetime]:
    """Hours by the clocks of a city as they would be stored, and how far that reaches."""
    return _ranges(expression, db_schedules.calendars(conn)[city_id], now=now), now + AHEAD


def _expand_in_batches(
    database: Database,
    *,
    now: datetime,
    before: datetime | None = None,
    unlike: datetime | None = None,
) -> int:
    expanded = 0
    while True:
        # A batch is a transaction, so that a large deployment never holds one open for long.
        with database.intake(within_s=PATIENCE_S) as conn:
            if not chores.take_turn(conn, "schedules"):
                return expanded
            rows = db_schedules.due(conn, before=before, unlike=unlike, limit=BATCH)
            _expand(conn, rows, now=now)
        expanded += len(rows)
        if len(rows) < BATCH:
            return expanded


def _expand(conn: Connection[Any], rows: list[dict[str, Any]], *, now: datetime) -> None:
    calendars = db_schedules.calendars(conn) if rows else {}
    teams = [row["id"] for row in rows if row["kept_in"] == "teams"]
    set_by_staff: dict[UUID, list[dict[str, Any]]] = {}
    if teams:
        db_shifts.lock_teams(conn, teams)
        set_by_staff = db_shifts.plans(conn, teams, since=now - BEHIND)
    # Teams share their shifts: each is worked out once.
    worked_out: dict[tuple[UUID, str], list[Stretch]] = {}
    kept: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        plan = team_plan(row["expression"], set_by_staff.get(row["id"]))
        ranges: list[Stretch] = []
        for rule in plan.in_force:
            key = (row["city_id"], rule)
            if key not in worked_out:
                worked_out[key] = _ranges(rule, calendars[row["city_id"]], now=now)
            ranges += worked_out[key]
        expanded = TimestamptzMultirange(
            TimestamptzRange(opens, closes) for opens, closes in plan.around(ranges)
        )
        kept[row["kept_in"]].append({**row, "during": expanded, "until": now + AHEAD})
    for kept_in, values in kept.items():
        db_schedules.keep(conn, kept_in, values)


def _ranges(expression: str, city: Mapping[str, Any], *, now: datetime) -> list[Stretch]:
    """The ranges from two days ago to the horizon; the last one with its real end, or none."""
    until = now + AHEAD
    try:
        clock = {
            "time_zone": city["time_zone"],
            "holidays": holidays_around(city["holidays"], now),
        }
        ranges = schedules.expand(expression, start=now - BEHIND, until=until, **clock)
        ends: list[datetime | None] = [closes for _, closes in ranges]
        if ranges and ranges[-1][1] == until:
            # Cut off at the horizon, it would be shown as a closing time.
            last = until - timedelta(microseconds=1)
            ends[-1] = schedules.open_until(expression, last, **clock)
    except ValueError:
        # Marked as expanded all the same: it must not come back at every turn for ever.
        log.exception("schedule_unreadable", expression=expression)
        return []
    return [(opens, end) for (opens, _), end in zip(ranges, ends, strict=True)]


def _instant(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
