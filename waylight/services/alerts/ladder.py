"""The escalation sweep: incidents that nobody has answered climb to their next rung."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events, organisations
from waylight.db.alerts import ladder
from waylight.db.session import Database
from waylight.domain.alerts import LIVE, STOOD_DOWN, Waits, next_alarm, next_climb, waits_of
from waylight.domain.errors import Unavailable
from waylight.domain.reports import Recipient
from waylight.log import get_logger
from waylight.services import routing
from waylight.services.sweeping import sweep

SWEEP = 200
"""Incidents climbed in one sweep, so that deliveries are not kept waiting behind a storm."""

log = get_logger(__name__)


def climb(
    database: Database,
    *,
    channels: Sequence[str],
    now: datetime,
    only: UUID | None = None,
    limit: int = SWEEP,
) -> int:
    """Climbs every incident whose rung has had its time, most urgent first; returns how many.

    Each is a transaction of its own, and one that another worker has is left to it. The next team
    is chosen anew from who is on duty now. With nobody left to tell, the incident is marked as
    unanswered and its control room alarmed again at growing intervals. A fault in choosing counts
    as nobody left: the control room hears of it. `only` climbs that one incident, if it is due.
    Raises Unavailable.
    """
    return sweep(
        database,
        find=lambda conn, skip: ladder.due(conn, now=now, only=only, skip=skip),
        id_of=lambda incident: incident["id"],
        do=lambda conn, incident: _climb(conn, incident, channels=channels, now=now),
        failure="climb_failed",
        of="incident_id",
        limit=limit,
    )


def route_waiting(database: Database, *, now: datetime, limit: int = SWEEP) -> int:
    """Gives the control room every report that could not be routed when it came; returns how many.

    Raises Unavailable.
    """
    return sweep(
        database,
        find=lambda conn, skip: ladder.unrouted(conn, skip=skip),
        id_of=lambda report_id: report_id,
        do=lambda conn, report_id: routing.route_unrouted(conn, report_id, now=now),
        failure="report_still_unrouted",
        of="report_id",
        limit=limit,
    )


def _climb(
    conn: Connection[Any],
    incident: Mapping[str, Any],
    *,
    channels: Sequence[str],
    now: datetime,
) -> None:
    # Priority 4 is told by its place in the inbox: nobody is woken for it.
    channels = list(channels) if incident["priority"] < 4 else []
    recipient = _next_rung(conn, incident["id"], now=now)
    if recipient is None:
        _alarm(conn, incident, channels=channels, now=now)
        return
    told = ladder.tell(conn, incident["id"], _row(recipient, channels), now=now)
    if told is None:
        ladder.set_ladder(
            conn,
            incident["id"],
            escalate_at=None,
            unanswered_at=incident["unanswered_at"],
            climbed=False,
        )
        return
    events.write(
        conn,
        events.Event(
            "alert.escalated",
            now,
            city_id=incident["city_id"],
            organisation_id=recipient.organisation_id,
            report_id=told["report_id"],
            incident_id=incident["id"],
            alert_id=told["alert_id"],
            data={
                "role": recipient.role,
                "rank": recipient.rank,
                "priority": incident["priority"],
                "reasons": [reason.code for reason in recipient.reasons[:1]],
            },
            exercise=incident["exercise"],
        ),
    )
    if incident["priority"] == 1 and incident["held_by_alert_id"] is None:
        _call_control_room_back(conn, incident["id"], channels=channels, now=now)
    ladder.set_ladder(
        conn,
        incident["id"],
        escalate_at=next_climb(
            incident["priority"], now=now, waits=_waits(conn, recipient.organisation_id)
        ),
        unanswered_at=incident["unanswered_at"],
        climbed=True,
    )


def start(
    conn: Connection[Any],
    incident: Mapping[str, Any],
    *,
    channels: Sequence[str],
    now: datetime,
) -> None:
    """Begins the ladder of an incident that nobody has, in the caller's transaction.

    Whoever would be told if its most urgent report came now is told now. With nobody left, or when
    choosing breaks, the control room is alarmed.
    """
    channels = list(channels) if incident["priority"] < 4 else []
    told = [
        recipient
        for recipient in _first_rungs(conn, incident["id"], now=now)
        if ladder.tell(conn, incident["id"], _row(recipient, channels), now=now) is not None
    ]
    if not told:
        _alarm(conn, incident, channels=channels, now=now)
        return
    ladder.set_ladder(
        conn,
        incident["id"],
        escalate_at=next_climb(
            incident["priority"], now=now, waits=_waits(conn, told[0].organisation_id)
        ),
        unanswered_at=None,
        climbed=False,
    )


def _first_rungs(
    conn: Connection[Any], incident_id: UUID, *, now: datetime
) -> tuple[Recipient, ...]:
    try:
        with conn.transaction():
            return routing.first_rungs(conn, incident_id, now=now)
    except Unavailable:
        raise
    except Exception:
        log.exception("first_rungs_failed", incident_id=str(incident_id))
        return ()


def _next_rung(conn: Connection[Any], incident_id: UUID, *, now: datetime) -> Recipient | None:
    try:
        with conn.transaction():
            return routing.next_rung(conn, incident_id, now=now)
    except Unavailable:
        raise
    except Exception:
        # A ladder that cannot be computed must not stand still in silence.
        log.exception("next_rung_failed", incident_id=str(incident_id))
        return None


def _call_control_room_back(
    conn: Connection[Any], incident_id: UUID, *, channels: Sequence[str], now: datetime
) -> None:
    """Priority 1 that was handed back: the control room was stood down, and must watch again."""
    room = ladder.last_control_room_alert(conn, incident_id)
    if room is not None and room["state"] in STOOD_DOWN:
        recipient = _told_anew(room, "control_room_priority_1", channels)
        ladder.tell(conn, incident_id, recipient, now=now)


def _alarm(
    conn: Connection[Any],
    incident: Mapping[str, Any],
    *,
    channels: Sequence[str],
    now: datetime,
) -> None:
    """Everybody has been told: the control room hears again that nobody has answered."""
    room = ladder.last_control_room_alert(conn, incident["id"])
    if room is None:
        log.error("unanswered_without_control_room", incident_id=str(incident["id"]))
    elif room["state"] in LIVE:
        ladder.send_again(conn, room, message="incident.unanswered", channels=channels, now=now)
    else:
        ladder.tell(
            conn, incident["id"], _told_anew(room, "control_room_fallback", channels), now=now
        )

    # While somebody holds it only the more serious report that joined is unanswered.
    held = incident["held_by_alert_id"] is not None
    unanswered_at = incident["unanswered_at"] or (None if held else now)
    if unanswered_at == now:
        log.warning("incident_unanswered", incident_id=str(incident["id"]))
        events.write(
            conn,
            events.Event(
                "incident.unanswered",
                now,
                city_id=incident["city_id"],
                organisation_id=room["organisation_id"] if room else None,
                incident_id=incident["id"],
                data={"priority": incident["priority"]},
                exercise=incident["exercise"],
            ),
        )
    ladder.set_ladder(
        conn,
        incident["id"],
        escalate_at=next_alarm(
            incident["priority"],
            unanswered_at=unanswered_at or now,
            now=now,
            waits=_waits(conn, room["organisation_id"] if room else None),
        ),
        unanswered_at=unanswered_at,
        climbed=False,
    )


def _waits(conn: Connection[Any], organisation_id: UUID | None) -> Waits:
    """How long whoever is told now has to answer, by priority, as its timetable stands now."""
    return waits_of(organisations.waits(conn, organisation_id))


def _row(recipient: Recipient, channels: Sequence[str]) -> dict[str, Any]:
    """A recipient in the shape of migration 0003."""
    return {
        "team_id": _text(recipient.team_id),
        "hub_id": _text(recipient.hub_id),
        "organisation_id": str(recipient.organisation_id),
        "role": recipient.role,
        "rank": recipient.rank,
        "distance_m": recipient.distance_m,
        "reasons": [{"code": r.code, "params": dict(r.params)} for r in recipient.reasons],
        "channels": list(channels),
    }


def _told_anew(room: Mapping[str, Any], why: str, channels: Sequence[str]) -> dict[str, Any]:
    """The control room once more: its first alert has ended, and an ended alert stays ended."""
    return {
        "team_id": str(room["team_id"]),
        "hub_id": None,
        "organisation_id": str(room["organisation_id"]),
        "role": "control_room",
        "rank": room["next_rank"],
        "distance_m": None,
        "reasons": [{"code": why, "params": {}}],
        "channels": list(channels),
    }


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)
