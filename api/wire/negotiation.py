"""What the caller can read (`Accept`, RFC 9110, 12.5.1)."""

from collections.abc import Sequence
from typing import cast

from flask import current_app, request

from api.wire.errors import NotAcceptable
from api.wire.limits import NEVER_LIMITED
from waylight.domain.errors import Problem

JSON = "application/json"
HTML = "text/html"
_ANYTHING = frozenset({None, "", "*/*"})
_LONGEST = 1000
"""Characters of an Accept header that are read: a hostile one must not cost time."""


def check_accept() -> None:
    """Raises NotAcceptable (406) before a view runs whose answer the caller cannot read.

    A report is taken whatever its sender says of the answer. Errors are problem details for
    everybody, and a malformed header is as good as none. Routes outside `/v1` mind their own.
    """
    given = request.headers.get("Accept")
    if given in _ANYTHING or request.method == "OPTIONS" or request.url_rule is None:
        return
    if not request.path.startswith("/v1/") or (request.method, request.path) in NEVER_LIMITED:
        return
    offered = produced_by(request.url_rule.endpoint)
    if given in offered:
        return
    if offered and best_of(offered) is None:
        problem = Problem("Accept", "not_acceptable", f"There is {' and '.join(offered)}.")
        raise NotAcceptable(problems=(problem,))


def produced_by(endpoint: str) -> Sequence[str]:
    """The media types that a view says its answers have; none when it says nothing."""
    view = current_app.view_functions[endpoint]
    return cast("Sequence[str]", vars(view).get("produces", ()))


def best_of(offered: Sequence[str]) -> str | None:
    """What the caller likes best of these, the first of equals; None when they take none."""
    given = request.headers.get("Accept", "")
    ranges = [
        (media_range.partition(";")[0].strip().lower(), quality)
        for media_range, quality in request.accept_mimetypes
    ]
    ranges = [one for one in ranges if one[0].count("/") == 1]
    if not ranges or len(given) > _LONGEST:
        return offered[0]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    return best if _quality(best, ranges) > 0 else None


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that holds the media type.

    Parameters are not looked at: JSON has none, and `application/json; charset=utf-8` means it.
    """
    for pattern in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == pattern]
        if qualities:
            return max(qualities)
    return 0.0
