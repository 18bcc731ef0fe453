"""The rows of a pack that stand alone: the city, lines, organisations, contacts, and their parts.

Every function here raises BadRow with a reason that the person who wrote the row can act on.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from waylight.domain import schedules
from waylight.domain.categories import GROUPS
from waylight.domain.errors import Problem
from waylight.services.packs import shapes
from waylight.services.packs.files import BadFile, BadRow, Row, read_yaml
from waylight.services.packs.shapes import CityRow, LineRow, OrganisationRow
from waylight.services.schedules import holidays_around

T = TypeVar("T")

FORMAT = 1

LONGEST_NAME = 60
"""Characters of the name of a team or hub: several stand in an answer of at most 8 KB."""


def read_city(folder: Path, problems: list[Problem]) -> CityRow | None:
    """city.yaml; None, with everything that is wrong with it added to `problems`."""
    file = "city.yaml"
    try:
        document = read_yaml(folder, file)
    except BadFile as error:
        problems.append(error.problem)
        return None
    if not isinstance(document, Mapping):
        problems.append(Problem(file, "missing_file", "there is no such file, or nothing in it"))
        return None
    row = Row(file, 1, document)

    def read(name: str, how: Callable[[str], T], otherwise: T) -> T:
        try:
            return how(name)
        except BadRow as error:
            problems.append(Problem(f"{file}#{name}", "bad_value", str(error)))
            return otherwise

    before = len(problems)
    read("format", lambda name: _format(row.whole(name)), 0)
    city = CityRow(
        slug=read("slug", lambda name: _slug(row.text(name)), ""),
        name=read("name", row.text, ""),
        country=read("country", row.text, ""),
        time_zone=read("time_zone", lambda name: _time_zone(row.text(name)), ""),
        holidays=read("holidays", lambda _: _holidays(row), {}),
        outline=read("outline", row.text, ""),
        service_area=read("service_area", row.text, ""),
        control_room=read("control_room", row.text, ""),
        languages=read("languages", row.words, ()),
        attribution=read("attribution", row.words, ()),
    )
    return city if len(problems) == before else None


def _format(number: int | None) -> int:
    if number != FORMAT:
        raise BadRow(f"the format must be {FORMAT}, not {number}")
    return number


def _slug(slug: str) -> str:
    if not slug.replace("-", "").isalnum() or not slug.isascii() or slug != slug.lower():
        raise BadRow(f"{slug!r} must be lower-case letters, digits and dashes")
    return slug


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadRow(f"no time zone is called {name!r}") from None
    return name


def _holidays(row: Row) -> Mapping[str, Any]:
    """The calendar as `services/schedules.holidays_around` reads it."""
    calendar: dict[str, Any] = {}
    if row.values.get("holidays") is not None:
        named = row.inner("holidays")
        calendar = {"country": named.text("country"), "subdivision": named.maybe("subdivision")}
    extra = row.values.get("extra_holidays") or []
    try:
        calendar["extra_holidays"] = [
            {"date": read_date(holiday["date"]).isoformat(), "name": str(holiday["name"])}
            for holiday in extra
        ]
        holidays_around(calendar, datetime(2026, 1, 1, tzinfo=UTC))
    except (KeyError, TypeError):
        raise BadRow("extra_holidays must be a list of {date, name}") from None
    except ValueError as error:
        raise BadRow(str(error)) from None
    return calendar


def read_date(value: object) -> date:
    """A day, as YAML gives it or as ISO 8601 text."""
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def read_line(row: Row) -> LineRow:
    """A line of lines.csv."""
    return LineRow(
        key=row.text("line_id"), name=row.text("name"), mode=row.one_of("mode", shapes.MODES)
    )


def read_organisation(row: Row) -> OrganisationRow:
    """An organisation of organisations.yaml."""
    return OrganisationRow(
        key=row.text("key"),
        name=row.text("name"),
        kind=row.one_of("kind", shapes.ORGANISATION_KINDS),
        contact=read_ways(row, "contact"),
        demo=row.flag("demo"),
    )


def read_contact(row: Row) -> Mapping[str, Any]:
    """A contact for the safety card, with the conditions under which it is shown."""
    conditions = row.inner("for") if row.values.get("for") is not None else Row(row.file, 0, {})
    under_18 = conditions.values.get("under_18")
    ways = read_ways(row, None)
    if not ways:
        raise BadRow("there is no phone, sms or url")
    return {
        "code": row.text("code"),
        "need": row.text("need"),
        "name": row.text("name"),
        "how": row.maybe("how"),
        "min_age": row.whole("min_age"),
        **ways,
        "for": {
            "modes": conditions.maybe_words("modes", shapes.MODES),
            "category_groups": conditions.maybe_words("category_groups", GROUPS),
            "under_18": None if under_18 is None else conditions.flag("under_18"),
        },
    }


def read_ways(row: Row, name: str | None) -> dict[str, str]:
    """The ways to reach somebody that exist; a number must be text, or YAML would change it."""
    if name is not None and row.values.get(name) is None:
        return {}
    inner = row if name is None else row.inner(name)
    return {way: found for way in shapes.WAYS if (found := inner.maybe(way)) is not None}


def read_hours(row: Row, name: str) -> str:
    """A schedule that can be read."""
    expression = row.text(name)
    try:
        schedules.validate(expression)
    except ValueError as error:
        raise BadRow(f"{name}: {error}") from None
    return expression


def short(name: str) -> str:
    """A name that fits the answer to a report."""
    if len(name) > LONGEST_NAME:
        raise BadRow(f"name is longer than {LONGEST_NAME} characters")
    return name


def refer(what: str, key: str, known: Mapping[str, object]) -> str:
    """A key that another row of the pack has."""
    if key not in known:
        raise BadRow(f"there is no {what} {key!r}")
    return key
