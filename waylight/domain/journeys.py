"""Vehicles in motion: on a line whose order of stops is known, which stops come next, and when.

A pack gives a line as one sequence of stops (`line_stops.csv`): no branches, no timetable and no
track. So this says no more than the order of the stops and a stated pace allow, as bands. A line
with branches has no such sequence and is not predicted; one that ends where it begins goes round.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from waylight.domain.geo import EARTH_RADIUS_M, Point
from waylight.domain.reports import Reason

FASTER, SLOWER = 0.7, 1.4
"""How much less and more time a vehicle may take than at its assumed pace. With the tube's pace,
the end-to-end times that London Underground's route finder gave in 2003 for the five lines of the
London pack (4 min on the Waterloo & City line, 62 on the Jubilee line) lie within these bounds."""

UNSURE = timedelta(seconds=60)
"""Nobody presses the button at the very moment: each band is later by so much at its end."""

NEAR_LINE_M = 500.0
"""A position further from the straight line between two stops is not taken to be on the line."""

STOPS_AHEAD = 6
"""Stops at which a team is looked for: about a quarter of an hour on the tube."""

TEAM_KMH = 20.0
"""A team on its way, in a straight line times `TEAM_DETOUR`: assumed, about the average speed of
traffic in inner London (TfL, "Travel in London"). With blue lights it is faster, on foot slower."""

TEAM_DETOUR = 1.3
TEAM_SETS_OFF = timedelta(minutes=2)

AT_STOP_M = 150.0
"""A team this near to a stop is there."""

SIDEWAYS = 0.3
"""A compass word says nothing of a line that runs less than this part of its length that way."""


@dataclass(frozen=True)
class Pace:
    """An assumed pace: straight-line speed between stops, and the time at each; and why."""

    speed_kmh: float
    dwell_s: float
    source: str


PACES: Mapping[str, Pace] = {
    "tube": Pace(
        40.0,
        30.0,
        "Assumed: over the 1.2 km between stations it makes the 33 km/h, stops included, that"
        " Transport for London publishes as the average speed of its trains.",
    ),
}
OTHER_PACE = Pace(30.0, 30.0, "Assumed for any vehicle: no source is known for this mode.")


@dataclass(frozen=True)
class Stop:
    """One stop of a line. `ids` are all the names that a phone may send for it."""

    place_id: UUID
    id: str
    name: str
    point: Point
    ids: frozenset[str]


@dataclass(frozen=True)
class Line:
    """A line whose stops are known in their order; ascending is one of its two directions."""

    id: str
    name: str
    mode: str
    stops: tuple[Stop, ...]

    @property
    def is_loop(self) -> bool:
        """Whether it ends where it begins."""
        return len(self.stops) > 2 and self.stops[0].place_id == self.stops[-1].place_id


@dataclass(frozen=True)
class Ride:
    """What a report says of the vehicle it is about, at the moment `at`.

    `point` is a precise position of the phone, None where there is none. `here` is the id of the
    stop that the report names as its place.
    """

    at: datetime
    direction: str | None = None
    boarded: str | None = None
    next: str | None = None
    here: str | None = None
    point: Point | None = None


@dataclass(frozen=True)
class Passing:
    """A stop ahead, and between which instants the vehicle gets there."""

    stop: Stop
    earliest: datetime
    latest: datetime


@dataclass(frozen=True)
class Prediction:
    """The stops ahead of a vehicle up to the end of its line, in their order, as of `since`."""

    line: Line
    towards: Stop
    since: datetime
    passings: tuple[Passing, ...]
    pace: Pace

    def ahead(self, now: datetime) -> tuple[Passing, ...]:
        """Those that it has not surely passed by now; empty once it must be at its end."""
        dwell = timedelta(seconds=self.pace.dwell_s * SLOWER)
        found = [one for one in self.passings if one.latest + dwell > now]
        return tuple(found)


@dataclass(frozen=True)
class Meeting:
    """A stop where a team can be before the vehicle, which is there in so many minutes."""

    stop: str
    earliest: datetime
    from_min: int
    to_min: int


@dataclass(frozen=True)
class Vehicle:
    """What staff read of the vehicle of an incident, as of the reading.

    `reason` says why nothing is predicted; then `stops` is empty. `over`: the end of the line has
    been reached by now.
    """

    report_id: UUID
    route_id: str
    line: str | None
    towards: str | None
    since: datetime
    age_s: int
    over: bool
    stops: tuple[Passing, ...]
    pace: Pace | None
    reason: Reason | None


def predict(line: Line | None, ride: Ride) -> Prediction | Reason:
    """The stops ahead, or why they cannot be told.

    `no_line_order`: the stops of the line are not known in their order. `stop_not_on_line`: nothing
    in the report lies on the line. `direction_unknown`: neither two stops nor the stated direction
    say which way it goes, or they say that it has passed its end. What is nearest to the vehicle
    counts first: the next stop, the phone's own position, the stop boarded at (taken to have just
    been left), the place of the report. Of a stop that a line passes twice, the one that fits.
    """
    if line is None or len(line.stops) < 2:
        return Reason("no_line_order")
    known = {name: _positions(line, name) for name in (ride.boarded, ride.next, ride.here) if name}
    leg = _leg(line, ride.point)
    if leg is None and not any(known.values()):
        return Reason("stop_not_on_line")
    way = _way(line, ride, known)
    if way is None:
        return Reason("direction_unknown")
    start = _start(line, ride, known, leg, way)
    if start is None:
        return Reason("direction_unknown")
    first, nearest_m, furthest_m = start
    return _passings(line, ride.at, way, first, nearest_m=nearest_m, furthest_m=furthest_m)


def meeting(passings: Sequence[tuple[Passing, float]], *, now: datetime) -> Meeting | None:
    """The first of the stops where a team gets before the vehicle possibly can; None without one.

    Each passing comes with the team's distance from that stop in metres, in a straight line.
    """
    for passing, distance_m in passings:
        takes = TEAM_SETS_OFF + timedelta(hours=distance_m * TEAM_DETOUR / 1000 / TEAM_KMH)
        if distance_m <= AT_STOP_M:
            takes = timedelta(0)
        if now + takes <= passing.earliest:
            return Meeting(
                stop=passing.stop.name,
                earliest=passing.earliest,
                from_min=int((passing.earliest - now).total_seconds() // 60),
                to_min=-int(-(passing.latest - now).total_seconds() // 60),
            )
    return None


def metres(start: Point, end: Point) -> float:
    """The distance on a sphere."""
    lat1, lat2 = math.radians(start.lat), math.radians(end.lat)
    dlon = math.radians(end.lon - start.lon)
    half = (
        math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(dlon / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def _positions(line: Line, name: str) -> tuple[int, ...]:
    return tuple(n for n, stop in enumerate(line.stops) if name in stop.ids)


def _way(line: Line, ride: Ride, known: Mapping[str, tuple[int, ...]]) -> int | None:
    """+1 along the sequence, -1 against it. Two stops say more than a word."""
    before = known.get(ride.boarded or "", ()) or known.get(ride.here or "", ())
    after = known.get(ride.next or "", ())
    steps = sorted({b - a for a in before for b in after if a != b}, key=abs)
    # At a stop passed twice both ways may be equally near, and round a loop only the very next stop
    # says which way: then the word decides.
    tied = len(steps) > 1 and abs(steps[0]) == abs(steps[1])
    if steps and not tied and (not line.is_loop or abs(steps[0]) == 1):
        return 1 if steps[0] > 0 else -1
    return _way_by_word(line, ride.direction, [*after, *before])


def _way_by_word(line: Line, word: str | None, at: Sequence[int]) -> int | None:
    said = _plain(word or "")
    said = re.sub(r"^(towards?|to|direction) ", "", said)
    if not said:
        return None
    named = [
        n
        for n, stop in enumerate(line.stops)
        if said == _plain(stop.name) or (word or "").strip() in stop.ids
    ]
    if not named and len(said) >= 4:
        ends = (0, len(line.stops) - 1)
        named = [n for n in ends if _plain(line.stops[n].name).startswith(said)]
    if named and not line.is_loop:
        return _way_to(named, line, at)
    return _way_by_compass(line, said)


def _way_to(named: Sequence[int], line: Line, at: Sequence[int]) -> int | None:
    ends = {0: -1, len(line.stops) - 1: 1}
    ways = {ends[n] for n in named if n in ends}
    if not ways and at:
        ways = {1 if n > here else -1 for n in named for here in at[:1] if n != here}
    return ways.pop() if len(ways) == 1 else None


_COMPASS = {
    "north": (0, 1),
    "south": (0, -1),
    "east": (1, 0),
    "west": (-1, 0),
}


def _way_by_compass(line: Line, said: str) -> int | None:
    found = re.fullmatch(r"(north|south|east|west|[nsew])(bound|wards?|b)?", said)
    if found is None:
        return None
    name = next(name for name in _COMPASS if name.startswith(found[1][0]))
    east, north = _COMPASS[name]
    first, last = line.stops[0].point, line.stops[-1].point
    scale = math.cos(math.radians((first.lat + last.lat) / 2))
    x, y = (last.lon - first.lon) * scale, last.lat - first.lat
    along, length = x * east + y * north, math.hypot(x, y)
    if length == 0 or abs(along) < SIDEWAYS * length:
        return None
    return 1 if along > 0 else -1


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s]", "", text.casefold().replace("&", " and "))
    return " ".join(words.split()).removesuffix(" station")


def _leg(line: Line, point: Point | None) -> tuple[int, float, float] | None:
    """The leg nearest to a position: the index it starts at, metres from its start and to its end.

    None for a position that is not near the line.
    """
    if point is None:
        return None
    found = []
    for n, (a, b) in enumerate(zip(line.stops, line.stops[1:], strict=False)):
        scale = math.cos(math.radians(point.lat)) * 111_195.0
        ax, ay = (a.point.lon - point.lon) * scale, (a.point.lat - point.lat) * 111_195.0
        bx, by = (b.point.lon - point.lon) * scale, (b.point.lat - point.lat) * 111_195.0
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy)
        part = 0.0 if length == 0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / length**2))
        away = math.hypot(ax + part * dx, ay + part * dy)
        found.append((away, n, part * length, (1 - part) * length))
    away, n, from_start_m, to_end_m = min(found)
    return (n, from_start_m, to_end_m) if away <= NEAR_LINE_M else None


def _start(
    line: Line,
    ride: Ride,
    known: Mapping[str, tuple[int, ...]],
    leg: tuple[int, float, float] | None,
    way: int,
) -> tuple[int, float, float] | None:
    """The first stop ahead, and how far at least and at most the vehicle is from it."""
    boarded = known.get(ride.boarded or "", ())
    following = [
        n for n in known.get(ride.next or "", ()) if not boarded or _fits(line, boarded, n, way)
    ]
    if following:
        first = min(following, key=lambda n: _steps(line, boarded, n, way))
        return first, 0.0, _leg_m(line, first - way, first)
    if leg is not None:
        n, from_start_m, to_end_m = leg
        first, left_m = (n + 1, to_end_m) if way > 0 else (n, from_start_m)
        # A phone that is behind the stop it boarded at is wrong about one of the two.
        if not boarded or any((first - at) * way > 0 for at in boarded) or line.is_loop:
            return first, max(0.0, left_m - NEAR_LINE_M / 2), left_m + NEAR_LINE_M / 2
    for name, at_least in ((ride.boarded, 0.0), (ride.here, 1.0)):
        after = [n + way for n in known.get(name or "", ()) if _exists(line, n + way)]
        if after:
            whole = _leg_m(line, after[0] - way, after[0])
            return after[0], at_least * whole, whole
    return None


def _fits(line: Line, boarded: Sequence[int], following: int, way: int) -> bool:
    return line.is_loop or any((following - at) * way > 0 for at in boarded)


def _steps(line: Line, boarded: Sequence[int], following: int, way: int) -> int:
    """How many legs lie between the stop boarded at and another; 0 when none was named."""
    legs = len(line.stops) - 1
    found = [(following - at) * way for at in boarded]
    return min((n % legs if line.is_loop else n for n in found if n > 0 or line.is_loop), default=0)


def _exists(line: Line, n: int) -> bool:
    return line.is_loop or 0 <= n < len(line.stops)


def _at(line: Line, n: int) -> Stop:
    return line.stops[n % (len(line.stops) - 1)] if line.is_loop else line.stops[n]


def _leg_m(line: Line, start: int, end: int) -> float:
    if not (_exists(line, start) and _exists(line, end)):
        return 0.0
    return metres(_at(line, start).point, _at(line, end).point)


def _passings(
    line: Line, at: datetime, way: int, first: int, *, nearest_m: float, furthest_m: float
) -> Prediction:
    pace = PACES.get(line.mode, OTHER_PACE)
    m_per_s = pace.speed_kmh / 3.6
    if line.is_loop:
        indexes = [first + way * step for step in range(len(line.stops) - 1)]
    else:
        indexes = list(range(first, len(line.stops) if way > 0 else -1, way))
    found, beyond_s = [], 0.0
    for n, index in enumerate(indexes):
        if n:
            beyond_s += pace.dwell_s + _leg_m(line, index - way, index) / m_per_s
        soonest = (nearest_m / m_per_s + beyond_s) * FASTER
        slowest = (furthest_m / m_per_s + beyond_s) * SLOWER
        found.append(
            Passing(
                stop=_at(line, index),
                earliest=at + timedelta(seconds=soonest),
                latest=at + timedelta(seconds=slowest) + UNSURE,
            )
        )
    return Prediction(
        line=line,
        towards=found[-1].stop,
        since=at,
        passings=tuple(found),
        pace=pace,
    )
