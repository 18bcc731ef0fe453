"""Every error as `application/problem+json` (RFC 9457), from one table.

No stack and nothing of what was sent is ever in an answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response
from werkzeug.exceptions import HTTPException

from waylight.domain import errors
from waylight.domain.errors import Problem, WaylightError
from waylight.log import get_logger

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
BEARER = 'Bearer realm="waylight"'
MAX_PROBLEMS = 50
"""Enough to mend a client by, however many faults a body has."""


class InvalidCursor(WaylightError):
    """The cursor is not one of ours or belongs to another list: start again without it.

    Cursors are not made by hand and are not kept: begin at the first page.
    """

    code = "invalid_cursor"


class BadRequest(WaylightError):
    """The request cannot be understood.

    The framework could not read the request itself: its body is not whole, say. The same will be
    refused again. What the server refuses before the app is asked has this code too, and no
    `X-Request-Id`: a request line (414) or headers (431) that are too long, an `Expect` (417) or a
    `Transfer-Encoding` (501) that it does not know, or anything else that is no HTTP (400).
    """

    code = "bad_request"


class MethodNotAllowed(WaylightError):
    """This address does not take that method: see the `Allow` header.

    Use one of the methods in `Allow`.
    """

    code = "method_not_allowed"


class NotAcceptable(WaylightError):
    """Your `Accept` leaves out every form that this comes in: see `errors` for those there are.

    Send `Accept: application/json`, or no `Accept` at all. A report is taken whatever it says.
    """

    code = "not_acceptable"


class UnsupportedMediaType(WaylightError):
    """Send the body as `application/json`.

    Reports are read as JSON whatever their `Content-Type` says; everything else minds it.
    """

    code = "unsupported_media_type"
    headers = {"Accept": "application/json"}  # noqa: RUF012 - read only


class UnsupportedEncoding(WaylightError):
    """Send the body as it is, or in one coding of those in the `Accept-Encoding` header.

    gzip and deflate are understood. A report that is not packed is read whatever its header says.
    """

    code = "unsupported_encoding"
    headers = {"Accept-Encoding": "gzip, deflate"}  # noqa: RUF012 - read only


class PreconditionRequired(WaylightError):
    """Send the ETag you read in `If-Match`, so that nobody's change is lost.

    Demanded where a change decides who is alerted: coverages and escalation timetables. Elsewhere
    `If-Match` is honoured where it is sent. `*` stands for whatever there is now.
    """

    code = "precondition_required"


class Internal(WaylightError):
    """Something broke on our side and has been logged under the id in `X-Request-Id`.

    A report may be sent again with the same `Idempotency-Key`: it is stored once. Tell whoever runs
    the service the request id.
    """

    code = "internal"


@dataclass(frozen=True)
class Kind:
    """How one class of error is answered."""

    status: int
    title: str


TABLE: Mapping[type[WaylightError], Kind] = {
    errors.MalformedJSON: Kind(400, "Malformed JSON"),
    InvalidCursor: Kind(400, "Invalid cursor"),
    BadRequest: Kind(400, "Bad request"),
    errors.NotSignedIn: Kind(401, "Not signed in"),
    errors.WrongCredentials: Kind(401, "Wrong credentials"),
    errors.SignInRefused: Kind(401, "Sign-in refused"),
    errors.StepUpNeeded: Kind(401, "Step up needed"),
    errors.NotAllowed: Kind(403, "Not allowed"),
    errors.EnrolmentNeeded: Kind(403, "Enrolment needed"),
    errors.NotFound: Kind(404, "Not found"),
    MethodNotAllowed: Kind(405, "Method not allowed"),
    NotAcceptable: Kind(406, "Not acceptable"),
    errors.StateConflict: Kind(409, "Not possible now"),
    errors.ConsentNotPossible: Kind(409, "Consent not possible"),
    errors.LastAdministrator: Kind(409, "Last administrator"),
    errors.StaleVersion: Kind(412, "Changed meanwhile"),
    errors.BodyTooLarge: Kind(413, "Body too large"),
    UnsupportedMediaType: Kind(415, "Unsupported media type"),
    UnsupportedEncoding: Kind(415, "Unsupported content encoding"),
    errors.InvalidRequest: Kind(422, "Invalid request"),
    errors.NotAnObject: Kind(422, "Not an object"),
    errors.NothingToActOn: Kind(422, "Nothing to act on"),
    errors.IdempotencyConflict: Kind(422, "Idempotency key used before"),
    PreconditionRequired: Kind(428, "Precondition required"),
    errors.TooManyRequests: Kind(429, "Too many requests"),
    Internal: Kind(500, "Internal error"),
    errors.Unavailable: Kind(503, "Unavailable"),
    errors.NotReady: Kind(503, "Not ready"),
}
"""The one table: class of error to status and title. Its code is in the class."""

BY_STATUS: Mapping[int, type[WaylightError]] = {
    400: BadRequest,
    401: errors.NotSignedIn,
    403: errors.NotAllowed,
    404: errors.NotFound,
    405: MethodNotAllowed,
    406: NotAcceptable,
    412: errors.StaleVersion,
    413: errors.BodyTooLarge,
    415: UnsupportedMediaType,
    422: errors.InvalidRequest,
    428: PreconditionRequired,
    429: errors.TooManyRequests,
    503: errors.Unavailable,
}
"""What an error of the framework means; any other below 500 is a bad request."""

KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
"""Headers of a framework error without which its status is incomplete (RFC 9110)."""

FIELD_SENTENCES = {
    "Missing data for required field.": ("required", "This is required."),
    "Field may not be null.": ("null", "This may not be null."),
    "Unknown field.": ("unknown", "There is no such field or parameter here."),
    "Not a valid string.": ("not_a_string", "This must be a string."),
    "Not a valid list.": ("not_a_list", "This must be a list."),
    "Not a valid mapping type.": ("not_an_object", "This must be an object."),
    "Invalid input type.": ("not_an_object", "This must be an object."),
}
"""marshmallow's own sentences as codes; whatever else a schema says is `invalid`."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def type_of(code: str) -> str:
    """The stable URI of a kind of problem."""
    return f"urn:waylight:problem:{code}"


def answer(error: WaylightError, *, headers: Mapping[str, str] | None = None) -> Response:
    """The response for a domain error."""
    kind = kind_of(error)
    body = {
        "type": type_of(error.code),
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "code": error.code,
        "errors": [
            {"pointer": problem.pointer, "detail": problem.detail, "code": problem.code}
            for problem in error.problems[:MAX_PROBLEMS]
        ],
    }
    response = Response(orjson.dumps(body), status=kind.status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if kind.status == 401:
        response.headers["WWW-Authenticate"] = getattr(error, "challenge", BEARER)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    version = getattr(error, "version", None)
    if version is not None:
        response.headers["ETag"] = f'"{version}"'
    response.headers.update(getattr(error, "headers", {}))
    response.headers.update(headers or {})
    return response


def refusal(status: int, reason: str) -> tuple[bytes, str]:
    """The body, and its media type, of what the server below refuses before the app is asked."""
    error = BadRequest if status < 500 or status == 501 else Internal
    body = {
        "type": type_of(error.code),
        "title": reason,
        "status": status,
        "detail": error().detail,
        "code": error.code,
        "errors": [],
    }
    return orjson.dumps(body), MEDIA_TYPE


def kind_of(error: WaylightError) -> Kind:
    """The row of the table for an error. Raises LookupError for one that is not in it."""
    for known in type(error).__mro__:
        if known in TABLE:
            return TABLE[known]
    raise LookupError(type(error).__name__)


def on_waylight_error(error: WaylightError) -> Response:
    """Answers what was raised on purpose."""
    try:
        return answer(error)
    except LookupError:
        return on_surprise(error)


def on_http_error(error: HTTPException) -> HTTPException | Response:
    """Answers what the framework raised: no route, wrong method, arguments that do not fit."""
    status = error.code or 500
    if status < 400:
        return error
    cause = BY_STATUS.get(status, BadRequest if status < 500 else Internal)
    kept = {name: value for name, value in error.get_headers() if name in KEPT_HEADERS}
    messages = getattr(error, "data", {}).get("messages", {})
    if cause is errors.InvalidRequest:
        return answer(errors.InvalidRequest(problems=tuple(problems(messages))), headers=kept)
    return answer(cause(), headers=kept)


def on_surprise(error: Exception) -> Response:
    """Answers what nobody foresaw, and logs it with its stack."""
    log.error("request_failed", exc_info=error)
    return answer(Internal())


def problems(messages: object, *, location: str | None = None) -> Iterator[Problem]:
    """One problem for each message of a marshmallow error tree, namespaced by its location."""
    if location is None and isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from problems(inner, location=str(name))
        return
    for path, message in _leaves(messages, ()):
        code, detail = FIELD_SENTENCES.get(message, ("invalid", message))
        yield Problem(pointer(path, location=location or "json"), code, detail)


def _leaves(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401 - marshmallow's tree of dicts, lists and strings
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _leaves(inner, path if key == "_schema" else (*path, str(key)))
    elif isinstance(messages, Sequence) and not isinstance(messages, str):
        for inner in messages:
            yield from _leaves(inner, path)
    else:
        yield path, str(messages)


def pointer(path: tuple[str, ...], *, location: str) -> str:
    """A JSON Pointer (RFC 6901) into the body, or the name of what is somewhere else."""
    # The name of an unknown field is the caller's text: a strange one is pointed at by its parent.
    known = path if all(map(_PLAIN_NAME.fullmatch, path)) else path[:-1]
    if location == "json":
        return "".join(f"/{part}" for part in known)
    return ".".join(known)
