"""Who comes next: the rungs of a ladder nobody has answered, and the last resort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db import nearby
from waylight.domain import routing
from waylight.domain.cities import City, ControlRoom
from waylight.domain.journeys import Prediction
from waylight.domain.reports import Recipient
from waylight.log import get_logger
from waylight.services.cities import read_cities
from waylight.services.routing.ahead import with_teams_ahead
from waylight.services.routing.around import ask, candidate, default_city
from waylight.services.routing.journeys import foresee

log = get_logger(__name__)


@dataclass(frozen=True)
class _Choice:
    """What the rules choose by: everything that is known of an incident and its surroundings."""

    row: Mapping[str, Any]
    facts: routing.Facts
    candidates: Sequence[routing.Candidate]
    room: ControlRoom | None


def next_rung(conn: Connection[Any], incident_id: UUID, *, now: datetime) -> Recipient | None:
    """Whom to tell next about an incident nobody has acknowledged; None when all have been told.

    Chosen anew from who is on duty now, for the incident's most urgent report; the control room
    comes last. Where a team has said that it is not theirs, another organisation's teams come
    before those of its own.
    """
    choice = _look(conn, incident_id, now=now)
    if choice is None:
        return None
    row = choice.row
    chosen = routing.choose(choice.facts, choice.candidates, control_room=None).told
    if chosen:
        recipient = chosen[0]
    elif choice.room is not None and choice.room.team_id not in row["excluded"]:
        recipient = routing.control_room_recipient(choice.room, rank=1, facts=choice.facts)
    else:
        return None
    return routing.as_rung(recipient, rank=row["rungs"] + 1, not_ours_to=row["not_ours_to"])


def first_rungs(
    conn: Connection[Any], incident_id: UUID, *, now: datetime
) -> tuple[Recipient, ...]:
    """Whom to tell about an incident whose ladder begins now, as if its report came now.

    Nobody who has it before them already. Empty when there is nobody else.
    """
    choice = _look(conn, incident_id, now=now)
    if choice is None:
        return ()
    told = routing.choose(choice.facts, choice.candidates, control_room=choice.room).told
    fresh = [one for one in told if one.team_id not in choice.row["excluded"]]
    return tuple(replace(one, rank=choice.row["rungs"] + n) for n, one in enumerate(fresh, start=1))


def _look(conn: Connection[Any], incident_id: UUID, *, now: datetime) -> _Choice | None:
    row = nearby.standing(conn, incident_id)
    if row is None:
        return None
    city = _city(conn, row["city_id"])
    question = {
        "n": 0,
        "at": now,
        "sources": [{"lon": row["lon"], "lat": row["lat"]}] if row["lon"] is not None else [],
        "modes": row["modes"],
        "route_id": row["route_id"],
        "groups": row["category_groups"],
        "capabilities": row["capabilities"],
        "allows_police": row["facts"]["allows_police"],
        "prefers_police": row["facts"]["prefers_police"],
        "excluded": [*row["excluded"], *row["not_ours"]],
        "exercise": row["exercise"],
        "vehicle": row["vehicle"],
    }
    (found,) = ask(conn, [question])
    facts = routing.Facts(
        priority=row["priority"],
        has_position=row["lon"] is not None,
        in_service_area=found["in_service_area"],
        mode=next(iter(row["modes"] or ()), None),
        capabilities=tuple(row["capabilities"]),
        **row["facts"],
    )

    def understood() -> Sequence[routing.Candidate]:
        teams = [candidate(team, city, now) for team in found["teams"]]
        return _ahead_too(conn, question, teams, ride=row["ride"], city=city, now=now)

    candidates = understood()
    if row["not_ours"] and not routing.choose(facts, candidates, control_room=None).told:
        # No other organisation covers it: rather another team of theirs than nobody.
        question |= {"excluded": row["excluded"]}
        (found,) = ask(conn, [question])
        candidates = understood()
    room = city.control_room.at(now) if city and city.control_room else None
    return _Choice(row, facts, candidates, room)


def _ahead_too(
    conn: Connection[Any],
    question: dict[str, Any],
    candidates: Sequence[routing.Candidate],
    *,
    ride: dict[str, Any] | None,
    city: City | None,
    now: datetime,
) -> Sequence[routing.Candidate]:
    """The candidates, and where its vehicle is known to go, those ahead of where it is by now."""
    if ride is None:
        return candidates
    try:
        # A fault in here must not spoil the transaction that climbs.
        with conn.transaction():
            recorded_at = datetime.fromisoformat(ride["recorded_at"])
            seen = foresee(conn, city, {**ride, "recorded_at": recorded_at})
            if not isinstance(seen, Prediction):
                return candidates
            return with_teams_ahead(conn, question, candidates, prediction=seen, city=city, now=now)
    except Exception:
        log.exception("look_ahead_failed")
        return candidates


def control_room_fallback(city: City | None, channels: Sequence[str]) -> dict[str, Any] | None:
    """The recipient of last resort, in the shape of migration 0003; None without a control room."""
    room = city.control_room if city else None
    if room is None:
        return None
    return {
        "team_id": room.team_id,
        "hub_id": None,
        "organisation_id": room.organisation_id,
        "role": "control_room",
        "rank": 1,
        "distance_m": None,
        "reasons": [{"code": "routing_failed", "params": {}}],
        "channels": list(channels),
    }


def route_unrouted(conn: Connection[Any], report_id: UUID, *, now: datetime) -> None:
    """Gives the control room a report that nobody has been told about.

    The report stays unrouted, for the next try, when there is no control room yet.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select city_id, routing->'channels' as channels from reports where id = %s",
            [report_id],
        ).fetchone()
    if row is None:
        return
    city = _city(conn, row["city_id"])
    fallback = control_room_fallback(city, row["channels"])
    if fallback is None:
        return
    conn.execute(
        """
        select route_to_fallback(
            jsonb_populate_record(r, jsonb_build_object('received_at', %(now)s::timestamptz)),
            %(fallback)s, 'found unrouted by the worker')
        from reports r where r.id = %(id)s and r.status = 'unrouted'
        """,
        {"id": report_id, "now": now, "fallback": Jsonb(fallback)},
    )
    conn.execute(
        "update reports set status = 'routed' where id = %s and incident_id is not null",
        [report_id],
    )


def _city(conn: Connection[Any], city_id: UUID | None) -> City | None:
    """The city of an incident or a report; for one without, the city that takes those."""
    cities = read_cities(conn)
    return next((city for city in cities if city.id == city_id), default_city(cities))
