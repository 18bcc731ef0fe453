"""Shapes that every noun uses: ids, positions, instants, texts, strict numbers, lists, problems."""

import math
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from marshmallow.utils import get_value

from waylight import texts
from waylight.domain import names
from waylight.domain.geo import Bounds, Point
from waylight.ids import row_id, wire_id

LANGUAGE: ContextVar[str] = ContextVar("language", default="en")
"""The language of the caller being answered; the door sets it for every request."""

SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}"
"""A UUID in the lower-case Crockford base32 of TypeID."""

POSITION_DECIMALS = 7
"""About a centimetre; more only fills the answer."""

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,40})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_INSTANT_LENGTH = 66
_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


class WireId(fields.Field[UUID]):
    """A UUID that says on the wire what it names: `hub_01...` (TypeID)."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        metadata = {
            "type": "string",
            "pattern": f"^{prefix}_{SUFFIX}$",
            "maxLength": self.length(prefix),
            "examples": [f"{prefix}_01jdw2s4x0e6qv3t8k5n7b9c1d"],
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    @staticmethod
    def length(prefix: str) -> int:
        """Characters of every id with this prefix."""
        return len(prefix) + 1 + 26

    of = staticmethod(wire_id)
    read = staticmethod(row_id)

    def _serialize(self, value: UUID | None, attr: str | None, obj: Any, **_: Any) -> str | None:
        return None if value is None else self.of(self.prefix, value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> UUID:
        try:
            return self.read(self.prefix, value if isinstance(value, str) else "")
        except ValueError:
            raise ValidationError(f"This must be an id that starts with {self.prefix}_.") from None


class Timestamp(fields.Field[datetime]):
    """An instant in RFC 3339; out always in UTC with `Z`, in with any zone but never without."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {
            "type": "string",
            "format": "date-time",
            "maxLength": _INSTANT_LENGTH,
            "examples": ["2026-11-21T23:52:40Z"],
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **_: Any
    ) -> str | None:
        if value is None:
            return None
        precision = "milliseconds" if value.microsecond else "seconds"
        return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime:
        try:
            return instant(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


GEOJSON_POINT: dict[str, Any] = {
    "type": "object",
    "description": "A position (RFC 7946): longitude first, in degrees of WGS 84.",
    "properties": {
        "type": {"type": "string", "const": "Point"},
        "coordinates": {
            "type": "array",
            "prefixItems": [
                {"type": "number", "minimum": -180, "maximum": 180},
                {"type": "number", "minimum": -90, "maximum": 90},
            ],
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        },
    },
    "required": ["type", "coordinates"],
    "examples": [{"type": "Point", "coordinates": [-0.1426, 51.539]}],
}
"""A position as the document describes it (RFC 7946)."""


class Position(fields.Field[Point]):
    """A point as GeoJSON (RFC 7946): longitude first."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {**GEOJSON_POINT, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, **kwargs)

    def _serialize(
        self, value: Point | None, attr: str | None, obj: Any, **_: Any
    ) -> dict[str, Any] | None:
        if value is None:
            return None
        pair = [round(value.lon, POSITION_DECIMALS), round(value.lat, POSITION_DECIMALS)]
        return {"type": "Point", "coordinates": pair}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Point:
        message = "This must be a GeoJSON Point with [longitude, latitude]."
        if not isinstance(value, dict) or value.get("type") != "Point":
            raise ValidationError(message)
        try:
            lon, lat = map(strict_number, value["coordinates"])
            return Point(lon, lat)
        except (KeyError, TypeError, ValueError):
            raise ValidationError(message) from None


class Answer(Schema):
    """An answer made of a dataclass, whose attributes are its fields.

    marshmallow's own look-up takes mappings as well, at four calls for each field.
    """

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """The attribute, or the default where there is none."""
        return getattr(obj, attr, default)


class Codes(fields.List[str]):
    """Codes of ours in an answer, as they are; each through a field of its own costs most of it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.String(), **kwargs)

    def _serialize(  # type: ignore[override] # a list of none is none
        self, value: Sequence[str] | None, attr: str | None, obj: Any, **_: Any
    ) -> list[str] | None:
        return None if value is None else list(value)


class Said(fields.Field[str]):
    """The sentence for an object's code and params in the caller's language.

    `section` is a section of the texts; the code is in `attribute`, the params in `params`.
    """

    _CHECK_ATTRIBUTE = False

    def __init__(self, section: str, *, attribute: str = "code", **kwargs: Any) -> None:
        self.section = section
        self.code_in = attribute
        super().__init__(metadata={"type": "string", **kwargs.pop("metadata", {})}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        code = get_value(obj, self.code_in, None)
        params: Mapping[str, Any] = get_value(obj, "params", None) or {}
        return None if code is None else texts.say(self.section, code, LANGUAGE.get(), params)


def instant(text: object) -> datetime:
    """The moment in UTC that an RFC 3339 text names. Raises ValueError for any other value."""
    found = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    try:
        day, clock, fraction, zone = found.groups() if found else ("",) * 4
        # RFC 3339 knows leap seconds, datetime does not.
        clock = clock.removesuffix("60") + "59" if clock.endswith(":60") else clock
        rebuilt = f"{day}T{clock}{(fraction or '')[:7]}{zone.upper()}"
        return datetime.fromisoformat(rebuilt).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = "This must be an RFC 3339 instant with its zone, like 2026-11-21T23:52:40Z."
        raise ValueError(msg) from None


def strict_number(value: object) -> float:
    """A finite JSON number. Raises TypeError for text and booleans, ValueError for 10**400."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("too large") from error
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


class Name(fields.String):
    """A text that is shown as a name, by the one rule for all of them (`waylight.domain.names`)."""

    def __init__(self, *, most: int = 60, **kwargs: Any) -> None:
        self._length = validate.Length(min=1, max=most)
        metadata = {
            "pattern": r"^\S(?:.*\S)?$",
            "minLength": 1,
            "maxLength": most,
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        given = super()._deserialize(value, attr, data, **kwargs)
        self._length(given)
        try:
            return str(self._length(names.read_name(given)))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Number(fields.Float):
    """A number in a body. marshmallow's own field takes the text "51.5" for one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> float:
        try:
            return strict_number(value)
        except (TypeError, ValueError):
            raise ValidationError("This must be a number.") from None


class Flag(fields.Boolean):
    """true or false in a body; marshmallow's own field takes "on" and 1 as well."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("This must be true or false.")
        return value


class QueryNumber(fields.Float):
    """A number in a query. Python's float also reads "1_0", "infinity" and other scripts."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> float:
        if not _NUMBER.fullmatch(value):
            raise ValidationError("This must be a number.")
        return float(value)


class QueryInteger(fields.Integer):
    """A whole number in a query, in plain digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if not _INTEGER.fullmatch(value):
            raise ValidationError("This must be a whole number.")
        return int(value)


class QueryFlag(fields.Boolean):
    """`true` or `false` in a query."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("This must be true or false.")
        return bool(value == "true")


class _Degrees(fields.Field[Any]):
    """Longitudes and latitudes in a query, in turn, with commas between them, as plain decimals."""

    _LON = r"-?(180(\.0{1,20})?|(1[0-7][0-9]|[0-9]{1,2})(\.[0-9]{1,20})?)"
    _LAT = r"-?(90(\.0{1,20})?|[0-8]?[0-9](\.[0-9]{1,20})?)"

    def __init__(self, *, points: int, **kwargs: Any) -> None:
        pattern = ",".join([self._LON, self._LAT] * points)
        self._pattern = re.compile(pattern)
        metadata = {
            "type": "string",
            "pattern": f"^{pattern}$",
            "maxLength": 51 * points - 1,  # 25 of -179.(20 digits), 24 of -89.(20 digits), commas
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    def _read(self, value: str) -> list[float] | None:
        if not self._pattern.fullmatch(value):
            return None
        return [float(number) for number in value.split(",")]


class QueryPoint(_Degrees):
    """`lon,lat` in a query."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(points=1, **kwargs)

    def _deserialize(self, value: str, attr: str | None, data: Any, **_: Any) -> Point:
        degrees = self._read(value)
        if degrees is None:
            raise ValidationError(
                "This must be longitude,latitude in decimal degrees, like -0.1426,51.539."
            )
        return Point(*degrees)


class QueryBounds(_Degrees):
    """`west,south,east,north` in a query; west exceeds east across the antimeridian."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(points=2, **kwargs)

    def _deserialize(self, value: str, attr: str | None, data: Any, **_: Any) -> Bounds:
        degrees = self._read(value)
        if degrees is None or degrees[1] > degrees[3]:
            raise ValidationError(
                "This must be west,south,east,north in degrees, the south below the north."
            )
        return Bounds(*degrees)


class Words(fields.Field[tuple[str, ...]]):
    """Words of a closed list in a query, with commas between them."""

    LONGEST = 1024

    def __init__(self, words: tuple[str, ...], **kwargs: Any) -> None:
        self.words = words
        one = "|".join(map(re.escape, words))
        metadata = {
            "type": "string",
            "pattern": f"^({one})(,({one}))*$",
            "maxLength": self.LONGEST,
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> tuple[str, ...]:
        said = tuple(dict.fromkeys(value.split(",")))
        if len(value) > self.LONGEST or not set(said) <= set(self.words):
            raise ValidationError(f"Each must be one of: {', '.join(self.words)}.")
        return said


class Body(Schema):
    """A body or a query in which an unknown field is an error, and documented as one."""

    class Meta:
        unknown = RAISE


class PageQuery(Body):
    """Where to go on in a list, and how far."""

    cursor = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=1024),
        metadata={"description": "`next_cursor` of the page before; opaque."},
    )
    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1, max=1000),
        metadata={"description": "How many at most."},
    )


def list_of(item: type[Schema]) -> type[Schema]:
    """The envelope of a list. Call it once for each item schema: its name is documented."""
    return Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next_cursor": fields.String(
                required=True,
                allow_none=True,
                metadata={"description": "Null on the last page. The same link is in `Link`."},
            ),
        },
        name=f"{item.__name__.removesuffix('Out')}List",
    )


class FieldProblemOut(Schema):
    """One thing that is wrong."""

    pointer = fields.String(
        required=True,
        metadata={"description": "JSON Pointer (RFC 6901) into the body, or a parameter's name."},
    )
    detail = fields.String(required=True)
    code = fields.String(required=True)


class ProblemOut(Schema):
    """An error (RFC 9457). `code` never changes; the sentences may."""

    type = fields.String(required=True, metadata={"format": "uri"})
    title = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"minimum": 400, "maximum": 599})
    detail = fields.String(required=True)
    code = fields.String(required=True)
    errors = fields.List(fields.Nested(FieldProblemOut), required=True)

    example = {
        "type": "urn:waylight:problem:invalid_request",
        "title": "Invalid request",
        "status": 422,
        "detail": "The request has fields that cannot be used: see `errors` for each one and"
        " its fix.",
        "code": "invalid_request",
        "errors": [{"pointer": "lat", "detail": "This must be a number.", "code": "invalid"}],
    }


class Whole(fields.Integer):
    """A whole number in a body: 300.0 is one to JSON Schema, "300" is none."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        try:
            number = strict_number(value)
        except (TypeError, ValueError):
            number = 0.5
        if not number.is_integer():
            raise ValidationError("This must be a whole number.")
        return int(number)
