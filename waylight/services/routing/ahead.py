"""Teams ahead of a vehicle: their area holds one of its next stops, and they are there first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.domain.cities import City
from waylight.domain.journeys import STOPS_AHEAD, Passing, Prediction, meeting
from waylight.domain.reports import Reason
from waylight.domain.routing import Candidate
from waylight.log import get_logger
from waylight.services.routing import around
from waylight.services.routing.around import Draft, Surroundings, ask, candidate, query
from waylight.services.routing.journeys import foresee

log = get_logger(__name__)


def look_around(
    conn: Connection[Any], drafts: Sequence[Draft], cities: Sequence[City]
) -> list[Surroundings]:
    """The surroundings of every draft by one statement, and of a vehicle's next stops by another.

    A fault in the second costs nothing but itself.
    """
    found = around.look_around(conn, drafts, cities)
    return [_look_ahead(conn, draft, one) for draft, one in zip(drafts, found, strict=True)]


def with_teams_ahead(
    conn: Connection[Any],
    question: Mapping[str, Any],
    candidates: Sequence[Candidate],
    *,
    prediction: Prediction,
    city: City | None,
    now: datetime,
) -> tuple[Candidate, ...]:
    """The candidates, each with the stop where it meets the vehicle, and those who only do that.

    `question` is the one that found the candidates. The distance of a team that does not cover the
    report's own place is that from its stop.
    """
    passings = prediction.ahead(now)[:STOPS_AHEAD]
    questions = [
        {
            **question,
            "n": n,
            "modes": question["modes"] or [prediction.line.mode],
            "sources": [{"lon": one.stop.point.lon, "lat": one.stop.point.lat}],
        }
        for n, one in enumerate(passings)
    ]
    reach = defaultdict[UUID, list[tuple[Passing, Candidate]]](list)
    for passing, row in zip(passings, ask(conn, questions), strict=True):
        for team in row["teams"]:
            there = candidate(team, city, now)
            reach[there.team_id].append((passing, there))
    known = {one.team_id: one for one in candidates}
    for team_id, stops in reach.items():
        met = meeting([(passing, there.distance_m) for passing, there in stops], now=now)
        if met is None:
            continue
        there = next(one for passing, one in stops if passing.stop.name == met.stop)
        known[team_id] = replace(known.get(team_id, there), ahead=met)
    return tuple(known.values())


def _look_ahead(conn: Connection[Any], draft: Draft, found: Surroundings) -> Surroundings:
    journey = draft.report.journey
    if not journey.route_id or draft.report.tells_nobody:
        return found
    located, city = found.located, found.city
    try:
        seen = foresee(
            conn,
            city,
            {
                "route_id": journey.route_id,
                "direction": journey.direction,
                "vehicle_id": journey.vehicle_id,
                "boarded_stop_id": journey.boarded_stop_id,
                "next_stop_id": journey.next_stop_id,
                "happening": draft.when.happening,
                "recorded_at": draft.received_at - draft.when.age,
                "location_source": located.source,
                "radius_m": located.radius_m,
                "lon": located.point and located.point.lon,
                "lat": located.point and located.point.lat,
                "place_ref": located.place and located.place.id,
            },
        )
        if seen is None:
            return found
        if isinstance(seen, Reason):
            return replace(found, notes=(seen,))
        if not seen.ahead(draft.received_at):
            return replace(found, notes=(Reason("journey_over"),))
        return replace(
            found,
            moving=True,
            candidates=with_teams_ahead(
                conn,
                query(draft, n=0),
                found.candidates,
                prediction=seen,
                city=city,
                now=draft.received_at,
            ),
        )
    except Exception:
        # The report is routed by its place, as one without a line.
        log.exception("look_ahead_failed")
        return found
