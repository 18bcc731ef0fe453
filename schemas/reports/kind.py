"""Fields that understand a frightened person's phone: kind in what they take.

A field raises ValidationError with a warning's code as its message; `incoming` does the rest.
"""

import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import orjson
from marshmallow import ValidationError, fields

from schemas.common import GEOJSON_POINT, WireId
from waylight.domain.geo import Point

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""What a phone's clock can say. Beyond it, correcting one time by another leaves the calendar."""

LONGEST = 16_777_216
"""Characters of a text: no deployment takes a longer body, and what arrives is kept whole."""

INSTANT = 64
"""Characters of a time; a longer one is none."""

COERCED = "coerced_value"
"""The warning of a value that is taken all the same: nothing of it is kept aside."""

Path = tuple[str | int, ...]

_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_NAME = re.compile("[\0\ud800-\udfff]")

YES = frozenset({"true", "yes", "y", "1", "on"})
NO = frozenset({"false", "no", "n", "0", "off", ""})


class Flag(fields.Boolean):
    """true, false or null. Words and numbers for them are taken too; anything else is malformed.

    `code` is the warning of a malformed one: some are taken as true.
    """

    def __init__(self, *, code: str = "malformed_value", **kwargs: Any) -> None:
        self.code = code
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, str | int | float) else None
        if word in YES:
            return True
        if word in NO:
            return False
        raise ValidationError(self.code)


class MinorFlag(Flag):
    """Whether somebody is under 18; an age is taken too."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        age = _number(value)
        if age is not None and age not in (0, 1):
            return age < 18
        return super()._deserialize(value, attr, data, **kwargs)


class Words(fields.Field[str | None]):
    """Text. A number is taken as its digits; a text over `limit` characters is not taken."""

    def __init__(self, *, limit: int | None = None, **kwargs: Any) -> None:
        self.limit = limit
        metadata = {
            "type": ["string", "null"],
            "maxLength": limit or LONGEST,
            **kwargs.pop("metadata", {}),
        }
        super().__init__(allow_none=True, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValidationError("malformed_value")
        value = value.strip()
        if self.limit is not None and len(value) > self.limit:
            raise ValidationError("too_long_kept")
        return value or None


class StopId(Words):
    """A stop's public id or code, or the `place_...` id of one that has none."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | None:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None:
            return None
        if text.startswith("place:"):  # our own word for it, further in
            raise ValidationError("malformed_value")
        try:
            return f"place:{WireId.read('place', text)}"
        except ValueError:
            return text


class Matching(Words):
    """Text of one shape, such as a telephone number."""

    def __init__(self, pattern: str, *, longest: int, **kwargs: Any) -> None:
        self.pattern = re.compile(pattern)
        super().__init__(metadata={"pattern": f"^{pattern}$", "maxLength": longest}, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | None:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and not self.pattern.fullmatch(text):
            raise ValidationError("malformed_value")
        return text


class Word(fields.String):
    """One word of a closed list."""

    def __init__(self, words: type[StrEnum] | tuple[str, ...], **kwargs: Any) -> None:
        self.words = tuple(str(word) for word in words)
        metadata = {"enum": [*self.words, None], **kwargs.pop("metadata", {})}
        super().__init__(allow_none=True, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        word = _word(value)
        if word not in self.words:
            raise ValidationError("unknown_value")
        return cast("str", word)


class WordList(fields.List[str]):
    """Words of a closed list; those that are not in it are dropped.

    One bare word is a list, with a warning: some of these words say who may read a report.
    """

    def __init__(
        self, words: type[StrEnum] | tuple[str, ...], *, code: str = "unknown_value", **kwargs: Any
    ) -> None:
        self.words = tuple(str(word) for word in words)
        self.code = code
        inner = fields.String(metadata={"enum": list(self.words)})
        super().__init__(inner, allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[str | None]:
        items = value if isinstance(value, list) else [value]
        known = [w for w in (_word(item) for item in items) if w in self.words]
        unknown = {n: [self.code] for n, item in enumerate(items) if _word(item) not in self.words}
        if unknown:
            messages = unknown if isinstance(value, list) else [self.code]
            raise ValidationError(messages, valid_data=known)
        if not isinstance(value, list):
            raise ValidationError(COERCED, valid_data=known)
        return list(dict.fromkeys(known))


class Number(fields.Float):
    """A finite number of metres on this Earth; digits in a string are taken."""

    def __init__(self, *, most: float, **kwargs: Any) -> None:
        self.most = most
        super().__init__(allow_none=True, metadata={"minimum": 0, "maximum": most}, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        number = _number(value)
        if number is None or not 0 <= number <= self.most:
            raise ValidationError("malformed_value")
        return number


class Instant(fields.AwareDateTime):
    """RFC 3339, from 1970 to 2100. Without a zone it is taken as UTC."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"maxLength": INSTANT, **kwargs.pop("metadata", {})}
        super().__init__(
            format="iso", default_timezone=UTC, allow_none=True, metadata=metadata, **kwargs
        )

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        if isinstance(value, str) and len(value) > INSTANT:
            raise ValidationError("malformed_value")
        try:
            instant = super()._deserialize(value, attr, data, **kwargs)
            instant = instant.astimezone(UTC)
        except (ValidationError, OverflowError, ValueError):
            raise ValidationError("malformed_value") from None
        if not EARLIEST <= instant <= LATEST:
            raise ValidationError("malformed_value")
        return instant


class Fix(fields.Field[Any]):
    """A GeoJSON Point (RFC 7946): longitude first. Loads to a point and its swapped twin."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, metadata=GEOJSON_POINT, **kwargs)

    def _deserialize(
        self, value: Any, attr: Any, data: Any, **kwargs: Any
    ) -> tuple[Point | None, Point | None]:
        coordinates = value.get("coordinates") if isinstance(value, dict) else value
        if not isinstance(coordinates, list) or len(coordinates) < 2:
            raise ValidationError("malformed_value")
        x, y = _number(coordinates[0]), _number(coordinates[1])
        if x is None or y is None:
            raise ValidationError("malformed_value")
        point, swapped = _point(x, y), _point(y, x)
        if point is None and swapped is None:
            raise ValidationError("impossible_position")
        return point, swapped


def mended(body: Any) -> tuple[Any, tuple[Path, ...]]:
    """The body with texts that can be kept, and where they were mended.

    Half of an emoji, as a cut in the middle of one leaves it, becomes U+FFFD; NUL is dropped. Such
    a name of a field gets U+FFFD for both, so that it becomes no other.
    """
    try:
        if b"\\u0000" not in orjson.dumps(body):
            return body, ()
    except TypeError:
        pass  # it refuses surrogates
    where: list[Path] = []
    return _mended(body, (), where), tuple(where)


def _mended(value: Any, path: Path, where: list[Path]) -> Any:
    if isinstance(value, str):
        text = _SURROGATE.sub("\ufffd", value.replace("\0", ""))
        if text != value:
            where.append(path)
        return text
    if isinstance(value, list):
        return [_mended(item, (*path, n), where) for n, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _name(name): _mended(one, (*path, _name(name)), where) for name, one in value.items()
        }
    return value


def _name(name: Any) -> Any:
    return _NO_NAME.sub("\ufffd", name) if isinstance(name, str) else name


def _word(item: Any) -> Any:
    """A word of a list as people and programs spell it: "Record Only" is record_only."""
    return re.sub(r"[\s-]+", "_", item.strip().lower()) if isinstance(item, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _point(lon: float, lat: float) -> Point | None:
    try:
        return Point(lon, lat)
    except ValueError:
        return None
