"""One address for one thing, however its slashes were typed.

Served as if it had been typed right, never by a redirect: many clients lose the body of a POST on
the way, and one that repeats what it was sent (`//elsewhere.example`) leads away from here.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from flask import request
from werkzeug.routing import Map

from api.wire.errors import BadRequest
from api.wire.limits import NEVER_LIMITED

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NO_HOST = "Send one valid Host header (RFC 9112, 3.2)."

_SLASHES = re.compile("//+")


def check_host() -> None:
    """Raises BadRequest (400) without a valid Host, as RFC 9112 wants; never for a report."""
    host = request.headers.get("Host")
    if host is None:
        valid = request.environ.get("SERVER_PROTOCOL") != "HTTP/1.1"
    else:
        valid = bool(request.host)  # werkzeug leaves an invalid one empty
    if not valid and (request.method, request.path) not in NEVER_LIMITED:
        raise BadRequest(NO_HOST)


class OneAddress:
    """WSGI middleware: `/v1/reports/` and `//v1/reports` are `/v1/reports` to all that follows.

    A route that ends in a slash of its own keeps it. `OPTIONS *`, which asks about the server,
    asks about its root.
    """

    def __init__(self, app: "WSGIApplication", routes: Map) -> None:
        self._app = app
        self._routes = routes

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers as the app does."""
        path = environ.get("PATH_INFO", "")
        if path.endswith("/") or "//" in path or not path.startswith("/"):
            environ["PATH_INFO"] = self._right(path)
        return self._app(environ, start_response)

    def _right(self, path: str) -> str:
        if path in ("*", ""):
            return "/"
        path = _SLASHES.sub("/", path)
        return path if path in self._ending_in_a_slash else path.rstrip("/") or "/"

    @cached_property
    def _ending_in_a_slash(self) -> frozenset[str]:
        # At the first request every route is there; when the app is made, not yet.
        rules = (rule.rule for rule in self._routes.iter_rules())
        return frozenset(rule for rule in rules if rule.endswith("/"))
