"""What is near an area."""

import json

from waylight.domain.geo import Bounds, Point
from waylight.services.packs.areas import near, read_areas


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "properties": {"code": f"{west},{south}", "name": "Square", "kind": "borough"},
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]},
    }


def bounds_of(tmp_path, *squares):
    """The bounds of one area made of squares."""
    feature = squares[0]
    for other in squares[1:]:
        feature["geometry"]["coordinates"] += other["geometry"]["coordinates"]
    (tmp_path / "areas.geojson").write_text(json.dumps({"features": [feature]}))
    ((area,), rejected) = read_areas(tmp_path)
    assert rejected == []
    return area.bounds


def test_bounds_across_the_antimeridian_are_narrow(tmp_path):
    bounds = bounds_of(tmp_path, square(178, -18, 180, -16), square(-180, -18, -179, -16))
    assert bounds == Bounds(west=178, south=-18, east=-179, north=-16)
    assert near(bounds, Point(179.9, -17))
    assert near(bounds, Point(-179.9, -17))
    assert near(bounds, Point(-178.6, -17))
    assert not near(bounds, Point(0, -17))
    assert not near(bounds, Point(177, -17))


def test_bounds_across_greenwich_are_narrow(tmp_path):
    bounds = bounds_of(tmp_path, square(-0.5, 51, -0.1, 52), square(0.1, 51, 0.4, 52))
    assert bounds == Bounds(west=-0.5, south=51, east=0.4, north=52)
    assert near(bounds, Point(0, 51.5))
    assert near(bounds, Point(0.8, 51.5))
    assert not near(bounds, Point(1.2, 51.5))
    assert not near(bounds, Point(51.5, 0))
