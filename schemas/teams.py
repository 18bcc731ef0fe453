"""Teams and their duty status on the wire."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import (
    Body,
    Codes,
    PageQuery,
    Position,
    Timestamp,
    WireId,
    list_of,
)
from waylight.domain.teams import Duty

STATUSES = [duty.value for duty in Duty]


class TeamsQuery(PageQuery):
    """How many teams to list, and from where."""


class DutyIn(Body):
    """What a team says of itself."""

    status = fields.Enum(Duty, by_value=True, required=True)
    until = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Until when; then `available` again. Left out: until further notice."
            " `available` with an end puts a team on duty outside its shift."
        },
    )

    example = {"status": "busy", "until": "2026-11-22T01:30:00Z"}


class DutyOut(Schema):
    """What a team says of itself, and until when."""

    status = fields.String(required=True, metadata={"enum": STATUSES})
    until = Timestamp(required=True, allow_none=True)


class TeamOut(Schema):
    """A transport safety team."""

    id = WireId("team", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    name = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": ["field", "control_room"]})
    organisation = fields.String(required=True)
    capabilities = Codes(required=True)
    base = Position(required=True)
    shifts = fields.String(
        required=True,
        metadata={"description": "Its hours as OpenStreetMap `opening_hours`."},
    )
    on_shift = fields.Boolean(required=True)
    on_duty = fields.Boolean(
        required=True, metadata={"description": "Whether it may be alerted now."}
    )
    duty = fields.Nested(DutyOut, required=True)
    demo = fields.Boolean(required=True)

    example: Any = {
        "id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 1,
        "name": "Camden rail response (demo)",
        "kind": "field",
        "organisation": "British Transport Police",
        "capabilities": ["first_aid", "women_officers"],
        "base": {"type": "Point", "coordinates": [-0.142573, 51.539292]},
        "shifts": "Mo-Su 18:00-02:00",
        "on_shift": True,
        "on_duty": True,
        "duty": {"status": "available", "until": None},
        "demo": True,
    }

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """`duty` from the status and its end."""
        if attr == "duty":
            return {"status": obj.duty, "until": obj.duty_until}
        return super().get_attribute(obj, attr, default)


TeamList = list_of(TeamOut)
