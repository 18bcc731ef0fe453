"""Coverages: where, on what and when a team may be alerted; and the shapes that say where."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from waylight.domain.errors import Problem
from waylight.domain.geo import Point

MOST_POSITIONS = 2_000
"""In a whole shape. Whether it crosses itself takes PostGIS some 10 ms then."""

MOST_POLYGONS = 20
MOST_RINGS = 100
"""Holes are counted in."""

WIDEST_DEG = 3.0
"""From west to east and from south to north: a region, not a continent."""

MOST_OF_A_TEAM = 50
"""Every report within is asked about each."""

MOST_OF_AN_ORGANISATION = 500
"""Shapes. Every report is looked up in all that hold its place."""

OUTSIDE_SHARE = 0.005
"""So much of a shape may lie outside the city: a line drawn by hand along its edge."""

LEAST_M2 = 100.0
"""Smaller than a bus covers nothing."""

Ring = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """A multipolygon: polygons of rings of (longitude, latitude), the outer ring first.

    `was` is what was sent, "Polygon" or "MultiPolygon": pointers are its.
    """

    polygons: Sequence[Sequence[Ring]]
    was: str = "MultiPolygon"

    def geojson(self) -> dict[str, Any]:
        """The shape as a GeoJSON MultiPolygon."""
        return {
            "type": "MultiPolygon",
            "coordinates": [
                [[list(position) for position in ring] for ring in polygon]
                for polygon in self.polygons
            ],
        }

    def rings(self) -> Iterator[tuple[str, Ring]]:
        """Every ring with its JSON Pointer below the shape."""
        for p, polygon in enumerate(self.polygons):
            for r, ring in enumerate(polygon):
                at = f"/{r}" if self.was == "Polygon" else f"/{p}/{r}"
                yield f"/coordinates{at}", ring

    def nearest(self, point: Point) -> str:
        """The pointer of the edge that runs closest to a point: where a crossing is drawn."""
        found = min(
            (
                (_off(point, here, there), f"{pointer}/{number}")
                for pointer, ring in self.rings()
                for number, (here, there) in enumerate(pairwise(ring))
            ),
            default=(0.0, "/coordinates"),
        )
        return found[1]


@dataclass(frozen=True)
class Rule:
    """What a coverage says. None means any; `area` names one of the city's own, else `shape`.

    `outside_city`: its author knows that the shape leaves the city.
    """

    name: str | None = None
    area: str | None = None
    shape: Mapping[str, Any] | None = None
    modes: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    category_groups: tuple[str, ...] | None = None
    schedule: str | None = None
    outside_city: bool = False


@dataclass(frozen=True)
class Coverage:
    """A rule of a team as it stands. `active` says whether its schedule holds now."""

    id: UUID
    team_id: UUID
    version: int
    rule: Rule
    active: bool
    updated_at: datetime
    set_by: str


@dataclass
class _Reader:
    """Reads GeoJSON and keeps what is wrong with it; at most so much as anybody mends at once."""

    problems: list[Problem] = field(default_factory=list)
    positions: int = 0
    rings: int = 0

    def refuse(self, pointer: str, code: str, detail: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(Problem(pointer, code, detail))

    def polygon(self, value: object, pointer: str) -> list[Ring]:
        if not isinstance(value, list) or not value:
            self.refuse(pointer, "not_a_ring", "A polygon is a list of rings, the outer one first.")
            return []
        found: list[Ring] = []
        for number, ring in enumerate(value):
            self.rings += 1
            if self.rings > MOST_RINGS:
                self.refuse(pointer, "too_many", f"A shape has {MOST_RINGS} rings at most.")
                return found
            found.append(self.ring(ring, f"{pointer}/{number}"))
        return found

    def ring(self, value: object, pointer: str) -> Ring:
        if not isinstance(value, list):
            self.refuse(pointer, "not_a_ring", "A ring is a list of [longitude, latitude].")
            return []
        self.positions += len(value)
        if self.positions > MOST_POSITIONS:
            detail = f"A shape has {MOST_POSITIONS} positions at most: draw it more simply."
            self.refuse(pointer, "too_many", detail)
            return []
        ring = [self.position(one, f"{pointer}/{n}") for n, one in enumerate(value)]
        found = [one for one in ring if one is not None]
        if len(found) != len(ring):
            return []
        if len(found) >= 2 and found[0] != found[-1]:
            detail = f"The ring is not closed: repeat its first position, {list(found[0])}, as the"
            self.refuse(f"{pointer}/{len(found) - 1}", "ring_open", f"{detail} last.")
        elif len(set(found)) < 3:
            detail = "A ring has at least four positions, three of them different."
            self.refuse(pointer, "too_few_positions", detail)
        for number, (here, there) in enumerate(pairwise(found)):
            if abs(here[0] - there[0]) > 180:
                detail = (
                    "This edge crosses the antimeridian: split the shape there into a MultiPolygon"
                    " (RFC 7946, 3.1.9)."
                )
                self.refuse(f"{pointer}/{number}", "crosses_antimeridian", detail)
        return found

    def position(self, value: object, pointer: str) -> tuple[float, float] | None:
        if (
            not isinstance(value, list)
            or not 2 <= len(value) <= 3
            or not all(_is_number(one) for one in value)
        ):
            detail = "A position is [longitude, latitude], two numbers."
            self.refuse(pointer, "not_a_position", detail)
            return None
        lon, lat = float(value[0]), float(value[1])
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            detail = "Longitude lies within -180..180 and comes first, latitude within -90..90."
            self.refuse(pointer, "not_a_position", detail)
            return None
        return lon, lat


def read_shape(value: Mapping[str, Any], pointer: str) -> tuple[Shape | None, list[Problem]]:
    """GeoJSON (RFC 7946) as a shape, or everything that is wrong with it, with pointers below.

    Nothing in here costs more than reading: whether the rings cross is asked of the database, of a
    shape that this let through. Rings may wind either way, and a third number, the height, is left
    out.
    """
    reader = _Reader()
    kind, coordinates = value.get("type"), value.get("coordinates")
    below = f"{pointer}/coordinates"
    for name in sorted(set(value) - {"type", "coordinates", "bbox"}):
        detail = "A shape has a type and coordinates, in WGS 84, and nothing else."
        reader.refuse(f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", "unknown", detail)
    polygons: list[Sequence[Ring]] = []
    if kind == "Polygon":
        polygons = [reader.polygon(coordinates, below)]
    elif kind != "MultiPolygon":
        reader.refuse(f"{pointer}/type", "not_a_polygon", "Send a Polygon or a MultiPolygon.")
    elif not isinstance(coordinates, list) or not coordinates:
        reader.refuse(below, "not_a_ring", "A MultiPolygon is a list of polygons.")
    elif len(coordinates) > MOST_POLYGONS:
        reader.refuse(below, "too_many", f"A shape has {MOST_POLYGONS} polygons at most.")
    else:
        polygons = [reader.polygon(one, f"{below}/{n}") for n, one in enumerate(coordinates)]
    shape = Shape(polygons, was=str(kind))
    if not reader.problems:
        _check_extent(shape, pointer, reader)
    return (None, reader.problems) if reader.problems else (shape, [])


def rule_problems(
    rule: Rule, *, modes: frozenset[str], groups: frozenset[str], routes: frozenset[str]
) -> list[Problem]:
    """What is wrong with a rule beside its shape: words that no report ever has match nothing."""
    found = []
    if (rule.area is None) == (rule.shape is None):
        detail = "Send either `shape`, a polygon, or `area`, the code of one of the city's areas."
        found.append(Problem("/shape", "one_of", detail))
    if rule.shape is not None and rule.name is None:
        detail = "Give the shape a name: it is what passengers read as the place that you cover."
        found.append(Problem("/name", "required", detail))
    for name, given, known, what in (
        ("modes", rule.modes, modes, "mode"),
        ("category_groups", rule.category_groups, groups, "category group"),
        ("routes", rule.routes, routes, "route of this city"),
    ):
        if given is None:
            continue
        if not given:
            detail = "An empty list matches nothing: send null for any."
            found.append(Problem(f"/{name}", "empty", detail))
        found += [
            Problem(f"/{name}/{number}", "unknown_value", f"There is no such {what}.")
            for number, one in enumerate(given)
            if one not in known
        ]
    return found


def _check_extent(shape: Shape, pointer: str, reader: _Reader) -> None:
    everything = [position for _, ring in shape.rings() for position in ring]
    for axis, what in ((0, "west to east"), (1, "south to north")):
        along = [position[axis] for position in everything]
        if max(along) - min(along) > WIDEST_DEG:
            detail = (
                f"This is wider than {WIDEST_DEG:g} degrees from {what}: is it longitude first?"
            )
            reader.refuse(f"{pointer}/coordinates", "too_wide", detail)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _off(point: Point, here: tuple[float, float], there: tuple[float, float]) -> float:
    """How far a point is off an edge, in degrees: enough to tell which edge is meant."""
    dx, dy = there[0] - here[0], there[1] - here[1]
    length = dx * dx + dy * dy
    along = 0.0
    if length > 0:
        along = ((point.lon - here[0]) * dx + (point.lat - here[1]) * dy) / length
        along = min(1.0, max(0.0, along))
    return math.hypot(here[0] + along * dx - point.lon, here[1] + along * dy - point.lat)
