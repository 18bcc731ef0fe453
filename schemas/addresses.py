"""Addresses of teams and hubs on the wire: in with the address, out without."""

from typing import Any

from marshmallow import Schema, fields, validate

from schemas.alerts import HubRefOut, PersonRefOut, TeamRefOut
from schemas.common import Body, Flag, Name, Timestamp, WireId, list_of
from waylight.domain.addresses import AddressState, Medium
from waylight.messages import DEFAULT, languages

STATES = [state.value for state in AddressState]
CHANNELS = [medium.value for medium in Medium]


def _label(*, required: bool) -> Name:
    return Name(
        required=required,
        metadata={"description": 'What it is, for colleagues: "On call", "Night desk".'},
    )


class NewAddressIn(Body):
    """An address of a team or a hub. It is kept encrypted and never shown in full again."""

    channel = fields.Enum(
        Medium, by_value=True, required=True, metadata={"description": "`sms` or `email`."}
    )
    address = fields.String(
        required=True,
        validate=validate.Length(min=3, max=254),
        metadata={
            "description": "A number that gets text messages, with or without its country code,"
            " or an e-mail address."
        },
    )
    name = _label(required=True)
    language = fields.String(
        load_default=DEFAULT,
        validate=validate.OneOf(languages()),
        metadata={"description": "The language of the messages."},
    )
    mine = Flag(
        load_default=False,
        metadata={
            "description": "It is your own: what is answered from it by text is answered by you."
            " Otherwise it is answered by its label."
        },
    )

    example = {"channel": "sms", "address": "+44 7400 123456", "name": "On call"}


class AddressChangeIn(Body):
    """What to change; what is left out stays."""

    name = _label(required=False)
    language = fields.String(validate=validate.OneOf(languages()))
    state = fields.String(
        validate=validate.OneOf(("active", "paused")),
        metadata={
            "description": "`active` also resumes one that is `gone`. `paused`: nothing is sent"
            " there; what is answered from it still counts. DELETE a telephone that is lost."
        },
    )

    example = {"state": "paused"}


class AddressOut(Schema):
    """Where a team or a hub is reached."""

    id = WireId("address", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    channel = fields.String(required=True, metadata={"enum": CHANNELS})
    name = fields.String(required=True)
    address = fields.String(
        attribute="shown",
        required=True,
        metadata={"description": "A part of it, enough to know it by."},
    )
    language = fields.String(required=True)
    state = fields.String(
        required=True,
        metadata={
            "enum": STATES,
            "description": "`gone`: its provider said that it does not exist, or wants no more.",
        },
    )
    team = fields.Nested(TeamRefOut, required=True, allow_none=True)
    hub = fields.Nested(HubRefOut, required=True, allow_none=True)
    person = fields.Nested(
        PersonRefOut,
        required=True,
        allow_none=True,
        metadata={"description": "Whose it is, where it is one person's."},
    )
    created_at = Timestamp(required=True)
    last_sent_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When a message was last taken for it, to about a minute."},
    )

    example: Any = {
        "id": "address_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 1,
        "channel": "sms",
        "name": "On call",
        "address": "+44\u2026456",
        "language": "en",
        "state": "active",
        "team": {"id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "name": "Camden rail response (demo)"},
        "hub": None,
        "person": None,
        "created_at": "2026-11-21T20:00:00Z",
        "last_sent_at": None,
    }


AddressList = list_of(AddressOut)
