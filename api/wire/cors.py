"""Which web pages may call (CORS, fetch.spec.whatwg.org).

What anybody may call, any page may: reports, receipts, public data. No cookie is ever read, so a
page gets nothing with it that its author could not fetch. What needs the key of a person on the
staff is for the pages in WAYLIGHT_ALLOWED_ORIGINS, none unless said: a key that sees stories
belongs into no page but the organisation's own. What an API client may do is for these and for the
pages that its organisation named: a preflight carries no key, so it is answered to every page that
some client names, and the key itself decides (`auth.is_foreign_page`).
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from flask import Flask, Response, current_app, request
from flask_cors.core import _ComputedCorsOptions, get_cors_options, set_cors_headers

from api.wire.context import now, waylight
from waylight.domain.principals import Kind
from waylight.services import keys

EXPOSED = (
    "Allow",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""Beyond those that every page may read anyway, such as Content-Language."""

STAFF_HEADERS = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-Id",
    "traceparent",
    "tracestate",
)
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
REMEMBERED_S = 7200
"""How long a browser need not ask again; the longest that Chromium heeds."""

OPEN_PATHS = frozenset(
    {"/", "/openapi.json", "/openapi.yaml", "/.well-known/oauth-authorization-server"}
)
"""Beside those under `/v1`. Health and metrics are nothing for a page in somebody's browser."""


class Pages:
    """The pages that some client names, remembered for a minute; a new one is known in seconds."""

    KEPT_FOR = timedelta(minutes=1)
    ASKED_EVERY = timedelta(seconds=2)
    """However many pages that nobody named ask."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()
        self._asked_at: datetime | None = None

    def has(self, page: str) -> bool:
        """Whether some client names this page. Raises Unavailable."""
        at = now()
        age = at - self._asked_at if self._asked_at else self.KEPT_FOR
        if age >= (self.KEPT_FOR if page in self._known else self.ASKED_EVERY):
            self._known = keys.known_origins(waylight().database, now=at)
            self._asked_at = at
        return page in self._known

    def forget(self) -> None:
        """Asks again at once: something was changed here."""
        self._asked_at = None


def forget_pages() -> None:
    """The pages of clients have changed."""
    pages: Pages = current_app.extensions["waylight.pages"]
    pages.forget()


class Cors:
    """The answers of one app to pages of other origins, errors and preflights included."""

    def __init__(self, app: Flask, *, allowed_origins: tuple[str, ...]) -> None:
        common = {"expose_headers": EXPOSED, "methods": METHODS, "max_age": REMEMBERED_S}
        # Any header, so that what a page's libraries add (tracing, say) costs nobody a report.
        self._open = get_cors_options(
            app, common, {"origins": "*", "allow_headers": "*", "send_wildcard": True}
        )
        self._named: Callable[..., _ComputedCorsOptions] = lambda *origins: get_cors_options(
            app,
            common,
            {
                # As patterns: flask-cors takes the brackets of an IPv6 address for one.
                "origins": [_exactly(origin) for origin in origins],
                "allow_headers": STAFF_HEADERS,
                "send_wildcard": False,
                "always_send": False,
                "vary_header": False,
            },
        )
        self._staff = self._named(*allowed_origins)
        self._has_origins = bool(allowed_origins)

    def allow(self, response: Response) -> Response:
        """Says to the browser who may read this."""
        is_open = _is_open()
        response.headers.setdefault(
            "Cross-Origin-Resource-Policy", "cross-origin" if is_open else "same-origin"
        )
        if is_open:
            # Also without an Origin where it may be cached, or a page gets the copy of a program.
            if "Origin" in request.headers or request.method in ("GET", "HEAD"):
                return set_cors_headers(response, self._open)
            return response
        page = request.headers.get("Origin")
        if page is not None and _takes_clients() and _pages().has(page):
            response.vary.add("Origin")
            return set_cors_headers(response, self._named(page))
        if self._has_origins:
            response.vary.add("Origin")
            return set_cors_headers(response, self._staff)
        return response


def _exactly(origin: str) -> re.Pattern[str]:
    return re.compile(re.escape(origin) + r"\Z", re.IGNORECASE)


def _pages() -> Pages:
    found: Pages = current_app.extensions["waylight.pages"]
    return found


def _takes_clients() -> bool:
    rule = request.url_rule
    required = rule and getattr(current_app.view_functions[rule.endpoint], "required", None)
    return bool(required and Kind.CLIENT in required.kinds)


def _is_open() -> bool:
    rule = request.url_rule
    if rule is None:
        return True  # there is nothing here, and a page should be able to read that
    if not rule.rule.startswith("/v1/"):
        return rule.rule in OPEN_PATHS
    required = getattr(current_app.view_functions[rule.endpoint], "required", None)
    return required is not None and bool(required.kinds & {Kind.NOBODY, Kind.PASSENGER})
