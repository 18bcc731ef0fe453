"""Points, cells and the grid that linking locks. Longitude first, WGS 84 degrees, metres."""

import math
from dataclasses import dataclass

import h3

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius R1 of the WGS 84 ellipsoid (IUGG)."""

GRID_ROW_DEG = 0.005
"""Height of a lock cell, about 556 m: comfortably above the reach of a link (150 m)."""


ROUNDED_M = 50
"""How exactly analysts know where something was (design, 6.4)."""


@dataclass(frozen=True)
class Point:
    """A position on WGS 84. Raises ValueError outside -180..180, -90..90 and on NaN."""

    lon: float
    lat: float

    def __post_init__(self) -> None:
        if not (-180 <= self.lon <= 180 and -90 <= self.lat <= 90):
            msg = "longitude must be within -180..180 and latitude within -90..90"
            raise ValueError(msg)

    def ewkt(self) -> str:
        """Extended well-known text, as PostGIS reads it."""
        return f"SRID=4326;POINT({self.lon!r} {self.lat!r})"


@dataclass(frozen=True)
class Bounds:
    """A box in degrees; `west` may exceed `east` when it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def contains(self, point: Point) -> bool:
        """Whether the point lies inside or on the edge."""
        if not self.south <= point.lat <= self.north:
            return False
        if self.west <= self.east:
            return self.west <= point.lon <= self.east
        return point.lon >= self.west or point.lon <= self.east


def cell(point: Point, resolution: int) -> int:
    """The H3 cell of a point as the 64-bit integer that the database stores."""
    return int(h3.str_to_int(h3.latlng_to_cell(point.lat, point.lon, resolution)))


def lock_cells(point: Point, *, within_m: float) -> list[int]:
    """Keys of every grid cell within reach of the point, sorted, each a signed 64-bit integer.

    Two points no further apart than `within_m` always share a key, also across the antimeridian
    and near the poles: each lies in its own cell, and each one's keys cover the other's cell.
    """
    dlat = math.degrees(within_m / EARTH_RADIUS_M) * 1.01
    south, north = _row(max(-90.0, point.lat - dlat)), _row(min(90.0, point.lat + dlat))
    keys: set[int] = set()
    for row in range(south, north + 1):
        columns = _columns(row)
        # The reach in degrees of longitude is widest on the side of the row nearest a pole.
        edge = max(abs(row * GRID_ROW_DEG), abs((row + 1) * GRID_ROW_DEG), abs(point.lat) + dlat)
        scale = math.cos(math.radians(min(edge, 90.0)))
        dlon = 180.0 if scale * 180.0 <= dlat else min(180.0, dlat / scale)
        west = _column(point.lon - dlon, columns)
        span = min(columns, math.ceil(2 * dlon / 360.0 * columns) + 2)
        keys.update(_key(row, (west + step) % columns) for step in range(span))
    return sorted(keys)


def rounded(point: Point) -> Point:
    """The middle of the cell of a fixed grid of 50 m that the point lies in, to six decimals.

    The grid is the same for everybody and for ever, so that asking again tells no more: within 50 m
    north to south, and 50 m or a little more east to west, also across the antimeridian and near
    the poles. As `rounded_to_50_m` of migration 0018, which is what analysts get.
    """
    height = math.degrees(ROUNDED_M / EARTH_RADIUS_M)
    row = min(math.floor((point.lat + 90) / height), math.ceil(180 / height) - 1)
    middle = min(-90 + (row + 0.5) * height, 90.0)
    columns = max(1, math.floor(360 * math.cos(math.radians(middle)) / height))
    column = math.floor((point.lon + 180) / 360 * columns) % columns
    return Point(round(-180 + (column + 0.5) * 360 / columns, 6), round(middle, 6))


def _row(lat: float) -> int:
    return math.floor(lat / GRID_ROW_DEG)


def _columns(row: int) -> int:
    middle = (row + 0.5) * GRID_ROW_DEG
    return max(1, math.floor(360.0 * math.cos(math.radians(min(abs(middle), 90.0))) / GRID_ROW_DEG))


def _column(lon: float, columns: int) -> int:
    return math.floor((lon + 180.0) / 360.0 * columns) % columns


def _key(row: int, column: int) -> int:
    return (row + 20_000) * 100_000 + column
