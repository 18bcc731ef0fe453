"""Everything that can go wrong on purpose.

Each class is one stable `code`; its docstring is the default message and says the way out.
`api/wire/errors.py` maps a class to a status in one table.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field, by its JSON Pointer (RFC 6901) or parameter name."""

    pointer: str
    code: str
    detail: str


class WaylightError(Exception):
    """Something went wrong in Waylight."""

    code = "error"

    def __init__(self, detail: str | None = None, *, problems: Sequence[Problem] = ()) -> None:
        self.detail = detail or " ".join((self.__doc__ or "").split())
        self.problems = tuple(problems)
        super().__init__(self.detail)


class MalformedJSON(WaylightError):
    """The body is not strict JSON (RFC 8259): send one JSON value in UTF-8."""

    code = "malformed_json"


class BodyTooLarge(WaylightError):
    """The body is larger than this endpoint takes: send less."""

    code = "body_too_large"


class NotAnObject(WaylightError):
    """The body must be a JSON object."""

    code = "not_an_object"


class NothingToActOn(WaylightError):
    """There is nothing to act on: say what happened, where, or that you are in danger."""

    code = "nothing_to_act_on"


class InvalidRequest(WaylightError):
    """The request has fields that cannot be used: see `errors` for each one and its fix."""

    code = "invalid_request"


class NotSignedIn(WaylightError):
    """This needs a key: send `Authorization: Bearer ...`."""

    code = "not_signed_in"


class NotAllowed(WaylightError):
    """Your key does not carry the scope that this needs."""

    code = "not_allowed"


class NotFound(WaylightError):
    """There is nothing here that you may see."""

    code = "not_found"


class IdempotencyConflict(WaylightError):
    """This Idempotency-Key was used with another body: use a new key for a new report."""

    code = "idempotency_conflict"


class StateConflict(WaylightError):
    """That step is not possible from the state this is in."""

    code = "state_conflict"


class StaleVersion(WaylightError):
    """This changed since you read it: read it again and send its new ETag in `If-Match`."""

    code = "stale_version"


class TooManyRequests(WaylightError):
    """Too many requests: wait for the time in `Retry-After`."""

    code = "too_many_requests"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 60) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(WaylightError):
    """The database cannot be reached: try again with the same Idempotency-Key. In danger, call."""

    code = "unavailable"
    retry_after_s = 2


class NotReady(WaylightError):
    """This process cannot do its work now: `errors` names each thing that is missing."""

    code = "not_ready"
    retry_after_s = 2


class PackRejected(WaylightError):
    """The city pack was not loaded, and nothing was changed: see the problems."""

    code = "pack_rejected"
