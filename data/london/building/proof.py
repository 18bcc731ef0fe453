"""That somebody is always on duty, everywhere: shown from the files, by spans of time, not samples.

At every sampled point the shifts of the teams whose coverage holds there are laid end to end; a
claim fails when the smallest gap is left in any of the periods below, clock changes and holidays
included. Only coverages without a route, a schedule or a category group count as cover.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from shapely import STRtree
from shapely.geometry import Point

from building.check import Pack, open_spans

RAIL = ("tube", "dlr", "overground", "elizabeth", "rail", "tram", "cable_car")
STREET = ("bus", "taxi", "street")
RIVER = ("river",)
POINTS_IN_CITY = 2_000
POINTS_IN_RIVER = 150
PERIODS = (
    ("an ordinary fortnight", dt.date(2026, 11, 2), dt.date(2026, 11, 16)),
    ("the fortnight in which the clocks go back", dt.date(2026, 10, 19), dt.date(2026, 11, 2)),
    ("Christmas and New Year", dt.date(2026, 12, 21), dt.date(2027, 1, 4)),
    ("Easter, when the clocks go forward", dt.date(2027, 3, 22), dt.date(2027, 4, 5)),
)

Team = dict[str, Any]
Test = Callable[[Team], bool]
Here = frozenset[str]
"""The areas that a point lies in."""


@dataclass(frozen=True)
class Claim:
    """Wherever `where` holds, for each mode, the teams that pass `which` leave no gap in time.

    With `alone`, one single team leaves none.
    """

    sentence: str
    where: Callable[[Here], bool]
    modes: tuple[str, ...]
    which: Test
    alone: bool = False


class Roster:
    """When the shifts of a pack leave nobody on duty, remembered by the set of shifts."""

    def __init__(self, pack: Pack) -> None:
        self._zone = ZoneInfo(pack.city["time_zone"])
        self._country = pack.city["country"]
        self._known: dict[tuple[frozenset[str], int], bool] = {}

    def leaves_gap(self, shifts: frozenset[str]) -> bool:
        """Whether these shifts together leave a gap in any period."""
        return any(self._gap(shifts, period) for period in range(len(PERIODS)))

    def _gap(self, shifts: frozenset[str], period: int) -> bool:
        if (shifts, period) not in self._known:
            self._known[shifts, period] = self._look(shifts, period)
        return self._known[shifts, period]

    def _look(self, shifts: frozenset[str], period: int) -> bool:
        days = PERIODS[period][1:]
        window = tuple(dt.datetime.combine(day, dt.time(), tzinfo=self._zone) for day in days)
        spans = [
            span
            for text in shifts
            for span in open_spans(text, zone=self._zone, country=self._country, between=window)
        ]
        covered, end = (instant.astimezone(dt.UTC) for instant in window)
        for start, stop in sorted(spans):
            if start > covered:
                return True
            covered = max(covered, stop)
        return covered < end


def prove_cover(pack: Pack) -> tuple[list[str], list[str]]:
    """What was looked at and found, and what failed, each as sentences."""
    points = _sample(pack)
    roster = Roster(pack)
    said = [
        f"{points.total()} points in {len(points)} combinations of areas",
        f"every instant of {', '.join(period[0] for period in PERIODS)}",
    ]
    failed = _stations_outside(pack)
    for claim in _claims(pack):
        wrong = [
            f"{claim.sentence}: {mode} in {', '.join(sorted(here))}"
            for here in points
            if claim.where(here)
            for mode in claim.modes
            if not _holds(claim, here, mode, pack=pack, roster=roster)
        ]
        said.append(f"{'FAILS' if wrong else 'holds'}: {claim.sentence}")
        failed.extend(wrong[:5])
    return said, failed


def _holds(claim: Claim, here: Here, mode: str, *, pack: Pack, roster: Roster) -> bool:
    shifts = {
        team["shifts"]
        for team in pack.teams.values()
        if claim.which(team) and _covers(team, here, mode)
    }
    ways = [frozenset({text}) for text in shifts] if claim.alone else [frozenset(shifts)]
    return any(not roster.leaves_gap(way) for way in ways)


def _claims(pack: Pack) -> Iterator[Claim]:
    outline, network = pack.city["outline"], pack.city["service_area"]

    def police(team: Team) -> bool:
        return bool(pack.organisations[team["organisation"]]["kind"] == "police")

    def not_police(team: Team) -> bool:
        return team["kind"] == "field" and not police(team)

    def served(here: Here) -> bool:
        return network in here

    def in_city(here: Here) -> bool:
        return outline in here

    def riverside(here: Here) -> bool:
        return outline in here and any(
            pack.kinds[code] == "river_margin" or f"{code}-river" in pack.areas for code in here
        )

    for who, which in (("police", police), ("non-police", not_police)):
        always = f"a {who} team is on duty at every instant for"
        alone = f"one safeguarding {who} team by itself is on duty at every instant for"
        guards = _safeguarding(which)
        for where, modes, place in (
            (served, RAIL, f"anywhere in {network}"),
            (in_city, STREET, f"anywhere in {outline}"),
            (riverside, RIVER, "in every riverside borough"),
        ):
            listed = "|".join(modes)
            yield Claim(f"{always} {listed} {place}", where, modes, which)
            yield Claim(f"{alone} {listed} {place}", where, modes, guards, alone=True)
    yield Claim(
        f"the control room is on duty at every instant for every mode anywhere in {network}",
        served,
        (*RAIL, *STREET, *RIVER),
        lambda team: bool(team["kind"] == "control_room"),
        alone=True,
    )


def _safeguarding(which: Test) -> Test:
    return lambda team: which(team) and "safeguarding" in team["capabilities"]


def _covers(team: Team, here: Here, mode: str) -> bool:
    return any(
        not here.isdisjoint(coverage["areas"])
        and (coverage["modes"] is None or mode in coverage["modes"])
        and not (coverage["routes"] or coverage["category_groups"] or coverage["schedule"])
        for coverage in team["coverages"]
    )


def _stations_outside(pack: Pack) -> list[str]:
    area = pack.areas[pack.city["service_area"]]
    return [
        f"{key} lies outside the service area"
        for key, place in pack.places.items()
        if place["kind"] == "station" and not area.intersects(_point(place))
    ]


def _point(place: dict[str, str]) -> Point:
    return Point(float(place["lon"]), float(place["lat"]))


def _sample(pack: Pack) -> Counter[Here]:
    """How many sampled points lie in each combination of areas; those outside everything aside."""
    points = [_point(place) for place in pack.places.values()]
    points += _random_points(pack, pack.city["service_area"], POINTS_IN_CITY)
    for code, kind in pack.kinds.items():
        if kind == "river_margin":
            points += _random_points(pack, code, POINTS_IN_RIVER)
    codes = list(pack.areas)
    tree = STRtree(list(pack.areas.values()))
    found: dict[int, set[str]] = {}
    for point, area in zip(*tree.query(points, predicate="intersects"), strict=True):
        found.setdefault(int(point), set()).add(codes[area])
    return Counter(frozenset(here) for here in found.values())


def _random_points(pack: Pack, code: str, count: int) -> list[Point]:
    """Points spread over the box of an area, the same ones each time."""
    west, south, east, north = pack.areas[code].bounds
    dice = random.Random(code)  # noqa: S311 - a sample that can be repeated, not a secret
    return [Point(dice.uniform(west, east), dice.uniform(south, north)) for _ in range(count)]
