"""How routes are written, and how they write themselves into the OpenAPI document.

Every route file uses `Blueprint`; the app uses `WaylightApi`.
"""

import inspect
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any, cast
from uuid import UUID

import flask_smorest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask, Response, make_response, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema
from marshmallow.fields import Field
from werkzeug.exceptions import HTTPException
from werkzeug.http import generate_etag
from werkzeug.routing import BaseConverter, Map

import waylight
from api.wire.errors import (
    BY_STATUS,
    MEDIA_TYPE,
    TABLE,
    on_http_error,
    on_surprise,
    on_waylight_error,
)
from api.wire.json import StrictParser
from api.wire.limits import NEVER_LIMITED
from api.wire.negotiation import JSON
from schemas.common import GEOJSON_POINT, SUFFIX, ProblemOut, WireId
from waylight.domain.errors import WaylightError

View = Callable[..., ResponseReturnValue]

DESCRIPTION = """\
Waylight takes a report of harassment, following or spiking on the way, tells the transport safety
team that must know, and tells the passenger where the nearest open safe-travel hub is.

Times are RFC 3339, durations are in seconds and distances in metres with the unit in the name,
positions are GeoJSON with the longitude first. Errors are `application/problem+json` (RFC 9457)
with a stable `code`. Every answer carries `X-Request-Id`; one you send is kept. Texts follow
`Accept-Language`; codes never change. Within `/v1` fields are only ever added: ignore those you do
not know. `RateLimit` and `RateLimit-Policy` say how often you may call; reports are never limited.

Answers are compressed for whoever sends `Accept-Encoding` (zstd, br, gzip); bodies may come in gzip
or deflate, and count by their size unpacked. Public answers carry an `ETag` for `If-None-Match`;
personal ones are never kept. `HEAD` goes wherever `GET` does, and `OPTIONS` anywhere. Any web page
may call what needs no key of the staff (CORS, without cookies).
"""

SERVER = {
    "url": "/",
    "description": "This server: a live one (production) or a demonstration, as `/docs` says.",
    "x-internal": False,
}

SECURITY_SCHEMES = {
    "bearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer waylight_sk_...` for a person on the staff,"
        " `waylight_ck_...` for an API client.",
    },
    "receipt": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Authorization: Receipt K7QD-...`, as given in the answer to the report."
        " Case, spaces and dashes do not matter.",
    },
}

SECONDS = {"type": "integer", "format": "int64", "minimum": 0}

RESPONSE_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    405: {"Allow": {"schema": {"type": "string"}, "required": True}},
    415: {
        "Accept": {"schema": {"type": "string"}, "description": "Media types that are taken."},
        "Accept-Encoding": {"schema": {"type": "string"}, "description": "Codings that are taken."},
    },
    429: {"Retry-After": {"schema": SECONDS, "required": True}},
    503: {"Retry-After": {"schema": SECONDS, "required": True}},
}


COMMON_HEADERS: dict[str, dict[str, Any]] = {
    "RateLimit": {
        "description": "What is left of each policy that this call counted for: `r` calls, for `t`"
        " seconds. Absent where nothing is counted.",
        "schema": {"type": "string", "examples": ['"public";r=1199;t=60']},
    },
    "RateLimit-Policy": {
        "description": "Those policies: `q` calls in `w` seconds.",
        "schema": {"type": "string", "examples": ['"public";q=1200;w=60']},
    },
    "Access-Control-Allow-Origin": {
        "description": "Which pages of other origins may read this: any, where anybody may call.",
        "schema": {"type": "string", "examples": ["*"]},
    },
}
"""Of every answer but a 304, which stands for one that is kept."""


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
    """Notes that a view may answer with these errors."""
    responses = _documented(view).setdefault("responses", {})
    responses.update({status: f"Problem{status}" for status in statuses})
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
    whether the answer is compressed or not (RFC 9110, 8.8.3.3).
    """
    cache_control = f"{'public' if shared else 'private'}, max-age={max_age_s}"

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(*args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - the view's own
            response = make_response(view(*args, **kwargs))
            if response.status_code == 200:
                response.headers["Cache-Control"] = cache_control
                if localised:
                    response.vary.add("Accept-Language")
                response.set_etag(generate_etag(response.get_data()), weak=True)
                response.make_conditional(request)
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


class _Converter(OpenAPIConverter):
    """Takes a schema's docstring and `example` into the document."""

    def field2property(self, field: Field[Any]) -> dict[str, Any]:
        found: dict[str, Any] = super().field2property(field)
        if isinstance(found.get("type"), list):
            # A field that says itself that it may be null is told so once more by apispec.
            found["type"] = list(dict.fromkeys(found["type"]))
        if "integer" in found.get("type", ()):
            found["format"] = "int64"
        if found.get("properties") == GEOJSON_POINT["properties"]:
            return _or_null({"$ref": "#/components/schemas/Point"}, nullable=field.allow_none)
        if "enum" in found:
            return _with_plain_enum(found)
        return found

    def schema2jsonschema(self, schema: Schema | type[Schema]) -> dict[str, Any]:
        found: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call] # apispec's
        kind = type(resolve_schema_instance(schema))
        if kind.__doc__:
            found["description"] = inspect.cleandoc(kind.__doc__)
        if "example" in vars(kind):
            found["examples"] = [vars(kind)["example"]]
        for told in found["properties"].values() if kind.__name__.endswith("In") else ():
            _say_default(told)
        if not kind.__name__.endswith("In"):
            # Fields are added within a version: an answer may hold more than is documented today.
            found.pop("additionalProperties", None)
        return found


def _or_null(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


def _with_plain_enum(found: dict[str, Any]) -> dict[str, Any]:
    """A list of words with null beside it, not in it: generators make one name of each list."""
    words = found.pop("enum")
    found.pop("type", None)
    plain = {"type": "string", "enum": [word for word in words if word is not None]}
    return {**_or_null(plain, nullable=None in words), **found}


def _say_default(found: dict[str, Any]) -> None:
    """A default in words: from the keyword, generators conclude that the field must be sent."""
    default = found.pop("default", None)
    if default is not None:
        description = [found["description"]] if "description" in found else []
        found["description"] = " ".join([*description, f"`{default}` when absent."])


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


def _name_of(schema: Schema | type[Schema]) -> str:
    kind = type(resolve_schema_instance(schema))
    return kind.__name__.removesuffix("Out")


class WaylightApi(flask_smorest.Api):
    """Errors as problem details, and the document of all routes."""

    ERROR_SCHEMA = ProblemOut
    DEFAULT_ERROR_RESPONSE_NAME = None
    spec: APISpec

    def __init__(self, app: Flask) -> None:
        app.config.update(
            API_TITLE="Waylight", API_VERSION=waylight.__version__, OPENAPI_VERSION="3.1.0"
        )
        super().__init__(
            app,
            spec_kwargs={
                "marshmallow_plugin": _Plugin(schema_name_resolver=_name_of),
                "info": {
                    "description": DESCRIPTION,
                    "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
                },
                "servers": [SERVER],
            },
        )
        self.register_converter(
            WireIdConverter,
            lambda converter: {
                "type": "string",
                "pattern": f"^{converter.regex}$",
                "maxLength": converter.length,
            },
        )
        self.spec.components.schema("Point", GEOJSON_POINT)
        for name, scheme in SECURITY_SCHEMES.items():
            self.spec.components.security_scheme(name, scheme)

    def _register_error_handlers(self) -> None:
        self._app.register_error_handler(HTTPException, on_http_error)
        self._app.register_error_handler(WaylightError, on_waylight_error)
        self._app.register_error_handler(Exception, on_surprise)

    def _register_pagination_header(self) -> None:
        """Nothing: pages go on by cursors, and counts of everything are dear."""

    def _register_responses(self) -> None:
        kept = {"description": "What you have is still right: `If-None-Match` named its ETag."}
        self.spec.components.response("NOT_MODIFIED", kept, lazy=True)
        for status in sorted({*BY_STATUS, *(kind.status for kind in TABLE.values())}):
            codes = [
                f"`{error.code}`: {error.meaning()}"
                for error, kind in TABLE.items()
                if kind.status == status
            ]
            response = {
                "description": "\n\n".join(codes),
                "content": {MEDIA_TYPE: {"schema": ProblemOut}},
                "headers": RESPONSE_HEADERS.get(status, {}),
            }
            self.spec.components.response(f"Problem{status}", response, lazy=True)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of every registered route, in a fixed order."""
        found: dict[str, Any] = deepcopy(self.spec.to_dict())
        found["components"]["headers"].update(deepcopy(COMMON_HEADERS))
        for name, response in found["components"]["responses"].items():
            if name.startswith("Problem"):
                _add_common_headers(response)
        for path, item in found["paths"].items():
            _drop_retold(item)
            for method, operation in item.items():
                if isinstance(operation, dict):
                    never_limited = (method.upper(), path) in NEVER_LIMITED
                    _tidy(operation, never_limited=never_limited)
        order = ("openapi", "info", "servers", "tags", "paths", "components")
        return {name: found[name] for name in order}


def _tidy(operation: dict[str, Any], *, never_limited: bool) -> None:
    """Says of one operation what apispec cannot know."""
    responses = operation["responses"]
    if never_limited:
        responses.pop("429", None)
        responses.pop("406", None)
    operation["responses"] = {status: responses[status] for status in sorted(responses)}
    for response in responses.values():
        if "$ref" not in response:
            _add_common_headers(response, counted=not never_limited)
    for parameter in operation.get("parameters", ()):
        # A query parameter is absent or a text: `null` exists only in the schema that reads it.
        schema = parameter.get("schema", {})
        if not schema.get("default", True):
            del schema["default"]
        if isinstance(schema.get("type"), list):
            schema["type"] = schema["type"][0]


def _drop_retold(item: dict[str, Any]) -> None:
    """Leaves out what is said of a path's parameter where the operation says it better."""
    operations = [part for name, part in item.items() if name != "parameters"]
    told = {one.get("name") for part in operations for one in part.get("parameters", ())}
    kept = [one for one in item.pop("parameters", ()) if one["name"] not in told]
    if kept:
        item["parameters"] = kept


def _add_common_headers(response: dict[str, Any], *, counted: bool = True) -> None:
    headers = response.setdefault("headers", {})
    for name in COMMON_HEADERS:
        if counted or not name.startswith("RateLimit"):
            headers[name] = {"$ref": f"#/components/headers/{name}"}
