"""Everything that can go wrong on purpose.

Each class is one stable `code`. The first paragraph of its docstring is the default message; the
rest, in docs/errors.md, says what a client does about it. `api/wire/errors.py` maps a class to a
status in one table.
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
        self.detail = detail or self.meaning()
        self.problems = tuple(problems)
        super().__init__(self.detail)

    @classmethod
    def meaning(cls) -> str:
        """What happened and the way out, in one or two sentences: the default message."""
        return _paragraphs(cls)[0]

    @classmethod
    def advice(cls) -> str:
        """What a client does about it; empty when the message says all."""
        return " ".join(_paragraphs(cls)[1:])


def _paragraphs(error: type[WaylightError]) -> list[str]:
    return [" ".join(part.split()) for part in (error.__doc__ or "").split("\n\n")]


class MalformedJSON(WaylightError):
    """The body is not strict JSON (RFC 8259): send one JSON value in UTF-8.

    The same bytes will be refused again: mend what writes them. The code in `errors` says what is
    wrong, and for bad syntax its detail says where.
    """

    code = "malformed_json"


class BodyTooLarge(WaylightError):
    """The body is larger than this endpoint takes: send less.

    Do not send it again as it is. A body may have 256 KiB, unless the
    deployment says otherwise.
    """

    code = "body_too_large"


class NotAnObject(WaylightError):
    """The body must be a JSON object.

    Send `{...}`, not a list, a text or a number.
    """

    code = "not_an_object"


class NothingToActOn(WaylightError):
    """There is nothing to act on: say what happened, where, or that you are in danger.

    Keep it on the phone and ask the person for one more thing. Nothing was stored. `errors` also
    has a warning for each value that was not understood.
    """

    code = "nothing_to_act_on"


class InvalidRequest(WaylightError):
    """The request has fields that cannot be used: see `errors` for each one and its fix.

    Mend each field or parameter in `errors`; sending the same again is no use. A report is never
    refused for one bad field: there it is a warning.
    """

    code = "invalid_request"


class NotSignedIn(WaylightError):
    """This needs a key: send `Authorization: Bearer ...`.

    Use a key that works: this one is missing, mistyped, revoked or has expired. Do not try the same
    again and again, since failures are counted and end in 429.
    """

    code = "not_signed_in"


class WrongCredentials(WaylightError):
    """That does not sign in: the e-mail address, the password or the code is not right.

    Whichever it is, and whether there is such an account, is never told. A code is used once: wait
    for the next. Who has no password (any more) asks an administrator for an invitation.
    """

    code = "wrong_credentials"


class SignInRefused(WaylightError):
    """That sign-in did not work: begin again.

    It was used or is over, or what the provider sent back does not fit it, or your organisation
    lets nobody in by it: which, is never told, but to whoever runs the service. Begin anew with
    `POST /v1/sign-in/...`; if that fails too, ask an administrator of your organisation.
    """

    code = "sign_in_refused"


class StepUpNeeded(WaylightError):
    """This needs your password or a code once more: `POST /v1/sessions/current/step-up`.

    Ask the person, step up, and send the same request again within ten minutes. Keys that are no
    sessions are never asked.
    """

    code = "step_up_needed"


class EnrolmentNeeded(WaylightError):
    """Set up your second factor first: `POST /v1/account/totp`.

    Your role or your organisation demands one, and until it is confirmed this session opens nothing
    else.
    """

    code = "enrolment_needed"


class NotAllowed(WaylightError):
    """Your key does not carry the scope that this needs.

    `errors` says which scope or kind of key is missing: ask whoever gave you yours. The same key
    will be refused again.
    """

    code = "not_allowed"


class NotFound(WaylightError):
    """There is nothing here that you may see.

    Check the address and the id. What you may not see looks like what there is not. For a receipt,
    `receipt_mistyped` in `errors` means that its own check failed: ask the person to look again.
    """

    code = "not_found"


class IdempotencyConflict(WaylightError):
    """This Idempotency-Key was used with another body: use a new key for a new report.

    Only API clients get this. An anonymous phone gets a new report with the warning
    `idempotency_key_reused` instead.
    """

    code = "idempotency_conflict"


class StateConflict(WaylightError):
    """That step is not possible from the state this is in.

    Read the alert again and show what it is now: somebody may have been faster.
    """

    code = "state_conflict"


class ConsentNotPossible(WaylightError):
    """Consent cannot be given to this recipient: `errors` says why.

    Show the person why, and what is possible: `GET /v1/reports/mine/consents`.
    """

    code = "consent_not_possible"


class LastAdministrator(WaylightError):
    """This is the last administrator of your organisation: make another one first.

    Somebody must be left who can let people in. An administrator counts who has set a password and
    is not disabled.
    """

    code = "last_administrator"


class StaleVersion(WaylightError):
    """This changed since you read it: read it again and send its new ETag in `If-Match`.

    Show the person what changed before they decide again. Without `If-Match` the step is taken
    whatever changed.
    """

    code = "stale_version"

    def __init__(self, detail: str | None = None, *, version: int | None = None) -> None:
        super().__init__(detail)
        self.version = version
        """What it is now, for the `ETag` of the answer; None where that is not known."""


class TooManyRequests(WaylightError):
    """Too many requests: wait for the time in `Retry-After`.

    Wait, then send the same request. `RateLimit` in each answer says what is left. Submitting a
    report is never limited.
    """

    code = "too_many_requests"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 60) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(WaylightError):
    """The database cannot be reached: try again with the same Idempotency-Key. In danger, call.

    Keep the report on the phone, wait for `Retry-After`, then send the same body with the same
    `Idempotency-Key`, a little later each time. Show the person the emergency numbers meanwhile.
    """

    code = "unavailable"
    retry_after_s = 2


class NotReady(WaylightError):
    """This process cannot do its work now: `errors` names each thing that is missing.

    Only `/readyz` says so: send this process no callers until it answers 200 again.
    """

    code = "not_ready"
    retry_after_s = 2


class PackRejected(WaylightError):
    """The city pack was not loaded, and nothing was changed: see the problems."""

    code = "pack_rejected"
