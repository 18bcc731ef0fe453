"""Webhooks on the wire."""

from typing import Any

from marshmallow import fields, validate

from schemas.common import Answer, Body, Codes, Timestamp, Whole, WireId, list_of
from waylight.domain.endpoints import LENGTH
from waylight.domain.webhooks import CHOICES, LONGEST_OVERLAP, OVERLAP, Reason, State

URL: dict[str, Any] = {
    "format": "uri",
    "description": "Where events are posted: `https://` with a host on the open internet, no name,"
    " password or `#`. It is kept encrypted, for in many services it is itself the password.",
    "examples": ["https://partner.example/waylight"],
}
TYPES: dict[str, Any] = {
    "description": "Which events: types, or the beginning of one before a star. `*` is everything."
    " Only `*` and what begins with `exercise.` has drills in it.",
    "examples": [["alert.*", "incident.updated"]],
}
DESCRIPTION: dict[str, Any] = {
    "description": "For you: what it is for.",
    "examples": ["Control room wall"],
}
SETTABLE = (State.ACTIVE, State.PAUSED)
STATE: dict[str, Any] = {
    "description": "`active`, or `paused`: nothing is sent, and what happens meanwhile never is.",
}
EXAMPLE: dict[str, Any] = {
    "id": "webhook_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "url": "https://partner.example/waylight",
    "event_types": ["alert.*"],
    "description": "Control room wall",
    "state": "active",
    "disabled_at": None,
    "disabled_reason": None,
    "failures": 0,
    "failing_since": None,
    "rests_until": None,
    "last_delivered_at": "2026-11-21T23:52:41Z",
    "old_secret_until": None,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-20T09:00:00Z",
    "version": 1,
}


def _url(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(min=1, max=LENGTH), metadata=URL, **kwargs)


def _event_types(**kwargs: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.OneOf(CHOICES)),
        validate=validate.Length(min=1, max=len(CHOICES)),
        metadata=TYPES,
        **kwargs,
    )


def _description(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(max=200), metadata=DESCRIPTION, **kwargs)


def _state(**kwargs: Any) -> fields.String:
    return fields.String(
        validate=validate.OneOf([str(one) for one in SETTABLE]), metadata=STATE, **kwargs
    )


class WebhookIn(Body):
    """A new webhook."""

    url = _url(required=True)
    event_types = _event_types(load_default=lambda: ["*"])
    description = _description(load_default="")
    state = _state(load_default=str(State.ACTIVE))

    example = {
        "url": "https://partner.example/waylight",
        "event_types": ["alert.*"],
        "description": "Control room wall",
    }


class WebhookEditIn(Body):
    """What changes; the rest stays."""

    url = _url()
    event_types = _event_types()
    description = _description()
    state = _state()

    example = {"event_types": ["*"], "state": "paused"}


class RotationIn(Body):
    """How long the secret before goes on signing beside the new one."""

    overlap_s = Whole(
        load_default=int(OVERLAP.total_seconds()),
        validate=validate.Range(min=0, max=int(LONGEST_OVERLAP.total_seconds())),
        metadata={"description": "0 ends every older secret at once: for one that leaked."},
    )

    example = {"overlap_s": 86_400}


class WebhookOut(Answer):
    """A webhook, and how its endpoint does."""

    id = WireId("webhook", required=True)
    organisation_id = WireId("organisation", required=True)
    url = fields.String(
        required=True,
        allow_none=True,
        metadata={**URL, "description": f"{URL['description']} Null where it cannot be opened."},
    )
    event_types = Codes(required=True, metadata=TYPES)
    description = fields.String(required=True, metadata=DESCRIPTION)
    state = fields.String(
        required=True,
        validate=validate.OneOf([str(one) for one in State]),
        metadata={"description": "`disabled` is by us: see `disabled_reason`."},
    )
    disabled_at = Timestamp(required=True, allow_none=True)
    disabled_reason = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*map(str, Reason), None]),
        metadata={
            "description": "`gone`: it answered 410. `failing`: for five days nothing but failures."
            " `unreadable`: what is kept of it cannot be opened, for the operator lost a key:"
            " delete it and make it anew."
        },
    )
    failures = fields.Integer(
        required=True, metadata={"minimum": 0, "description": "In a row, the last attempts."}
    )
    failing_since = Timestamp(
        required=True, allow_none=True, metadata={"description": "The first failure of them."}
    )
    rests_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Nothing is tried before, because of `failures` or as it asked."},
    )
    last_delivered_at = Timestamp(
        required=True, allow_none=True, metadata={"description": "To the minute."}
    )
    old_secret_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Until then the secret before signs as well."},
    )
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})

    example = EXAMPLE


class WebhookSecretOut(WebhookOut):
    """A webhook with the secret that was just made: this answer is the only one that has it."""

    secret = fields.String(
        required=True,
        metadata={
            "description": "Signs from now on (Standard Webhooks 1.0): keep it.",
            "pattern": r"^whsec_[A-Za-z0-9+/]{43}=$",
        },
    )

    example = {**EXAMPLE, "secret": "whsec_c2VjcmV0LW9mLWFuLWV4YW1wbGUtb2YtMzItYnl0ZXM="}


WebhookList = list_of(WebhookOut)


class WebhookAttemptOut(Answer):
    """One attempt."""

    at = Timestamp(required=True)
    outcome = fields.String(
        required=True,
        metadata={
            "description": "`delivered`, `failed`, `gone` (410) or `refused` (by us).",
            "examples": ["delivered"],
        },
    )
    answered = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The HTTP status; null where no answer came."},
    )
    detail = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "`http_503`, `timed_out`, `not_connected`, `tls_failed`,"
            " `address_refused`, `no_longer_concerned` ...",
            "examples": ["http_204"],
        },
    )
    duration_ms = fields.Integer(required=True, metadata={"minimum": 0})


class WebhookDeliveryOut(Answer):
    """One event on its way to one endpoint."""

    id = WireId("delivery", required=True)
    event_id = WireId(
        "event", required=True, metadata={"description": "As in `webhook-id` and the body."}
    )
    event_type = fields.String(required=True, metadata={"examples": ["alert.created"]})
    status = fields.String(
        required=True,
        metadata={
            "description": "`queued`, `delivered`, `failed` (given up) or `dropped` (the webhook"
            " was disabled).",
            "examples": ["delivered"],
        },
    )
    created_at = Timestamp(required=True)
    next_attempt_at = Timestamp(required=True, allow_none=True)
    delivered_at = Timestamp(required=True, allow_none=True)
    attempts = fields.List(fields.Nested(WebhookAttemptOut), required=True)

    example = {
        "id": "delivery_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "event_id": "event_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "event_type": "alert.created",
        "status": "delivered",
        "created_at": "2026-11-21T23:52:41Z",
        "next_attempt_at": None,
        "delivered_at": "2026-11-21T23:52:41Z",
        "attempts": [
            {
                "at": "2026-11-21T23:52:41Z",
                "outcome": "delivered",
                "answered": 204,
                "detail": "http_204",
                "duration_ms": 41,
            }
        ],
    }


WebhookDeliveryList = list_of(WebhookDeliveryOut)
