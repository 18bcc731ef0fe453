"""Accounts of staff, on the wire."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from schemas.common import Answer, Body, Codes, Flag, Name, Timestamp, WireId, list_of
from waylight.domain.roles import Role

ROLES: dict[str, Any] = {"description": "What the person may do: docs/staff.md says which is what."}
JOB: dict[str, Any] = {
    "description": "What they are, in the organisation's own word: passengers read it.",
    "examples": ["officer"],
}

EXAMPLE: dict[str, Any] = {
    "id": "staff_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "name": "Robin Shah",
    "job": "officer",
    "email": "robin@police.example",
    "roles": ["responder"],
    "has_password": True,
    "totp_since": "2026-11-20T09:00:00Z",
    "invited_until": None,
    "disabled_at": None,
    "created_at": "2026-11-20T08:55:00Z",
    "version": 3,
}


def _roles(**kwargs: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.OneOf([str(role) for role in Role])),
        validate=validate.Length(min=1, max=len(Role)),
        metadata=ROLES,
        **kwargs,
    )


class StaffIn(Body):
    """A new person of your organisation."""

    email = fields.String(
        required=True,
        validate=validate.Length(max=320),
        metadata={"format": "email", "description": "What they sign in with; kept encrypted."},
    )
    name = Name(most=80, required=True)
    job = Name(most=80, load_default=None, metadata=JOB)
    roles = _roles(required=True)

    example = {
        "email": "robin@police.example",
        "name": "Robin Shah",
        "job": "officer",
        "roles": ["responder"],
    }


class StaffEditIn(Body):
    """What changes. Left out: as it is."""

    name = Name(most=80)
    job = Name(most=80, metadata=JOB)
    roles = _roles()
    disabled = Flag(
        metadata={"description": "True ends every session and key of the person, at once."}
    )

    example = {"roles": ["responder", "dispatcher"]}

    @validates_schema
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Say what changes.")


class StaffOut(Answer):
    """One account."""

    id = WireId("staff", required=True)
    name = fields.String(required=True)
    job = fields.String(required=True, metadata=JOB)
    email = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null where it cannot be opened any more."},
    )
    roles = Codes(required=True, metadata=ROLES)
    has_password = fields.Boolean(
        required=True, metadata={"description": "False until an invitation is accepted."}
    )
    totp_since = Timestamp(
        required=True, allow_none=True, metadata={"description": "Since when with second factor."}
    )
    invited_until = Timestamp(
        required=True, allow_none=True, metadata={"description": "An invitation is out."}
    )
    disabled_at = Timestamp(required=True, allow_none=True)
    created_at = Timestamp(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})

    example = EXAMPLE


StaffList = list_of(StaffOut)


class InvitationIn(Body):
    """How the person begins anew."""

    reset_totp = Flag(
        load_default=False,
        metadata={
            "description": "Their second factor goes when they accept: for a lost telephone."
        },
    )

    example = {"reset_totp": False}


class InvitationOut(Answer):
    """An invitation. This answer is the only one that has its token."""

    token = fields.String(
        required=True,
        metadata={
            "description": "Give it to the person, and to nobody else: good once, for a day.",
            "pattern": "^waylight_in_[0-9A-Za-z]{49}$",
        },
    )
    expires_at = Timestamp(required=True)

    example = {
        "token": "waylight_in_Fkjhjfx0Yg8SzkjwijEJ8kgDL6x7h372s3TO3mTGESX1VvKTo",
        "expires_at": "2026-11-22T23:52:40Z",
    }
