"""The invented teams and hubs: short groups in demo/*.yaml, written out in full for the pack."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from building.areas import Areas
from building.places import Place

Row = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Every place by key, and the stations whose name is theirs alone by that name."""

    by_key: Mapping[str, Place]
    by_name: Mapping[str, Place]

    def find(self, name_or_key: str) -> Place:
        """Raises KeyError when it is neither a key nor the name of exactly one station."""
        return self.by_key.get(name_or_key) or self.by_name[name_or_key]


def build_teams(path: Path, *, areas: Areas, places: Places) -> list[Row]:
    """Teams as teams.yaml wants them."""
    teams = []
    for row in _rows(path, under="teams"):
        base = places.find(row["base"])
        words = _words(row, place=base, areas=areas)
        coverage = {
            "areas": _areas(row, base=base, areas=areas),
            "modes": row.get("modes"),
            "routes": row.get("routes"),
            "category_groups": row.get("category_groups"),
            "schedule": row.get("schedule"),
        }
        teams.append(
            {
                "key": _slugged(row["key"], words),
                "organisation": row["organisation"],
                "name": row["name"].format_map(words),
                "kind": row.get("kind", "field"),
                "base": base.key,
                "capabilities": row["capabilities"],
                "shifts": str(row["shifts"]),
                "demo": True,
                "coverages": [coverage],
            }
        )
    return teams


def build_hubs(path: Path, *, areas: Areas, places: Places) -> list[Row]:
    """Hubs as hubs.yaml wants them; a mobile one gets the position it starts from."""
    hubs = []
    for row in _rows(path, under="hubs"):
        place = places.find(row["at"])
        words = _words(row, place=place, areas=areas)
        mobile = bool(row.get("mobile", False))
        position: Row = {"lon": place.point.x, "lat": place.point.y} if mobile else {}
        hubs.append(
            {
                "key": _slugged(row["key"], words),
                "organisation": row["organisation"],
                "name": row["name"].format_map(words),
                "kind": row["kind"],
                "mobile": mobile,
                **(position or {"place": place.key}),
                "address": _address(place, areas=areas, mobile=mobile),
                "opening_hours": str(row["hours"]),
                "services": row["services"],
                "access": row["access"],
                "languages": row["languages"],
                "phone": row.get("phone"),
                "demo": True,
            }
        )
    return hubs


def write_yaml(rows: list[Row], path: Path) -> None:
    """Write a list of rows as YAML, one blank line between rows."""
    source = f"demo/{path.name}"
    parts = [
        yaml.safe_dump(
            [row], sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
        )
        for row in rows
    ]
    head = f"# Built by build.py from {source}: change it there. Every row is invented.\n\n"
    path.write_text(head + "\n".join(parts), encoding="utf-8")


def _rows(path: Path, *, under: str) -> Iterator[Row]:
    """Each row laid over its group."""
    for group in yaml.safe_load(path.read_text(encoding="utf-8")):
        shared = {key: value for key, value in group.items() if key != under}
        for row in group[under]:
            yield shared | row


def _words(row: Row, *, place: Place, areas: Areas) -> dict[str, str]:
    """What the patterns of a group may name."""
    borough = areas.by_code[place.area].name if place.area else "outside London"
    called = row.get("called", place.name)
    return {"base": called, "called": called, "borough": borough}


def _slugged(pattern: str, words: Mapping[str, str]) -> str:
    return pattern.format_map({key: slug(value) for key, value in words.items()})


def slug(name: str) -> str:
    """A name as part of a key: lower-case letters, digits and hyphens.

    >>> slug("St. James's Park")
    'st-jamess-park'
    """
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"['\u2019.]", "", name.lower())).strip("-")


def _areas(row: Row, *, base: Place, areas: Areas) -> list[str]:
    if "areas" in row:
        return list(row["areas"])
    asked = row["boroughs"]
    if asked == "own":
        codes = [base.area]
    elif asked == "neighbours":
        codes = [base.area, *areas.neighbours(base.area)]
    elif asked == "riverside":
        codes = [c for c in areas.boroughs.values() if len(areas.with_river(c)) > 1]
    else:
        codes = [areas.boroughs[name] for name in asked]
    return [code for borough in codes for code in areas.with_river(borough)]


def _address(place: Place, *, areas: Areas, mobile: bool) -> str:
    """Where to go, in words; no street is invented."""
    borough = f", {areas.by_code[place.area].name}" if place.area else ""
    if mobile:
        return f"Starts at {place.name} station{borough}"
    name = f"{place.name} station" if place.kind == "station" else place.name
    return f"{name}{borough}"
