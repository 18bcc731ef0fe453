"""Strict JSON in, compact JSON out.

RFC 8259 leaves open what NaN, a key given twice, a lone surrogate, NUL or a thousand brackets mean.
Each has been read differently by two parts of one system, so the door refuses them (design, 5).
"""

import json
import math
import re
from typing import Any, NoReturn

import marshmallow
import orjson
from flask import Request, Response
from flask.json.provider import JSONProvider
from gunicorn.http.errors import ParseException
from webargs.core import is_json, missing
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import UnsupportedMediaType

from api.wire.coding import decoded
from api.wire.errors import BadRequest, pointer
from waylight.domain.errors import BodyTooLarge, InvalidRequest, MalformedJSON, Problem

MAX_DEPTH = 32
"""A report is four deep, the largest GeoJSON eight."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 20
"""Characters of the longest integer of 64 bits."""


def loads(data: bytes, *, any_text: bool = False) -> Any:  # noqa: ANN401 - whatever JSON value was sent
    """The JSON value in `data`, in UTF-8 with or without a byte order mark.

    Integers beyond 64 bits become floats, as in every JavaScript client. Raises MalformedJSON with
    a code in its problem, never with any of the text: not_utf8 and syntax, which say where, and
    not_finite, duplicate_key, number_range, lone_surrogate, nul or too_deep. `any_text` lets
    through surrogates and NUL, for a caller that mends them.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse("not_utf8", f"The body is not valid UTF-8 at byte {error.start + 1}.")
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
    escaped = b"\\u" in data and not any_text
    if escaped or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _walk(value, any_text=any_text)
    return value


_TOO_DEEP = f"Arrays and objects are nested more than {MAX_DEPTH} deep."


def _refuse(code: str, detail: str, pointer: str = "") -> NoReturn:
    raise MalformedJSON(problems=(Problem(pointer, code, detail),))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        _refuse("duplicate_key", "An object has the same key twice: send each key once.")
    return value


def _not_finite(_: str) -> NoReturn:
    _refuse("not_finite", "JSON has no NaN and no Infinity: send null, or leave the field out.")


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


def _walk(value: object, *, any_text: bool) -> None:
    waiting: list[tuple[object, tuple[str, ...]]] = [(value, ())]
    while waiting:
        item, path = waiting.pop()
        if isinstance(item, str) and not any_text:
            _check_text(item, path)
        elif isinstance(item, (dict, list)):
            if len(path) == MAX_DEPTH:
                _refuse("too_deep", _TOO_DEEP, pointer(path, location="json"))
            if isinstance(item, dict):
                waiting.extend((key, path) for key in item)
                waiting.extend((child, (*path, key)) for key, child in item.items())
            else:
                waiting.extend((child, (*path, str(n))) for n, child in enumerate(item))


def _check_text(text: str, path: tuple[str, ...]) -> None:
    if "\0" in text:
        _refuse(
            "nul",
            "This holds the character NUL (U+0000): leave it out.",
            pointer(path, location="json"),
        )
    if _SURROGATE.search(text):
        _refuse(
            "lone_surrogate",
            "This holds half of a surrogate pair, as text that was cut in the middle of an emoji"
            " does: cut it between characters.",
            pointer(path, location="json"),
        )


def sent(req: Request, *, cut_short: bool = False) -> bytes:
    """The bytes of the body as they came, all of them.

    Raises BodyTooLarge, also for one in chunks, which only ends at the limit, and BadRequest for
    broken chunks and for less than its Content-Length, unless `cut_short`.
    """
    try:
        data = req.get_data()
    except ParseException as error:
        raise BadRequest(problems=[_NOT_WHOLE]) from error
    most = req.max_content_length
    if req.content_length is None and most is not None and len(data) >= most:
        raise BodyTooLarge
    if not cut_short and len(data) < (req.content_length or 0):
        raise BadRequest(problems=[_NOT_WHOLE])
    return data


_NOT_WHOLE = Problem(
    "", "not_whole", "The body ended before its `Content-Length`, or its chunks cannot be read."
)


def body_of(req: Request) -> bytes:
    """The whole body, unpacked.

    Raises as `sent` does, and UnsupportedEncoding or MalformedJSON for one that is compressed in a
    way that is not taken.
    """
    return decoded(sent(req), req.headers.get("Content-Encoding", ""), req.max_content_length)


def form_of(req: Request) -> ImmutableMultiDict[str, str]:
    """The fields of a form: of part of one they would say something else. Raises as `sent` does."""
    sent(req)
    return req.form


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
        known = {field.data_key or name for name, field in schema.fields.items()}
        problems = [
            Problem(name, "nul", "The value holds the character NUL.")
            for name, values in req.args.lists()
            if name in known and any("\0" in value for value in values)
        ] + [
            Problem(name, "given_twice", "Give this parameter once.")
            for name, values in req.args.lists()
            if name in known and len(values) > 1
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
