"""Alerts on the wire: the inbox, one alert with what its team needs to act, and the steps."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, post_dump, post_load, pre_dump, validate

from schemas.arrivals import ExpectedOut
from schemas.check_ins import CheckInOut
from schemas.common import (
    Body,
    Codes,
    PageQuery,
    Timestamp,
    WireId,
    Words,
    list_of,
)
from schemas.journeys import VEHICLE_EXAMPLE, VehicleOut
from schemas.reports.outgoing import LocatedOut, PriorityOut, ReasonOut, RecipientOut
from waylight.domain.alerts import (
    LIVE,
    AlertDetail,
    DeclineCause,
    Ending,
    GrantedReport,
    State,
)
from waylight.domain.properties import Property, shows

OPEN = "open"
STATES = tuple(state.value for state in State)
NOTE_LIMIT = 4_000
ROLES = ["primary", "backup", "control_room", "hub"]


class AlertsQuery(PageQuery):
    """Which alerts to list."""

    team = WireId(
        "team",
        load_default=None,
        metadata={"description": "Only this team's; otherwise all of your organisation."},
    )
    status = Words(
        (OPEN, *STATES),
        load_default=None,
        metadata={
            "description": "Only alerts in these states. `open` means all that are not over:"
            " pending, delivered, acknowledged, en_route, on_scene.",
            "examples": ["open", "pending,delivered"],
        },
    )

    @post_load
    def spell_out(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """`open` as the states it stands for, in one order."""
        said = data["status"]
        if said is not None:
            wanted = {*said, *(LIVE if OPEN in said else ())}
            data["status"] = tuple(state for state in State if state in wanted)
        return data


def _note() -> fields.String:
    """Free text beside a step. A function: each schema needs a field of its own."""
    return fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=NOTE_LIMIT),
        metadata={"description": "A note for the others who act on the incident; sealed."},
    )


class NothingIn(Body):
    """A step that needs no words: an empty object, or no body at all."""


class DeclineIn(Body):
    """Why the team does not come, in a word."""

    cause = fields.Enum(
        DeclineCause,
        by_value=True,
        load_default=None,
        metadata={
            "description": "With `not_ours` the next to be told is a team of another organisation,"
            " wherever one covers the place, and the passenger reads why."
        },
    )
    note = _note()


class CloseIn(Body):
    """How it ended."""

    outcome = fields.Enum(
        Ending,
        by_value=True,
        load_default=Ending.RESOLVED,
        metadata={
            "description": "`founded`: it happened as reported. `minor`: it did, and was small."
            " `unfounded`: it did not happen as reported. `no_trace`: looked for, and nobody was"
            " found. `cancelled`: help was no longer wanted. `advised`: answered by word alone."
            " `transferred`: a service outside Waylight has it, such as an ambulance. `duplicate`:"
            " dealt with under another incident. `resolved`: done, and none of these."
        },
    )
    note = _note()


class TeamRefOut(Schema):
    """A team."""

    id = WireId("team", required=True)
    name = fields.String(required=True)


class HubRefOut(Schema):
    """A safe-travel hub."""

    id = WireId("hub", required=True)
    name = fields.String(required=True)


class PersonRefOut(Schema):
    """A colleague of your organisation."""

    name = fields.String(required=True)


class IncidentSummaryOut(Schema):
    """The event that an alert is about; all its reports are linked to it."""

    id = WireId("incident", required=True)
    status = fields.String(attribute="state", required=True, metadata={"enum": ["open", "closed"]})
    priority = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    category_groups = Codes(required=True)
    report_count = fields.Integer(required=True)
    opened_at = Timestamp(required=True)
    last_at = Timestamp(required=True)
    held_by = WireId(
        "alert",
        required=True,
        allow_none=True,
        metadata={"description": "The alert of the team that has it; null while nobody has."},
    )
    escalate_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When somebody more is told; null when nobody will be."},
    )
    unanswered_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Since when everybody was told and nobody has answered."},
    )


ALERT_EXAMPLE: dict[str, Any] = {
    "id": "alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "version": 1,
    "status": "pending",
    "role": "primary",
    "rank": 1,
    "priority": 1,
    "team": {"id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "name": "Camden rail response (demo)"},
    "hub": None,
    "organisation": "British Transport Police",
    "distance_m": 640,
    "reasons": [{"code": "on_shift", "text": "On duty now."}],
    "categories": ["being_followed", "spiking_drink"],
    "mode": "tube",
    "place": "Camden Town",
    "exercise": False,
    "created_at": "2026-11-21T23:52:41Z",
    "delivered_at": None,
    "seen_at": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "ended_at": None,
    "outcome": None,
    "off_duty_at": None,
    "incident": {
        "id": "incident_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "status": "open",
        "priority": 1,
        "category_groups": ["pursuit", "spiking"],
        "report_count": 1,
        "opened_at": "2026-11-21T23:52:41Z",
        "last_at": "2026-11-21T23:41:03Z",
        "held_by": None,
        "escalate_at": "2026-11-21T23:53:41Z",
        "unanswered_at": None,
    },
}


class AlertOut(Schema):
    """One line of an inbox: what kind, how urgent, where, and who has it. No story."""

    id = WireId("alert", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    status = fields.String(attribute="state", required=True, metadata={"enum": list(STATES)})
    role = fields.String(required=True, metadata={"enum": ROLES})
    rank = fields.Integer(required=True, metadata={"minimum": 1})
    priority = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    team = fields.Nested(TeamRefOut, required=True, allow_none=True)
    hub = fields.Nested(HubRefOut, required=True, allow_none=True)
    organisation = fields.String(required=True)
    distance_m = fields.Integer(required=True, allow_none=True)
    reasons = fields.List(
        fields.Nested(ReasonOut), required=True, metadata={"description": "Why this recipient."}
    )
    categories = Codes(required=True)
    mode = fields.String(required=True, allow_none=True)
    place = fields.String(required=True, allow_none=True)
    exercise = fields.Boolean(required=True)
    created_at = Timestamp(required=True)
    delivered_at = Timestamp(required=True, allow_none=True)
    seen_at = Timestamp(required=True, allow_none=True)
    acknowledged_at = Timestamp(required=True, allow_none=True)
    acknowledged_by = fields.Nested(PersonRefOut, required=True, allow_none=True)
    ended_at = Timestamp(required=True, allow_none=True)
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "How it was closed, or why it was declined.",
            "examples": ["founded"],
        },
    )
    off_duty_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the team went off duty without an answer, so that the next was"
            " told at once. It may still answer."
        },
    )
    incident = fields.Nested(IncidentSummaryOut, required=True)

    example = ALERT_EXAMPLE


AlertList = list_of(AlertOut)


class RungOut(Schema):
    """Somebody who was told about the same incident, this alert's own recipient included."""

    alert_id = WireId("alert", required=True)
    team = fields.Nested(TeamRefOut, required=True, allow_none=True)
    hub = fields.Nested(HubRefOut, required=True, allow_none=True)
    organisation = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": ROLES})
    rank = fields.Integer(required=True, metadata={"minimum": 1})
    status = fields.String(attribute="state", required=True, metadata={"enum": list(STATES)})
    told_at = Timestamp(required=True)
    seen_at = Timestamp(required=True, allow_none=True)
    acknowledged_at = Timestamp(required=True, allow_none=True)


class ContactOut(Schema):
    """How and when it is safe to reach the passenger."""

    phone = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)
    safe_times = fields.String(required=True, allow_none=True)
    voicemail_ok = fields.Boolean(required=True, allow_none=True)


class StoryOut(Schema):
    """What the passenger wrote. `readable` is false when its key is gone: the facts still hold."""

    narrative = fields.String(required=True, allow_none=True)
    description_of_person = fields.String(required=True, allow_none=True)
    location_description = fields.String(required=True, allow_none=True)
    contact = fields.Nested(ContactOut, required=True, allow_none=True)
    not_understood = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        required=True,
        metadata={"description": "By JSON Pointer: what was sent and could not be used as it is."},
    )
    readable = fields.Boolean(required=True)
    redacted = Codes(
        required=True,
        metadata={
            "description": "Texts of which somebody hid a part: what is shown is what was left."
            " `not_understood` is empty then, for it may repeat them."
        },
    )


class JourneyOut(Schema):
    """The vehicle the passenger is or was on."""

    mode = fields.String(required=True, allow_none=True)
    route_id = fields.String(required=True, allow_none=True)
    direction = fields.String(required=True, allow_none=True)
    vehicle_id = fields.String(required=True, allow_none=True)
    carriage = fields.String(required=True, allow_none=True)
    boarded_stop_id = fields.String(required=True, allow_none=True)
    next_stop_id = fields.String(required=True, allow_none=True)


CARRIED: Mapping[Property, tuple[str, ...]] = {
    Property.POSITION: ("location",),
    Property.PLACE: ("location",),
    Property.JOURNEY: ("journey",),
    Property.STORY: ("story",),
    Property.CHOICES: ("routed_to", "shortfalls"),
}
"""Which fields of a granted report carry which property."""


class GrantedReportOut(Schema):
    """A report as far as your organisation was granted it: `docs/access.md` says what of it.

    With a `heads_up` grant, `location`, `journey` and `story` are null and nobody's choices are
    shown.
    """

    id = WireId("report", required=True)
    level = fields.String(required=True, metadata={"enum": ["full", "heads_up"]})
    received_at = Timestamp(required=True)
    happening = fields.String(required=True, metadata={"enum": ["now", "just_now", "earlier"]})
    age_s = fields.Integer(required=True)
    happened_from = Timestamp(required=True, allow_none=True)
    happened_to = Timestamp(required=True, allow_none=True)
    happened_estimated = fields.Boolean(required=True)
    categories = Codes(required=True)
    perspective = fields.String(
        required=True,
        metadata={"enum": ["experienced", "witnessed", "on_behalf", "felt_unsafe"]},
    )
    in_danger = fields.Boolean(required=True, allow_none=True)
    hurt_or_unwell = fields.Boolean(required=True, allow_none=True)
    weapon_seen = fields.Boolean(required=True, allow_none=True)
    person_nearby = fields.Boolean(required=True, allow_none=True)
    under_18 = fields.Boolean(required=True, allow_none=True)
    wants = Codes(required=True)
    needs = Codes(required=True)
    language = fields.String(required=True, allow_none=True)
    priority = fields.Nested(PriorityOut, required=True)
    routed_to = fields.List(
        fields.Nested(RecipientOut),
        attribute="choices",
        required=True,
        metadata={"description": "Who was chosen when the report came, in which order and why."},
    )
    shortfalls = fields.List(
        fields.Nested(ReasonOut),
        required=True,
        metadata={"description": "What stood in the way of a better choice."},
    )
    location = fields.Nested(LocatedOut, required=True, allow_none=True)
    journey = fields.Nested(JourneyOut, required=True, allow_none=True)
    story = fields.Nested(StoryOut, required=True, allow_none=True)
    joined = fields.Boolean(required=True)
    withdrawn = fields.Boolean(required=True)
    exercise = fields.Boolean(required=True)

    @post_dump(pass_original=True)
    def leave_out(self, data: dict[str, Any], original: GrantedReport, **_: Any) -> dict[str, Any]:
        """What the table does not show does not get out, whatever was filled in before."""
        for what, names in CARRIED.items():
            if not shows(what, original.views):
                data |= {name: [] if isinstance(data[name], list) else None for name in names}
        return data


class AlertDetailOut(AlertOut):
    """An alert with all that its team needs in order to act. Reading it is in the audit log."""

    rungs = fields.List(
        fields.Nested(RungOut),
        required=True,
        metadata={"description": "Everybody who was told about this incident, oldest first."},
    )
    reports = fields.List(
        fields.Nested(GrantedReportOut),
        required=True,
        metadata={
            "description": "The report that this alert was raised for, then the newest of those"
            " that joined: at most 50. `incident.report_count` counts all."
        },
    )
    expects = fields.List(
        fields.Nested(ExpectedOut),
        required=True,
        metadata={"description": "Of a hub's alert: whom the hub was told to expect. Else empty."},
    )
    check_in = fields.Nested(
        CheckInOut,
        required=True,
        allow_none=True,
        metadata={
            "description": "The timer of the responder; of an alert with the reason"
            " `responder_overdue`, of the responder that it is about. Null where none was started."
        },
    )
    vehicle = fields.Nested(
        VehicleOut,
        required=True,
        allow_none=True,
        metadata={"description": "Null where no report granted to you in full names a vehicle."},
    )

    example = {
        **ALERT_EXAMPLE,
        "seen_at": "2026-11-21T23:52:55Z",
        "check_in": None,
        "rungs": [
            {
                "alert_id": ALERT_EXAMPLE["id"],
                "team": ALERT_EXAMPLE["team"],
                "hub": None,
                "organisation": "British Transport Police",
                "role": "primary",
                "rank": 1,
                "status": "pending",
                "told_at": "2026-11-21T23:52:41Z",
                "seen_at": "2026-11-21T23:52:55Z",
                "acknowledged_at": None,
            }
        ],
        "reports": [
            {
                "id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d",
                "level": "full",
                "received_at": "2026-11-21T23:52:41Z",
                "happening": "now",
                "age_s": 697,
                "happened_from": "2026-11-21T23:10:00Z",
                "happened_to": "2026-11-21T23:40:00Z",
                "happened_estimated": True,
                "categories": ["being_followed", "spiking_drink"],
                "perspective": "experienced",
                "in_danger": True,
                "hurt_or_unwell": False,
                "weapon_seen": False,
                "person_nearby": True,
                "under_18": False,
                "wants": ["help", "hub"],
                "needs": ["step_free"],
                "language": "en",
                "priority": {
                    "level": 1,
                    "urgency": "Immediate",
                    "severity": "Extreme",
                    "certainty": "Observed",
                    "reasons": [{"code": "in_danger", "text": "In danger now."}],
                },
                "routed_to": [
                    {
                        "team": ALERT_EXAMPLE["team"],
                        "organisation": "British Transport Police",
                        "role": "primary",
                        "rank": 1,
                        "told": "now",
                        "distance_m": 640,
                        "demo": True,
                        "reasons": [{"code": "on_shift", "text": "On duty now."}],
                    }
                ],
                "shortfalls": [],
                "location": {
                    "source": "point",
                    "point": {"type": "Point", "coordinates": [-0.1426, 51.539]},
                    "radius_m": 25,
                    "method": "gnss",
                    "age_s": 701,
                    "place": {"id": "940GZZLUCTN", "name": "Camden Town", "demo": False},
                },
                "journey": {
                    "mode": "tube",
                    "route_id": "northern",
                    "direction": "southbound",
                    "vehicle_id": "123",
                    "carriage": "4",
                    "boarded_stop_id": "940GZZLUCTN",
                    "next_stop_id": "940GZZLUMTC",
                },
                "story": {
                    "narrative": "A man has followed me since the platform.",
                    "description_of_person": None,
                    "location_description": "southbound platform, near the stairs",
                    "contact": {
                        "phone": "+447700900123",
                        "email": None,
                        "safe_times": "after 18:00",
                        "voicemail_ok": False,
                    },
                    "not_understood": {},
                    "readable": True,
                    "redacted": [],
                },
                "joined": False,
                "withdrawn": False,
                "exercise": False,
            }
        ],
        "expects": [],
        "vehicle": VEHICLE_EXAMPLE,
    }

    @pre_dump
    def flatten(self, detail: AlertDetail, **_: Any) -> dict[str, Any]:
        """The alert's own fields beside its rungs and reports."""
        return {
            **vars(detail.alert),
            "rungs": detail.rungs,
            "reports": detail.reports,
            "expects": detail.expects,
            "check_in": detail.check_in,
            "vehicle": detail.vehicle,
        }
