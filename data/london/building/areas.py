"""Areas: boroughs, the tidal Thames beside each, the city outline, and the network beyond it.

The published outline and the published boroughs were simplified apart, so they cross each other by
a few metres all round London, and the tidal Thames lies in no borough. Everything here is therefore
cut once, on one grid of a millionth of a degree, into faces that share their corners exactly; each
face is given to one borough. Gaps and overlaps are impossible afterwards, not merely small.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely import STRtree
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, mapping, shape
from shapely.geometry.base import BaseGeometry

OUTLINE = "E12000007"
SERVICE_AREA = "tfl-network"
GRID_DEG = 1e-6
"""Coordinates are kept to six decimals, at most 11 cm."""
RIVER_AT_LEAST_M2 = 10_000
"""A gap between outline and boroughs below this is simplification noise, not the Thames."""
SEED_EVERY_M = 25
CORRIDOR_M = 2_000

METRES_PER_LAT = 111_254.0
METRES_PER_LON = 111_320.0 * math.cos(math.radians(51.5))

CORRIDORS: Mapping[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "network-west": (
        "Elizabeth line west of London",
        (
            (
                "West Drayton",
                "Iver",
                "Langley (Berks)",
                "Slough",
                "Burnham (Berks)",
                "Taplow",
                "Maidenhead",
                "Twyford",
                "Reading",
            ),
        ),
    ),
    "network-north-west": (
        "Metropolitan and Lioness lines north-west of London",
        (
            ("Northwood", "Moor Park", "Rickmansworth", "Chalfont & Latimer", "Amersham"),
            ("Rickmansworth", "Croxley"),
            ("Chalfont & Latimer", "Chesham"),
            ("Moor Park", "Croxley", "Watford"),
            ("Hatch End", "Carpenders Park", "Bushey", "Watford High Street", "Watford Junction"),
        ),
    ),
    "network-lea-valley": (
        "Weaver line north of London",
        (("Turkey Street", "Theobalds Grove", "Cheshunt"),),
    ),
    "network-epping": (
        "Central line north-east of London",
        (
            (
                "Woodford",
                "Buckhurst Hill",
                "Loughton",
                "Debden",
                "Theydon Bois",
                "Epping",
            ),
            ("Woodford", "Roding Valley", "Chigwell", "Grange Hill", "Hainault"),
        ),
    ),
    "network-east": (
        "Elizabeth line east of London",
        (("Harold Wood", "Brentwood", "Shenfield"),),
    ),
}
"""The lines on which the 32 stations outside London lie, each from the last station inside."""


@dataclass(frozen=True)
class Area:
    """One area of the pack. Longitude first, WGS 84 degrees."""

    code: str
    name: str
    kind: str
    geometry: BaseGeometry
    demo: bool = False


class Areas:
    """All areas, and the questions that the rest of the build asks of them."""

    def __init__(self, areas: Sequence[Area]) -> None:
        self.all = tuple(areas)
        self.by_code = {area.code: area for area in areas}
        self.boroughs = {area.name: area.code for area in areas if area.kind == "borough"}
        pieces = [area for area in areas if area.kind in {"borough", "river_margin"}]
        self._codes = [area.code.removesuffix("-river") for area in pieces]
        self._tree = STRtree([area.geometry for area in pieces])

    def with_river(self, code: str) -> list[str]:
        """The borough's code, followed by its stretch of the tidal Thames where it has one."""
        margin = f"{code}-river"
        return [code, margin] if margin in self.by_code else [code]

    def borough_of(self, point: Point) -> str:
        """The code of the borough, or of the nearest one for the tidal Thames; "" outside."""
        found = sorted({self._codes[i] for i in self._tree.query(point, predicate="intersects")})
        return found[0] if found else ""

    def neighbours(self, code: str) -> list[str]:
        """Codes of the boroughs that share a border with it, also along the middle of the river."""
        here = shapely.union_all([self.by_code[c].geometry for c in self.with_river(code)])
        touching = {self._codes[i] for i in self._tree.query(here, predicate="intersects")}
        return sorted(touching - {code})

    def covering(self, point: Point) -> frozenset[str]:
        """Codes of every area that the point lies in."""
        return frozenset(area.code for area in self.all if area.geometry.intersects(point))


def build_areas(
    raw: Path, *, stations: Mapping[str, Point], patrols: Iterable[Mapping[str, str]]
) -> Areas:
    """Every area of London; `stations` are found by name. Raises ValueError on a gap."""
    outline = shape(_features(raw / "greater_london_outline.geojson")[0]["geometry"])
    published = {
        f["properties"]["gss_code"]: (f["properties"]["name"], shape(f["geometry"]))
        for f in _features(raw / "london_boroughs.geojson")
    }
    boroughs, margins, corridors = _partition(
        outline,
        {code: g for code, (_, g) in published.items()},
        {code: _corridor(tracks, stations=stations) for code, (_, tracks) in CORRIDORS.items()},
    )
    city = shapely.union_all([*boroughs.values(), *margins.values()])
    network = shapely.union_all([city, *corridors.values()])

    areas = [
        Area(OUTLINE, "Greater London", "city_outline", city),
        Area(SERVICE_AREA, "Greater London and the TfL network", "service_area", network),
    ]
    areas += [Area(c, published[c][0], "borough", g) for c, g in sorted(boroughs.items())]
    areas += [
        Area(f"{c}-river", f"Tidal river at {published[c][0]}", "river_margin", _multi(g))
        for c, g in sorted(margins.items())
    ]
    areas += [
        Area(code, f"{CORRIDORS[code][0]} (demo)", "patrol_area", g, demo=True)
        for code, g in corridors.items()
    ]
    areas += [
        Area(row["code"], row["name"], "patrol_area", _hull(row, stations=stations), demo=True)
        for row in patrols
    ]
    built = [_tidy(area) for area in areas]
    _prove(built, outline=outline)
    return Areas(built)


def read_patrols(path: Path) -> list[dict[str, str]]:
    """Demo patrol areas: code, name, station names separated by `|`, and metres around them."""
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def write_areas(areas: Areas, path: Path) -> None:
    """Write GeoJSON (RFC 7946), one feature on each line so that a change can be read."""
    lines = []
    for area in areas.all:
        properties: dict[str, Any] = {"code": area.code, "name": area.name, "kind": area.kind}
        properties["demo"] = area.demo
        feature = {"type": "Feature", "properties": properties, "geometry": mapping(area.geometry)}
        lines.append(json.dumps(feature, ensure_ascii=False, separators=(",", ":")))
    body = ",\n".join(lines)
    path.write_text(f'{{"type":"FeatureCollection","features":[\n{body}\n]}}\n', encoding="utf-8")


def _features(path: Path) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["features"]
    return features


def to_metres(geometry: BaseGeometry) -> BaseGeometry:
    """A plane good to one per cent around London, for distances of a few kilometres."""
    return shapely.transform(geometry, lambda c: c * [METRES_PER_LON, METRES_PER_LAT])


def to_degrees(geometry: BaseGeometry) -> BaseGeometry:
    """The way back from `to_metres`."""
    return shapely.transform(geometry, lambda c: c / [METRES_PER_LON, METRES_PER_LAT])


def _partition(
    outline: BaseGeometry,
    published: Mapping[str, BaseGeometry],
    corridors: Mapping[str, BaseGeometry],
) -> tuple[dict[str, BaseGeometry], dict[str, BaseGeometry], dict[str, BaseGeometry]]:
    """Boroughs and river margins that together fill the outline, and corridors beyond it.

    All three share every corner.
    """
    gaps = outline.difference(shapely.union_all(list(published.values())))
    river = shapely.union_all(
        [gap for gap in gaps.geoms if to_metres(gap).area >= RIVER_AT_LEAST_M2]
    )
    shares = _river_shares(river, published)
    drawn = (*published.values(), *shares.values(), *corridors.values(), outline)
    edges = shapely.union_all([g.boundary for g in drawn], grid_size=GRID_DEG)

    boroughs: dict[str, list[BaseGeometry]] = {code: [] for code in published}
    margins: dict[str, list[BaseGeometry]] = {code: [] for code in shares}
    tracks: dict[str, list[BaseGeometry]] = {code: [] for code in corridors}
    for face in shapely.polygonize([edges]).geoms:
        inside = face.representative_point()
        for code, corridor in corridors.items():
            if corridor.contains(inside):
                tracks[code].append(face)
        if owner := _holder(inside, published):
            boroughs[owner].append(face)
        elif share := _holder(inside, shares):
            margins[share].append(face)
        elif outline.contains(inside):
            boroughs[_longest_border(face, published)].append(face)
    return _joined(boroughs), _joined(margins), _joined(tracks)


def _joined(faces: Mapping[str, list[BaseGeometry]]) -> dict[str, BaseGeometry]:
    return {code: shapely.union_all(parts) for code, parts in faces.items()}


def _longest_border(sliver: BaseGeometry, published: Mapping[str, BaseGeometry]) -> str:
    """Whose a sliver of simplification noise becomes: the borough it lies against most."""
    near = {code: g for code, g in published.items() if g.distance(sliver) <= GRID_DEG}
    return max(
        sorted(near),
        key=lambda code: sliver.boundary.intersection(near[code].buffer(GRID_DEG)).length,
    )


def _holder(point: Point, polygons: Mapping[str, BaseGeometry]) -> str | None:
    return next((code for code, g in polygons.items() if g.contains(point)), None)


def _river_shares(
    river: BaseGeometry, published: Mapping[str, BaseGeometry]
) -> dict[str, BaseGeometry]:
    """The river split by nearest borough: Voronoi cells of points every 25 m along the banks."""
    plane = to_metres(river)
    reach = plane.buffer(50)
    seeds: dict[tuple[float, float], str] = {}
    for code, borough in published.items():
        bank = to_metres(borough).boundary.intersection(reach)
        for x, y in shapely.get_coordinates(shapely.segmentize(bank, SEED_EVERY_M)):
            seeds.setdefault((round(x, 2), round(y, 2)), code)
    points = shapely.MultiPoint(list(seeds))
    cells = shapely.voronoi_polygons(points, extend_to=plane, ordered=True)
    mine: dict[str, list[BaseGeometry]] = {}
    for code, cell in zip(seeds.values(), cells.geoms, strict=True):
        if cell.intersects(plane):
            mine.setdefault(code, []).append(cell)
    shares = {c: shapely.union_all(parts).intersection(plane) for c, parts in mine.items()}
    return {code: to_degrees(share) for code, share in shares.items() if share.area > 0}


def _corridor(tracks: Iterable[Sequence[str]], *, stations: Mapping[str, Point]) -> BaseGeometry:
    lines = [LineString([stations[name] for name in track]) for track in tracks]
    wide = to_metres(shapely.union_all(lines)).buffer(CORRIDOR_M, quad_segs=8)
    return shapely.set_precision(to_degrees(wide), GRID_DEG)


def _hull(row: Mapping[str, str], *, stations: Mapping[str, Point]) -> BaseGeometry:
    corners = shapely.MultiPoint([stations[name] for name in row["stations"].split("|")])
    wide = to_metres(corners).convex_hull.buffer(float(row["metres_around"]), quad_segs=4)
    return shapely.set_precision(to_degrees(wide), GRID_DEG)


def _multi(geometry: BaseGeometry) -> MultiPolygon:
    return MultiPolygon([g for g in getattr(geometry, "geoms", [geometry]) if g.area > 0])


def _tidy(area: Area) -> Area:
    """Rings as RFC 7946 wants them (outer counter-clockwise), six decimals, valid."""
    rounded = shapely.transform(area.geometry, lambda c: c.round(6))
    geometry = shapely.orient_polygons(rounded, exterior_cw=False)
    if not geometry.is_valid or not isinstance(geometry, Polygon | MultiPolygon):
        msg = f"{area.code}: {shapely.is_valid_reason(geometry)}"
        raise ValueError(msg)
    return Area(area.code, area.name, area.kind, geometry, demo=area.demo)


def _prove(areas: Sequence[Area], *, outline: BaseGeometry) -> None:
    """Raise ValueError unless boroughs and margins fill the outline, once each."""
    by_code = {area.code: area.geometry for area in areas}
    pieces = [a.geometry for a in areas if a.kind in {"borough", "river_margin"}]
    together = shapely.union_all(pieces)
    gap = by_code[OUTLINE].difference(together).area
    twice = sum(p.area for p in pieces) - together.area
    lost = outline.difference(together.buffer(2 * GRID_DEG)).area
    beyond = by_code[OUTLINE].difference(by_code[SERVICE_AREA]).area
    if gap > 0 or beyond > 0 or twice > GRID_DEG**2 or lost > GRID_DEG**2:
        msg = f"gap {gap}, beyond {beyond}, twice {twice}, lost {lost} square degrees"
        raise ValueError(msg)
