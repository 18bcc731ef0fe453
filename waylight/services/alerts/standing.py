"""Rows of incidents and alerts as the rules see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection

from waylight.db.alerts import steps
from waylight.domain.alerts import Hold, Rung, Standing, State
from waylight.domain.drills import AUDIENCE
from waylight.domain.errors import StateConflict


def hold_of(incident: Mapping[str, Any]) -> Hold:
    """Who has an incident, and when its ladder climbs."""
    return Hold(
        held_by=incident["held_by_alert_id"],
        escalate_at=incident["escalate_at"],
        unanswered_at=incident["unanswered_at"],
        closed=incident["state"] == "closed",
    )


def rung_of(alert: Mapping[str, Any]) -> Rung:
    """One alert."""
    return Rung(
        id=alert["id"],
        state=State(alert["state"]),
        is_hub=alert["hub_id"] is not None,
        is_overseer=alert["role"] == "control_room",
        acknowledged_at=alert["acknowledged_at"],
        recipient_id=alert["team_id"] or alert["hub_id"],
        handed_from=alert["handed_from"],
    )


def standing_of(incident: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> Standing:
    """An incident with everybody who was told."""
    return Standing(hold_of(incident), incident["priority"], tuple(map(rung_of, alerts)))


def knows(conn: Connection[Any], alert: Mapping[str, Any], incident: Mapping[str, Any]) -> bool:
    """Whether a recipient knows, by its alert or by reading, why the ladder runs."""
    since = incident["restarted_at"]
    return (
        since is None
        or alert["created_at"] >= since
        or steps.has_read(conn, alert["id"], incident_id=incident["id"], received_at=since)
    )


def check_is_of_reports(incident: Mapping[str, Any]) -> None:
    """Raises StateConflict for an incident that no passenger reported: of a colleague, of a drill.

    It has no ladder that another team could be told by, and nobody waits for help in it.
    """
    if incident["about_alert_id"] is not None:
        raise StateConflict(
            "This is about a colleague who was not heard of: it is answered, and ends by itself."
        )
    if incident["audience"].startswith(AUDIENCE):
        raise StateConflict("This is a drill of one team: it is answered, and ends by itself.")
