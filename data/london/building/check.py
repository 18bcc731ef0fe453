"""Whether a city pack holds together: any city's, from its files alone."""

import csv
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import yaml
from opening_hours import OpeningHours, State, validate
from shapely.geometry import Point, shape
from shapely.geometry.base import BaseGeometry

MODES = {
    "tube",
    "dlr",
    "overground",
    "elizabeth",
    "rail",
    "tram",
    "bus",
    "taxi",
    "street",
    "cable_car",
    "river",
}
GROUPS = {
    "harassment",
    "pursuit",
    "image_exposure",
    "contact",
    "spiking",
    "safeguarding",
    "near_miss",
    "environment",
    "other",
}
AREA_KINDS = {"city_outline", "borough", "river_margin", "service_area", "patrol_area"}
PLACE_KINDS = {"station", "bus_stop", "taxi_rank", "venue", "hospital", "alley"}
ORGANISATION_KINDS = {
    "operator",
    "police",
    "council",
    "charity",
    "health",
    "control_room",
    "support_service",
}
HUB_KINDS = {"safe_travel_hub", "hospital", "station", "hub_bus"}
CAPABILITIES = {"first_aid", "sign_language", "women_officers", "safeguarding"}
SERVICES = {
    "water",
    "phone_charging",
    "first_aid",
    "quiet_space",
    "women_only_space",
    "taxi_help",
    "trained_staff",
    "cctv",
    "toilets",
    "interpreter",
}
ACCESS = {
    "step_free",
    "accessible_toilet",
    "hearing_loop",
    "sign_language",
    "assistance_dogs",
    "text_relay",
}
NAME_LIMIT = 60
ORDINARY_WEEK = (dt.datetime(2026, 11, 2), dt.datetime(2026, 11, 10))  # noqa: DTZ001 - local time


@dataclass
class Pack:
    """The files of a pack as read, with what is wrong with them in `problems`."""

    city: dict[str, Any]
    areas: dict[str, BaseGeometry]
    kinds: dict[str, str]
    places: dict[str, dict[str, str]]
    lines: dict[str, dict[str, str]]
    line_stops: list[dict[str, str]]
    organisations: dict[str, dict[str, Any]]
    teams: dict[str, dict[str, Any]]
    hubs: dict[str, dict[str, Any]]
    jurisdiction: dict[str, Any]
    contacts: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many rows of each kind there are."""
        names = ("areas", "places", "lines", "line_stops", "organisations", "teams", "hubs")
        return {name: len(getattr(self, name)) for name in names}


def read_pack(folder: Path) -> Pack:
    """Read and check a pack. Raises only when a file is missing or is not CSV, JSON or YAML."""
    features = json.loads((folder / "areas.geojson").read_text(encoding="utf-8"))["features"]
    problems: list[str] = []
    areas = _unique(
        "area",
        [f["properties"] | {"geometry": f["geometry"]} for f in features],
        key="code",
        problems=problems,
    )
    keyed = {
        name: _unique(name, rows, key=key, problems=problems)
        for name, rows, key in (
            ("places", _csv(folder / "places.csv"), "key"),
            ("lines", _csv(folder / "lines.csv"), "line_id"),
            ("organisations", _yaml(folder / "organisations.yaml"), "key"),
            ("teams", _yaml(folder / "teams.yaml"), "key"),
            ("hubs", _yaml(folder / "hubs.yaml"), "key"),
        )
    }
    pack = Pack(
        city=_yaml(folder / "city.yaml"),
        areas={code: shape(area["geometry"]) for code, area in areas.items()},
        kinds={code: area["kind"] for code, area in areas.items()},
        line_stops=_csv(folder / "line_stops.csv"),
        jurisdiction=_yaml(folder / "jurisdiction.yaml"),
        contacts=_yaml(folder / "contacts.yaml"),
        problems=problems,
        **keyed,
    )
    for check in (_city, _areas, _places, _lines, _teams, _hubs, _jurisdiction, _contacts):
        check(pack, lambda what, where: problems.append(f"{where}: {what}"))
    return pack


Say = Callable[[str, str], None]


def _city(pack: Pack, say: Say) -> None:
    city = pack.city
    calendar = city["holidays"]
    holidays.country_holidays(calendar["country"], subdiv=calendar["subdivision"], years=[2026])
    for role, kinds in (
        ("outline", {"city_outline"}),
        ("service_area", {"service_area", "city_outline"}),
    ):
        if pack.kinds.get(city[role]) not in kinds:
            say(f"{role} {city[role]} is not an area of kind {' or '.join(sorted(kinds))}", "city")
    if pack.teams.get(city["control_room"], {}).get("kind") != "control_room":
        say(f"control_room {city['control_room']} is not a control room", "city.yaml")


def _areas(pack: Pack, say: Say) -> None:
    for code, geometry in pack.areas.items():
        if pack.kinds[code] not in AREA_KINDS:
            say(f"unknown kind {pack.kinds[code]}", code)
        if geometry.geom_type not in {"Polygon", "MultiPolygon"} or not geometry.is_valid:
            say("not a valid polygon", code)
        if any(not p.exterior.is_ccw for p in getattr(geometry, "geoms", [geometry])):
            say("outer ring runs clockwise", code)


def _places(pack: Pack, say: Say) -> None:
    for key, row in pack.places.items():
        if row["kind"] not in PLACE_KINDS:
            say(f"unknown kind {row['kind']}", key)
        if not row["name"]:
            say("no name", key)
        _known(row["modes"].split("|"), MODES, where=key, say=say)
        _known(filter(None, row["lines"].split("|")), pack.lines, where=key, say=say)
        if row["area"]:
            _known([row["area"]], pack.areas, where=key, say=say)
        Point(float(row["lon"]), float(row["lat"]))
        if row["demo"] not in {"true", "false"}:
            say("demo is neither true nor false", key)


def _lines(pack: Pack, say: Say) -> None:
    for key, row in pack.lines.items():
        _known([row["mode"]], MODES, where=key, say=say)
    for row in pack.line_stops:
        where = f"{row['line_id']} {row['sequence']}"
        _known([row["line_id"]], pack.lines, where=where, say=say)
        _known([row["place_key"]], pack.places, where=where, say=say)
    repeated = Counter((row["line_id"], row["sequence"]) for row in pack.line_stops)
    for pair, times in repeated.items():
        if times > 1:
            say("sequence repeated", " ".join(pair))
    for key, row in pack.organisations.items():
        _known([row["kind"]], ORGANISATION_KINDS, where=key, say=say)


def _teams(pack: Pack, say: Say) -> None:
    for key, row in pack.teams.items():
        _known([row["organisation"]], pack.organisations, where=key, say=say)
        _known(row["capabilities"], CAPABILITIES, where=key, say=say)
        _name(row, where=key, say=say)
        if isinstance(row["base"], str):
            _known([row["base"]], pack.places, where=key, say=say)
        _hours(row["shifts"], pack, where=key, say=say)
        for coverage in row["coverages"]:
            _known(coverage["areas"], pack.areas, where=key, say=say)
            _known(coverage["modes"] or (), MODES, where=key, say=say)
            _known(coverage["routes"] or (), pack.lines, where=key, say=say)
            _known(coverage["category_groups"] or (), GROUPS, where=key, say=say)
            if coverage["schedule"]:
                _hours(coverage["schedule"], pack, where=key, say=say)


def _hubs(pack: Pack, say: Say) -> None:
    for key, row in pack.hubs.items():
        _known([row["organisation"]], pack.organisations, where=key, say=say)
        _known([row["kind"]], HUB_KINDS, where=key, say=say)
        _known(row["services"], SERVICES, where=key, say=say)
        _known(row["access"], ACCESS, where=key, say=say)
        _name(row, where=key, say=say)
        _hours(row["opening_hours"], pack, where=key, say=say)
        if "place" in row:
            _known([row["place"]], pack.places, where=key, say=say)
        else:
            Point(float(row["lon"]), float(row["lat"]))


def _jurisdiction(pack: Pack, say: Say) -> None:
    rules = pack.jurisdiction["rules"]
    for number, rule in enumerate(rules, start=1):
        where = f"jurisdiction rule {number}"
        _known(rule["modes"] or (), MODES, where=where, say=say)
        _known(rule["areas"] or (), pack.areas, where=where, say=say)
        _known([rule["organisation"]], pack.organisations, where=where, say=say)
    if rules[-1]["modes"] is not None or rules[-1]["areas"] is not None:
        say("the last rule does not match everything", "jurisdiction.yaml")


def _contacts(pack: Pack, say: Say) -> None:
    entries = [e for part in ("emergency", "police", "support") for e in pack.contacts[part]]
    for code, times in Counter(entry["code"] for entry in entries).items():
        if times > 1:
            say("code repeated", code)
    for entry in entries:
        _known(entry["for"]["modes"] or (), MODES, where=entry["code"], say=say)
        _known(entry["for"]["category_groups"] or (), GROUPS, where=entry["code"], say=say)
        if not (entry["phone"] or entry["sms"] or entry["url"]):
            say("no phone, sms or url", entry["code"])


def _hours(text: str, pack: Pack, *, where: str, say: Say) -> None:
    zone, country = ZoneInfo(pack.city["time_zone"]), pack.city["country"]
    if not validate(text):
        say(f"not opening hours: {text!r}", where)
        return
    if warnings := parse_hours(text, zone=zone, country=country).warnings:
        say(f"opening hours {text!r}: {warnings}", where)
    ordinary = [rule for rule in text.split(";") if "PH" not in rule and "off" not in rule]
    if not ordinary:
        return
    week = tuple(day.replace(tzinfo=zone) for day in ORDINARY_WEEK)
    ways = [
        open_spans(mark.join(ordinary), zone=zone, country=country, between=week)
        for mark in (";", ",")
    ]
    if ways[0] != ways[1]:
        say(f"a rule after ';' cuts hours past midnight, join them with ',': {text!r}", where)


def parse_hours(text: str, *, zone: ZoneInfo, country: str) -> OpeningHours:
    """The parsed expression. Raises ValueError when it is not in the opening_hours syntax."""
    if not validate(text):
        raise ValueError(text)
    return OpeningHours(
        text, timezone=zone, country=country, auto_country=False, auto_timezone=False
    )


def open_spans(
    text: str, *, zone: ZoneInfo, country: str, between: tuple[dt.datetime, ...]
) -> list[tuple[dt.datetime, dt.datetime]]:
    """When it is open, in order, joined where spans touch. The instants are in UTC."""
    hours = parse_hours(text, zone=zone, country=country)
    spans: list[tuple[dt.datetime, dt.datetime]] = []
    for start, end, state, *_ in hours.intervals(*between):
        if state != State.OPEN:
            continue
        span = (start.astimezone(dt.UTC), end.astimezone(dt.UTC))
        if spans and spans[-1][1] >= span[0]:
            span = (spans.pop()[0], span[1])
        spans.append(span)
    return spans


def _name(row: Mapping[str, Any], *, where: str, say: Say) -> None:
    if not 0 < len(row["name"]) <= NAME_LIMIT:
        say(f"name of {len(row['name'])} characters", where)
    if row["demo"] and "demo" not in row["name"]:
        say("a demo row whose name does not say so", where)


def _known(values: Iterable[str], known: Iterable[str], *, where: str, say: Say) -> None:
    for value in values:
        if value not in known:
            say(f"unknown {value!r}", where)


def _unique(
    what: str, rows: Iterable[dict[str, Any]], *, key: str, problems: list[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row[key] in found:
            problems.append(f"{what}: {row[key]} stands twice")
        found[row[key]] = row
    return found


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def _yaml(path: Path) -> Any:  # noqa: ANN401 - a list or a mapping, as the file has it
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
