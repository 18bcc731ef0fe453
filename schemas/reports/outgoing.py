"""What a passenger gets back, in words. A 201 is at most 8 KB and needs no second request."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from marshmallow import Schema, fields, post_dump

from schemas.common import (
    Answer,
    Codes,
    Position,
    Said,
    Timestamp,
    WireId,
)
from schemas.reports.example import REPORT_ANSWER_EXAMPLE

ANSWER_LIMIT = 8_192
"""Bytes of JSON (design, section 5)."""

SHORT_WARNINGS = 4

DIRECTIONS = "https://www.openstreetmap.org/directions?to={lat:.6f}%2C{lon:.6f}"
"""Only the hub is in the link: where the passenger stands is nobody's business."""


class ReasonOut(Answer):
    """A stable code and its sentence in the caller's language."""

    code = fields.String(required=True)
    text = Said("reasons", required=True)


class AdviceOut(Answer):
    """One thing to do, or to know, now."""

    code = fields.String(required=True)
    text = Said("advice", required=True)


class WhoSeesOut(Answer):
    """One line of who sees this report."""

    code = fields.String(required=True)
    text = Said("who_sees", required=True)


class WarningOut(Schema):
    """What was repaired, ignored or kept aside; the report is taken all the same."""

    pointer = fields.String(required=True, metadata={"description": "JSON Pointer or header."})
    code = fields.String(required=True)
    detail = Said("warnings", required=True)


class PriorityOut(Answer):
    """CAP 1.2 words and the reasons for them."""

    level = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    urgency = fields.String(required=True, metadata={"enum": ["Immediate", "Expected", "Past"]})
    severity = fields.String(
        required=True, metadata={"enum": ["Extreme", "Severe", "Moderate", "Minor"]}
    )
    certainty = fields.String(required=True, metadata={"enum": ["Observed", "Likely", "Possible"]})
    reasons = fields.List(fields.Nested(ReasonOut), required=True)


class PlaceRefOut(Answer):
    """A named place near the report."""

    id = fields.Function(
        lambda place: (
            WireId.of("place", UUID(place.id.removeprefix("place:")))
            if place.id.startswith("place:")
            else place.id
        ),
        required=True,
        metadata={"type": "string", "description": "Its stop id, or `place_...` without one."},
    )
    name = fields.String(required=True)
    demo = fields.Boolean(required=True)


class LocatedOut(Answer):
    """Where the report is taken to be and how that is known."""

    source = fields.String(
        required=True, metadata={"enum": ["point", "stop", "journey", "words", "nothing"]}
    )
    point = Position(required=True, allow_none=True)
    radius_m = fields.Float(required=True, allow_none=True)
    method = fields.String(required=True, allow_none=True)
    age_s = fields.Integer(required=True, allow_none=True)
    place = fields.Nested(PlaceRefOut, required=True, allow_none=True)


class NamedOut(Schema):
    """A team or hub by its id and name."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class RecipientOut(Answer):
    """Somebody who is told, or is next if nobody answers."""

    team = fields.Nested(NamedOut, allow_none=True)
    hub = fields.Nested(NamedOut, allow_none=True)
    organisation = fields.String(required=True)
    role = fields.String(
        required=True, metadata={"enum": ["primary", "backup", "control_room", "hub"]}
    )
    rank = fields.Integer(required=True)
    told = fields.String(required=True, metadata={"enum": ["now", "if_unanswered"]})
    distance_m = fields.Integer(required=True, allow_none=True)
    demo = fields.Boolean(required=True)
    reasons = fields.List(fields.Nested(ReasonOut), required=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """`team` and `hub` from the one id that a recipient has."""
        if attr in ("team", "hub"):
            key = obj.team_id if attr == "team" else obj.hub_id
            return key and {"id": WireId.of(attr, key), "name": obj.name}
        return super().get_attribute(obj, attr, default)

    @post_dump
    def drop_absent(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """A recipient is a team or a hub: the other word is left out."""
        return {k: v for k, v in data.items() if v is not None or k == "distance_m"}


class OpenHubOut(Answer):
    """A safe-travel hub that is open now."""

    id = WireId("hub", required=True)
    name = fields.String(required=True)
    location = Position(attribute="point", required=True)
    distance_m = fields.Integer(required=True)
    walk_minutes = fields.Integer(required=True)
    open_until = Timestamp(required=True, allow_none=True)
    services = Codes(required=True)
    access = Codes(required=True)
    needs_met = Codes(required=True)
    needs_unmet = Codes(required=True)
    open_on_arrival = fields.Boolean(
        required=True,
        metadata={"description": "False where it may be closed when somebody who walks arrives."},
    )
    position_stale = fields.Function(
        lambda hub: hub.silent_min is not None,
        required=True,
        metadata={"type": "boolean", "description": "A mobile hub that may have moved since."},
    )
    demo = fields.Boolean(required=True)
    directions_url = fields.Function(
        lambda hub: DIRECTIONS.format(lat=hub.point.lat, lon=hub.point.lon),
        required=True,
        metadata={"type": "string", "format": "uri"},
    )


class JurisdictionOut(Answer):
    """Whose job it is, and how to reach them when it is not an emergency."""

    body = fields.String(required=True, allow_none=True)
    reason = fields.Nested(ReasonOut, required=True)
    contact = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class CardContactOut(Answer):
    """A number to call or text, and how."""

    need = fields.String(required=True)
    name = fields.String(required=True)
    phone = fields.String()
    sms = fields.String()
    how = Said("how", attribute="how")

    @post_dump
    def drop_absent(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Only the ways that exist."""
        return {k: v for k, v in data.items() if v is not None}


class SafetyCardOut(Answer):
    """What to do now, in the answer itself: it works when nothing else does."""

    emergency = fields.List(fields.Nested(CardContactOut), required=True)
    support = fields.List(fields.Nested(CardContactOut), required=True)
    advice = fields.List(fields.Nested(AdviceOut), required=True)
    who_sees_this = fields.List(fields.Nested(WhoSeesOut), required=True)
    verified_at = fields.String(required=True, allow_none=True, metadata={"format": "date"})


class IncidentRefOut(Schema):
    """Whether somebody else already reported the same event."""

    joined = fields.Boolean(required=True)


class ReportReceiptOut(Answer):
    """The 201: stored durably, and somebody is being told."""

    id = WireId("report", required=True)
    receipt = fields.String(
        required=True,
        metadata={
            "description": "The secret to come back with, as `Authorization: Receipt ...`.",
            "pattern": "^[0-9A-Z]{4}(-[0-9A-Z]{4}){5}$",
        },
    )
    status = fields.String(required=True, metadata={"enum": ["routed", "recorded", "unrouted"]})
    received_at = Timestamp(required=True)
    exercise = fields.Boolean(required=True)
    priority = fields.Nested(PriorityOut, required=True)
    location = fields.Nested(LocatedOut, required=True)
    incident = fields.Nested(IncidentRefOut, attribute="incident", required=True)
    routed_to = fields.List(fields.Nested(RecipientOut), required=True)
    shortfalls = fields.List(fields.Nested(ReasonOut), required=True)
    alerting = fields.String(
        required=True,
        metadata={
            "enum": ["live", "delayed", "none"],
            "description": "`delayed`: stored, but nobody is being alerted right now; the safety"
            " card says what to do instead. `none`: you asked that nobody be told.",
        },
    )
    hubs = fields.List(fields.Nested(OpenHubOut), required=True)
    jurisdiction = fields.Nested(JurisdictionOut, required=True)
    safety_card = fields.Nested(SafetyCardOut, required=True)
    warnings = fields.List(fields.Nested(WarningOut), required=True)
    linked_report_id = WireId("report", required=True, allow_none=True)

    example = REPORT_ANSWER_EXAMPLE

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """`incident` says only whether the report joined one: incidents belong to staff."""
        if attr == "incident":
            return {"joined": obj.joined}
        return super().get_attribute(obj, attr, default)

    @post_dump
    def fit(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The answer within its limit: what helps least just now goes first."""
        for shorten in SHORTENINGS:
            if len(orjson.dumps(data)) <= ANSWER_LIMIT:
                break
            shorten(data)
        return data


def _fewer_warnings(answer: dict[str, Any]) -> None:
    warnings = answer["warnings"]
    answer["warnings"] = warnings[:SHORT_WARNINGS]
    if len(warnings) > SHORT_WARNINGS:
        rest = {"pointer": "", "code": "more_warnings", "params": {}}
        answer["warnings"].append(WarningOut().dump(rest))


def _no_reasons_for_later(answer: dict[str, Any]) -> None:
    for recipient in answer["routed_to"]:
        if recipient["told"] == "if_unanswered":
            recipient["reasons"] = []


def _fewer_hubs(answer: dict[str, Any]) -> None:
    answer["hubs"] = answer["hubs"][:2]


def _nobody_later(answer: dict[str, Any]) -> None:
    answer["routed_to"] = [r for r in answer["routed_to"] if r["told"] == "now"]


def _shorter_card(answer: dict[str, Any]) -> None:
    card = answer["safety_card"]
    card["support"], card["advice"] = card["support"][:1], card["advice"][:3]


def _one_hub(answer: dict[str, Any]) -> None:
    answer["hubs"] = answer["hubs"][:1]


SHORTENINGS: tuple[Callable[[dict[str, Any]], None], ...] = (
    _fewer_warnings,
    _no_reasons_for_later,
    _fewer_hubs,
    _nobody_later,
    _one_hub,
    _shorter_card,
)
"""What is left out of an answer that is too long, in this order."""


class TimelineEntryOut(Schema):
    """One fact of what became of a report."""

    at = Timestamp(required=True)
    code = fields.String(required=True)
    text = Said("timeline", required=True)


class HeldByOut(Schema):
    """The team that has a report now."""

    name = fields.String(required=True)
    organisation = fields.String(required=True)
    status = fields.String(
        attribute="state",
        required=True,
        metadata={"enum": ["acknowledged", "en_route", "on_scene"]},
    )
    since = Timestamp(required=True, allow_none=True)


class MyReportOut(Schema):
    """A report as its passenger sees it. Nothing they wrote comes back over the wire."""

    id = WireId("report", required=True)
    status = fields.String(required=True, metadata={"enum": ["routed", "recorded", "unrouted"]})
    received_at = Timestamp(required=True)
    exercise = fields.Boolean(required=True)
    happening = fields.String(required=True, metadata={"enum": ["now", "just_now", "earlier"]})
    categories = Codes(required=True)
    priority = fields.Nested(PriorityOut, required=True)
    location = fields.Nested(LocatedOut, required=True)
    told = fields.List(fields.Nested(RecipientOut), required=True)
    held_by = fields.Nested(
        HeldByOut,
        required=True,
        allow_none=True,
        metadata={"description": "Who has it now; null while nobody has, and when all is done."},
    )
    timeline = fields.List(fields.Nested(TimelineEntryOut), required=True)
