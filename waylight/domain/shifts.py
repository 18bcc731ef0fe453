"""When a team is on shift: recurring rules, and stretches added or taken away once.

The rules are OpenStreetMap `opening_hours`, read by `domain/schedules`. A team follows the rule of
its city pack until its staff set rules of their own; then theirs alone count.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import islice
from uuid import UUID

from waylight.domain import schedules
from waylight.domain.errors import Problem

LONGEST_EXTRA = timedelta(days=31)
"""What goes on for longer is no exception but a rule."""

LONGEST_CANCELLED = timedelta(days=366)
FURTHEST = timedelta(days=400)
"""A year and its holidays: what begins later is a slip of the year, mostly."""

MOST = 200
"""Shifts of one team; a rota of rules needs a handful."""

MOST_PIECES = 40
"""Rules and times of all recurring shifts of a team together."""

PREVIEW = timedelta(days=45)
"""As far as shifts are worked out ahead."""

_FOREVER = datetime.max.replace(tzinfo=UTC)

Stretch = tuple[datetime, datetime | None]
"""From the first instant, up to but without the second; None is for ever."""


class ShiftKind(StrEnum):
    """What a shift does to the hours of its team."""

    RECURRING = "recurring"
    EXTRA = "extra"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Hours:
    """What a shift says: a rule if it recurs, else from when to when."""

    kind: ShiftKind
    rule: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    name: str | None = None


@dataclass(frozen=True)
class Shift:
    """Hours of a team that its staff set. `created_by` is the name of a colleague."""

    id: UUID
    version: int
    hours: Hours
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class Plan:
    """All that decides when a team is on shift."""

    pack_rule: str
    rules: tuple[str, ...] = ()
    extra: tuple[Stretch, ...] = ()
    cancelled: tuple[Stretch, ...] = ()

    @property
    def in_force(self) -> tuple[str, ...]:
        """The rules that count: those of the staff where there are any, else the pack's."""
        return self.rules or (self.pack_rule,)

    def around(self, ranges: Iterable[Stretch]) -> list[Stretch]:
        """The stretches on shift, from those of the rules in force.

        Extra ones are added, then cancelled ones taken away, whichever was set first.
        """
        return without(together([*ranges, *self.extra]), self.cancelled)


def plan_of(pack_rule: str, hours: Iterable[Hours]) -> Plan:
    """The plan of a team with these shifts."""
    hours = list(hours)

    def stretches(kind: ShiftKind) -> tuple[Stretch, ...]:
        return tuple(
            (one.starts_at, one.ends_at)
            for one in hours
            if one.kind is kind and one.starts_at is not None
        )

    return Plan(
        pack_rule=pack_rule,
        rules=tuple(one.rule for one in hours if one.rule is not None),
        extra=stretches(ShiftKind.EXTRA),
        cancelled=stretches(ShiftKind.CANCELLED),
    )


def expand(
    plan: Plan, *, start: datetime, until: datetime, time_zone: str, holidays: Sequence[date]
) -> list[Stretch]:
    """When the team is on shift between two instants: aware UTC, ascending, clipped to both.

    Raises ValueError as `schedules.expand` does.
    """
    ranges: list[Stretch] = []
    for rule in plan.in_force:
        ranges += schedules.expand(
            rule, start=start, until=until, time_zone=time_zone, holidays=holidays
        )
    return [
        (max(opens, start), min(closes or until, until))
        for opens, closes in plan.around(ranges)
        if opens < until and (closes or until) > start
    ]


def is_on(plan: Plan, at: datetime, *, time_zone: str, holidays: Sequence[date]) -> bool:
    """Whether the team is on shift at an instant. Raises ValueError as `expand` does."""
    moment = timedelta(microseconds=1)
    return bool(expand(plan, start=at, until=at + moment, time_zone=time_zone, holidays=holidays))


def together(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same time as few stretches in their order; those that touch become one."""
    merged: list[tuple[datetime, datetime]] = []
    for opens, closes in sorted((opens, closes or _FOREVER) for opens, closes in stretches):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
        else:
            merged.append((opens, closes))
    return [(opens, None if closes == _FOREVER else closes) for opens, closes in merged]


def without(stretches: Iterable[Stretch], holes: Iterable[Stretch]) -> list[Stretch]:
    """What is left of some stretches, in the order of these."""
    gaps = [(opens, closes or _FOREVER) for opens, closes in together(holes)]
    ends = [closes for _, closes in gaps]
    left: list[tuple[datetime, datetime]] = []
    for opens, closes in ((opens, closes or _FOREVER) for opens, closes in stretches):
        at = opens
        for gap_opens, gap_closes in islice(gaps, bisect_right(ends, opens), None):
            if gap_opens >= closes:
                break
            if at < gap_opens:
                left.append((at, gap_opens))
            at = gap_closes
        if at < closes:
            left.append((at, closes))
    return [(opens, None if closes == _FOREVER else closes) for opens, closes in left]


def problems(hours: Hours, *, now: datetime) -> list[Problem]:
    """What is wrong with the form of a shift, each by its field and with the way out."""
    if hours.kind is ShiftKind.RECURRING:
        return _rule_problems(hours)
    return _stretch_problems(hours, now=now)


def _rule_problems(hours: Hours) -> list[Problem]:
    found = [
        Problem(pointer, "not_here", "Only an extra or a cancelled stretch has this: leave it out.")
        for pointer, value in (("/from", hours.starts_at), ("/to", hours.ends_at))
        if value is not None
    ]
    if hours.rule is None:
        return [
            *found,
            Problem("/rule", "missing", "Say when it recurs, like Mo-Fr 06:00-14:00."),
        ]
    try:
        schedules.validate(hours.rule)
    except ValueError as error:
        advice = "Write OpenStreetMap opening hours, like Mo-Fr 06:00-14:00 or Fr-Sa 20:00-04:00."
        found.append(Problem("/rule", "invalid_hours", f"{error}. {advice}"))
    return found


def _stretch_problems(hours: Hours, *, now: datetime) -> list[Problem]:
    found = []
    if hours.rule is not None:
        found.append(
            Problem("/rule", "not_here", "Only a recurring shift has a rule: leave it out.")
        )
    starts_at, ends_at = hours.starts_at, hours.ends_at
    if starts_at is None:
        found.append(Problem("/from", "missing", "Say from when, as an RFC 3339 instant."))
    if ends_at is None:
        found.append(Problem("/to", "missing", "Say until when, as an RFC 3339 instant."))
    if starts_at is None or ends_at is None:
        return found
    longest = LONGEST_EXTRA if hours.kind is ShiftKind.EXTRA else LONGEST_CANCELLED
    if ends_at <= starts_at:
        found.append(Problem("/to", "before_from", "This must be later than `from`."))
    elif ends_at <= now:
        found.append(Problem("/to", "in_the_past", "This stretch is over: send a later one."))
    elif ends_at - starts_at > longest:
        detail = f"At most {longest.days} days at a time: make it a rule, or shorter."
        found.append(Problem("/to", "too_long", detail))
    if starts_at > now + FURTHEST:
        detail = f"At most {FURTHEST.days} days ahead: is the year right?"
        found.append(Problem("/from", "too_far", detail))
    return found
