"""The areas of a pack: GeoJSON polygons, checked far enough that PostGIS will take them."""

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from waylight.domain.geo import Bounds, Point
from waylight.services.packs.files import BadRow, Row, collect, features
from waylight.services.packs.shapes import AreaRow, Rejected

FILE = "areas.geojson"
KINDS = frozenset({"city_outline", "borough", "river_margin", "service_area", "patrol_area"})

MARGIN_DEG = 0.5
"""Some 50 km: a network has stations beyond its city, but none this far beyond its service area."""

Ring = Sequence[Sequence[float]]


def read_areas(folder: Path) -> tuple[list[AreaRow], list[Rejected]]:
    """The areas and the features that are none. Raises BadFile."""
    return collect(features(folder, FILE), _area, key=lambda area: area.code)


class Misplaced(BadRow):
    """A position that is none, or not the city's."""

    def __init__(self, reason: str, *, fits_swapped: bool) -> None:
        super().__init__(f"{reason}: the two look swapped" if fits_swapped else reason)
        self.fits_swapped = fits_swapped


def position_in(row: Row, bounds: Bounds) -> Point:
    """The position of a row, in or near the bounds. Raises Misplaced."""
    try:
        point = row.point()
    except BadRow as fault:
        raise Misplaced(str(fault), fits_swapped=_fits_swapped(row, bounds)) from None
    if not near(bounds, point):
        raise Misplaced(
            f"lon {point.lon}, lat {point.lat} is far outside the service area",
            fits_swapped=_fits_swapped(row, bounds),
        )
    return point


def _fits_swapped(row: Row, bounds: Bounds) -> bool:
    exchanged = {"lon": row.values.get("lat"), "lat": row.values.get("lon")}
    try:
        return near(bounds, Row(row.file, row.number, exchanged).point())
    except BadRow:
        return False


def near(bounds: Bounds, point: Point) -> bool:
    """Whether a place of the city can lie here: inside its bounds, or not far outside."""
    width = bounds.east - bounds.west + (360 if bounds.east < bounds.west else 0) + 2 * MARGIN_DEG
    eastward = (point.lon - (bounds.west - MARGIN_DEG)) % 360
    return eastward <= width and (
        bounds.south - MARGIN_DEG <= point.lat <= bounds.north + MARGIN_DEG
    )


def _area(row: Row) -> AreaRow:
    properties = row.inner("properties")
    geometry = row.inner("geometry")
    kind = geometry.one_of("type", {"Polygon", "MultiPolygon"})
    coordinates = geometry.values.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise BadRow("the geometry is empty")
    for polygon in polygons:
        _check(polygon)
    return AreaRow(
        code=properties.text("code"),
        name=properties.text("name"),
        kind=properties.one_of("kind", KINDS),
        demo=properties.flag("demo"),
        geojson=orjson.dumps({"type": "MultiPolygon", "coordinates": polygons}).decode(),
        bounds=_bounds([polygon[0] for polygon in polygons]),
    )


def _check(polygon: object) -> None:
    """Raises BadRow unless these are closed rings of positions, the outer one with an inside."""
    if not isinstance(polygon, list) or not polygon:
        raise BadRow("a polygon has no rings")
    for ring in polygon:
        if not isinstance(ring, list) or len(ring) < 4 or ring[0] != ring[-1]:
            raise BadRow("a ring is not closed, or has fewer than four positions")
        for position in ring:
            if not _is_position(position):
                raise BadRow(f"{position!r} is no position: longitude first, in degrees")
    if _inside(polygon[0]) == 0:
        raise BadRow("a ring has nothing inside")


def _is_position(position: object) -> bool:
    return (
        isinstance(position, list)
        and len(position) in (2, 3)
        and all(isinstance(n, int | float) and not isinstance(n, bool) for n in position)
        and abs(position[0]) <= 180
        and abs(position[1]) <= 90
    )


def _inside(ring: Ring) -> float:
    """The signed area of a ring in square degrees, by the shoelace formula."""
    # From the first corner, as differences: far from 0, 0 the products would lose the digits.
    x0, y0 = ring[0][0], ring[0][1]
    return math.fsum(
        (a[0] - x0) * (b[1] - y0) - (b[0] - x0) * (a[1] - y0) for a, b in itertools.pairwise(ring)
    )


def _bounds(rings: Iterable[Ring]) -> Bounds:
    """The smallest box around outer rings; west of east where they lie on both sides of 180."""
    lats: list[float] = []
    spans: list[tuple[float, float]] = []
    for ring in rings:
        lons = [position[0] for position in ring]
        lats += [position[1] for position in ring]
        spans.append((min(lons), max(lons)))
    spans.sort()
    # The widest gap between the rings, all around the globe, is what the box leaves out.
    gaps: list[tuple[float, float, float]] = []
    reached = spans[0][1]
    for west, east in spans[1:]:
        gaps.append((west - reached, west, reached))
        reached = max(reached, east)
    gaps.append((spans[0][0] + 360 - reached, spans[0][0], reached))
    _, west, east = max(gaps)
    return Bounds(west=west, south=min(lats), east=east, north=max(lats))
