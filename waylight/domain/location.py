"""Where a report is taken to be: the first of an ordered list of sources that can be resolved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from waylight.domain.geo import Bounds, Point
from waylight.domain.reports import Journey, Located, LocationClaim, PlaceRef, ReportWarning

PRECISE_ENOUGH_M = 200.0
"""A fix worse than this says less than the name of a stop."""

NULL_ISLAND_DEG = 0.01
"""A fix this close to 0,0 is a phone without a fix, not a passenger in the Gulf of Guinea."""

DEFAULT_RADIUS_M = {"point": 50.0, "stop": 75.0, "journey": 800.0}
"""Assumed radii where the phone states none: a street fix, a station, the gap between stops."""


@dataclass(frozen=True)
class Source:
    """One candidate position: a point, or a stop to look up."""

    kind: str
    point: Point | None = None
    stop_id: str | None = None
    radius_m: float = 0.0


@dataclass(frozen=True)
class Spot:
    """What the database made of the sources: which one resolved, where it is, what is near it.

    `spread_m` is how far another place with the same stop id lies.
    """

    index: int
    point: Point
    place: PlaceRef | None = None
    spread_m: float = 0.0


def sources(
    claim: LocationClaim, journey: Journey, *, served: Sequence[Bounds]
) -> tuple[tuple[Source, ...], tuple[ReportWarning, ...]]:
    """The candidate positions in order of trust, with warnings about the point.

    A precise point, else the named stop, else the journey's stops (the next one ahead of the one
    behind), else an imprecise point. Two swapped coordinates are swapped back when that, and only
    that, lands in a served city. A point at 0,0 counts only where a city is served there.
    """
    warnings: list[ReportWarning] = []
    point = claim.point

    def in_a_city(candidate: Point | None) -> bool:
        return candidate is not None and any(box.contains(candidate) for box in served)

    if not in_a_city(point) and in_a_city(claim.swapped):
        point = claim.swapped
        warnings.append(ReportWarning("/location/point/coordinates", "swapped_coordinates"))
    if point is None and claim.swapped is not None:
        warnings.append(ReportWarning("/location/point/coordinates", "impossible_position"))
    if point is not None and _is_null_island(point) and not in_a_city(point):
        point = None
        warnings.append(ReportWarning("/location/point/coordinates", "null_island"))

    radius_m = claim.accuracy_m if claim.accuracy_m is not None else DEFAULT_RADIUS_M["point"]
    fix = [Source("point", point=point, radius_m=radius_m)] if point is not None else []
    stops = [
        Source(kind, stop_id=stop_id, radius_m=DEFAULT_RADIUS_M[kind])
        for kind, stop_id in (
            ("stop", claim.stop_id),
            ("journey", journey.next_stop_id),
            ("journey", journey.boarded_stop_id),
        )
        if stop_id
    ]
    if radius_m > PRECISE_ENOUGH_M:
        if fix and stops:
            warnings.append(ReportWarning("/location/accuracy_m", "inaccurate_point"))
        return (*stops, *fix), tuple(warnings)
    return (*fix, *stops), tuple(warnings)


def locate(
    claim: LocationClaim, candidates: Sequence[Source], spot: Spot | None, *, now: datetime
) -> Located:
    """The result, with radius, method and age in seconds; `words` or `nothing` without a spot.

    `now` is in the phone's clock, as `fixed_at` is.
    """
    if spot is None:
        return Located(source="words" if claim.description else "nothing")
    source = candidates[spot.index]
    age_s = None
    if source.kind == "point" and claim.fixed_at is not None:
        age_s = max(0, int((now - claim.fixed_at).total_seconds()))
    return Located(
        source=source.kind,
        point=spot.point,
        radius_m=source.radius_m if source.point else source.radius_m + spot.spread_m,
        method=claim.method if source.kind == "point" else "stop",
        age_s=age_s,
        place=spot.place,
    )


def unknown_stops(
    claim: LocationClaim, journey: Journey, found: Sequence[str]
) -> tuple[ReportWarning, ...]:
    """A warning for each stop the passenger named that no loaded city knows."""
    named = (
        ("/location/stop_id", claim.stop_id),
        ("/journey/next_stop_id", journey.next_stop_id),
        ("/journey/boarded_stop_id", journey.boarded_stop_id),
    )
    return tuple(
        ReportWarning(pointer, "unknown_stop")
        for pointer, stop in named
        if stop and stop not in found
    )


def _is_null_island(point: Point) -> bool:
    return abs(point.lon) < NULL_ISLAND_DEG and abs(point.lat) < NULL_ISLAND_DEG
