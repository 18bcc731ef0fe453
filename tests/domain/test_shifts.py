from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.shifts import (
    Hours,
    Plan,
    ShiftKind,
    expand,
    is_on,
    plan_of,
    problems,
    together,
    without,
)

LONDON: Any = {"time_zone": "Europe/London", "holidays": ()}
NEW_YORK: Any = {"time_zone": "America/New_York", "holidays": ()}
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


def utc(*parts):
    return datetime(*parts).replace(tzinfo=UTC)  # noqa: DTZ001 - it is, a word later


def stretches(plan, start, days=2, **clock):
    return expand(plan, start=start, until=start + timedelta(days=days), **(clock or LONDON))


def test_pack_s_rule_counts_until_staff_set_one():
    assert Plan("24/7").in_force == ("24/7",)
    assert Plan("24/7", rules=("Mo 10:00-12:00",)).in_force == ("Mo 10:00-12:00",)


def test_several_rules_count_together():
    plan = Plan("off", rules=("Sa 06:00-14:00", "Sa 13:00-22:00; Sa 23:00-24:00"))
    found = stretches(plan, utc(2026, 11, 21), days=1)
    assert found == [(utc(2026, 11, 21, 6), utc(2026, 11, 21, 14)), *found[1:]]
    assert [(a.hour, b.hour) for a, b in found] == [(6, 14), (23, 0)]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # 29 March 2026, 01:00 GMT becomes 02:00 BST: that night is an hour shorter.
        (utc(2026, 3, 28), (utc(2026, 3, 28, 22), utc(2026, 3, 29, 5))),
        # 25 October 2026, 02:00 BST becomes 01:00 GMT: that night is an hour longer.
        (utc(2026, 10, 24), (utc(2026, 10, 24, 21), utc(2026, 10, 25, 6))),
    ],
)
def test_night_shift_keeps_its_clock_when_the_clocks_of_london_change(day, expected):
    assert stretches(Plan("Sa 22:00-06:00"), day, days=2) == [expected]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (utc(2026, 3, 7), (utc(2026, 3, 8, 3), utc(2026, 3, 8, 10))),
        (utc(2026, 10, 31), (utc(2026, 11, 1, 2), utc(2026, 11, 1, 11))),
    ],
)
def test_night_shift_keeps_its_clock_when_the_clocks_of_new_york_change(day, expected):
    assert stretches(Plan("Sa 22:00-06:00"), day, days=2, **NEW_YORK) == [expected]


def test_cancelled_stretch_across_the_change_of_clocks_is_taken_out_by_instants():
    hole = (utc(2026, 3, 29, 0, 30), utc(2026, 3, 29, 2, 30))
    plan = Plan("Sa 22:00-06:00", cancelled=(hole,))
    assert stretches(plan, utc(2026, 3, 28)) == [
        (utc(2026, 3, 28, 22), hole[0]),
        (hole[1], utc(2026, 3, 29, 5)),
    ]


def test_extra_stretch_joins_the_rule_and_a_cancelled_one_wins_over_both():
    extra = (utc(2026, 11, 21, 14), utc(2026, 11, 21, 18))
    plan = Plan("Sa 06:00-14:00", extra=(extra,))
    assert stretches(plan, utc(2026, 11, 21), days=1) == [(utc(2026, 11, 21, 6), extra[1])]
    off = (utc(2026, 11, 21, 12), utc(2026, 11, 21, 16))
    plan = Plan("Sa 06:00-14:00", extra=(extra,), cancelled=(off,))
    assert stretches(plan, utc(2026, 11, 21), days=1) == [
        (utc(2026, 11, 21, 6), off[0]),
        (off[1], extra[1]),
    ]
    assert not is_on(plan, utc(2026, 11, 21, 12), **LONDON)
    assert is_on(plan, utc(2026, 11, 21, 16), **LONDON)


def test_cancelled_stretch_cuts_a_team_that_is_always_on():
    hole = (utc(2026, 11, 21), utc(2026, 11, 22))
    assert Plan("24/7", cancelled=(hole,)).around([(START, None)]) == [
        (START, hole[0]),
        (hole[1], None),
    ]


hours = st.integers(min_value=0, max_value=200)


@st.composite
def spans(draw):
    opens = draw(hours)
    closes = draw(st.none() | st.integers(min_value=opens + 1, max_value=201))
    end = None if closes is None else START + timedelta(hours=closes)
    return START + timedelta(hours=opens), end


def holds(stretches, at):
    return any(opens <= at and (closes is None or at < closes) for opens, closes in stretches)


@given(st.lists(spans()), st.lists(spans()), hours)
def test_sets_of_time_are_what_they_hold_at_each_instant(some, holes, hour):
    at = START + timedelta(hours=hour, minutes=30)
    joined = together(some)
    assert holds(joined, at) == holds(some, at)
    assert all(one[1] is not None and one[1] < two[0] for one, two in pairwise(joined))
    assert holds(without(joined, holes), at) == (holds(some, at) and not holds(holes, at))


def test_plan_sorts_shifts_by_their_kind():
    plan = plan_of(
        "24/7",
        [
            Hours(ShiftKind.RECURRING, rule="Mo 10:00-12:00"),
            Hours(ShiftKind.EXTRA, starts_at=START, ends_at=NOW),
            Hours(ShiftKind.CANCELLED, starts_at=NOW, ends_at=NOW + timedelta(hours=1)),
        ],
    )
    assert plan.rules == ("Mo 10:00-12:00",)
    assert plan.extra == ((START, NOW),)
    assert plan.cancelled == ((NOW, NOW + timedelta(hours=1)),)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Hours(ShiftKind.RECURRING), {("/rule", "missing")}),
        (Hours(ShiftKind.RECURRING, rule="Mo-Fr 6-14h"), {("/rule", "invalid_hours")}),
        (Hours(ShiftKind.RECURRING, rule="sunset-22:00"), {("/rule", "invalid_hours")}),
        (
            Hours(ShiftKind.RECURRING, rule="24/7", starts_at=NOW, ends_at=NOW + HOUR),
            {("/from", "not_here"), ("/to", "not_here")},
        ),
        (Hours(ShiftKind.EXTRA), {("/from", "missing"), ("/to", "missing")}),
        (
            Hours(ShiftKind.EXTRA, rule="24/7", starts_at=NOW),
            {("/rule", "not_here"), ("/to", "missing")},
        ),
        (
            Hours(ShiftKind.EXTRA, starts_at=NOW + HOUR, ends_at=NOW + HOUR),
            {("/to", "before_from")},
        ),
        (Hours(ShiftKind.CANCELLED, starts_at=NOW - HOUR, ends_at=NOW), {("/to", "in_the_past")}),
        (
            Hours(ShiftKind.EXTRA, starts_at=NOW, ends_at=NOW + timedelta(days=32)),
            {("/to", "too_long")},
        ),
        (Hours(ShiftKind.CANCELLED, starts_at=NOW, ends_at=NOW + timedelta(days=32)), set()),
        (
            Hours(
                ShiftKind.EXTRA,
                starts_at=NOW + timedelta(days=500),
                ends_at=NOW + timedelta(days=501),
            ),
            {("/from", "too_far")},
        ),
        (Hours(ShiftKind.EXTRA, starts_at=NOW - HOUR, ends_at=NOW + HOUR), set()),
        (Hours(ShiftKind.RECURRING, rule="Mo-Fr 06:00-14:00"), set()),
    ],
)
def test_what_is_wrong_with_a_shift_is_said_by_field(said, expected):
    found = problems(said, now=NOW)
    assert {(one.pointer, one.code) for one in found} == expected
    assert all(one.detail.endswith((".", "?")) for one in found)
