"""Grants on the wire: who may read a report, and why."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import Answer, Body, Timestamp, WireId
from schemas.incidents import REASON_LIMIT, words
from waylight.domain.grants import Cause, Who


class AuthorOut(Answer):
    """Who gave it, or took it back."""

    who = fields.String(required=True, metadata={"enum": [one.value for one in Who]})
    organisation_id = WireId("organisation", required=True, allow_none=True)
    organisation = fields.String(required=True, allow_none=True)
    person = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Only for people of the same organisation."},
    )


class GrantOut(Answer):
    """One grant; `revoked_at` is null while it holds."""

    organisation_id = WireId("organisation", required=True)
    organisation = fields.String(required=True)
    cause = fields.String(required=True, metadata={"enum": [one.value for one in Cause]})
    level = fields.String(required=True, metadata={"enum": ["full", "heads_up"]})
    given_at = Timestamp(required=True)
    given_by = fields.Nested(AuthorOut, required=True)
    revoked_at = Timestamp(required=True, allow_none=True)
    revoked_by = fields.Nested(AuthorOut, required=True, allow_none=True)
    revocable = fields.Boolean(
        required=True,
        metadata={"description": "Whether you may take it back, once nobody of theirs is at work."},
    )


class GrantsOut(Schema):
    """The grants of a report that you may know of, the oldest first."""

    items = fields.List(fields.Nested(GrantOut), required=True)

    example: Any = {
        "items": [
            {
                "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
                "organisation": "Camden Council",
                "cause": "hand_over",
                "level": "full",
                "given_at": "2026-11-22T08:15:03Z",
                "given_by": {
                    "who": "staff",
                    "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c2e",
                    "organisation": "Transport for London",
                    "person": "Sam",
                },
                "revoked_at": None,
                "revoked_by": None,
                "revocable": True,
            }
        ]
    }


class RevocationIn(Body):
    """Why they shall not read it any more."""

    reason = words(REASON_LIMIT)

    example = {"reason": "It was handed to the wrong council."}
