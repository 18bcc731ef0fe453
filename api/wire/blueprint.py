"""How routes are written, and what each says of itself for the document.

Every route file uses `Blueprint`; `document.py` makes the document of what they say.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

import flask_smorest
from apispec.ext.marshmallow.common import resolve_schema_instance
from flask import Response, make_response, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema
from werkzeug.http import generate_etag
from werkzeug.routing import BaseConverter, Map

from api.wire.json import StrictParser
from api.wire.negotiation import JSON
from schemas.common import SUFFIX, WireId

View = Callable[..., ResponseReturnValue]


class Blueprint(flask_smorest.Blueprint):
    """Refuses a view without `require(...)` when it is written, not when it is called."""

    ARGUMENTS_PARSER = StrictParser()

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: View | None = None,
        provide_automatic_options: bool | None = None,  # noqa: FBT001 - as Flask declares it
        **options: Any,  # noqa: ANN401 - as Flask declares it
    ) -> None:
        """Registers a view. Raises TypeError when it does not say who may call it."""
        if not hasattr(view_func, "required"):
            msg = f"{rule}: put @require(...) under the route"
            raise TypeError(msg)
        if "<" in rule:
            document_responses(view_func, 404)
        document_responses(view_func, 400)
        if rule.startswith("/v1/"):
            document_responses(view_func, 406)
        cast("Any", view_func).produces = _media_types(cast("View", view_func))
        name = endpoint or cast("View", view_func).__name__
        _documented(view_func).setdefault("operationId", f"{self.name}_{name}")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def arguments(
        self,
        schema: type[Schema] | Schema,
        *,
        location: str = "json",
        **kwargs: Any,  # noqa: ANN401 - as flask-smorest declares it
    ) -> Callable[[View], View]:
        """As flask-smorest's, with every way in which reading these arguments can fail."""
        # Of a class webargs would make an instance, a deep copy of every field, for each request.
        schema = resolve_schema_instance(schema)
        decorate = super().arguments(schema, location=location, **kwargs)
        statuses = [422]
        if location == "json":
            statuses += [413, 415]

        def documented(view: View) -> View:
            reading = cast("View", decorate(view))
            # flask-smorest's own names for these responses differ between versions of Python.
            vars(reading)["_apidoc"]["arguments"]["responses"] = {}
            return document_responses(reading, *statuses)

        return documented


def document_responses(view: View | None, *statuses: int) -> View:
    """Notes that a view may answer with these errors; what it says itself of one stays."""
    responses = _documented(view).setdefault("responses", {})
    for status in statuses:
        responses.setdefault(status, f"Problem{status}")
    return cast("View", view)


def document_view(view: View, **said: object) -> None:
    """Says something of a view in the document, in the words of OpenAPI's operation object."""
    _documented(view).update(said)


def _documented(view: View | None) -> dict[str, Any]:
    """What is said of a view by hand; flask-smorest lays it over what it finds out by itself."""
    found: dict[str, Any] = vars(view).setdefault("_apidoc", {}).setdefault("manual_doc", {})
    return found


def _media_types(view: View) -> tuple[str, ...]:
    """Those of the answers that a view documents as what it is there for."""
    said = vars(view).get("_apidoc", {})
    responses = said.get("response", {}).get("responses", {})
    wanted = (responses.get(status, ()) for status in said.get("success_status_codes", ()))
    found = (one["content_type"] or JSON for group in wanted for one in reversed(group))
    return tuple(dict.fromkeys(found))


def public(
    *, max_age_s: int, shared: bool = True, localised: bool = False
) -> Callable[[View], View]:
    """Lets an answer that is the same for everybody be kept: ETag, 304, Cache-Control.

    `shared=False` keeps it out of proxies: the address of such a request says where somebody is.
    `localised=True` is for texts in the caller's language. The ETag is weak, for it is the same
    whether the answer is compressed or not (RFC 9110, 8.8.3.3). With an age of 0 every use of a
    kept answer is asked for first: what must never be out of date.
    """
    kept = f"max-age={max_age_s}" if max_age_s else "no-cache"
    cache_control = f"{'public' if shared else 'private'}, {kept}"

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(*args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - the view's own
            response = make_response(view(*args, **kwargs))
            if response.status_code == 200:
                response.headers["Cache-Control"] = cache_control
                if localised:
                    response.vary.add("Accept-Language")
                response.set_etag(generate_etag(response.get_data()), weak=True)
                # `If-Match` guards changes, and this is none: every GET goes on without it.
                asked = {k: v for k, v in request.environ.items() if k != "HTTP_IF_MATCH"}
                response.make_conditional(asked)
            return response

        answer.__dict__.setdefault("_apidoc", {})["etag"] = True
        return answer

    return decorate


class WireIdConverter(BaseConverter):
    """`<wire_id("hub"):hub_id>` in a route: a TypeID outside, a UUID inside, 404 for any other."""

    def __init__(self, url_map: Map, prefix: str) -> None:
        super().__init__(url_map)
        self.prefix = prefix
        self.regex = f"{prefix}_{SUFFIX}"
        self.length = WireId.length(prefix)

    def to_python(self, value: str) -> UUID:
        """The UUID of the row."""
        return WireId.read(self.prefix, value)

    def to_url(self, value: UUID) -> str:
        """The id on the wire."""
        return WireId.of(self.prefix, value)
