"""Whoever was told to a hub: when they may be there, and what the hub logs of them. No story."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from waylight.domain.errors import StateConflict
from waylight.domain.geo import Point
from waylight.domain.hubs import ARRIVAL_MARGIN
from waylight.domain.routing import WALK_DETOUR, walk_minutes

BRISK_M_PER_MIN = 100.0
"""6 km/h in a straight line: nobody who walks is there sooner."""

SLOW_M_PER_MIN = 50.0
"""3 km/h, the pace that kerbs, crutches and a heavy bag leave."""

SETTING_OFF_MIN = 5.0
BAND_MIN = 5
"""Bands are told in steps of five minutes: they are estimates, and say no more of where it is."""


class Arrival(StrEnum):
    """What a hub logs of one person."""

    ARRIVED = "arrived"
    DID_NOT_ARRIVE = "did_not_arrive"
    LEFT_SAFELY = "left_safely"
    HANDED_TO_POLICE = "handed_to_police"
    HANDED_TO_AMBULANCE = "handed_to_ambulance"


ENDINGS = frozenset(Arrival) - {Arrival.ARRIVED}
"""After these nobody is expected, or there, any more."""

BEFORE: Mapping[Arrival, frozenset[Arrival | None]] = {
    # Somebody who was given up may come after all.
    Arrival.ARRIVED: frozenset({None, Arrival.DID_NOT_ARRIVE}),
    Arrival.DID_NOT_ARRIVE: frozenset({None}),
    Arrival.LEFT_SAFELY: frozenset({Arrival.ARRIVED}),
    Arrival.HANDED_TO_POLICE: frozenset({Arrival.ARRIVED}),
    Arrival.HANDED_TO_AMBULANCE: frozenset({Arrival.ARRIVED}),
}
"""After which entry each may follow; None is the first."""


@dataclass(frozen=True)
class Band:
    """Within which minutes on foot, and between which instants, somebody is expected."""

    walk_minutes_from: int
    walk_minutes_to: int
    earliest: datetime
    latest: datetime


@dataclass(frozen=True)
class Expected:
    """One person whom a hub was told to expect. `status` None: no entry yet.

    Needs are codes of what the passenger asked for; nothing says who or where they are. `band` is
    None where the way is not known. `redirected_at`: since when they were told to go elsewhere.
    """

    report_id: UUID
    told_at: datetime
    band: Band | None
    needs_met: tuple[str, ...]
    needs_unmet: tuple[str, ...]
    language: str | None
    language_spoken: bool | None
    status: Arrival | None
    at: datetime | None
    redirected_at: datetime | None


def band(distance_m: float | None, *, told_at: datetime) -> Band | None:
    """When somebody who sets off within five minutes walks in: briskly at best, slowly at worst."""
    if distance_m is None:
        return None
    soonest = int(distance_m / BRISK_M_PER_MIN // BAND_MIN) * BAND_MIN
    slowest = distance_m * WALK_DETOUR / SLOW_M_PER_MIN + SETTING_OFF_MIN
    longest = -int(-slowest // BAND_MIN) * BAND_MIN
    return Band(
        walk_minutes_from=soonest,
        walk_minutes_to=longest,
        earliest=told_at + timedelta(minutes=soonest),
        latest=told_at + timedelta(minutes=longest),
    )


def follows(status: Arrival, last: Arrival | None, *, expected: Band | None, now: datetime) -> bool:
    """Whether an entry changes anything; False for a repeat of the last.

    Raises StateConflict for one that cannot follow the last, and for `did_not_arrive` before the
    person has had their time.
    """
    if status is last:
        return False
    if last not in BEFORE[status]:
        standing = last.value if last else "expected"
        raise StateConflict(f"This person is {standing}: {status} cannot follow.")
    if status is Arrival.DID_NOT_ARRIVE and expected is not None and now < expected.latest:
        raise StateConflict(
            f"They may still come: log this after {expected.latest.isoformat(timespec='seconds')}."
        )
    return True


def all_ended(entries: Collection[Arrival | None]) -> bool:
    """Whether nobody of those whom a hub was told of is expected or there any more."""
    return all(entry in ENDINGS for entry in entries)


@dataclass(frozen=True)
class Walk:
    """Somebody on their way to a hub, as the hub stands now. `open_until` None never closes.

    `known_to_close` is True where they were told beforehand that it may be closed.
    """

    told_at: datetime
    distance_m: float
    is_open: bool
    open_until: datetime | None
    declined: bool
    moved: bool
    known_to_close: bool


def is_over(walk: Walk, *, now: datetime) -> bool:
    """Whether they must be there by now, or gone elsewhere by themselves."""
    expected = band(walk.distance_m, told_at=walk.told_at)
    return expected is not None and now > expected.latest + ARRIVAL_MARGIN


def broken_by(walk: Walk, *, now: datetime) -> str | None:
    """Why a walk leads nowhere: declined, moved or closing; None while it does not.

    Closing: it is closed now, or will be before they have arrived with ten minutes to spare, and
    they do not know.
    """
    if walk.declined:
        return "declined"
    if is_over(walk, now=now):
        return None
    if not walk.is_open:
        return "closing"
    arrives = walk.told_at + timedelta(minutes=walk_minutes(walk.distance_m)) + ARRIVAL_MARGIN
    if walk.open_until is not None and walk.open_until < arrives and not walk.known_to_close:
        return "closing"
    return "moved" if walk.moved else None


def on_the_way(start: Point, end: Point, *, distance_m: float, walked: timedelta) -> Point:
    """Where somebody is who walks from start to end at the assumed speed, in a straight line."""
    minutes = walk_minutes(distance_m)
    part = min(1.0, max(0.0, walked.total_seconds() / 60 / minutes))
    east = (end.lon - start.lon + 540.0) % 360.0 - 180.0
    lon = (start.lon + part * east + 540.0) % 360.0 - 180.0
    return Point(lon, start.lat + part * (end.lat - start.lat))
