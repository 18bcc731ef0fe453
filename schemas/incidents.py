"""Incidents on the wire: the list, one with all that is known, what happened, and what is done."""

from typing import Any
from uuid import UUID

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    post_load,
    pre_dump,
    validate,
    validates_schema,
)

from schemas.alerts import NOTE_LIMIT, GrantedReportOut, HubRefOut, RungOut, StoryOut, TeamRefOut
from schemas.common import Body, Codes, PageQuery, Timestamp, WireId, Words, list_of
from schemas.reports.outgoing import ReasonOut, RecipientOut
from waylight.domain.incidents import Entry, IncidentDetail
from waylight.domain.redactions import FIELDS

STATES = ("open", "closed")
REASON_LIMIT = 1_000
SPLIT_LIMIT = 100
RANGES_LIMIT = 200

KINDS = (
    "report.received",
    "report.moved",
    "report.redacted",
    "alert.created",
    "alert.updated",
    "alert.escalated",
    "alert.seen",
    "alert.acknowledged",
    "alert.declined",
    "alert.en_route",
    "alert.on_scene",
    "alert.hand_over_asked",
    "alert.handed_over",
    "alert.closed",
    "alert.withdrawn",
    "delivery.attempted",
    "delivery.sent",
    "delivery.delivered",
    "delivery.failed",
    "incident.note_added",
    "incident.unanswered",
    "incident.merged",
    "incident.split",
    "incident.opened",
    "incident.reopened",
    "incident.closed",
)


class IncidentsQuery(PageQuery):
    """Which incidents to list."""

    status = Words(
        STATES,
        load_default=None,
        metadata={"description": "Only these.", "examples": ["open"]},
    )
    priority = Words(
        ("1", "2", "3", "4"),
        load_default=None,
        metadata={"description": "Only these priorities.", "examples": ["1,2"]},
    )

    @post_load
    def in_one_order(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The same filter always looks the same, so that a cursor fits it."""
        for name, read in (("status", str), ("priority", int)):
            if data[name] is not None:
                data[name] = tuple(sorted(map(read, data[name])))
        return data


class TimelineQuery(PageQuery):
    """How many entries, and from where."""


def words(limit: int, **others: Any) -> fields.String:
    """A text of a person, of at most `limit` characters and not blank."""
    return fields.String(
        required=others.pop("required", True),
        validate=[
            validate.Length(max=limit),
            validate.Regexp(r"[\s\S]*\S", error="Say something."),
        ],
        **others,
    )


class NoteIn(Body):
    """A note: free text, sealed like a story, never changed. A correction is a new note."""

    text = words(NOTE_LIMIT)

    example = {"text": "Spoke to the driver: the man left at Euston."}


class HandOverIn(Body):
    """Who is asked to take the incident over, and why."""

    to_team = WireId("team", required=True)
    reason = words(REASON_LIMIT)

    example = {
        "to_team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "reason": "Our shift ends; they are at the next station.",
    }


class ReopenIn(Body):
    """Why it is opened again."""

    reason = words(REASON_LIMIT)

    example = {"reason": "She called: he is back."}


class MergeIn(Body):
    """The incident that takes the reports of this one."""

    into = WireId("incident", required=True)
    reason = words(REASON_LIMIT, required=False, load_default=None, allow_none=True)

    example = {
        "into": "incident_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "reason": "The same man, two carriages on.",
    }


class SplitIn(Body):
    """The reports that are about something else."""

    reports = fields.List(
        WireId("report"), required=True, validate=validate.Length(min=1, max=SPLIT_LIMIT)
    )
    reason = words(REASON_LIMIT, required=False, load_default=None, allow_none=True)

    example = {"reports": ["report_01jdw2s4x0e6qv3t8k5n7b9c1d"]}


class RangeField(fields.Field[tuple[int, int]]):
    """`[from, to]`: characters from the first, up to but without the second."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "type": "array",
            "items": {
                "type": "integer",
                "format": "int32",
                "minimum": 0,
                "maximum": 1_000_000,
            },
            "minItems": 2,
            "maxItems": 2,
            "examples": [[10, 24]],
        }
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> tuple[int, int]:
        whole = (
            isinstance(value, list)
            and len(value) == 2
            and all(type(one) is int and 0 <= one <= 1_000_000 for one in value)
        )
        if not whole:
            raise ValidationError("This must be [from, to] in whole characters.")
        return value[0], value[1]


class RedactionIn(Body):
    """What to hide of a text: some characters, or all of it behind another text."""

    field = fields.String(required=True, validate=validate.OneOf(FIELDS))
    ranges = fields.List(
        RangeField(),
        validate=validate.Length(min=1, max=RANGES_LIMIT),
        metadata={
            "description": "Each `[from, to]` counts Unicode characters of the text as it is shown"
            " now; a hidden character is shown as █, so that the others keep their places."
        },
    )
    replacement = fields.String(
        validate=validate.Length(max=10_000),
        metadata={"description": "Instead of `ranges`: what is shown in the place of the text."},
    )
    reason = words(REASON_LIMIT)

    example = {
        "field": "narrative",
        "ranges": [[10, 24]],
        "reason": "The name of a person who is not involved.",
    }

    @validates_schema(skip_on_field_errors=True)
    def one_of_the_two(self, data: dict[str, Any], **_: Any) -> None:
        """Exactly one way of hiding."""
        if ("ranges" in data) == ("replacement" in data):
            raise ValidationError("Send either ranges or a replacement.", "ranges")


class RedactionOut(Schema):
    """A redaction that was made."""

    id = WireId("redaction", required=True)
    report_id = WireId("report", required=True)
    field = fields.String(required=True, metadata={"enum": list(FIELDS)})
    at = Timestamp(required=True)


class OriginalOut(StoryOut):
    """What the passenger wrote, whatever was redacted of it since."""


class HolderOut(Schema):
    """The team that has an incident."""

    alert_id = WireId("alert", required=True)
    team = fields.Nested(TeamRefOut, required=True)
    organisation = fields.String(required=True)
    status = fields.String(attribute="state", required=True)
    since = Timestamp(required=True, allow_none=True)


INCIDENT_EXAMPLE: dict[str, Any] = {
    "id": "incident_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "version": 4,
    "status": "open",
    "priority": 1,
    "category_groups": ["pursuit", "spiking"],
    "report_count": 1,
    "exercise": False,
    "opened_at": "2026-11-21T23:52:41Z",
    "last_at": "2026-11-21T23:41:03Z",
    "closed_at": None,
    "held_by": {
        "alert_id": "alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "team": {"id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "name": "Camden rail response (demo)"},
        "organisation": "British Transport Police",
        "status": "en_route",
        "since": "2026-11-21T23:53:10Z",
    },
    "escalate_at": None,
    "unanswered_at": None,
    "merged_into": None,
    "split_from": None,
}


class IncidentOut(Schema):
    """One line of a list of incidents: what kind, how urgent, who has it. Nothing of a report."""

    id = WireId("incident", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    status = fields.String(attribute="state", required=True, metadata={"enum": list(STATES)})
    priority = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    category_groups = Codes(required=True)
    report_count = fields.Integer(required=True)
    exercise = fields.Boolean(required=True)
    opened_at = Timestamp(required=True)
    last_at = Timestamp(required=True)
    closed_at = Timestamp(required=True, allow_none=True)
    held_by = fields.Nested(HolderOut, required=True, allow_none=True)
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
    merged_into = WireId("incident", required=True, allow_none=True)
    split_from = WireId("incident", required=True, allow_none=True)

    example = INCIDENT_EXAMPLE


IncidentList = list_of(IncidentOut)


class IncidentDetailOut(IncidentOut):
    """An incident with everybody who was told and the reports that your organisation was granted.

    Reading it is in the audit log, and answers nothing: that is done with the alert.
    """

    rungs = fields.List(
        fields.Nested(RungOut),
        required=True,
        metadata={"description": "Everybody who was told about it, oldest first."},
    )
    reports = fields.List(
        fields.Nested(GrantedReportOut),
        required=True,
        metadata={"description": "The newest that you may read: at most 50."},
    )

    example = {**INCIDENT_EXAMPLE, "rungs": [], "reports": []}

    @pre_dump
    def flatten(self, detail: IncidentDetail, **_: Any) -> dict[str, Any]:
        """The incident's own fields beside its rungs and reports."""
        return {**vars(detail.incident), "rungs": detail.rungs, "reports": detail.reports}


class ActorOut(Schema):
    """Who did it. A person has a name within the own organisation only."""

    organisation = fields.String(required=True)
    role = fields.String(required=True, allow_none=True)
    person = fields.String(required=True, allow_none=True)


class ToldOut(Schema):
    """The recipient of the alert that it is about."""

    alert_id = WireId("alert", required=True)
    team = fields.Nested(TeamRefOut, required=True, allow_none=True)
    hub = fields.Nested(HubRefOut, required=True, allow_none=True)
    organisation = fields.String(required=True)


class EntryOut(Schema):
    """One thing that happened to an incident."""

    at = Timestamp(required=True)
    kind = fields.String(
        required=True,
        metadata={
            "description": "There may be new ones at any time. Among them: "
            + ", ".join(f"`{kind}`" for kind in KINDS)
            + ".",
            "examples": ["alert.acknowledged"],
        },
    )
    report_id = WireId("report", required=True, allow_none=True)
    by = fields.Nested(ActorOut, required=True, allow_none=True)
    told = fields.Nested(ToldOut, required=True, allow_none=True)
    note = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What a member of staff wrote, of an `incident.note_added`."},
    )
    routed_to = fields.List(
        fields.Nested(RecipientOut),
        attribute="choices",
        required=True,
        metadata={"description": "Of a `report.received`: who was chosen, in order, and why."},
    )
    shortfalls = fields.List(fields.Nested(ReasonOut), required=True)
    details = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(),
        required=True,
        metadata={
            "description": "Codes and numbers: `priority`, `outcome`, `reason`, `channel`,"
            " `attempt` ... as far as there are any."
        },
    )

    example: Any = {
        "at": "2026-11-21T23:53:10Z",
        "kind": "alert.acknowledged",
        "report_id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "by": {"organisation": "British Transport Police", "role": "officer", "person": "Robin"},
        "told": {
            "alert_id": "alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
            "team": INCIDENT_EXAMPLE["held_by"]["team"],
            "hub": None,
            "organisation": "British Transport Police",
        },
        "note": None,
        "routed_to": [],
        "shortfalls": [],
        "details": {"holds": True, "again": False},
    }

    def get_attribute(self, obj: Entry, attr: str, default: Any) -> Any:
        """`details` are the event's data, with ids of incidents as they are on the wire."""
        if attr != "details":
            return super().get_attribute(obj, attr, default)
        return {name: _on_the_wire(name, value) for name, value in obj.data.items()}


def _on_the_wire(name: str, value: Any) -> Any:
    if name in ("from", "into") and isinstance(value, str):
        return WireId.of("incident", UUID(value))
    return value


Timeline = list_of(EntryOut)
