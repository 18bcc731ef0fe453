"""What analysts read of a report: never exact, never a word."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waylight.domain.geo import Point
from waylight.domain.reports import PlaceRef


@dataclass(frozen=True)
class AnalysedReport:
    """One report to be counted. `id` stands for it within one organisation and opens nothing.

    `received_hour` is the hour in which it came, `position` the middle of a cell of a fixed grid of
    50 m, `place` a station that the passenger named; `position_in_list` is opaque.
    """

    id: UUID
    received_hour: datetime
    categories: tuple[str, ...]
    happening: str
    mode: str | None
    priority: int
    position: Point | None
    place: PlaceRef | None
    position_in_list: tuple[str, str]
