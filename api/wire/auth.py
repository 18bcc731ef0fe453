"""Who may call a view. Every view says so with `require`; there is no default (design, D11)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from flask import g, request
from flask.typing import ResponseReturnValue

from api.wire import limits
from api.wire.blueprint import View, document_responses, document_view
from api.wire.context import now, waylight
from waylight.domain.errors import NotAllowed, NotFound, NotSignedIn, Problem
from waylight.domain.principals import NOBODY, Kind, Principal
from waylight.services import keys


class NoReceipt(NotSignedIn):
    """This needs the receipt of your report: send `Authorization: Receipt ...`."""

    challenge = 'Receipt realm="waylight"'


@dataclass(frozen=True)
class Required:
    """Who may call a view; `scopes` bind callers with a key."""

    kinds: frozenset[Kind]
    scopes: tuple[str, ...] = ()


def require(*kinds: Kind, scopes: tuple[str, ...] = ()) -> Callable[[View], View]:
    """Lets only these kinds of caller in, and of those with a key only such as have every scope.

    With `Kind.NOBODY` among the kinds, a wrong, foreign or unfit key makes its caller nobody: a
    passenger's report is not lost because their app's key was revoked. Otherwise: NotSignedIn
    (401) without a valid key, the same for a wrong one; NotAllowed (403) for the wrong kind or
    scope; TooManyRequests (429). Put it right under the route, so that it runs first.
    """
    if not kinds:
        raise TypeError("say who may call: Kind.NOBODY for everybody")
    required = Required(frozenset(kinds), scopes)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:  # noqa: ANN401 - the view's own
            caller = g.principal = _identify(required)
            limits.count_call(key_id=str(caller.key_id) if caller.key_id else None)
            if caller.kind is not Kind.PASSENGER:
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


def _identify(required: Required) -> Principal:
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
    context = waylight()
    caller = keys.authenticate(context.database, context.vault, token, now=now())
    if caller is None:
        if anonymous is not None:
            return anonymous
        limits.count_failure(limits.FAILED_KEYS)
        raise NotSignedIn
    lacking = tuple(scope for scope in required.scopes if not caller.may(scope))
    if caller.kind in required.kinds and not lacking:
        return caller
    if anonymous is not None:
        return anonymous
    raise NotAllowed(problems=tuple(_unmet(required, caller, lacking)))


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
    return schemes


def _statuses(required: Required) -> Iterator[int]:
    yield from (429, 500, 503)
    if Kind.PASSENGER in required.kinds:
        yield 404
    if Kind.NOBODY not in required.kinds:
        yield 401
        if required.kinds & {Kind.STAFF, Kind.CLIENT}:
            yield 403
