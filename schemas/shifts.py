"""Shifts of a team on the wire."""

from typing import Any

from marshmallow import Schema, fields, post_load, pre_dump, validate

from schemas.common import (
    Answer,
    Body,
    Codes,
    Name,
    PageQuery,
    QueryInteger,
    Timestamp,
    Whole,
    WireId,
    list_of,
)
from waylight.domain.schedules import LONGEST_EXPRESSION
from waylight.domain.shifts import PREVIEW, Hours, Shift, ShiftKind

KINDS = [kind.value for kind in ShiftKind]
RULE = {
    "description": "OpenStreetMap `opening_hours`, by the clocks of the city. A night belongs to"
    " the day it starts on. Of a recurring shift only.",
    "examples": ["Mo-Fr 06:00-14:00", "Fr-Sa 20:00-04:00", "Mo-Su 18:00-02:00; PH off"],
}


class ShiftsQuery(PageQuery):
    """Which shifts to list."""


class ShiftIn(Body):
    """Hours of a team: a recurring rule, or one extra or cancelled stretch."""

    kind = fields.Enum(
        ShiftKind,
        by_value=True,
        required=True,
        metadata={
            "description": "`recurring` has a `rule`; the recurring shifts of a team together take"
            " the place of its city pack's rule. `extra` and `cancelled` have `from` and `to`, and"
            " add a stretch or take one away, once."
        },
    )
    rule = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=LONGEST_EXPRESSION),
        metadata=RULE,
    )
    starts_at = Timestamp(
        data_key="from",
        load_default=None,
        allow_none=True,
        metadata={"description": "Of an extra or a cancelled stretch."},
    )
    ends_at = Timestamp(
        data_key="to",
        load_default=None,
        allow_none=True,
        metadata={"description": "Of an extra or a cancelled stretch; not included."},
    )
    name = Name(
        most=80,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "What you call it. No names of people: it is kept.",
            "examples": ["Late turn"],
        },
    )

    example = {"kind": "recurring", "rule": "Fr-Sa 20:00-04:00", "name": "Night team"}

    @post_load
    def hours(self, data: dict[str, Any], **_: Any) -> Hours:
        """The hours as the rules know them."""
        return Hours(**data)


class ShiftOut(Schema):
    """A shift that staff set."""

    id = WireId("shift", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    kind = fields.String(required=True, metadata={"enum": KINDS})
    rule = fields.String(required=True, allow_none=True, metadata=RULE)
    starts_at = Timestamp(data_key="from", required=True, allow_none=True)
    ends_at = Timestamp(data_key="to", required=True, allow_none=True)
    name = fields.String(required=True, allow_none=True)
    created_at = Timestamp(required=True)
    created_by = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Who set it; null for people of another organisation."},
    )

    example: Any = {
        "id": "shift_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 1,
        "kind": "recurring",
        "rule": "Fr-Sa 20:00-04:00",
        "from": None,
        "to": None,
        "name": "Night team",
        "created_at": "2026-11-21T23:52:40Z",
        "created_by": "Robin Demo",
    }

    @pre_dump
    def flatten(self, shift: Shift, **_: Any) -> dict[str, Any]:
        """Its hours beside its id."""
        return {**vars(shift), **vars(shift.hours)}


ShiftList = list_of(ShiftOut)


class PreviewQuery(Body):
    """How far to look ahead."""

    days = QueryInteger(
        load_default=14,
        validate=validate.Range(min=1, max=PREVIEW.days),
        metadata={"description": "From now on."},
    )


class PreviewIn(Body):
    """Hours to try out, without any effect."""

    days = Whole(
        load_default=14,
        validate=validate.Range(min=1, max=PREVIEW.days),
        metadata={"description": "From now on."},
    )
    shift = fields.Nested(ShiftIn, required=True)
    instead_of = WireId(
        "shift",
        load_default=None,
        allow_none=True,
        metadata={"description": "The shift that these hours would take the place of."},
    )

    example = {"days": 7, "shift": ShiftIn.example, "instead_of": None}


class StretchOut(Answer):
    """One stretch on shift."""

    opens = Timestamp(data_key="from", required=True)
    closes = Timestamp(
        data_key="to", required=True, allow_none=True, metadata={"description": "Null is for ever."}
    )
    opens_locally = fields.String(
        data_key="from_local",
        required=True,
        metadata={"description": "By the clocks of the city, with the offset of that moment."},
    )
    closes_locally = fields.String(data_key="to_local", required=True, allow_none=True)


class PreviewOut(Answer):
    """When a team is on shift in the coming days."""

    set_by = fields.String(
        required=True,
        metadata={"enum": ["pack", "staff"], "description": "Whose recurring rules count."},
    )
    rules = Codes(required=True)
    time_zone = fields.String(required=True)
    since = Timestamp(data_key="from", required=True)
    until = Timestamp(data_key="to", required=True)
    stretches = fields.List(fields.Nested(StretchOut), required=True)

    example: Any = {
        "set_by": "staff",
        "rules": ["Fr-Sa 20:00-04:00"],
        "time_zone": "Europe/London",
        "from": "2026-11-21T12:00:00Z",
        "to": "2026-11-28T12:00:00Z",
        "stretches": [
            {
                "from": "2026-11-21T20:00:00Z",
                "to": "2026-11-22T04:00:00Z",
                "from_local": "2026-11-21T20:00+00:00",
                "to_local": "2026-11-22T04:00+00:00",
            }
        ],
    }
