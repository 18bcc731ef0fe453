"""A stored report's facts as domain words, for the passenger and for staff alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from waylight.domain.geo import Point
from waylight.domain.reports import Located, PlaceRef, Priority, Reason


def reasons(rows: Sequence[Mapping[str, Any]]) -> tuple[Reason, ...]:
    """Stored reasons: codes with the values their sentences need."""
    return tuple(Reason(row["code"], row.get("params") or {}) for row in rows)


def priority(row: Mapping[str, Any]) -> Priority:
    """The priority that triage gave."""
    return Priority(
        level=row["priority"],
        urgency=row["urgency"],
        severity=row["severity"],
        certainty=row["certainty"],
        reasons=reasons(row["reasons"]),
    )


def located(row: Mapping[str, Any]) -> Located:
    """Where the report was taken to be; the fix's age is that of the moment of receipt."""
    place = None
    if row["place_ref"] is not None:
        place = PlaceRef(id=row["place_ref"], name=row["place_name"], demo=row["place_demo"])
    fixed_at, received_at = row["fixed_at"], row["received_at"]
    return Located(
        source=row["location_source"],
        point=Point(row["lon"], row["lat"]) if row["lon"] is not None else None,
        radius_m=row["radius_m"],
        method=row["location_method"],
        age_s=max(0, int((received_at - fixed_at).total_seconds())) if fixed_at else None,
        place=place,
    )
