"""Vehicles of reports: the order of a line's stops, what lies ahead, and which team is there first.

A report without a line costs nothing here. The lines of a city are kept in memory until its pack is
loaded anew; for a report on one of them the teams around its next stops are looked up by one more
statement.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import journeys as db_journeys
from waylight.domain import journeys
from waylight.domain.cities import City
from waylight.domain.geo import Point
from waylight.domain.journeys import Line, Prediction, Ride, Stop, Vehicle
from waylight.domain.location import PRECISE_ENOUGH_M
from waylight.domain.reports import Happening, Reason

CITIES_KEPT = 64

_kept: dict[tuple[UUID, int], Mapping[str, Line]] = {}


def line_of(conn: Connection[Any], city: City, route_id: str) -> Line | None:
    """A line of the city by its id or name, when the order of its stops is known."""
    key = (city.id, city.version)
    if key not in _kept:
        while len(_kept) >= CITIES_KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = _lines(conn, city.id)
    return _kept[key].get(_folded(route_id))


def foresee(
    conn: Connection[Any], city: City | None, ride: Mapping[str, Any]
) -> Prediction | Reason | None:
    """What lies ahead of the vehicle of a report, or why nothing is known; None without a vehicle.

    `ride` has the columns of `reports` that say so. Only what happens now, or just did, is about a
    vehicle that can be met; a line alone says nothing of a vehicle.
    """
    if city is None or not ride["route_id"] or ride["happening"] == Happening.EARLIER:
        return None
    if not (ride["vehicle_id"] or ride["boarded_stop_id"] or ride["next_stop_id"]):
        return None
    precise = ride["location_source"] == "point" and (ride["radius_m"] or 0) <= PRECISE_ENOUGH_M
    return journeys.predict(
        line_of(conn, city, ride["route_id"]),
        Ride(
            at=ride["recorded_at"],
            direction=ride["direction"],
            boarded=ride["boarded_stop_id"],
            next=ride["next_stop_id"],
            here=ride["place_ref"],
            point=Point(ride["lon"], ride["lat"]) if precise else None,
        ),
    )


def vehicle_of(
    conn: Connection[Any], cities: Sequence[City], ride: Mapping[str, Any], *, now: datetime
) -> Vehicle | None:
    """The vehicle of a report as it is to be thought of now; None for a report without one."""
    city = next((city for city in cities if city.id == ride["city_id"]), None)
    found = foresee(conn, city, ride)
    if found is None:
        return None
    known = found if isinstance(found, Prediction) else None
    ahead = known.ahead(now) if known else ()
    over = known is not None and not ahead
    return Vehicle(
        report_id=ride["id"],
        route_id=ride["route_id"],
        line=known.line.name if known else None,
        towards=known.towards.name if known else None,
        since=ride["recorded_at"],
        age_s=max(0, int((now - ride["recorded_at"]).total_seconds())),
        over=over,
        stops=ahead,
        pace=known.pace if known else None,
        reason=Reason("journey_over") if over else found if isinstance(found, Reason) else None,
    )


def _lines(conn: Connection[Any], city_id: UUID) -> Mapping[str, Line]:
    found: dict[str, Line] = {}
    for line_id, rows in groupby(
        db_journeys.ordered_stops(conn, city_id), key=lambda row: row["line_id"]
    ):
        stops = list(rows)
        line = Line(
            id=line_id,
            name=stops[0]["line"],
            mode=stops[0]["mode"],
            stops=tuple(_stop(row) for row in stops),
        )
        name = _folded(line.name)
        found |= {name: line, name.removesuffix(" line"): line, _folded(line.id): line}
    return found


def _stop(row: Mapping[str, Any]) -> Stop:
    return Stop(
        place_id=row["place_id"],
        id=row["stop_id"],
        name=row["name"],
        point=Point(row["lon"], row["lat"]),
        ids=frozenset({row["stop_id"], f"place:{row['place_id']}", *row["codes"]}),
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
