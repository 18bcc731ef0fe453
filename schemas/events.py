"""An event on the wire: the same in the stream and in the webhooks of partners."""

from typing import Any

from marshmallow import fields

from schemas.alerts import HubRefOut, TeamRefOut
from schemas.common import Answer, Codes, Timestamp, WireId
from waylight.domain.events import GRANT_CREATED, TYPES, VERSION, PublicEvent

EVENT_EXAMPLE: dict[str, Any] = {
    "id": "event_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "type": "alert.created",
    "version": VERSION,
    "at": "2026-11-21T23:52:41Z",
    "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "data": {
        "alert_id": "alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "incident_id": "incident_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "report_id": None,
        "team": {"id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "name": "Camden rail response (demo)"},
        "hub": None,
        "status": "pending",
        "reason": None,
        "priority": 1,
        "category_groups": ["pursuit", "spiking"],
        "exercise": False,
        "link": "https://waylight.example/v1/alerts/alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
    },
}


class EventDataOut(Answer):
    """What an event is about: ids and codes to act on, no story and no place."""

    alert_id = WireId("alert", required=True, allow_none=True)
    incident_id = WireId("incident", required=True, allow_none=True)
    report_id = WireId(
        "report",
        required=True,
        allow_none=True,
        metadata={"description": "Of a grant: the report that it is for. Else null."},
    )
    team = fields.Nested(
        TeamRefOut,
        required=True,
        allow_none=True,
        metadata={"description": "The team that the alert is for."},
    )
    hub = fields.Nested(
        HubRefOut,
        required=True,
        allow_none=True,
        metadata={"description": "The hub that the alert is for, or that changed."},
    )
    status = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Of the alert, else of the incident, at the moment of sending: it may"
            " have gone on since the event.",
            "examples": ["pending", "acknowledged"],
        },
    )
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Why, as a code: `acknowledged`, `report_joined`,"
            " `acknowledged_elsewhere`, `unanswered` ... There may be new ones at any time.",
            "examples": ["acknowledged"],
        },
    )
    priority = fields.Integer(required=True, allow_none=True, metadata={"minimum": 1, "maximum": 4})
    category_groups = Codes(required=True)
    exercise = fields.Boolean(
        required=True, metadata={"description": "A drill. Its type says so as well."}
    )
    link = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "format": "uri",
            "description": "Where the whole is read, with a key: the alert, the hub, or the report"
            " that was shared. Null for a grant that ended, and for an incident: read the alerts of"
            " that incident in your inbox.",
        },
    )


class EventOut(Answer):
    """One thing that happened.

    The type of everything in a drill begins with `exercise.`, so a listener to `alert.created`
    never takes a drill for real. The same event always has the same `id`: one that comes twice is
    to be ignored. Ignore types that you do not know; `message.*` is reserved.
    """

    id = WireId("event", required=True)
    type = fields.String(
        required=True,
        metadata={
            "pattern": r"^(exercise\.)?[a-z_]+\.[a-z_]+$",
            "description": "One of "
            + ", ".join(f"`{name}`" for name in TYPES)
            + "; in a drill the same after `exercise.`.",
            "examples": ["alert.created", "exercise.alert.created"],
        },
    )
    version = fields.Integer(
        required=True,
        metadata={
            "minimum": VERSION,
            "description": "Of this envelope. Within a version fields are only ever added.",
        },
    )
    at = Timestamp(required=True, metadata={"description": "When it happened."})
    organisation_id = WireId(
        "organisation",
        required=True,
        allow_none=True,
        metadata={"description": "Whose alert, hub or grant it is; null for an incident."},
    )
    data = fields.Nested(EventDataOut, required=True)

    example = EVENT_EXAMPLE


def envelope(event: PublicEvent, *, base_url: str) -> dict[str, Any]:
    """An event as it is sent, ready for JSON: an EventOut, written out because it is hot."""
    return {
        "id": WireId.of("event", event.id),
        "type": event.type,
        "version": VERSION,
        "at": _AT.serialize("at", event),
        "organisation_id": _id("organisation", event.organisation_id),
        "data": {
            "alert_id": _id("alert", event.alert_id),
            "incident_id": _id("incident", event.incident_id),
            "report_id": _id("report", event.report_id),
            "team": event.team and {"id": _id("team", event.team.id), "name": event.team.name},
            "hub": event.hub and {"id": _id("hub", event.hub.id), "name": event.hub.name},
            "status": event.status,
            "reason": event.reason,
            "priority": event.priority,
            "category_groups": list(event.category_groups),
            "exercise": event.exercise,
            "link": _link(event, base_url),
        },
    }


_AT = Timestamp()


def _id(prefix: str, key: Any) -> str | None:
    return None if key is None else WireId.of(prefix, key)


def _link(event: PublicEvent, base_url: str) -> str | None:
    if event.alert_id is not None:
        return f"{base_url}/v1/alerts/{_id('alert', event.alert_id)}"
    if event.report_id is not None and event.type.endswith(GRANT_CREATED):
        return f"{base_url}/v1/shared-reports/{_id('report', event.report_id)}"
    if event.hub is not None:
        return f"{base_url}/v1/hubs/{_id('hub', event.hub.id)}"
    return None
