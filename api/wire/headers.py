"""The headers of every answer: what browsers may do with it, who may keep it, its language."""

from flask import Response, g, request

from api.wire.errors import MEDIA_TYPE
from schemas.common import LANGUAGE
from waylight import texts

DEFAULTS = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
"""Data is nothing to show: a browser that is made to runs nothing of it, nor lets it be framed."""

HTTPS = "max-age=31536000"
"""A year. Other hosts of the domain are their operator's to promise for."""


_NAMES = frozenset(name.lower() for name, _ in DEFAULTS)


def finish(response: Response) -> Response:
    """Adds what the view did not say itself. A page that needs more says so in its own headers."""
    headers = response.headers
    said = {name.lower() for name, _ in headers}
    headers["X-Request-Id"] = g.get("request_id", "")
    # One by one costs five times as much, and this is on the way of every report.
    headers.extend(
        DEFAULTS if said.isdisjoint(_NAMES) else [d for d in DEFAULTS if d[0].lower() not in said]
    )
    kept = "no-store" not in headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", HTTPS)
    if response.allow and (request.method == "OPTIONS" or response.status_code == 405):
        # werkzeug keeps a set: the same answer twice should look the same.
        headers["Allow"] = ", ".join(sorted(response.allow))
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        headers.remove("Content-Type")
    elif "content-language" not in said:
        language = _language(response, kept=kept)
        if language is not None:
            headers["Content-Language"] = language
    return response


def _language(response: Response, *, kept: bool) -> str | None:
    """The language of the texts; None for what is the same in every language."""
    if response.mimetype == MEDIA_TYPE:
        return texts.DEFAULT  # problems are told to developers; `code` is for their programs
    if kept and "accept-language" not in response.headers.get("Vary", "").lower():
        return None
    return LANGUAGE.get()
