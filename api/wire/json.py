"""Strict JSON in, compact JSON out.

RFC 8259 leaves open what NaN, a key given twice, a lone surrogate, NUL or a thousand brackets mean.
Each has been read differently by two parts of one system, so the door refuses them (design, 5).
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import marshmallow
import orjson
from flask import Request, Response
from flask.json.provider import JSONProvider
from webargs.core import is_json, missing
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import UnsupportedMediaType

from api.wire.coding import decoded
from waylight.domain.errors import BodyTooLarge, InvalidRequest, MalformedJSON, Problem

MAX_DEPTH = 32
"""A report is four deep, the largest GeoJSON eight."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 20
"""Characters of the longest integer of 64 bits."""


def loads(data: bytes) -> Any:  # noqa: ANN401 - whatever JSON value was sent
    """The JSON value in `data`, in UTF-8 with or without a byte order mark.

    Integers beyond 64 bits become floats, as in every JavaScript client. Raises MalformedJSON with
    a code in its problem, never with any of the text: not_utf8, syntax, not_finite, duplicate_key,
    number_range, lone_surrogate, nul or too_deep.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("not_utf8", "The body is not valid UTF-8.")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_not_finite,
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        _refuse("syntax", f"Not JSON at line {error.lineno}, column {error.colno}.")
    except RecursionError:
        _refuse("too_deep", _TOO_DEEP)
    # Surrogates and NUL survive UTF-8 decoding only as escapes, and brackets bound the depth: the
    # walk is for the few bodies that could hold one.
    escaped = b"\\u" in data
    if escaped or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _walk(value)
    return value


_TOO_DEEP = f"Arrays and objects are nested more than {MAX_DEPTH} deep."


def _refuse(code: str, detail: str) -> NoReturn:
    raise MalformedJSON(problems=(Problem("", code, detail),))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        _refuse("duplicate_key", "An object has the same key twice.")
    return value


def _not_finite(_: str) -> NoReturn:
    _refuse("not_finite", "NaN and Infinity are not JSON.")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse("number_range", "A number is too large for a 64-bit float.")
    return value


def _integer(text: str) -> int | float:
    if len(text) > _LONGEST_INTEGER:
        return _float(text)
    value = int(text)
    return value if -(2**63) <= value < 2**63 else float(value)


def _walk(value: object) -> None:
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, (dict, list)):
            if depth == MAX_DEPTH:
                _refuse("too_deep", _TOO_DEEP)
            if isinstance(item, dict):
                waiting.extend((key, depth) for key in item)
                item = list(item.values())
            waiting.extend((child, depth + 1) for child in item)


def _check_text(text: str) -> None:
    if "\0" in text:
        _refuse("nul", "A string holds the character NUL (U+0000).")
    if _SURROGATE.search(text):
        _refuse("lone_surrogate", "A string holds half of a surrogate pair.")


def body_of(req: Request, *, decode: Callable[[bytes, str, int | None], bytes] = decoded) -> bytes:
    """The whole body, unpacked.

    Raises BodyTooLarge, also for one in chunks, which only ends at the limit, and what `decode`
    raises for one that is compressed in a way that it does not take.
    """
    data = req.get_data()
    most = req.max_content_length
    if req.content_length is None and most is not None and len(data) >= most:
        raise BodyTooLarge
    return decode(data, req.headers.get("Content-Encoding", ""), most)


class StrictParser(FlaskParser):
    """Reads the arguments of routes: strict JSON, and no query parameter that nobody reads.

    A misspelt filter that is silently ignored answers another question than was asked.
    """

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - the shape that webargs declares
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
    }

    minds_media_type = True

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:  # noqa: ANN401, ARG002
        """The body as JSON; `missing` when there is none. Another media type is a 415."""
        data = body_of(req)
        if not data:
            return missing
        if not is_json(req.mimetype):
            raise UnsupportedMediaType("Send the body as application/json.")
        return loads(data)

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> MultiDictProxy:
        """The query parameters. Raises InvalidRequest for one given twice or holding NUL."""
        problems = [
            Problem(name, "nul", "The value holds the character NUL.")
            for name, values in req.args.lists()
            if name in schema.fields and any("\0" in value for value in values)
        ] + [
            Problem(name, "given_twice", "Give this parameter once.")
            for name, values in req.args.lists()
            if name in schema.fields and len(values) > 1
        ]
        if problems:
            raise InvalidRequest(problems=problems)
        return self._makeproxy(req.args, schema)


class CompactProvider(JSONProvider):
    """The app's JSON: strict in, orjson out."""

    def dumps(self, obj: Any, **_: Any) -> str:  # noqa: ANN401 - as Flask declares it
        """JSON text without spaces."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:  # noqa: ANN401 - as Flask declares it
        """Strict, as `loads` above."""
        return loads(s.encode() if isinstance(s, str) else s)

    def response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - the same
        """A response with `application/json`."""
        body = self._prepare_response_obj(args, kwargs)
        return Response(orjson.dumps(body), mimetype="application/json")
