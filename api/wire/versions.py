"""Versions of things that several people change: ETag out, If-Match in (RFC 9110, 13.1.1)."""

import re
from collections.abc import Callable

from flask import request

from api.wire.blueprint import View, document_responses
from api.wire.errors import PreconditionRequired

_OURS = re.compile(r'"([0-9]{1,9})"')

HEADERS = {
    "ETag": {
        "description": "The version, for `If-Match`.",
        "schema": {"type": "string", "examples": ['"3"']},
    }
}
"""How a response documents its version."""

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": 'The ETag you read, like `"3"`. If somebody changed it since, nothing happens'
    " and the answer is 412. Left out: it happens to whatever there is now.",
    "schema": {"type": "string"},
}

IF_MATCH_DEMANDED = {
    **IF_MATCH,
    "required": True,
    "description": 'The ETag you read, like `"3"`. If somebody changed it since, nothing happens'
    " and the answer is 412. `*` is whatever there is now; without it the answer is 428.",
}


def etag(version: int) -> dict[str, str]:
    """The headers of an answer with this version."""
    return {"ETag": f'"{version}"'}


def if_match() -> int | None:
    """The version that the caller read; None without `If-Match` or with `*`.

    What was never one ETag of ours is a version that nothing has: -1.
    """
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    ours = _OURS.fullmatch(given)
    return int(ours[1]) if ours else -1


def versioned(*statuses: int) -> Callable[[View], View]:
    """Documents the `If-Match` of a view that changes something, its 412, and further statuses."""

    def decorate(view: View) -> View:
        documented = document_responses(view, 412, *statuses)
        document = documented.__dict__["_apidoc"]["manual_doc"]
        document.setdefault("parameters", []).append(IF_MATCH)
        return documented

    return decorate


def if_match_demanded() -> int | None:
    """The version that the caller read; None with `*`. Raises PreconditionRequired without any.

    For what decides who is alerted: nobody is in a hurry there, and a change that is lost in
    silence leaves a place without its team.
    """
    if "If-Match" not in request.headers:
        raise PreconditionRequired
    return if_match()


def demanded(*statuses: int) -> Callable[[View], View]:
    """Documents the `If-Match` of a view that changes nothing without it, and further statuses."""

    def decorate(view: View) -> View:
        documented = document_responses(view, 412, 428, *statuses)
        document = documented.__dict__["_apidoc"]["manual_doc"]
        document.setdefault("parameters", []).append(IF_MATCH_DEMANDED)
        return documented

    return decorate


def conflicting(view: View) -> View:
    """Documents the 409 of a view that changes something without a version."""
    return document_responses(view, 409)
