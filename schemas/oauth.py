"""OAuth 2 on the wire, in the words of its RFCs."""

from marshmallow import Schema, fields, validate

from schemas.common import WireId
from waylight.domain import tokens

ERRORS = (
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
)


EXAMPLE = tokens.make("waylight_ck_", bytes(32))


class TokenRequestIn(Schema):
    """What a token is asked for with, as a form (RFC 6749, section 4.4.2)."""

    grant_type = fields.String(required=True, validate=validate.Equal("client_credentials"))
    scope = fields.String(
        metadata={
            "description": "Scopes of the client with spaces between; all of them when absent.",
            "maxLength": 1000,
            "examples": ["alerts:read"],
        }
    )
    client_id = fields.String(
        metadata={
            "description": "With `client_secret`, in place of HTTP Basic.",
            "maxLength": WireId.length("client"),
        }
    )
    client_secret = fields.String(
        metadata={"description": "The client's token.", "maxLength": len(EXAMPLE)}
    )


class TokenOut(Schema):
    """An access token (RFC 6749, section 5.1)."""

    access_token = fields.String(required=True, metadata={"pattern": f"^{tokens.PATTERN}$"})
    token_type = fields.String(required=True, validate=validate.Equal("Bearer"))
    expires_in = fields.Integer(required=True, metadata={"minimum": 1, "description": "Seconds."})
    scope = fields.String(
        metadata={"description": "Absent where it has none.", "examples": ["alerts:read"]}
    )

    example = {
        "access_token": tokens.make("waylight_at_", bytes(32)),
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "alerts:read",
    }


class OAuthErrorOut(Schema):
    """Why there is no token (RFC 6749, section 5.2)."""

    error = fields.String(required=True, validate=validate.OneOf(ERRORS))
    error_description = fields.String(metadata={"description": "For people; may be worded anew."})

    example = {"error": "invalid_client", "error_description": "No such client and secret."}


class AuthorizationServerOut(Schema):
    """The authorization server (RFC 8414)."""

    issuer = fields.String(required=True, metadata={"format": "uri"})
    token_endpoint = fields.String(required=True, metadata={"format": "uri"})
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    scopes_supported = fields.List(fields.String(), required=True)
    service_documentation = fields.String(required=True, metadata={"format": "uri"})

    example = {
        "issuer": "https://waylight.example",
        "token_endpoint": "https://waylight.example/v1/oauth/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": ["alerts:read"],
        "service_documentation": "https://waylight.example/docs",
    }
