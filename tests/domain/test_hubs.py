from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain import schedules
from waylight.domain.hubs import POSITION_HOLDS, is_stale, ranked_m, stays_open

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


@given(st.floats(0, 20_000), st.floats(-10, 100_000), st.booleans())
def test_no_hub_is_ranked_nearer_than_it_is(distance_m, silent_min, mobile):
    since = NOW - timedelta(minutes=silent_min)
    ranked = ranked_m(distance_m, mobile=mobile, position_at=since, at=NOW)
    assert distance_m <= ranked <= distance_m + 20_000
    stale = is_stale(mobile=mobile, position_at=since, at=NOW)
    assert (ranked > distance_m) == stale
    assert stale == (mobile and timedelta(minutes=silent_min) > POSITION_HOLDS)


def test_published_place_is_never_stale():
    assert not is_stale(mobile=True, position_at=None, at=NOW)


@pytest.mark.parametrize(
    ("closes_in", "walk", "stays"), [(None, 500, True), (20, 10, True), (19, 10, False)]
)
def test_hub_stays_open_for_a_walk_and_ten_minutes(closes_in, walk, stays):
    until = None if closes_in is None else NOW + timedelta(minutes=closes_in)
    assert stays_open(until, at=NOW, walk_minutes=walk) is stays


@pytest.mark.parametrize(
    ("hours", "at", "ends"),
    [
        ("Mo-Su 09:00-12:00,14:00-17:00", "2027-01-16 10:00", "2027-01-16 17:00"),
        ("Mo-Su 09:00-12:00,14:00-17:00", "2027-01-16 13:00", "2027-01-16 17:00"),
        ("Mo-Su 09:00-12:00,14:00-17:00", "2027-01-16 17:00", None),
        ("Mo-Su 21:00-02:30", "2027-01-17 01:00", "2027-01-17 02:30"),
        # Last night is over: today's hours begin in the evening.
        ("Mo-Su 21:00-02:30", "2027-01-17 04:00", "2027-01-18 02:30"),
        ("24/7", "2027-01-17 04:00", None),
        ("off", "2027-01-17 04:00", None),
        # 28 March 2027 has no 01:30, 31 October has two.
        ("Mo-Su 20:00-01:30", "2027-03-27 23:00", "2027-03-28 01:00"),
        ("Mo-Su 20:00-01:30", "2027-10-30 23:00", "2027-10-31 00:30"),
    ],
)
def test_today_s_hours_end(hours, at, ends):
    found = schedules.end_of_today(
        hours,
        datetime.fromisoformat(at).replace(tzinfo=UTC),
        time_zone="Europe/London",
        holidays=(),
    )
    assert found == (ends and datetime.fromisoformat(ends).replace(tzinfo=UTC))
