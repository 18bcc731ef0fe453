"""Shifts that staff set. A change counts at once: it is worked out in its own transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from waylight.db import events
from waylight.db import schedules as db_schedules
from waylight.db import shifts as db_shifts
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain import shifts
from waylight.domain.errors import InvalidRequest, NotFound, Problem, StaleVersion
from waylight.domain.principals import Principal
from waylight.domain.schedules import pieces
from waylight.domain.shifts import Hours, Plan, Shift, ShiftKind, Stretch
from waylight.services import schedules
from waylight.services.staff import organisation_of
from waylight.services.teams import own_team, visible_team

REACH = (timedelta(days=14), timedelta(days=400))
"""A rule that says nothing within a year and its holidays is a mistake. Most speak within days, and
then nobody works out the year."""

MARGIN = timedelta(days=2)
"""Worked out beyond both ends, so that the first and the last stretch are whole."""


@dataclass(frozen=True)
class LocalStretch:
    """One stretch on shift, also by the clocks of the city; `closes` None is for ever."""

    opens: datetime
    closes: datetime | None
    opens_locally: str
    closes_locally: str | None


@dataclass(frozen=True)
class Preview:
    """What a team's shifts come to. `set_by` is "pack" or "staff": whose rules count."""

    set_by: str
    rules: tuple[str, ...]
    time_zone: str
    since: datetime
    until: datetime
    stretches: tuple[LocalStretch, ...]


def list_shifts(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> list[Shift]:
    """Up to `limit` of the shifts that staff set for a team, oldest first, beyond `after`.

    Those that are over are among them. Raises NotFound for a team that the caller may not see.
    """
    with database.staff(organisation_of(principal)) as conn:
        visible_team(conn, principal, team_id, now=now)
        rows = db_shifts.page(conn, team_id, after=after, limit=limit)
    return [_shift(row) for row in rows]


def read_shift(
    database: Database, principal: Principal, *, team_id: UUID, shift_id: UUID, now: datetime
) -> Shift:
    """One shift. Raises NotFound for one that the caller may not see, or of another team."""
    with database.staff(organisation_of(principal)) as conn:
        visible_team(conn, principal, team_id, now=now)
        return _found(conn, team_id, shift_id)


def add_shift(
    database: Database, principal: Principal, *, team_id: UUID, hours: Hours, now: datetime
) -> Shift:
    """Gives a team one more shift; it counts from this call on.

    The first recurring one replaces the rule of the city pack. Raises NotFound, NotAllowed for a
    team of another organisation that the caller oversees, InvalidRequest for hours that mean
    nothing, for too many rules and times, or when the team has 200 shifts that are not over.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        db_shifts.lock_teams(conn, [team_id])
        _check(conn, row, hours, now=now)
        if db_shifts.count(conn, team_id, since=now) >= shifts.MOST:
            detail = (
                f"This team has {shifts.MOST} shifts: remove some, or make one rule of several."
            )
            raise InvalidRequest(problems=[Problem("", "too_many", detail)])
        shift_id = db_shifts.add(conn, team_id, hours, staff_id=principal.staff_id, now=now)
        _take_effect(conn, principal, row, shift_id, hours.kind, change="added", now=now)
        return _found(conn, team_id, shift_id)


def change_shift(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    shift_id: UUID,
    hours: Hours,
    if_match: int | None,
    now: datetime,
) -> Shift:
    """Gives a shift other hours; they count from this call on.

    Raises as `add_shift`, and StaleVersion when `if_match` is not the shift's version any more.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        # Before the shift is looked at: two changes of a team follow one another.
        db_shifts.lock_teams(conn, [team_id])
        shift = _found(conn, team_id, shift_id)
        _check(conn, row, hours, now=now, instead_of=shift_id)
        if not db_shifts.change(conn, team_id, shift_id, hours, if_match=if_match):
            raise StaleVersion(version=shift.version)
        _take_effect(conn, principal, row, shift_id, hours.kind, change="changed", now=now)
        return _found(conn, team_id, shift_id)


def remove_shift(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    shift_id: UUID,
    if_match: int | None,
    now: datetime,
) -> None:
    """Removes a shift. Without a recurring one the rule of the city pack counts again.

    Raises NotFound, NotAllowed, StaleVersion.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = own_team(conn, principal, team_id, now=now)
        db_shifts.lock_teams(conn, [team_id])
        shift = _found(conn, team_id, shift_id)
        if not db_shifts.remove(conn, team_id, shift_id, if_match=if_match):
            raise StaleVersion(version=shift.version)
        _take_effect(conn, principal, row, shift_id, shift.hours.kind, change="removed", now=now)


def preview(
    database: Database,
    principal: Principal,
    *,
    team_id: UUID,
    days: int,
    now: datetime,
    hours: Hours | None = None,
    instead_of: UUID | None = None,
) -> Preview:
    """When a team is on shift in the coming days; nothing is changed.

    With `hours`, as if they had been added, or had taken the place of the shift `instead_of`.
    Raises NotFound, InvalidRequest for hours that mean nothing and for too many of them.
    """
    until = now + timedelta(days=days)
    with database.staff(organisation_of(principal)) as conn:
        row = visible_team(conn, principal, team_id, now=now)
        if instead_of is not None:
            _found(conn, team_id, instead_of)
        if hours is not None:
            _check(conn, row, hours, now=now, under="/shift", instead_of=instead_of)
        have = db_shifts.standing(conn, team_id, since=now - MARGIN)
        others = [_shift(one).hours for one in have if one["id"] != instead_of]
        plan = shifts.plan_of(row["pack_rule"], [*others, *([hours] if hours else [])])
        city = db_schedules.calendars(conn)[row["city_id"]]
    stretches = _stretches(plan, city, since=now, until=until)
    zone = ZoneInfo(city["time_zone"])
    return Preview(
        set_by="staff" if plan.rules else "pack",
        rules=plan.in_force,
        time_zone=city["time_zone"],
        since=now,
        until=until,
        stretches=tuple(_local(opens, closes, zone) for opens, closes in stretches),
    )


def _check(
    conn: Connection[Any],
    row: Mapping[str, Any],
    hours: Hours,
    *,
    now: datetime,
    under: str = "",
    instead_of: UUID | None = None,
) -> None:
    """Raises InvalidRequest unless the hours mean something and the team has room for them.

    What they cost is asked before they are worked out.
    """
    found = shifts.problems(hours, now=now)
    if not found and hours.rule is not None:
        others = [
            one["rule"]
            for one in db_shifts.standing(conn, row["id"], since=now)
            if one["rule"] is not None and one["id"] != instead_of
        ]
        if sum(map(pieces, [*others, hours.rule])) > shifts.MOST_PIECES:
            detail = (
                f"The recurring shifts of a team have {shifts.MOST_PIECES} rules and times together"
                " at most: join those with the same hours, or remove some."
            )
            found.append(Problem("/rule", "too_many", detail))
    if not found and hours.rule is not None:
        city = db_schedules.calendars(conn)[row["city_id"]]
        plan = Plan(pack_rule=hours.rule)
        try:
            means_something = any(
                _stretches(plan, city, since=now, until=now + reach) for reach in REACH
            )
        except ValueError as error:
            found.append(Problem("/rule", "invalid_hours", str(error)))
        else:
            if not means_something:
                detail = "These hours never come: are the days right? To take a team off, set duty."
                found.append(Problem("/rule", "never", detail))
    if found:
        raise InvalidRequest(
            problems=[replace(one, pointer=f"{under}{one.pointer}") for one in found]
        )


def _stretches(
    plan: Plan, city: Mapping[str, Any], *, since: datetime, until: datetime
) -> Sequence[Stretch]:
    """Those that touch the time between, with their own beginning and end where these are near."""
    horizon = until + MARGIN
    found = shifts.expand(
        plan,
        start=since - MARGIN,
        until=horizon,
        time_zone=city["time_zone"],
        holidays=schedules.holidays_around(city["holidays"], since),
    )
    return [
        (opens, None if closes == horizon else closes)
        for opens, closes in found
        if opens < until and (closes is None or closes > since)
    ]


def _take_effect(
    conn: Connection[Any],
    principal: Principal,
    row: Mapping[str, Any],
    shift_id: UUID,
    kind: ShiftKind,
    *,
    change: str,
    now: datetime,
) -> None:
    schedules.expand_team(conn, row["id"], now=now)
    db_teams.touch(conn, row["id"])
    events.write(
        conn,
        events.Event(
            "team.shifts_changed",
            now,
            city_id=row["city_id"],
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data={
                "team_id": str(row["id"]),
                "shift_id": str(shift_id),
                "change": change,
                "kind": kind,
            },
        ),
    )


def _found(conn: Connection[Any], team_id: UUID, shift_id: UUID) -> Shift:
    row = db_shifts.find(conn, team_id, shift_id)
    if row is None:
        raise NotFound
    return _shift(row)


def _shift(row: Mapping[str, Any]) -> Shift:
    return Shift(
        id=row["id"],
        version=row["version"],
        hours=Hours(
            kind=ShiftKind(row["kind"]),
            rule=row["rule"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            name=row["name"],
        ),
        created_at=row["created_at"],
        created_by=row["created_by"],
    )


def _local(opens: datetime, closes: datetime | None, zone: ZoneInfo) -> LocalStretch:
    def said(at: datetime) -> str:
        return at.astimezone(zone).isoformat(timespec="minutes")

    return LocalStretch(
        opens=opens,
        closes=closes,
        opens_locally=said(opens),
        closes_locally=None if closes is None else said(closes),
    )
