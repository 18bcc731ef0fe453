"""The files of a pack as rows, and reading one value of a row. Every fault has its reason."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import yaml

from waylight.domain.errors import Problem
from waylight.domain.geo import Point
from waylight.services.packs.shapes import Rejected

LONGEST_TEXT = 2_000

T = TypeVar("T")


class BadRow(Exception):
    """This row cannot be loaded; the message says why."""


class BadFile(Exception):
    """This file cannot be read at all."""

    def __init__(self, file: str, detail: str) -> None:
        self.problem = Problem(file, "unreadable_file", detail)
        super().__init__(f"{file}: {detail}")


@dataclass(frozen=True)
class Row:
    """One entry of a file, its values as the file gave them."""

    file: str
    number: int
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A text that must be there. Raises BadRow."""
        found = self.maybe(name)
        if found is None:
            raise BadRow(f"{name} is missing")
        return found

    def maybe(self, name: str) -> str | None:
        """A text with its white space tidied; None when blank or absent. Raises BadRow."""
        return _text(name, self.values.get(name))

    def identifier(self, name: str) -> str:
        """A text that may also be written as a whole number. Raises BadRow."""
        value = self.values.get(name)
        return str(value) if _is_whole(value) else self.text(name)

    def one_of(self, name: str, allowed: Iterable[str]) -> str:
        """One word of a list. Raises BadRow."""
        return _known(name, self.text(name), allowed)

    def words(self, name: str, allowed: Iterable[str] | None = None) -> tuple[str, ...]:
        """Words without repetition: a list in YAML, joined by `|` in CSV. Raises BadRow."""
        return self.maybe_words(name, allowed) or ()

    def maybe_words(
        self, name: str, allowed: Iterable[str] | None = None
    ) -> tuple[str, ...] | None:
        """The same; None when absent or null. Raises BadRow, also for an empty YAML list."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            value = [part for part in value.split("|") if part.strip()]
        if not isinstance(value, list):
            raise BadRow(f"{name} must be a list")
        words = [str(word) if _is_whole(word) else _text(name, word) for word in value]
        return tuple(
            dict.fromkeys(_known(name, word, allowed) for word in words if word is not None)
        )

    def flag(self, name: str) -> bool:
        """True or false; absent or blank is false. Raises BadRow."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return value
        word = str(value or "").strip().lower()
        if word not in ("", "true", "false"):
            raise BadRow(f"{name} must be true or false, not {value!r}")
        return word == "true"

    def whole(self, name: str) -> int | None:
        """A whole number; None when blank or absent. Raises BadRow."""
        value = self.values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        number = _number(value)
        if not number.is_integer() or abs(number) >= 2**31:
            raise BadRow(f"{name} must be a whole number, not {value!r}")
        return int(number)

    def point(self) -> Point:
        """`lon` and `lat` as a position. Raises BadRow."""
        lon, lat = self.values.get("lon"), self.values.get("lat")
        try:
            return Point(_number(lon), _number(lat))
        except ValueError:
            raise BadRow(f"there is no position at lon {lon!r}, lat {lat!r}") from None

    def inner(self, name: str) -> "Row":
        """A mapping inside this row, as a row of its own. Raises BadRow."""
        value = self.values.get(name)
        if not isinstance(value, Mapping):
            raise BadRow(f"{name} must be a mapping")
        return Row(self.file, self.number, value)


def collect(
    rows: Iterable[Row], make: Callable[[Row], T], *, key: Callable[[T], object] | None = None
) -> tuple[list[T], list[Rejected]]:
    """What `make` makes of the rows, and the rows it could not make anything of.

    With `key`, a second row of one key is rejected too.
    """
    made: list[T] = []
    rejected: list[Rejected] = []
    seen: dict[object, int] = {}
    for row in rows:
        try:
            item = make(row)
        except BadRow as error:
            rejected.append(Rejected(row.file, row.number, str(error)))
            continue
        name = key(item) if key is not None else None
        if name in seen:
            reason = f"{name!r} was there before, in row {seen[name]}"
            rejected.append(Rejected(row.file, row.number, reason))
            continue
        if key is not None:
            seen[name] = row.number
        made.append(item)
    return made, rejected


def csv_rows(folder: Path, file: str, *, columns: Iterable[str]) -> Iterator[Row]:
    """The rows of a CSV file with a header, by their line; nothing when there is no such file.

    Raises BadFile, also when one of the `columns` is not in the header.
    """
    path = folder / file
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise BadFile(file, f"the header lacks {', '.join(sorted(missing))}")
            for values in reader:
                yield Row(file, reader.line_num, {k: v for k, v in values.items() if k})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(file, f"no CSV in UTF-8: {error}") from error


def yaml_rows(folder: Path, file: str, *, under: str | None = None) -> list[Row]:
    """The entries of a YAML list, or of the list `under` a name; empty when there is no such file.

    Raises BadFile.
    """
    document = read_yaml(folder, file)
    if under is not None and isinstance(document, Mapping):
        document = document.get(under)
    if document is None:
        return []
    if not isinstance(document, list):
        raise BadFile(file, f"{under or 'the document'} must be a list")
    return numbered(file, document)


def read_yaml(folder: Path, file: str) -> object:
    """A YAML document; None when there is no such file. Raises BadFile."""
    path = folder / file
    if not path.exists():
        return None
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    # A date like 2026-02-30 is a ValueError of the reader, deep nesting a RecursionError.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise BadFile(file, f"no YAML in UTF-8: {detail}") from error


def features(folder: Path, file: str) -> list[Row]:
    """The features of a GeoJSON FeatureCollection. Raises BadFile."""
    path = folder / file
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BadFile(file, f"no JSON in UTF-8: {error}") from error
    found = document.get("features") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise BadFile(file, "no GeoJSON FeatureCollection")
    return numbered(file, found)


def numbered(file: str, entries: Iterable[object]) -> list[Row]:
    """The entries of a list as rows; one that is no mapping becomes a row that lacks everything."""
    return [
        Row(file, number, entry if isinstance(entry, Mapping) else {})
        for number, entry in enumerate(entries, start=1)
    ]


def _number(value: object) -> float:
    """A number, or text that is one; not a number where it is neither."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    return math.nan


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        # YAML takes 0100 for 64, 22:30 for 1350, no for false.
        raise BadRow(f"{name} must be text, not {value!r}: put it in quotes")
    text = " ".join(value.split())
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        raise BadRow(f"{name} holds a character that cannot be shown")
    if len(text) > LONGEST_TEXT:
        raise BadRow(f"{name} is longer than {LONGEST_TEXT} characters")
    return text or None


def _known(name: str, word: str, allowed: Iterable[str] | None) -> str:
    if allowed is not None and word not in (known := sorted(allowed)):
        raise BadRow(f"{name} {word!r} is not known: use {', '.join(known)}")
    return word


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and math.isfinite(value)
