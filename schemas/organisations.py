"""Organisations and their escalation timetables on the wire."""

from typing import Any

from marshmallow import Schema, fields, post_load, pre_dump, validate

from schemas.common import Answer, Body, Codes, Name, Whole, WireId, list_of
from waylight.domain.alerts import BOUNDS, LADDER_S
from waylight.domain.organisations import KINDS, Organisation

NAME: dict[str, Any] = {
    "description": "What passengers read.",
    "examples": ["Safe Journeys"],
}

NUMBER = "This must be a telephone number: 2 to 32 digits and spaces, + at most in front."


class OrganisationContactOut(Schema):
    """How anybody reaches an organisation."""

    sms = fields.String(required=True, allow_none=True)
    phone = fields.String(required=True, allow_none=True)
    url = fields.String(required=True, allow_none=True)


class OrganisationContactIn(Body):
    """How anybody reaches an organisation. What is left out stays."""

    sms = fields.String(
        allow_none=True,
        validate=validate.Regexp(r"^\+?[0-9][0-9 ]{1,30}(?!\n)$", error=NUMBER),
        metadata={"examples": ["61016"], "maxLength": 32},
    )
    phone = fields.String(
        allow_none=True,
        validate=validate.Regexp(r"^\+?[0-9][0-9 ]{1,30}(?!\n)$", error=NUMBER),
        metadata={"examples": ["0800 40 50 40"], "maxLength": 32},
    )
    url = fields.String(
        allow_none=True,
        validate=validate.Regexp(
            r"^https://[^\s<>]{1,292}(?!\n)$",
            error="This must be an https:// address of at most 300 characters, without spaces.",
        ),
        metadata={
            "format": "uri",
            "examples": ["https://organisation.example/help"],
            "maxLength": 300,
        },
    )


class OrganisationEditIn(Body):
    """What changes; the rest stays."""

    name = Name(metadata=NAME)
    contact = fields.Nested(OrganisationContactIn)

    example: Any = {"contact": {"phone": "0800 40 50 40"}}


class OrganisationOut(Answer):
    """Your organisation."""

    id = WireId("organisation", required=True)
    version = fields.Integer(
        required=True,
        metadata={"description": "The number in its ETag, and in that of its timetable."},
    )
    name = fields.String(required=True, metadata=NAME)
    kind = fields.String(
        required=True,
        metadata={
            "enum": list(KINDS),
            "description": "Set by whoever runs the installation: it decides what passengers may"
            " refuse.",
        },
    )
    city = fields.String(required=True)
    contact = fields.Nested(OrganisationContactOut, required=True)
    set_by_staff = Codes(
        attribute="edited",
        required=True,
        metadata={"description": "What staff changed: a pack that is loaded later leaves it."},
    )
    demo = fields.Boolean(required=True)

    example: Any = {
        "id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 2,
        "name": "Safe Journeys",
        "kind": "charity",
        "city": "london",
        "contact": {"sms": None, "phone": "0800 40 50 40", "url": None},
        "set_by_staff": ["contact"],
        "demo": False,
    }


OrganisationList = list_of(OrganisationOut)


def _wait(priority: int) -> Whole:
    bound = BOUNDS[priority]
    return Whole(
        required=True,
        allow_none=True,
        metadata={
            "minimum": int(bound.least_s),
            "maximum": int(bound.most_s),
            "description": f"Seconds a rung has to answer at priority {priority}; null:"
            f" {bound.default_s:g}. {bound.why}",
        },
    )


class TimetableIn(Body):
    """How long a rung of yours has to answer before the next one is told."""

    priority_1_s = _wait(1)
    priority_2_s = _wait(2)
    priority_3_s = _wait(3)

    example: Any = {"priority_1_s": 45, "priority_2_s": 120, "priority_3_s": None}

    @post_load
    def waits(self, data: dict[str, Any], **_: Any) -> dict[int, float | None]:
        """Seconds by priority."""
        return {priority: data[f"priority_{priority}_s"] for priority in BOUNDS}


class WaitOut(Schema):
    """How long a rung has to answer at one priority."""

    priority = fields.Integer(required=True)
    wait_s = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "What counts. Null: it waits in the inbox, and climbs never."},
    )
    default_s = fields.Integer(required=True, allow_none=True)
    least_s = fields.Integer(required=True, allow_none=True)
    most_s = fields.Integer(required=True, allow_none=True)
    set_by_staff = fields.Boolean(required=True)


class TimetableOut(Schema):
    """How long a rung of yours has to answer, and within which bounds you may say so."""

    organisation_id = WireId("organisation", required=True)
    version = fields.Integer(required=True)
    waits = fields.List(fields.Nested(WaitOut), required=True)

    example: Any = {
        "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 3,
        "waits": [
            {
                "priority": 1,
                "wait_s": 45,
                "default_s": 60,
                "least_s": 20,
                "most_s": 90,
                "set_by_staff": True,
            }
        ],
    }

    @pre_dump
    def lines(self, of: Organisation, **_: Any) -> dict[str, Any]:
        """A line for each priority."""
        return {
            "organisation_id": of.id,
            "version": of.version,
            "waits": [
                {
                    "priority": priority,
                    "wait_s": of.waits_s.get(priority, default),
                    "default_s": default,
                    "least_s": BOUNDS[priority].least_s if priority in BOUNDS else None,
                    "most_s": BOUNDS[priority].most_s if priority in BOUNDS else None,
                    "set_by_staff": priority in of.waits_s,
                }
                for priority, default in LADDER_S.items()
            ],
        }
