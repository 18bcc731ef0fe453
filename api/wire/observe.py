"""One line in the log and one count for each request: what was asked and how it went, never who."""

import re
from contextlib import nullcontext
from functools import lru_cache
from time import perf_counter

from flask import current_app, g, request
from werkzeug.wrappers import Response

from waylight import metrics, telemetry
from waylight.log import get_logger
from waylight.services.operations.metrics import SAMPLE_S, note_pools

log = get_logger(__name__)

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines every few seconds: their lines would bury the others."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
UNMATCHED = "unmatched"
"""The route of an address that there is not. The address itself is the caller's own text."""

_ARGUMENT = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


def begin() -> None:
    """Starts the clock of a request, and its span."""
    g.began_at = perf_counter()
    try:
        g.span = telemetry.span(_method(), "server")
        g.traced = g.span.__enter__()
    except Exception:  # whatever breaks here, the request goes on
        g.span, g.traced = nullcontext(), None
        log.exception("span_not_begun")


def end(response: Response) -> Response:
    """Counts, times and logs a request that is answered."""
    if "began_at" not in g:
        return response  # what began it broke: the answer matters more than its line
    took_s = perf_counter() - g.began_at
    rule = request.url_rule
    route = template_of(rule.rule) if rule is not None else UNMATCHED
    method = _method()
    metrics.count(metrics.REQUESTS, method, route, str(response.status_code))
    metrics.time(metrics.REQUEST_S, method, route, took_s=took_s)
    _note_pools()
    _end_span(method, route, response.status_code)
    say = log.debug if route in QUIET else log.info
    say(
        "request",
        method=method,
        route=route,
        status=response.status_code,
        duration_ms=round(took_s * 1000, 1),
    )
    return response


@lru_cache(maxsize=512)
def template_of(rule: str) -> str:
    """The template of a route as the document writes it: `/v1/alerts/{alert_id}`."""
    return _ARGUMENT.sub(r"{\1}", rule)


def _method() -> str:
    return request.method if request.method in METHODS else "other"


def _end_span(method: str, route: str, status: int) -> None:
    traced = g.traced
    if traced is not None:
        said: dict[telemetry.Attribute, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "waylight.request_id": g.request_id,
        }
        traced.update_name(f"{method} {route}")
        traced.set_attributes(said)
    g.span.__exit__(None, None, None)


def _note_pools() -> None:
    noted_at = current_app.extensions.get("waylight.pools_noted_at", 0.0)
    if perf_counter() - noted_at >= SAMPLE_S:
        current_app.extensions["waylight.pools_noted_at"] = perf_counter()
        note_pools(current_app.extensions["waylight"].database)
