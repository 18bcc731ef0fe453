import math

import h3
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import example, given
from hypothesis import strategies as st

from waylight.domain.geo import Bounds, Point, cell, lock_cells

LONGITUDES = st.floats(-180, 180)
LATITUDES = st.floats(-90, 90)
POINTS = st.builds(Point, lon=LONGITUDES, lat=LATITUDES)

LONDON = Point(-0.1426, 51.5390)


def beside(point: Point, *, azimuth: float, metres: float) -> Point:
    there = Geodesic.WGS84.Direct(point.lat, point.lon, azimuth, metres)
    return Point(there["lon2"], there["lat2"])


@pytest.mark.parametrize(
    ("lon", "lat"), [(181, 0), (-180.1, 0), (0, 90.1), (0, -91), (math.nan, 0), (0, math.inf)]
)
def test_a_point_off_the_earth_is_refused(lon, lat):
    with pytest.raises(ValueError, match="longitude"):
        Point(lon, lat)


def test_text_for_postgis_keeps_a_negative_longitude_first_and_every_digit():
    assert Point(-0.1426, 51.539).ewkt() == "SRID=4326;POINT(-0.1426 51.539)"


@given(POINTS, st.floats(0, 360), st.floats(0, 149))
@example(LONDON, 90.0, 149.0)
@example(Point(180.0, 0.0), 90.0, 149.0)
@example(Point(-180.0, -41.3), 270.0, 149.0)
@example(Point(0.0, 90.0), 0.0, 149.0)
@example(Point(12.0, -89.9999), 180.0, 149.0)
@example(Point(0.0, 0.0), 225.0, 149.0)
def test_two_points_within_a_link_share_a_lock(point, azimuth, metres):
    other = beside(point, azimuth=azimuth, metres=metres)
    assert set(lock_cells(point, within_m=150)) & set(lock_cells(other, within_m=150))


@given(POINTS)
def test_locks_are_sorted_unique_and_few_away_from_the_poles(point):
    locks = lock_cells(point, within_m=150)
    assert locks == sorted(set(locks))
    if abs(point.lat) < 80:
        assert len(locks) <= 12


@given(POINTS, st.sampled_from([7, 9]))
def test_a_cell_contains_its_point_and_fits_a_signed_bigint(point, resolution):
    number = cell(point, resolution)
    assert 0 < number < 2**63
    assert h3.int_to_str(number) == h3.latlng_to_cell(point.lat, point.lon, resolution)


def test_bounds_across_the_antimeridian_hold_both_sides():
    fiji = Bounds(west=177.0, south=-19.0, east=-178.0, north=-16.0)
    assert fiji.contains(Point(179.9, -17.0))
    assert fiji.contains(Point(-179.9, -17.0))
    assert not fiji.contains(Point(0.0, -17.0))
