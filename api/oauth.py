"""OAuth 2 for programs that must have it (RFC 6749, section 4.4): a key is the simple way."""

from typing import Any

from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2 import AuthorizationServer, OAuth2Error
from authlib.oauth2.rfc6749 import (
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from flask import Response, json, request
from flask.typing import ResponseReturnValue

from api.wire import limits
from api.wire.auth import is_foreign_page, require
from api.wire.blueprint import Blueprint, View, document_responses, document_view, public
from api.wire.context import now, waylight
from api.wire.errors import MEDIA_TYPE
from api.wire.json import form_of
from schemas.common import ProblemOut, WireId
from schemas.oauth import AuthorizationServerOut, OAuthErrorOut, TokenOut, TokenRequestIn
from waylight.domain.clients import ACCESS_TOKEN_LASTS
from waylight.domain.principals import Kind, Principal
from waylight.services import oauth
from waylight.services.keys import CLIENT_SCOPES

blueprint = Blueprint("oauth", __name__, description="Access tokens for those who must have them.")

METHODS = ("client_secret_basic", "client_secret_post")
TOKEN = "/v1/oauth/token"  # noqa: S105 - a path
CHALLENGE = 'Basic realm="waylight"'
GRANT_TYPE = "client_credentials"
DESCRIPTIONS = {
    "invalid_client": "No such client and secret, or the client has ended.",
    "unsupported_grant_type": "There is client_credentials and no other.",
    "invalid_scope": "The client has not got every scope in scope.",
}
PARAMETERS = ("grant_type", "scope", "client_id", "client_secret")


class _Payload(FlaskOAuth2Payload):
    """Parameters of the body alone: a secret in an address would stand in logs."""

    @property
    def data(self) -> Any:  # noqa: ANN401 - werkzeug's MultiDict
        return self._request.form


class _Request(FlaskOAuth2Request):
    def __init__(self, told: Any) -> None:  # noqa: ANN401 - the proxy of Flask's request
        super().__init__(told)
        self.payload = _Payload(told)


class _Client(ClientMixin):
    """Whoever says that this is their id: known once they have shown the secret."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.caller: Principal | None = None

    def check_client_secret(self, client_secret: str) -> bool:
        context = waylight()
        self.caller = oauth.client_with(
            context.database,
            context.vault,
            client_id=_row_id(self.client_id),
            secret=client_secret,
            now=now(),
        )
        return self.caller is not None

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method in METHODS

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT_TYPE

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """What it asked for, all it has when it asked for nothing; None when that is too much."""
        held = self.caller.scopes if self.caller else frozenset()
        asked = set((scope or "").split()) or held
        return " ".join(sorted(asked)) if asked <= held else None


class _Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_token_request(self) -> None:
        super().validate_token_request()
        caller = self.request.client.caller
        if is_foreign_page(caller):
            raise UnauthorizedClientError("This page is not in the client's allowed_origins.")
        limits.count_call(key_id=str(caller.key_id))
        limits.count_use(limits.ACCESS_TOKENS, caller.key_id)


class _Server(AuthorizationServer):
    """The token endpoint; nothing of it belongs to one app."""

    def __init__(self) -> None:
        super().__init__()
        lasts = int(ACCESS_TOKEN_LASTS.total_seconds())
        self.register_token_generator("default", BearerTokenGenerator(_issue, None, lasts))
        self.register_grant(_Grant)

    def query_client(self, client_id: str) -> _Client:
        """Somebody who may or may not be there: `check_client_secret` is the one look."""
        return _Client(client_id)

    def save_token(self, token: object, request: object) -> None:
        """Nothing: `_issue` has stored it."""

    def send_signal(self, *_: object, **__: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: object) -> _Request:  # noqa: ARG002 - as Authlib has it
        return _Request(_flask_request())

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:  # noqa: ANN401 - as Authlib has it
        return Response(json.dumps(body), status=status, headers=headers)

    def handle_error_response(self, _request: object, error: OAuth2Error) -> Response:
        # Authlib's own descriptions repeat what was sent.
        said = DESCRIPTIONS.get(error.error) or error.get_error_description()
        status, headers = 400, [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if error.error == "invalid_client":
            limits.count_failure(limits.FAILED_KEYS)
            status, headers = 401, [*headers, ("WWW-Authenticate", CHALLENGE)]
        return self.handle_response(
            status, {"error": error.error, "error_description": said}, headers
        )

    def answer(self) -> Response:
        """The token, or why there is none."""
        try:
            _check_form()
            answer: Response = self.create_token_response()
        except OAuth2Error as error:
            return self.handle_error_response(None, error)
        except UnicodeDecodeError:  # Authlib's, for HTTP Basic that is no UTF-8
            return self.handle_error_response(None, InvalidClientError())
        return answer


def _document_token(view: View) -> View:
    document_view(
        view,
        requestBody={
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": TokenRequestIn}},
        },
        responses={
            status: {
                "description": said,
                "content": {
                    "application/json": {"schema": OAuthErrorOut},
                    MEDIA_TYPE: {"schema": ProblemOut},
                },
            }
            for status, said in (
                (400, "What is wrong with the request, in the words of RFC 6749, section 5.2."),
                (401, "`invalid_client`: no such client and secret, or the client has ended."),
            )
        },
    )
    return document_responses(view, 413)


def _say_basic(view: View) -> View:
    document_view(view, security=[{"clientBasic": []}, {}])
    return view


@blueprint.route(TOKEN, methods=["POST"])
@_say_basic
@require(Kind.NOBODY)
@_document_token
@blueprint.response(200, TokenOut, example=TokenOut.example)
def token() -> ResponseReturnValue:
    """An access token for a client, by its id and its token as the secret (RFC 6749, 4.4)."""
    return SERVER.answer()


@blueprint.route("/.well-known/oauth-authorization-server")
@require(Kind.NOBODY)
@public(max_age_s=3600)
@blueprint.response(200, AuthorizationServerOut, example=AuthorizationServerOut.example)
def metadata() -> ResponseReturnValue:
    """Where tokens are to be had, and how (RFC 8414)."""
    issuer = waylight().settings.base_url.rstrip("/")
    return json.jsonify(
        {
            "issuer": issuer,
            "token_endpoint": issuer + TOKEN,
            "token_endpoint_auth_methods_supported": list(METHODS),
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],
            "scopes_supported": list(CLIENT_SCOPES),
            "service_documentation": f"{issuer}/docs",
        }
    )


def _issue(client: _Client, scope: str, **_: object) -> str:
    context = waylight()
    assert client.caller is not None  # noqa: S101 - it has shown its secret
    return oauth.issue_access_token(
        context.database, context.vault, client.caller, scopes=scope.split(), now=now()
    )


def _check_form() -> None:
    """Raises InvalidRequestError for what Authlib lets pass or calls by another name."""
    form = form_of(request)
    if any(len(form.getlist(name)) > 1 for name in PARAMETERS):
        raise InvalidRequestError("A parameter may be given once.")
    if not form.get("grant_type"):
        raise InvalidRequestError("Send grant_type=client_credentials as a form.")
    if "Authorization" in request.headers and "client_secret" in form:
        raise InvalidRequestError("Show the secret in one way: HTTP Basic, or the form.")


def _flask_request() -> Any:  # noqa: ANN401 - the proxy of Flask's request
    return request


def _row_id(client_id: str) -> Any:  # noqa: ANN401 - a UUID or None
    try:
        return WireId.read("client", client_id)
    except ValueError:
        return None


SERVER = _Server()
