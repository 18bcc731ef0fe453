"""Timers of lone responders on the wire."""

from typing import Any

from marshmallow import fields, validate

from schemas.common import Answer, Body, Timestamp, Whole, WireId
from waylight.domain.check_ins import DEFAULT_S, LONGEST_S, SHORTEST_S

SECONDS = validate.Range(min=SHORTEST_S, max=LONGEST_S)


class CheckInIn(Body):
    """A sign of life, and by when the next one comes."""

    due_in_s = Whole(
        load_default=None,
        allow_none=True,
        validate=SECONDS,
        metadata={
            "description": "Seconds until the next sign of life has to come. Left out: as long as"
            " the timer that runs, else what your organisation has set."
        },
    )

    example = {"due_in_s": 900}


class CheckInOut(Answer):
    """The timer of a responder."""

    alert_id = WireId(
        "alert", required=True, metadata={"description": "The alert that the responder is at."}
    )
    due_in_s = fields.Integer(required=True, metadata={"minimum": 0, "maximum": LONGEST_S})
    started_at = Timestamp(required=True)
    checked_in_at = Timestamp(required=True, metadata={"description": "The last sign of life."})
    due_at = Timestamp(required=True)
    overdue_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Since when the control room has been told; null: all is well."},
    )
    raised = fields.Integer(
        required=True,
        metadata={
            "description": "How often it was told, this time.",
            "minimum": 0,
            "maximum": 2**31 - 1,
        },
    )
    answered = fields.Boolean(
        required=True,
        metadata={"description": "Somebody has taken up that the responder is missed."},
    )
    ended_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When the timer was stopped, by a step or by hand."},
    )

    example: Any = {
        "alert_id": "alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "due_in_s": 900,
        "started_at": "2026-11-21T23:58:40Z",
        "checked_in_at": "2026-11-22T00:04:10Z",
        "due_at": "2026-11-22T00:19:10Z",
        "overdue_at": None,
        "raised": 0,
        "answered": False,
        "ended_at": None,
    }


class CheckInDefaultIn(Body):
    """What starts when somebody arrives on a scene."""

    due_in_s = Whole(
        required=True,
        allow_none=True,
        validate=SECONDS,
        metadata={"description": "Null: nothing starts by itself."},
    )

    example = {"due_in_s": 1200}


class CheckInDefaultOut(Answer):
    """What starts when somebody of your organisation arrives on a scene."""

    due_in_s = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": f"{DEFAULT_S} until your organisation sets it; null: nothing."},
    )
    version = fields.Integer(
        required=True,
        metadata={"description": "The number in its ETag, for `If-Match`; 0 before it was set."},
    )

    example: Any = {"due_in_s": 1800, "version": 0}
