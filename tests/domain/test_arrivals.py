from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.arrivals import (
    BEFORE,
    ENDINGS,
    Arrival,
    Walk,
    all_ended,
    band,
    broken_by,
    follows,
    on_the_way,
)
from waylight.domain.errors import StateConflict
from waylight.domain.geo import Point
from waylight.domain.routing import walk_minutes

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)
ENTRIES = st.sampled_from([None, *Arrival])


def walk(**others):
    values: dict[str, Any] = {
        "told_at": NOW,
        "distance_m": 1000.0,
        "is_open": True,
        "open_until": None,
        "declined": False,
        "moved": False,
        "known_to_close": False,
    }
    return Walk(**{**values, **others})


@given(st.floats(0, 6000))
def test_band_holds_the_walk_that_the_passenger_was_told(distance_m):
    found = band(distance_m, told_at=NOW)
    assert found is not None
    assert found.walk_minutes_from % 5 == found.walk_minutes_to % 5 == 0
    assert found.walk_minutes_from <= walk_minutes(distance_m) <= found.walk_minutes_to
    assert found.latest - found.earliest >= timedelta(minutes=5)


def test_way_of_unknown_length_has_no_band():
    assert band(None, told_at=NOW) is None


@given(ENTRIES, st.sampled_from(Arrival))
def test_entry_follows_only_what_it_may_follow(last, status):
    late = NOW + timedelta(hours=3)
    if status is last:
        assert not follows(status, last, expected=band(100, told_at=NOW), now=late)
    elif last in BEFORE[status]:
        assert follows(status, last, expected=band(100, told_at=NOW), now=late)
    else:
        with pytest.raises(StateConflict):
            follows(status, last, expected=band(100, told_at=NOW), now=late)


def test_nobody_is_expected_or_there_once_all_have_ended():
    assert all_ended(ENDINGS)
    assert not all_ended([*ENDINGS, Arrival.ARRIVED])
    assert not all_ended([Arrival.LEFT_SAFELY, None])


@pytest.mark.parametrize(
    ("minutes", "others", "why"),
    [
        (0, {}, None),
        (0, {"declined": True}, "declined"),
        (180, {"declined": True}, "declined"),
        (0, {"is_open": False}, "closing"),
        (0, {"moved": True}, "moved"),
        (0, {"moved": True, "is_open": False}, "closing"),
        # 1000 m are 17 minutes, and ten more.
        (0, {"open_until": NOW + timedelta(minutes=27)}, None),
        (0, {"open_until": NOW + timedelta(minutes=26)}, "closing"),
        (0, {"open_until": NOW + timedelta(minutes=26), "known_to_close": True}, None),
        (30, {"is_open": False, "known_to_close": True}, "closing"),
        # At the slowest it takes 35 minutes; after 45 nobody is on the way.
        (45, {"is_open": False}, "closing"),
        (46, {"is_open": False}, None),
        (46, {"moved": True}, None),
    ],
)
def test_walk_is_broken_by(minutes, others, why):
    assert broken_by(walk(**others), now=NOW + timedelta(minutes=minutes)) == why


@given(st.floats(-180, 180), st.floats(-89, 89), st.floats(0, 90), st.floats(-0.05, 0.05))
def test_somebody_on_the_way_is_between_the_two_ends(lon, lat, minutes, away):
    start = Point(lon, lat)
    end = Point((lon + away + 540) % 360 - 180, lat + away)
    here = on_the_way(start, end, distance_m=1000, walked=timedelta(minutes=minutes))
    assert min(start.lat, end.lat) - 1e-9 <= here.lat <= max(start.lat, end.lat) + 1e-9
    east = (here.lon - start.lon + 540) % 360 - 180
    assert abs(east) <= abs(away) + 1e-6


def test_somebody_who_walks_across_the_antimeridian_stays_near_it():
    here = on_the_way(
        Point(179.99, 0), Point(-179.99, 0), distance_m=2224, walked=timedelta(minutes=18.5)
    )
    assert abs(here.lon) > 179.99
