"""Teams on the wire: their duty status, position and capabilities."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from schemas.common import (
    Answer,
    Body,
    Codes,
    Flag,
    Name,
    Number,
    PageQuery,
    Position,
    Timestamp,
    WireId,
    list_of,
)
from waylight.domain.teams import VAGUEST_M, Capability, Duty, Fix

STATUSES = [duty.value for duty in Duty]
CAPABILITIES = ("first_aid", "safeguarding", "sign_language", "women_officers")
SET_BY = {"enum": ["pack", "staff"]}


class TeamsQuery(PageQuery):
    """How many teams to list, and from where."""


def _name(**kwargs: Any) -> Name:
    return Name(
        metadata={
            "description": "What passengers and colleagues read. No name of a person.",
            "examples": ["Camden night team"],
        },
        **kwargs,
    )


def outside_city() -> Flag:
    """Whether a place outside the city is meant."""
    return Flag(
        load_default=False,
        metadata={"description": "The place lies outside the city, and that is meant."},
    )


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


class TeamPositionIn(Body):
    """Where a team's device is, by its own clock."""

    position = Position(required=True)
    fixed_at = Timestamp(
        required=True,
        metadata={"description": "When the device found its position, by its own clock."},
    )
    accuracy_m = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0),
        metadata={
            "description": "How far off it may be; more than"
            f" {VAGUEST_M:.0f} is refused with the reason."
        },
    )
    sent_at = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The device's clock at this moment: what it is off by is corrected."
        },
    )

    example = {
        "position": {"type": "Point", "coordinates": [-0.1391, 51.5362]},
        "fixed_at": "2026-11-21T23:52:31Z",
        "accuracy_m": 12,
        "sent_at": "2026-11-21T23:52:40Z",
    }

    @post_load
    def fix(self, data: dict[str, Any], **_: Any) -> Fix:
        """The fix as the rules know it."""
        return Fix(
            point=data["position"],
            fixed_at=data["fixed_at"],
            accuracy_m=data["accuracy_m"],
            sent_at=data["sent_at"],
        )


class TeamPositionOut(Answer):
    """Where a team was last known to be. There is no history of it."""

    point = Position(required=True)
    accuracy_m = fields.Float(required=True, allow_none=True)
    fixed_at = Timestamp(required=True)
    age_s = fields.Integer(required=True)
    stale = fields.Boolean(
        required=True,
        metadata={
            "description": "Older than 15 minutes: distances are counted from the base instead."
        },
    )


class HeartbeatOut(Answer):
    """What became of a position."""

    ignored = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "enum": ["older", None],
            "description": "Why it changed nothing: `older`, the one known was no older. Null: it"
            " counts.",
        },
    )
    position = fields.Nested(TeamPositionOut, required=True)

    example: Any = {
        "ignored": None,
        "position": {
            "point": {"type": "Point", "coordinates": [-0.1391, 51.5362]},
            "accuracy_m": 12.0,
            "fixed_at": "2026-11-21T23:52:31Z",
            "age_s": 9,
            "stale": False,
        },
    }


class CapabilityIn(Body):
    """Something that a team can do."""

    capability = fields.String(required=True, validate=validate.OneOf(CAPABILITIES))
    until = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={"description": "When the certificate ends; left out: it does not."},
    )

    @post_load
    def understood(self, data: dict[str, Any], **_: Any) -> Capability:
        """The capability as the rules know it."""
        return Capability(data["capability"], data["until"])


class CapabilitiesIn(Body):
    """All that a team can do, or null for what its city pack says."""

    capabilities = fields.List(
        fields.Nested(CapabilityIn),
        required=True,
        allow_none=True,
        validate=validate.Length(max=20),
    )

    example = {
        "capabilities": [
            {"capability": "first_aid", "until": "2027-03-31T00:00:00Z"},
            {"capability": "women_officers"},
        ]
    }


class TeamIn(Body):
    """A new team."""

    name = _name(required=True)
    base = Position(
        required=True,
        metadata={
            "description": "Where it starts from: distances count from here, longitude first."
        },
    )
    capabilities = fields.List(
        fields.Nested(CapabilityIn), load_default=list, validate=validate.Length(max=20)
    )
    outside_city = outside_city()

    example: Any = {
        "name": "Camden night team",
        "base": {"type": "Point", "coordinates": [-0.1426, 51.539]},
        "capabilities": [{"capability": "first_aid"}],
    }


class TeamEditIn(Body):
    """What changes; the rest stays."""

    name = _name(load_default=None)
    base = Position(load_default=None)
    outside_city = outside_city()

    example: Any = {"name": "Camden night team"}


class HeldCapabilityOut(Answer):
    """A capability of a team, also one that has ended."""

    capability = fields.String(required=True)
    until = Timestamp(required=True, allow_none=True)
    expired = fields.Boolean(
        required=True, metadata={"description": "Ended: it does not count in routing."}
    )
    ends_soon = fields.Boolean(required=True, metadata={"description": "Within 14 days."})


class TeamOut(Schema):
    """A transport safety team."""

    id = WireId("team", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    name = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": ["field", "control_room"]})
    organisation = fields.String(required=True)
    capabilities = Codes(
        required=True, metadata={"description": "Those that are valid now, and count in routing."}
    )
    capabilities_set_by = fields.String(required=True, metadata=SET_BY)
    held = fields.List(
        fields.Nested(HeldCapabilityOut),
        required=True,
        metadata={"description": "All its capabilities with their end, also those that are over."},
    )
    base = Position(required=True)
    position = fields.Nested(
        TeamPositionOut,
        required=True,
        allow_none=True,
        metadata={"description": "Null where none is known: distances count from the base."},
    )
    shifts = fields.String(
        required=True,
        metadata={
            "description": "The rule that counts, as OpenStreetMap `opening_hours`; of several,"
            " each on a line of its own. One-off changes are in `/shifts`."
        },
    )
    shifts_set_by = fields.String(required=True, metadata=SET_BY)
    on_shift = fields.Boolean(required=True)
    on_duty = fields.Boolean(
        required=True, metadata={"description": "Whether it may be alerted now."}
    )
    duty = fields.Nested(DutyOut, required=True)
    working_on = fields.Integer(
        required=True,
        metadata={
            "description": "Incidents it is on the way to or on the scene of. With one, another"
            " team is asked first about an incident elsewhere."
        },
    )
    demo = fields.Boolean(required=True)

    example: Any = {
        "id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 1,
        "name": "Camden rail response (demo)",
        "kind": "field",
        "organisation": "British Transport Police",
        "capabilities": ["first_aid", "women_officers"],
        "capabilities_set_by": "staff",
        "held": [
            {
                "capability": "first_aid",
                "until": "2027-03-31T00:00:00Z",
                "expired": False,
                "ends_soon": False,
            },
            {"capability": "women_officers", "until": None, "expired": False, "ends_soon": False},
        ],
        "base": {"type": "Point", "coordinates": [-0.142573, 51.539292]},
        "position": HeartbeatOut.example["position"],
        "shifts": "Mo-Su 18:00-02:00",
        "shifts_set_by": "pack",
        "on_shift": True,
        "on_duty": True,
        "duty": {"status": "available", "until": None},
        "working_on": 0,
        "demo": True,
    }

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """`duty` from the status and its end."""
        if attr == "duty":
            return {"status": obj.duty, "until": obj.duty_until}
        return super().get_attribute(obj, attr, default)


TeamList = list_of(TeamOut)
