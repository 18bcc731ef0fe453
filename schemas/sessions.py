"""Signing in, on the wire."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from schemas.common import Answer, Body, Codes, Flag, Timestamp, WireId, list_of

LONGEST = 512
"""Characters of a password that are read; what may be set is shorter."""

EXAMPLE = "waylight_ss_Fkjhjfx0Yg8SzkjwijEJ8kgDL6x7h372s3TO3mTGESX0K4cL0"
DEVICE = "waylight_dv_Qm9ndXNUb2tlbk9mQW5FeGFtcGxlMTIzNDU2Nzg5MDE"
CODE: dict[str, Any] = {
    "description": "Six digits of the second factor, or a recovery code. Used once.",
    "examples": ["492039"],
}


class SignInIn(Body):
    """Who signs in. What of it is wrong is never told."""

    email = fields.String(required=True, validate=validate.Length(max=320))
    password = fields.String(required=True, validate=validate.Length(max=LONGEST))
    code = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=64),
        metadata={**CODE, "description": f"{CODE['description']} Ignored where none is set up."},
    )
    organisation = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=200),
        metadata={
            "description": "The organisation's key. Only for whoever has accounts in several."
        },
    )
    device = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=128),
        metadata={
            "description": "`device` of an earlier answer on this device: whatever others try with"
            " this address, it is not kept waiting."
        },
    )

    example = {
        "email": "robin@police.example",
        "password": "a long walk by the river",
        "code": "492039",
    }


class Opened(Answer):
    """What every answer says that opens a session."""

    token = fields.String(
        required=True,
        metadata={
            "description": "Send it as `Authorization: Bearer ...`.",
            "pattern": "^waylight_ss_[0-9A-Za-z]{49}$",
        },
    )
    expires_at = Timestamp(required=True)
    idle_s = fields.Integer(
        required=True,
        metadata={
            "minimum": 1,
            "description": "Seconds without a call or an open stream that end it earlier.",
        },
    )
    scopes = Codes(required=True, metadata={"description": "What it may, by its roles."})
    must_enrol = fields.Boolean(
        required=True,
        metadata={"description": "It opens nothing before a second factor is set up."},
    )


class SessionOpenedOut(Opened):
    """A session. This answer is the only one that has its token."""

    device = fields.String(
        required=True,
        metadata={
            "description": "Keep it on this device, beyond the session, and send it with the next"
            " sign-in. It opens nothing.",
            "pattern": "^waylight_dv_[A-Za-z0-9_-]{43}$",
        },
    )

    example = {
        "token": EXAMPLE,
        "device": DEVICE,
        "expires_at": "2026-11-22T11:52:40Z",
        "idle_s": 3600,
        "scopes": ["alerts:act", "alerts:read"],
        "must_enrol": False,
    }


class SessionOut(Answer):
    """One session."""

    id = WireId("session", required=True)
    created_at = Timestamp(required=True)
    last_used_at = Timestamp(required=True, metadata={"description": "To the minute."})
    expires_at = Timestamp(required=True)
    current = fields.Boolean(
        required=True, attribute="is_current", metadata={"description": "You call with it."}
    )

    example = {
        "id": "session_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "created_at": "2026-11-21T23:52:40Z",
        "last_used_at": "2026-11-22T01:12:00Z",
        "expires_at": "2026-11-22T11:52:40Z",
        "current": True,
    }


SessionList = list_of(SessionOut)


class StepUpIn(Body):
    """The password or a code: one of the two."""

    password = fields.String(
        load_default=None, allow_none=True, validate=validate.Length(max=LONGEST)
    )
    code = fields.String(
        load_default=None, allow_none=True, validate=validate.Length(max=64), metadata=CODE
    )

    example = {"password": "a long walk by the river"}

    @validates_schema
    def _one(self, data: dict[str, Any], **_: Any) -> None:
        if (data["password"] is None) == (data["code"] is None):
            raise ValidationError("Send the password or a code.", "password")


class FreshOut(Schema):
    """Until when the session counts as its person's own hand."""

    fresh_until = Timestamp(required=True)

    example = {"fresh_until": "2026-11-22T00:02:40Z"}


class TotpOut(Answer):
    """A secret for an authenticator app. This answer is the only one that has it."""

    secret = fields.String(required=True, metadata={"description": "Base 32, to type by hand."})
    uri = fields.String(
        required=True, metadata={"description": "`otpauth://...`, to show as a QR code."}
    )

    example = {
        "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        "uri": "otpauth://totp/Waylight:robin%40police.example"
        "?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Waylight",
    }


class CodeIn(Body):
    """A code that the app shows now."""

    code = fields.String(required=True, validate=validate.Length(max=64), metadata=CODE)

    example = {"code": "492039"}


class RecoveryCodesOut(Schema):
    """Ten codes for a lost telephone. This answer is the only one that has them."""

    recovery_codes = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Each is good once, in the place of a code."},
    )

    example = {"recovery_codes": ["7K2M-9QXT-4HWC-0ZBN"]}


class PasswordIn(Body):
    """A new password."""

    password = fields.String(
        required=True,
        validate=validate.Length(max=LONGEST),
        metadata={
            "description": "15 characters or more, of any kind; none that is tried first, and none"
            " made of what anybody knows of you."
        },
    )

    example = {"password": "a long walk by the river"}


class AcceptIn(PasswordIn):
    """An invitation and the password that it sets."""

    token = fields.String(
        required=True,
        validate=validate.Length(max=128),
        metadata={"description": "As the invitation has it."},
    )

    example = {
        "token": "waylight_in_Fkjhjfx0Yg8SzkjwijEJ8kgDL6x7h372s3TO3mTGESX1VvKTo",
        "password": "a long walk by the river",
    }


class AcceptedOut(Schema):
    """What to sign in with beside the address and the password."""

    organisation = fields.String(required=True)
    device = fields.String(required=True, metadata={"description": "Keep it on this device."})

    example = {"organisation": "british-transport-police", "device": DEVICE}


class TotpDemandIn(Body):
    """What an organisation demands of everybody who signs in."""

    requires_totp = Flag(required=True)

    example = {"requires_totp": True}


class SignInPolicyOut(Schema):
    """What an organisation demands of everybody who signs in; of administrators it always is."""

    requires_totp = fields.Boolean(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 0})

    example = {"requires_totp": True, "version": 1}
