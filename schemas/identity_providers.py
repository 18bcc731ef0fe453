"""OpenID providers of an organisation, on the wire."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from schemas.common import Answer, Body, Codes, Flag, Name, Timestamp, WireId, list_of
from schemas.sessions import Opened
from waylight.domain.endpoints import LENGTH
from waylight.domain.identity_providers import MOST_RULES, MOST_URIS, MOST_VALUES
from waylight.domain.roles import Role

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LINE: dict[str, Any] = {"pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"}

ISSUER: dict[str, Any] = {
    "format": "uri",
    "description": "As the provider writes it in `/.well-known/openid-configuration` below it,"
    " letter by letter.",
    "examples": ["https://id.police.example"],
}
CLIENT_ID: dict[str, Any] = {
    **LINE,
    "description": "Who we are there.",
    "examples": ["waylight"],
}
SECRET: dict[str, Any] = {
    **LINE,
    "description": "What the provider gave to our client; kept encrypted, and never answered. Null"
    " for a public client, which PKCE alone protects.",
}
REDIRECTS: dict[str, Any] = {
    "description": "Where the provider may send people back to, letter by letter: pages or apps of"
    " yours that end the sign-in. Register the same there.",
    "examples": [["https://desk.police.example/signed-in"]],
}
SCOPES: dict[str, Any] = {
    "description": "What to ask for beside `openid email profile`.",
    "examples": [["groups"]],
}
MAPPING: dict[str, Any] = {
    "description": "Which role whom: one for each rule that fits, anew at every sign-in; whom none"
    " fits is not let in. Empty: roles are given here by hand, and only whoever has an account"
    " signs in."
}
DOMAINS: dict[str, Any] = {
    "description": "Whose addresses the provider may vouch for, at every sign-in. Empty: any; the"
    " account found or made is of your organisation all the same.",
    "examples": [["police.example"]],
}
FACTORS: dict[str, Any] = {
    "description": "Values of `amr` or `acr` by which the provider vouches for a second factor."
    " Empty: it does not, and a code is asked for here where one is set up or demanded.",
    "examples": [["mfa"]],
}
ENABLED: dict[str, Any] = {"description": "False ends every session that it opened, at once."}

EXAMPLE: dict[str, Any] = {
    "id": "provider_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "organisation_id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "name": "Police directory",
    "issuer": "https://id.police.example",
    "client_id": "waylight",
    "has_client_secret": True,
    "redirect_uris": ["https://desk.police.example/signed-in"],
    "scopes": ["groups"],
    "role_mapping": [{"claim": "groups", "value": "transport-desk", "role": "responder"}],
    "email_domains": ["police.example"],
    "second_factor_values": ["mfa"],
    "enabled": True,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-20T09:00:00Z",
    "version": 1,
}


def _on_one_line(text: str) -> None:
    if _CONTROL.search(text):
        raise ValidationError("This must be on one line.")


def _line(metadata: dict[str, Any], *, most: int, **kwargs: Any) -> fields.String:
    return fields.String(
        validate=[validate.Length(min=1, max=most), _on_one_line], metadata=metadata, **kwargs
    )


def _lines(
    metadata: dict[str, Any], *, most: int, letters: int, least: int = 0, **kwargs: Any
) -> fields.List[str]:
    return fields.List(
        _line(LINE, most=letters),
        validate=validate.Length(min=least, max=most),
        metadata=metadata,
        **kwargs,
    )


class RoleRuleIn(Body):
    """One rule of a role mapping."""

    claim = _line(
        {
            **LINE,
            "description": "A claim of the ID token or of userinfo: its name, or a JSON Pointer.",
            "examples": ["groups", "/realm_access/roles"],
        },
        most=200,
        required=True,
    )
    value = _line(
        {**LINE, "description": "The claim itself, or one in its list."}, most=200, required=True
    )
    role = fields.String(
        required=True, validate=validate.OneOf([str(role) for role in Role]), metadata={}
    )

    example = {"claim": "groups", "value": "transport-desk", "role": "responder"}


def _redirects(**kwargs: Any) -> fields.List[str]:
    return _lines(REDIRECTS, most=MOST_URIS, letters=LENGTH, least=1, **kwargs)


def _scopes(**kwargs: Any) -> fields.List[str]:
    return _lines(SCOPES, most=MOST_VALUES, letters=100, **kwargs)


def _mapping(**kwargs: Any) -> fields.List[Any]:
    return fields.List(
        fields.Nested(RoleRuleIn),
        validate=validate.Length(max=MOST_RULES),
        metadata=MAPPING,
        **kwargs,
    )


def _domains(**kwargs: Any) -> fields.List[str]:
    return _lines(DOMAINS, most=MOST_VALUES, letters=253, **kwargs)


def _factors(**kwargs: Any) -> fields.List[str]:
    return _lines(FACTORS, most=MOST_VALUES, letters=200, **kwargs)


class IdentityProviderIn(Body):
    """A new provider. Its issuer and its client stay as they are."""

    name = Name(most=80, required=True, metadata={"description": "For you."})
    issuer = _line(ISSUER, most=LENGTH, required=True)
    client_id = _line(CLIENT_ID, most=255, required=True)
    client_secret = _line(SECRET, most=1_000, load_default=None, allow_none=True)
    redirect_uris = _redirects(required=True)
    scopes = _scopes(load_default=list)
    role_mapping = _mapping(load_default=list)
    email_domains = _domains(load_default=list)
    second_factor_values = _factors(load_default=list)
    enabled = Flag(load_default=True, metadata=ENABLED)

    example = {
        "name": "Police directory",
        "issuer": "https://id.police.example",
        "client_id": "waylight",
        "client_secret": "as the provider shows it",
        "redirect_uris": ["https://desk.police.example/signed-in"],
        "role_mapping": [RoleRuleIn.example],
        "email_domains": ["police.example"],
    }


class IdentityProviderEditIn(Body):
    """What changes; the rest stays."""

    name = Name(most=80, metadata={"description": "For you."})
    client_secret = _line(SECRET, most=1_000, allow_none=True)
    redirect_uris = _redirects()
    scopes = _scopes()
    role_mapping = _mapping()
    email_domains = _domains()
    second_factor_values = _factors()
    enabled = Flag(metadata=ENABLED)

    example = {"enabled": False}


class RoleRuleOut(Answer):
    """One rule of a role mapping."""

    claim = fields.String(required=True)
    value = fields.String(required=True)
    role = fields.String(required=True)

    example = RoleRuleIn.example


class IdentityProviderOut(Answer):
    """A provider. The secret of our client there is never answered."""

    id = WireId("provider", required=True)
    organisation_id = WireId("organisation", required=True)
    name = fields.String(required=True)
    issuer = fields.String(required=True, metadata=ISSUER)
    client_id = fields.String(required=True, metadata=CLIENT_ID)
    has_client_secret = fields.Boolean(required=True)
    redirect_uris = Codes(required=True, metadata=REDIRECTS)
    scopes = Codes(required=True, metadata=SCOPES)
    role_mapping = fields.List(fields.Nested(RoleRuleOut), required=True, metadata=MAPPING)
    email_domains = Codes(required=True, metadata=DOMAINS)
    second_factor_values = Codes(required=True, metadata=FACTORS)
    enabled = fields.Boolean(required=True, metadata=ENABLED)
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})

    example = EXAMPLE


IdentityProviderList = list_of(IdentityProviderOut)


class SignInBeginIn(Body):
    """How to begin."""

    redirect_uri = _line(
        {
            **LINE,
            "description": "One of the provider's `redirect_uris`; left out: the first.",
            "examples": ["https://desk.police.example/signed-in"],
        },
        most=LENGTH,
        load_default=None,
        allow_none=True,
    )
    fresh = Flag(
        load_default=False,
        metadata={
            "description": "The provider asks who it is once more, also of whoever is signed in"
            " there: for what answers `step_up_needed`."
        },
    )

    example = {"redirect_uri": "https://desk.police.example/signed-in"}


SIGN_IN = "AbM3c29tZXRoaW5nIHNlYWxlZCwgc29tZSBzaXggaHVuZHJlZCBsZXR0ZXJzIGxvbmc"


class SignInBegunOut(Answer):
    """Where to send the person, and what to keep until they come back."""

    url = fields.String(
        required=True,
        metadata={"format": "uri", "description": "At the provider. Send the person there."},
    )
    sign_in = fields.String(
        required=True,
        metadata={
            "description": "Keep it where this sign-in began (`sessionStorage`, the app's memory),"
            " in no address: only whoever has it can end the sign-in."
        },
    )
    expires_at = Timestamp(required=True)

    example = {
        "url": "https://id.police.example/authorize?client_id=waylight&response_type=code&state=x1",
        "sign_in": SIGN_IN,
        "expires_at": "2026-11-22T00:02:40Z",
    }


class SignInEndIn(Body):
    """What was kept, and what the provider added to the address that it led to."""

    sign_in = fields.String(required=True, validate=validate.Length(min=1, max=6_000))
    state = fields.String(required=True, validate=validate.Length(min=1, max=200))
    code = fields.String(required=True, validate=validate.Length(min=1, max=4_000))
    iss = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=LENGTH),
        metadata={"description": "Where the provider sent it (RFC 9207)."},
    )

    example = {
        "sign_in": SIGN_IN,
        "state": "x1",
        "code": "SplxlOBeZQQYbYS6WxSbIA",
        "iss": "https://id.police.example",
    }


class ProviderSessionOut(Opened):
    """A session. This answer is the only one that has its token."""

    must_prove = fields.Boolean(
        required=True,
        metadata={
            "description": "It opens nothing before a code of the second factor:"
            " `POST /v1/sessions/current/step-up`."
        },
    )
    fresh_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Until then nothing answers `step_up_needed`."},
    )

    example = {
        "token": "waylight_ss_Fkjhjfx0Yg8SzkjwijEJ8kgDL6x7h372s3TO3mTGESX0K4cL0",
        "expires_at": "2026-11-22T11:52:40Z",
        "idle_s": 3600,
        "scopes": ["alerts:act", "alerts:read"],
        "must_enrol": False,
        "must_prove": False,
        "fresh_until": None,
    }
