"""API clients on the wire."""

from typing import Any

from marshmallow import fields, validate

from schemas.common import Answer, Body, Codes, Name, Timestamp, Whole, WireId, list_of
from waylight.domain import tokens
from waylight.domain.clients import LONGEST_OVERLAP, MOST_ORIGINS, OVERLAP, ClientState

NAME: dict[str, Any] = {
    "description": "What program it is, for your colleagues.",
    "examples": ["Night bus app"],
}
SCOPES: dict[str, Any] = {
    "description": "What it may do. You cannot give a scope that you have not got.",
    "examples": [["alerts:read"]],
}
ORIGINS: dict[str, Any] = {
    "description": "Web pages that may call with this key. None: it is not for browsers.",
    "examples": [["https://app.example"]],
}
EXPIRES: dict[str, Any] = {"description": "It ends then by itself. Null: never."}
EXAMPLE: dict[str, Any] = {
    "id": "client_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "name": "Night bus app",
    "scopes": ["alerts:read"],
    "allowed_origins": [],
    "state": "active",
    "created_at": "2026-11-20T09:00:00Z",
    "expires_at": None,
    "last_used_on": "2026-11-21",
    "rotated_at": None,
    "old_token_until": None,
    "revoked_at": None,
    "version": 1,
}


def _name(**kwargs: Any) -> Name:
    return Name(metadata=NAME, **kwargs)


def _scopes(**kwargs: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.Length(min=1, max=60)),
        validate=validate.Length(max=100),
        metadata=SCOPES,
        **kwargs,
    )


def _origins(**kwargs: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.Length(min=1, max=300)),
        validate=validate.Length(max=MOST_ORIGINS),
        metadata=ORIGINS,
        **kwargs,
    )


class ClientIn(Body):
    """A new client."""

    name = _name(required=True)
    scopes = _scopes(required=True)
    allowed_origins = _origins(load_default=list)
    expires_at = Timestamp(load_default=None, allow_none=True, metadata=EXPIRES)

    example = {"name": "Night bus app", "scopes": ["alerts:read"]}


class ClientEditIn(Body):
    """What changes; the rest stays."""

    name = _name()
    scopes = _scopes()
    allowed_origins = _origins()
    expires_at = Timestamp(allow_none=True, metadata=EXPIRES)

    example = {"allowed_origins": ["https://app.example"]}


class ClientRotationIn(Body):
    """How long the token before goes on working beside the new one."""

    overlap_s = Whole(
        load_default=int(OVERLAP.total_seconds()),
        validate=validate.Range(min=0, max=int(LONGEST_OVERLAP.total_seconds())),
        metadata={"description": "0 ends every older token at once: for one that leaked."},
    )

    example = {"overlap_s": 86_400}


class ClientOut(Answer):
    """A program that calls for your organisation."""

    id = WireId("client", required=True, metadata={"description": "Its `client_id` in OAuth."})
    organisation_id = WireId("organisation", required=True)
    name = fields.String(required=True, metadata=NAME)
    scopes = Codes(required=True, metadata=SCOPES)
    allowed_origins = Codes(required=True, metadata=ORIGINS)
    state = fields.String(required=True, validate=validate.OneOf([str(one) for one in ClientState]))
    created_at = Timestamp(required=True)
    expires_at = Timestamp(required=True, allow_none=True, metadata=EXPIRES)
    last_used_on = fields.Date(
        required=True,
        allow_none=True,
        metadata={"description": "The day (UTC) of its last call with a key of its own."},
    )
    rotated_at = Timestamp(required=True, allow_none=True)
    old_token_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Until then the token before works as well."},
    )
    revoked_at = Timestamp(required=True, allow_none=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})

    example = EXAMPLE


class ClientTokenOut(ClientOut):
    """A client with the token that was just made: this answer is the only one that has it."""

    token = fields.String(
        required=True,
        metadata={
            "description": "For `Authorization: Bearer`; also its `client_secret` in OAuth.",
            "pattern": f"^{tokens.PATTERN}$",
        },
    )

    example = {**EXAMPLE, "token": tokens.make("waylight_ck_", bytes(32))}


ClientList = list_of(ClientOut)
