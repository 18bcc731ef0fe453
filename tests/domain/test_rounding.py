"""Rounding to a fixed grid of 50 m: everywhere on the globe, and the same in the database."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.geo import EARTH_RADIUS_M, Point, rounded

NAMED = {
    "null island": Point(0.0, 0.0),
    "equator, east": Point(103.8198, 0.0001),
    "London": Point(-0.1426, 51.539),
    "west of Greenwich by a hair": Point(-1e-9, 51.5),
    "negative longitude": Point(-77.0428, -12.0464),
    "antimeridian, east side": Point(179.999999, -17.8),
    "antimeridian, west side": Point(-179.999999, -17.8),
    "the antimeridian itself": Point(180.0, 65.0),
    "near the north pole": Point(42.0, 89.9995),
    "the north pole": Point(12.0, 90.0),
    "the south pole": Point(-170.0, -90.0),
    "Longyearbyen": Point(15.6267, 78.2232),
}
WORST_M = 80
"""Half the diagonal of a cell is 36 m; next to a pole its three or fewer cells are wider."""


def distance_m(a, b):
    la, lb = math.radians(a.lat), math.radians(b.lat)
    dlat, dlon = (lb - la) / 2, math.radians(b.lon - a.lon) / 2
    h = math.sin(dlat) ** 2 + math.cos(la) * math.cos(lb) * math.sin(dlon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


@pytest.mark.parametrize("point", NAMED.values(), ids=NAMED)
def test_a_rounded_point_is_near_and_its_own_rounding(point):
    found = rounded(point)
    assert distance_m(point, found) <= (36 if abs(point.lat) < 89.9 else WORST_M)
    assert rounded(found) == found


def test_points_a_few_metres_apart_in_one_cell_cannot_be_told_apart():
    middle = rounded(Point(-0.1426, 51.539))
    around = {
        rounded(Point(middle.lon + east * 1e-5, middle.lat + north * 1e-5))
        for east in range(-30, 31, 5)
        for north in range(-20, 21, 5)
    }
    assert around == {middle}


def test_both_names_of_the_antimeridian_are_one_cell():
    assert rounded(Point(180.0, 10.0)) == rounded(Point(-180.0, 10.0))


@given(st.floats(-180, 180), st.floats(-89.9, 89.9))
def test_rounding_moves_no_point_by_more_than_half_a_cell_s_diagonal(lon, lat):
    point = Point(lon, lat)
    assert distance_m(point, rounded(point)) <= 40


@given(st.floats(-180, 180), st.floats(-85, 85))
def test_a_cell_is_never_smaller_than_50_m(lon, lat):
    """Whoever knows the cell does not know more than that."""
    middle = rounded(Point(lon, lat))
    north = rounded(Point(middle.lon, min(middle.lat + 0.00045, 90)))
    assert distance_m(middle, Point(middle.lon, north.lat)) >= 49.9
    for east in (-20, 20):
        moved = math.degrees(east / EARTH_RADIUS_M) / math.cos(math.radians(middle.lat))
        if -180 <= middle.lon + moved <= 180:
            assert rounded(Point(middle.lon + moved, middle.lat)) == middle
