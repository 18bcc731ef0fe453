"""Safe-travel hubs as callers see them, and which of them comes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from waylight.domain.geo import Point

FEATURE_OF_NEED = {
    "step_free": "step_free",
    "accessible_toilet": "accessible_toilet",
    "hearing_loop": "hearing_loop",
    "sign_language": "sign_language",
    "text_only": "text_relay",
    "women_only": "women_only_space",
    "companion": "trained_staff",
    "first_aid": "first_aid",
    "assistance_dog": "assistance_dogs",
}
"""The service or access feature of a hub that answers a passenger's need."""

ARRIVAL_MARGIN = timedelta(minutes=10)
"""Who gets to a door later than this before it closes is not sent there without a word."""

POSITION_HOLDS = timedelta(minutes=30)
"""For so long a mobile hub is taken to be where it said it is."""

DRIFT_M_PER_MIN = 250.0
"""How far from there it may have gone for each minute of its silence: 15 km/h, the average speed of
a London bus (TfL, "Bus speeds", 9.2 mph in 2023/24)."""

DRIFT_AT_MOST_M = 20_000.0

MOVED_M = 200.0
"""Further than this from where people were sent, a mobile hub has moved away from them."""

LONGEST_OVERRIDE = timedelta(days=30)
"""Within the 45 days that hours are expanded: an override always stands in the stored ranges."""


class Standing(StrEnum):
    """What an override says, whatever the hours are."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class Override:
    """A stretch of time in which the hours do not count. The reason is for the hub's own staff."""

    status: Standing
    starts_at: datetime
    ends_at: datetime
    reason: str
    set_by: str


@dataclass(frozen=True)
class Hub:
    """One hub at one instant: `open` then, until `open_until`, which is None when it never closes.

    `open_until` is None as well while it is closed. `position_at` is when a mobile hub said where
    it is; None where the place is the published one. `position_stale`: it may have moved since.
    """

    id: UUID
    name: str
    kind: str
    mobile: bool
    organisation: str
    point: Point
    address: str
    opening_hours: str
    time_zone: str
    open: bool
    open_until: datetime | None
    services: tuple[str, ...]
    access: tuple[str, ...]
    languages: tuple[str, ...]
    phone: str | None
    demo: bool
    updated_at: datetime
    position_at: datetime | None = None
    position_stale: bool = False


@dataclass(frozen=True)
class HubDesk:
    """A hub as its own staff see it. `override` is the one that runs; `edited` outlives a pack."""

    hub: Hub
    version: int
    override: Override | None
    edited: tuple[str, ...]


@dataclass(frozen=True)
class NearHub:
    """A hub as seen from somewhere, by somebody with needs. Metres on the WGS 84 ellipsoid.

    `open_on_arrival` is False where it closes before somebody who walks there now has arrived.
    """

    hub: Hub
    distance_m: float
    needs_met: tuple[str, ...]
    needs_unmet: tuple[str, ...]
    open_on_arrival: bool = True


def met(needs: Sequence[str], features: Sequence[str]) -> tuple[str, ...]:
    """Which of the needs a hub with these services and access features meets."""
    return tuple(need for need in needs if FEATURE_OF_NEED[need] in features)


def is_stale(*, mobile: bool, position_at: datetime | None, at: datetime) -> bool:
    """Whether a hub may have left the place where it said it is. The published place never is."""
    return mobile and position_at is not None and at - position_at > POSITION_HOLDS


def ranked_m(
    distance_m: float, *, mobile: bool, position_at: datetime | None, at: datetime
) -> float:
    """The distance a hub is ranked by: to where it is, or as far as it may have gone since.

    A stale position counts as further by `DRIFT_M_PER_MIN` for each minute of silence, by
    `DRIFT_AT_MOST_M` at most; so a hub that is surely there comes first.
    """
    if position_at is None or not is_stale(mobile=mobile, position_at=position_at, at=at):
        return distance_m
    silent_min = (at - position_at).total_seconds() / 60
    return distance_m + min(silent_min * DRIFT_M_PER_MIN, DRIFT_AT_MOST_M)


def stays_open(open_until: datetime | None, *, at: datetime, walk_minutes: float) -> bool:
    """Whether a hub that is open is still open when somebody arrives there, with a margin."""
    return open_until is None or open_until >= at + timedelta(minutes=walk_minutes) + ARRIVAL_MARGIN
