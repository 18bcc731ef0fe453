"""The OpenAPI document: what is said in it of every route, and how it is put together."""

import inspect
from copy import deepcopy
from typing import Any

import flask_smorest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import Schema
from marshmallow.fields import Field
from werkzeug.exceptions import HTTPException

import waylight
from api.wire.blueprint import WireIdConverter
from api.wire.errors import (
    BY_STATUS,
    MEDIA_TYPE,
    TABLE,
    on_http_error,
    on_surprise,
    on_waylight_error,
)
from api.wire.limits import NEVER_LIMITED
from api.wire.webhooks import WEBHOOKS
from schemas.common import GEOJSON_POINT, ProblemOut
from schemas.events import EventOut
from waylight.domain.errors import WaylightError

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
        " `waylight_ss_...` for one who has signed in, `waylight_ck_...` for an API client"
        " (`waylight_at_...` from OAuth).",
    },
    "clientBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "For OAuth: the id of an API client, and its token as the secret.",
    },
    "providerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "For GOV.UK Notify alone: the token of `WAYLIGHT_NOTIFY_CALLBACK_TOKEN`.",
    },
    "twilioSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Twilio-Signature",
        "description": "For Twilio alone: HMAC-SHA1 over the public address and the form.",
    },
    "receipt": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Authorization: Receipt K7QD-...`, as given in the answer to the report."
        " Case, spaces and dashes do not matter.",
    },
    "streamTicket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "A ticket of `POST /v1/alerts/stream/tickets`, for an `EventSource`, which"
        " can send no header. It opens one stream within 30 seconds.",
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
        self.spec.components.schema("Event", schema=EventOut)
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
        found["webhooks"] = deepcopy(WEBHOOKS)
        order = ("openapi", "info", "servers", "tags", "paths", "webhooks", "components")
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
