"""Opening hours and shifts: OpenStreetMap `opening_hours` expressions as ranges of UTC.

The library parses an expression and answers which days a day selector means. Two things it cannot
do here are done in this file: it takes no holiday calendar but its own, and it cuts a night short
at midnight when another rule speaks for the next day ("Fr 21:00-02:00; Sa 10:00-12:00", or
"PH off" before or after a night). So hours are built night by night: **a range belongs to the
day it starts on**, and only an explicit time takes a piece out of a night that already began.
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import opening_hours
from opening_hours import OpeningHours, State

LONGEST_EXPRESSION = 1_000
"""Characters. OpenStreetMap itself takes 255; a longer one is no timetable but an attack."""

MOST_PIECES = 30
"""Rules and times of one expression: each is gone through for every day. A week of two stretches
a day has 14."""

NEVER_CLOSES_AFTER = timedelta(days=400)
"""Open for longer than a year and its holidays is said as "never closes"."""

_DAY = timedelta(days=1)
_ALL_DAY = ((timedelta(0), _DAY),)
_MONDAY = date(2001, 1, 1)
"""Any day: times of day are read on it."""

_QUOTED = re.compile(r'"[^"]*"')
_YEAR_MONTH = re.compile(r"(\d{4})(?=[A-Z])")
_SEPARATOR = re.compile(r"(; | \|\| |, )")
_TIME = re.compile(r"(?<!\S)\d\d:\d\d.*$")
_MODIFIER = re.compile(r"(?:^| )(closed|unknown)?\s*(\x00)?$")
_WEEKDAYS = re.compile(r"(?<!\S)(?:(?:Mo|Tu|We|Th|Fr|Sa|Su)\b|PH\b).*$")
_HOLIDAY = re.compile(r"PH(?: ([+-]?\d{1,3}) days?)?")
_UNSUPPORTED = (
    (r"\bSH\b", "school holidays (SH) are not known here: name the dates"),
    (r"sunrise|sunset|dawn|dusk", "sunrise and sunset are not known here: give clock times"),
    (r"\d\d:\d\d\+", "an open end (+) does not say when it closes: give a closing time"),
    (r"\d\d:\d\d/", "repeated times (/) are moments, not hours: give hours"),
)
_HOLIDAY_AND_WEEKDAY = re.compile(r"\bPH\s+(?:Mo|Tu|We|Th|Fr|Sa|Su)\b", re.IGNORECASE)

# The library's stub leaves its one exception out.
ParserError: type[Exception] = opening_hours.ParserError  # type: ignore[attr-defined]

Range = tuple[datetime, datetime]
"""From the first instant, up to but without the second."""


@dataclass(frozen=True)
class _Rule:
    """One rule: on which days, at which times of day, and what it does to earlier rules."""

    days: str
    """A day selector without holidays; empty means no day unless `every_day`."""
    every_day: bool
    within: str
    """The months, weeks or years that the holidays are taken from; empty means all."""
    holidays: tuple[int, ...]
    """Days after a holiday (negative: before) that the rule is for; 0 is the holiday itself."""
    times: tuple[tuple[timedelta, timedelta], ...]
    """From midnight of the day; up to 48 hours. Empty in a closing rule means the whole day."""
    opens: bool
    replaces: bool
    """Earlier rules for the same day no longer count."""
    fallback: bool
    """Only for days of which no earlier rule speaks."""

    def matches(self, first: date, last: date, holidays: AbstractSet[date]) -> set[date]:
        """The days from `first` to `last`, both included, that the rule is for."""
        every = {first + n * _DAY for n in range((last - first).days + 1)}
        if self.every_day:
            return every
        found = set(_days(self.days, first, last)) if self.days else set()
        if self.holidays:
            near = {day + n * _DAY for day in holidays for n in self.holidays}
            found |= near & (_days(self.within, first, last) if self.within else every)
        return found


def validate(expression: str) -> None:
    """Raises ValueError, with what is wrong in words, unless it can be expanded, and at once."""
    found = pieces(expression)
    if found > MOST_PIECES:
        raise ValueError(
            f"opening hours have {found} rules and times, and {MOST_PIECES} at most: join days that"
            " have the same hours"
        )


def pieces(expression: str) -> int:
    """How many rules and times it has, which is what each day costs. Raises as `expand` does."""
    return sum(max(1, len(rule.times)) for rule in _rules(expression))


def expand(
    expression: str, *, start: datetime, until: datetime, time_zone: str, holidays: Sequence[date]
) -> list[Range]:
    """When it is open between two instants: aware UTC ranges, ascending, merged, clipped to both.

    Times are the wall clock of `time_zone`. A time that the clocks skip is the moment of the
    change; a time that comes twice is the first of the two. `PH` means the given dates. A day
    whose rule says "unknown" is not open. Raises ValueError on an expression or a time zone that
    cannot be used.
    """
    rules, zone = _rules(expression), _zone(time_zone)
    # A range may reach 24 hours into the next day, and a wall clock may lie a day from UTC.
    first, last = start.astimezone(UTC).date() - 3 * _DAY, until.astimezone(UTC).date() + 2 * _DAY
    ranges: list[Range] = []
    for opens, closes in _wall_ranges(rules, first, last, frozenset(holidays)):
        span = (max(_instant(opens, zone), start), min(_instant(closes, zone), until))
        if span[0] >= span[1]:
            continue
        if ranges and ranges[-1][1] == span[0]:
            span = (ranges.pop()[0], span[1])
        ranges.append((span[0].astimezone(UTC), span[1].astimezone(UTC)))
    return ranges


def is_open(expression: str, at: datetime, *, time_zone: str, holidays: Sequence[date]) -> bool:
    """Whether it is open at an instant. Raises ValueError as `expand` does."""
    moment = timedelta(microseconds=1)
    return bool(
        expand(expression, start=at, until=at + moment, time_zone=time_zone, holidays=holidays)
    )


def open_until(
    expression: str, at: datetime, *, time_zone: str, holidays: Sequence[date]
) -> datetime | None:
    """When it closes, UTC, counted from an instant at which it is open; None when never.

    Never means not within 400 days, so `holidays` should reach as far. Where it is closed at `at`,
    the answer is `at`. Raises ValueError as `expand` does.
    """
    if all(rule.opens and rule.every_day and rule.times == _ALL_DAY for rule in _rules(expression)):
        return None
    for horizon in (8 * _DAY, NEVER_CLOSES_AFTER):
        ranges = expand(
            expression, start=at, until=at + horizon, time_zone=time_zone, holidays=holidays
        )
        if not ranges or ranges[0][0] > at:
            return at.astimezone(UTC)
        if ranges[0][1] < at + horizon:
            return ranges[0][1]
    return None


def end_of_today(
    expression: str, at: datetime, *, time_zone: str, holidays: Sequence[date]
) -> datetime | None:
    """When the last of today's hours ends, UTC; None when none are left or they have no end.

    Hours that run at `at` and began before midnight make it still yesterday, as the people at work
    would say. Raises ValueError as `expand` does.
    """
    zone, until = _zone(time_zone), at + 8 * _DAY
    ranges = expand(
        expression, start=at - 2 * _DAY, until=until, time_zone=time_zone, holidays=holidays
    )
    began = next((opens for opens, closes in ranges if opens <= at < closes), at)
    today = began.astimezone(zone).date()
    ends = [
        closes for opens, closes in ranges if opens.astimezone(zone).date() == today and closes > at
    ]
    return ends[-1] if ends and ends[-1] < until else None


def _wall_ranges(
    rules: Iterable[_Rule], first: date, last: date, holidays: AbstractSet[date]
) -> list[Range]:
    """Merged ranges in naive wall-clock time, from all rules in their order."""
    opened: dict[date, list[Range]] = {}
    spoken_for: set[date] = set()
    for rule in rules:
        matched = rule.matches(first, last, holidays)
        for day in matched - spoken_for if rule.fallback else matched:
            _apply(rule, day, opened)
        spoken_for |= matched
    merged: list[Range] = []
    for opens, closes in sorted(span for spans in opened.values() for span in spans):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
        else:
            merged.append((opens, closes))
    return merged


def _apply(rule: _Rule, day: date, opened: dict[date, list[Range]]) -> None:
    """What one rule does to the hours that begin on a day, and to the night before it."""
    midnight = datetime.combine(day, datetime.min.time())
    spans = [(midnight + opens, midnight + closes) for opens, closes in rule.times]
    if rule.replaces:
        opened[day] = []
    if rule.opens:
        opened.setdefault(day, []).extend(spans)
    elif not spans:
        opened[day] = []
    else:
        for affected in (day - _DAY, day):
            opened[affected] = _without(opened.get(affected, []), spans)


def _without(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    left = list(ranges)
    for hole in holes:
        left = [
            piece
            for opens, closes in left
            for piece in ((opens, min(closes, hole[0])), (max(opens, hole[1]), closes))
            if piece[0] < piece[1]
        ]
    return left


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clocks of the zone show at least this time."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # The clocks skip this time. Read with the offset of before and of after the change, it lies on
    # both sides of it.
    low, high = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) >= wall:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name!r}") from error


@lru_cache(maxsize=1024)
def _rules(expression: str) -> tuple[_Rule, ...]:
    """An expression as rules. The library spells it out first, so that one spelling is read."""
    if not expression.strip():
        raise ValueError("opening hours are empty: write 24/7 for always open")
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(f"opening hours are longer than {LONGEST_EXPRESSION} characters")
    try:
        spelled = str(OpeningHours(expression))
    except ParserError as error:
        raise ValueError(_explain(expression, error)) from None
    # Comments may hold separators; only that there is one matters.
    plain = _QUOTED.sub("\x00", spelled)
    # It spells "2026 Jan-Mar" as "2026Jan-Mar", and reads that as the 1st of January to 2 March.
    plain = _YEAR_MONTH.sub(r"\1 ", plain)
    for pattern, problem in _UNSUPPORTED:
        if re.search(pattern, plain):
            raise ValueError(f"{expression!r}: {problem}")
    if _HOLIDAY_AND_WEEKDAY.search(_QUOTED.sub("", expression)):
        raise ValueError(f"{expression!r}: holidays on some weekdays only are not known here")
    separator, rules = "; ", []
    parts = _SEPARATOR.split(plain)
    for text, next_separator in zip(parts[::2], [*parts[1::2], ""], strict=True):
        rule = _rule(text, separator)
        if next_separator == ", " and rule.opens and not _TIME.search(text):
            raise ValueError(
                f"{expression!r}: {text!r} has no times, so it would be open all day; "
                "join days by a comma without a space"
            )
        rules.append(rule)
        separator = next_separator
    return tuple(rules)


def _rule(text: str, separator: str) -> _Rule:
    modifier = _MODIFIER.search(text)
    word, comment = modifier.groups() if modifier else (None, None)
    selectors = text[: modifier.start()].strip() if modifier else text.strip()
    clock = _TIME.search(selectors)
    days = (selectors[: clock.start()] if clock else selectors).strip()
    times = _times(clock.group()) if clock else ()
    # A comment alone ("by appointment") promises nothing.
    opens = word is None and not (comment and selectors == "24/7")
    if opens and not clock:
        times = _ALL_DAY
    if days == "24/7":
        days = ""
    weekdays = _WEEKDAYS.search(days)
    items = weekdays.group().split(",") if weekdays else []
    holidays = [match for item in items if (match := _HOLIDAY.fullmatch(item))]
    others = [item for item in items if not _HOLIDAY.fullmatch(item)]
    within = (days[: weekdays.start()] if weekdays else days).strip()
    selected = f"{within} {','.join(others)}".strip() if others else ""
    return _Rule(
        days=_checked(selected if holidays else days),
        every_day=not days,
        within=_checked(within) if holidays else "",
        holidays=tuple(int(match.group(1) or 0) for match in holidays),
        times=times,
        opens=opens,
        replaces=separator == "; " and word != "closed",
        fallback=separator == " || ",
    )


def _checked(selector: str) -> str:
    """The selector when the library takes it on its own, as it took it within its rule."""
    try:
        if selector:
            OpeningHours(selector)
    except ParserError:
        raise ValueError(f"the days {selector!r} cannot be read") from None
    return selector


def _times(text: str) -> tuple[tuple[timedelta, timedelta], ...]:
    """Times of day as distances from midnight; those past 24:00 belong to the same day."""
    midnight = datetime.combine(_MONDAY, datetime.min.time())
    try:
        hours = OpeningHours(f"{_MONDAY:%Y %b %d} {text}")
    except ParserError:
        raise ValueError(f"the times {text!r} cannot be read") from None
    return tuple(
        (opens - midnight, closes - midnight)
        for opens, closes, state, _ in hours.intervals(midnight, midnight + 3 * _DAY)
        if state == State.OPEN
    )


@lru_cache(maxsize=512)
def _days(selector: str, first: date, last: date) -> frozenset[date]:
    """The days that a day selector means, whole days, asked of the library."""
    midnight = datetime.min.time()
    hours = OpeningHours(selector)
    spans = hours.intervals(
        datetime.combine(first, midnight), datetime.combine(last + _DAY, midnight)
    )
    return frozenset(
        opens.date() + n * _DAY
        for opens, closes, state, _ in spans
        if state == State.OPEN
        for n in range((closes - opens).days)
    )


def _explain(expression: str, error: Exception) -> str:
    """The parser's complaint on one line, with the place it stopped at."""
    where = re.search(r"--> \d+:(\d+)", str(error))
    rest = expression[int(where.group(1)) - 1 :] if where else expression
    return f"not opening hours: {expression!r} cannot be read from {rest!r} on"
