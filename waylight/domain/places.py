"""Stops, stations, stands and venues as callers find them."""

from dataclasses import dataclass
from uuid import UUID

from waylight.domain.geo import Point

KINDS = ("station", "bus_stop", "taxi_rank", "venue", "hospital", "alley")


@dataclass(frozen=True)
class Place:
    """A place. `stop_id` is its public id: it may be missing, and two places may share one.

    `distance_m` is set when it was looked for near a point, on the WGS 84 ellipsoid.
    """

    id: UUID
    stop_id: str | None
    name: str
    kind: str
    point: Point
    modes: tuple[str, ...]
    lines: tuple[str, ...]
    codes: tuple[str, ...]
    area: str | None
    heading: int | None
    demo: bool
    distance_m: float | None = None
    rank: int = 0
    """How well it fits the words looked for, the best first; part of the order of a list."""
