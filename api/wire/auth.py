"""Who may call a view. Every view says so with `require`; there is no default (design, D11)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

from flask import current_app, g, request
from flask.typing import ResponseReturnValue

from api.wire import limits
from api.wire.blueprint import View, document_responses, document_view
from api.wire.context import now, waylight
from api.wire.providers import Provider
from waylight.domain.errors import (
    EnrolmentNeeded,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    StepUpNeeded,
    Unavailable,
)
from waylight.domain.principals import NOBODY, Kind, Principal
from waylight.services import keys, stream

TICKET_OVER = "This ticket was used, is over, or never was: make a new one with your key."


CODE_DUE = (
    "Your provider signed you in without your second factor: send its code to"
    " `POST /v1/sessions/current/step-up`."
)
OTHER_PAGE = "This key is not for the page in `Origin`."


class NoReceipt(NotSignedIn):
    """This needs the receipt of your report: send `Authorization: Receipt ...`."""

    challenge = 'Receipt realm="waylight"'


@dataclass(frozen=True)
class Required:
    """Who may call a view; `scopes` bind callers with a key."""

    kinds: frozenset[Kind]
    scopes: tuple[str, ...] = ()
    outlives_database: bool = False
    tickets: bool = False
    provider: Provider | None = None
    quota: limits.Policy | None = None
    fresh: bool = False
    or_scope: str | None = None


class LastKnown:
    """Who called lately with a key, for the views that must answer while the database is away.

    A key is asked about in the database whenever that answers, so that one that was revoked ends
    at once; it is known here for an hour, by its hash.
    """

    KEPT_FOR = timedelta(hours=1)
    MOST = 64

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Principal, datetime]] = {}

    def learn(self, key: bytes, caller: Principal | None, *, at: datetime) -> None:
        """What the database has just said of a key; None is that nobody has it."""
        self._known.pop(key, None)
        if caller is not None:
            while len(self._known) >= self.MOST:
                self._known.pop(next(iter(self._known)))
            self._known[key] = (caller, at)

    def recall(self, key: bytes, *, at: datetime) -> Principal | None:
        """Who called with this key within the hour."""
        caller, learned_at = self._known.get(key, (None, at))
        return caller if at - learned_at <= self.KEPT_FOR else None


AT_ONCE = 4
"""Streams that are being opened at the same time in one process."""

LINE_S = 30.0
_door = threading.BoundedSemaphore(AT_ONCE)
_line = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def in_line(line: threading.BoundedSemaphore | None) -> Iterator[None]:
    """Lets a few pass while the others wait their turn; without a line, everybody.

    A thousand clients that come back together would ask for more connections than a pool has: most
    would hear 503, and so would those who report. At the door it is asked who they are; only those
    who may follow stand in the line behind it, so that keys and tickets that nobody has keep no
    place there. Raises Unavailable when the line is too long.
    """
    if line is None:
        yield
        return
    if not line.acquire(timeout=LINE_S):
        raise Unavailable("Too many come at once: try again.")
    try:
        yield
    finally:
        line.release()


def require(
    *kinds: Kind,
    scopes: tuple[str, ...] = (),
    outlives_database: bool = False,
    tickets: bool = False,
    provider: Provider | None = None,
    quota: limits.Policy | None = None,
    fresh: bool = False,
    or_scope: str | None = None,
) -> Callable[[View], View]:
    """Lets only these kinds of caller in, and of those with a key only such as have every scope.

    With `Kind.NOBODY` among the kinds, a wrong, foreign or unfit key makes its caller nobody: a
    passenger's report is not lost because their app's key was revoked. Otherwise: NotSignedIn
    (401) without a valid key, the same for a wrong one; NotAllowed (403) for the wrong kind or
    scope; TooManyRequests (429). With `outlives_database`, a key that was good within the hour is
    good while the database cannot be asked. With `tickets`, a stream ticket in the address does
    for a key, once. `provider` is how the one caller of `Kind.PROVIDER` is recognised; its calls
    are not limited, a forger's are. `quota` is what the caller's organisation may use of this
    beside the limit of its keys. With `fresh`, a session that its person has not proved within ten
    minutes to be theirs hears StepUpNeeded (401). `or_scope` does in place of all `scopes`: whoever
    changes a thing reads it. Put it right under the route, so that it runs
    first.
    """
    if not kinds:
        raise TypeError("say who may call: Kind.NOBODY for everybody")
    required = Required(
        frozenset(kinds), scopes, outlives_database, tickets, provider, quota, fresh, or_scope
    )

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:  # noqa: ANN401 - the view's own
            caller = g.principal = _identify(required)
            if caller.kind is not Kind.PROVIDER:
                limits.count_call(key_id=str(caller.key_id) if caller.key_id else None)
            if required.quota is not None:
                limits.count_use(required.quota, caller.organisation_id)
            if caller.kind is not Kind.PASSENGER:
                with in_line(_line if required.tickets else None):
                    return view(*args, **kwargs)
            try:
                return view(*args, **kwargs)
            except NotFound:
                limits.count_failure(limits.FAILED_RECEIPTS)
                raise

        document_view(guarded, security=_security(required))
        document_responses(guarded, *_statuses(required))
        cast("Any", guarded).required = required
        return guarded

    return decorate


def principal() -> Principal:
    """Who calls. Only within a view that `require` let in."""
    return cast("Principal", g.principal)


def asking(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - as the verbs take it
    """What a verb that leaves a trace is called with: who asks, by which request and when.

    And `more`. Only within a view that `require` let in.
    """
    context = waylight()
    return {
        "database": context.database,
        "vault": context.vault,
        "principal": principal(),
        "request_id": g.request_id,
        "now": now(),
        **more,
    }


def is_foreign_page(caller: Principal) -> bool:
    """Whether a browser says that this comes from a page where the caller's key does not belong.

    A client's key belongs to the pages that its organisation named and to no other; that of a
    person to our own and to those in WAYLIGHT_ALLOWED_ORIGINS. Programs send no `Origin`.
    """
    page = request.headers.get("Origin")
    if page is None:
        return False
    if caller.kind is Kind.CLIENT:
        return page not in caller.allowed_origins
    settings = waylight().settings
    ours = {request.host, urlsplit(settings.base_url).netloc}
    return page.lower() not in map(str.lower, settings.allowed_origins) and (
        urlsplit(page).netloc not in ours
    )


def _identify(required: Required) -> Principal:
    if required.tickets and "ticket" in request.args:
        return _with_ticket(required, request.args["ticket"])
    if required.provider is not None:
        caller = required.provider.identify()
        if caller is None:
            limits.count_failure(limits.FAILED_KEYS)
            raise NotSignedIn("This is for a provider of messages, and you are not it.")
        return caller
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    scheme, secret = scheme.lower(), secret.strip()
    if Kind.PASSENGER in required.kinds and scheme == "receipt" and secret:
        return Principal(kind=Kind.PASSENGER, receipt=secret)
    if required.kinds & {Kind.STAFF, Kind.CLIENT}:
        return _with_key(required, secret if scheme == "bearer" else "")
    if Kind.NOBODY in required.kinds:
        return NOBODY
    raise NoReceipt


def _with_key(required: Required, token: str) -> Principal:
    anonymous = NOBODY if Kind.NOBODY in required.kinds else None
    if not token:
        if anonymous is not None:
            return anonymous
        raise NotSignedIn
    with in_line(_door if required.tickets else None):
        caller = _holder(token, outlives_database=required.outlives_database)
    if caller is None:
        if anonymous is not None:
            return anonymous
        limits.count_failure(limits.FAILED_KEYS)
        raise NotSignedIn
    if is_foreign_page(caller):
        if anonymous is not None:
            return anonymous
        raise NotAllowed(OTHER_PAGE, problems=[Problem("Origin", "origin_not_allowed", OTHER_PAGE)])
    return _fit(required, caller, anonymous)


def _with_ticket(required: Required, ticket: str) -> Principal:
    context = waylight()
    with in_line(_door):
        found = stream.redeem_ticket(context.database, context.vault, ticket, now=now())
    if found is None:
        limits.count_failure(limits.FAILED_KEYS)
        raise NotSignedIn(TICKET_OVER)
    g.redeemed = found
    return _fit(required, found.principal, None)


def _fit(required: Required, caller: Principal, anonymous: Principal | None) -> Principal:
    lacking = tuple(scope for scope in required.scopes if not caller.may(scope))
    if required.or_scope is not None and caller.may(required.or_scope):
        lacking = ()
    if caller.kind in required.kinds and not lacking:
        if required.fresh and not caller.is_fresh(now=now()):
            raise StepUpNeeded
        return caller
    if anonymous is not None:
        return anonymous
    if caller.must_enrol and caller.kind in required.kinds:
        raise EnrolmentNeeded
    if caller.must_prove and caller.kind in required.kinds:
        raise StepUpNeeded(CODE_DUE)
    raise NotAllowed(problems=tuple(_unmet(required, caller, lacking)))


def _holder(token: str, *, outlives_database: bool) -> Principal | None:
    context, at = waylight(), now()
    if not outlives_database:
        return keys.authenticate(context.database, context.vault, token, now=at)
    last_known: LastKnown = current_app.extensions["waylight.last_known"]
    key = context.vault.hash_token(token)
    try:
        caller = keys.authenticate(context.database, context.vault, token, now=at)
    except Unavailable:
        caller = last_known.recall(key, at=at)
        if caller is None:
            raise
        return caller
    last_known.learn(key, caller, at=at)
    return caller


def _unmet(required: Required, caller: Principal, lacking: tuple[str, ...]) -> list[Problem]:
    if caller.kind not in required.kinds:
        wanted = " or ".join(sorted(required.kinds))
        return [Problem("Authorization", "wrong_kind", f"This needs a {wanted} key.")]
    return [
        Problem("Authorization", "missing_scope", f"This needs the scope {scope}.")
        for scope in lacking
    ]


def _security(required: Required) -> list[dict[str, list[str]]]:
    schemes: list[dict[str, list[str]]] = []
    if Kind.NOBODY in required.kinds:
        schemes.append({})
    if Kind.PASSENGER in required.kinds:
        schemes.append({"receipt": []})
    if required.kinds & {Kind.STAFF, Kind.CLIENT}:
        schemes.append({"bearerAuth": list(required.scopes)})
        if required.or_scope is not None:
            schemes.append({"bearerAuth": [required.or_scope]})
    if required.tickets:
        schemes.append({"streamTicket": []})
    if required.provider is not None:
        schemes.append({required.provider.scheme: []})
    return schemes


def _statuses(required: Required) -> Iterator[int]:
    yield from (429, 500, 503)
    if required.provider is not None:
        yield 413
    if Kind.PASSENGER in required.kinds:
        yield 404
    if Kind.NOBODY not in required.kinds:
        yield 401
        if required.kinds & {Kind.STAFF, Kind.CLIENT}:
            yield 403
