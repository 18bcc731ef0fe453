"""Teams: whether they are on duty, where they are, and what they can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from waylight.domain.errors import Problem
from waylight.domain.geo import Point

STALE_AFTER = timedelta(minutes=15)
"""An older position says where a team was: routing counts from its base instead."""

CLOCK_TOLERANCE = timedelta(minutes=2)
"""A device may be so far ahead of us and is taken to mean now."""

CLOCK_WRONG = timedelta(days=1)
"""A device that is further off than this is not corrected but refused."""

OLDEST_FIX = timedelta(hours=24)
VAGUEST_M = 5_000.0
"""A fix that may be further off than this says nothing that the base does not say."""

FURTHEST_M = 100_000.0
"""From its base. A team that is further away cannot come, or its device is wrong."""

NULL_ISLAND_DEG = 0.001
"""About 100 m around 0, 0: where devices are that have no fix, in the open sea."""

ENDS_SOON = timedelta(days=14)


class Duty(StrEnum):
    """What a team says of itself. `available` past its shift means: on duty by hand."""

    AVAILABLE = "available"
    BUSY = "busy"
    OFF = "off"


@dataclass(frozen=True)
class Capability:
    """Something a team can do, until its certificate ends; None is without an end."""

    code: str
    until: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """Whether it counts at an instant."""
        return self.until is None or self.until > at

    def ends_soon(self, at: datetime) -> bool:
        """Whether it is valid and ends within two weeks."""
        return self.until is not None and at < self.until <= at + ENDS_SOON


@dataclass(frozen=True)
class HeldCapability:
    """A capability as it stands at one moment."""

    capability: str
    until: datetime | None
    expired: bool
    ends_soon: bool


@dataclass(frozen=True)
class Fix:
    """Where a device says that it is, by its own clock; `sent_at` is that clock at sending."""

    point: Point
    fixed_at: datetime
    accuracy_m: float | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True)
class TeamPosition:
    """The last known position of a team. A stale one does not count for routing."""

    point: Point
    accuracy_m: float | None
    fixed_at: datetime
    age_s: int
    stale: bool


@dataclass(frozen=True)
class Heartbeat:
    """What became of a fix. `ignored` says why it changed nothing: "older" than the one known."""

    ignored: str | None
    position: TeamPosition


@dataclass(frozen=True)
class Team:
    """A transport safety team. `duty_until` None is until further notice.

    `on_duty` is what routing goes by: on shift, or on duty by hand, and not off. `capabilities` are
    those that are valid, `held` all of them. `working_on` counts the incidents it is on its way to,
    or on the scene of. What is "set by" is the city pack's or the staff's.
    """

    id: UUID
    version: int
    name: str
    kind: str
    organisation: str
    capabilities: tuple[str, ...]
    capabilities_set_by: str
    held: tuple[HeldCapability, ...]
    base: Point
    position: TeamPosition | None
    shifts: str
    shifts_set_by: str
    on_shift: bool
    on_duty: bool
    duty: Duty
    duty_until: datetime | None
    working_on: int
    demo: bool


def held(capabilities: Sequence[Capability], at: datetime) -> tuple[HeldCapability, ...]:
    """Capabilities as they stand at an instant, expired ones too."""
    return tuple(
        HeldCapability(
            capability=one.code,
            until=one.until,
            expired=not one.is_valid(at),
            ends_soon=one.ends_soon(at),
        )
        for one in capabilities
    )


def position_at(
    point: Point, fixed_at: datetime, accuracy_m: float | None, *, at: datetime
) -> TeamPosition:
    """A position with its age. One from the time to come, of a clock that was wrong, is stale."""
    age = at - fixed_at
    return TeamPosition(
        point=point,
        accuracy_m=accuracy_m,
        fixed_at=fixed_at,
        age_s=max(0, int(age.total_seconds())),
        stale=not -CLOCK_TOLERANCE < age < STALE_AFTER,
    )


def fixed_at(fix: Fix, *, now: datetime) -> datetime:
    """When a fix was made, by our clock: the device's is off by `sent_at - now`, never later."""
    skew = fix.sent_at - now if fix.sent_at is not None else timedelta(0)
    return min(fix.fixed_at - skew, now)


def fix_problems(fix: Fix, *, from_base_m: float, now: datetime) -> list[Problem]:
    """Why a fix is not believed, each by its field and with the way out."""
    found = []
    point = fix.point
    if abs(point.lon) < NULL_ISLAND_DEG and abs(point.lat) < NULL_ISLAND_DEG:
        detail = "This is 0, 0, in the sea: the device has no fix yet. Send nothing until it has."
        found.append(Problem("/position", "null_island", detail))
    elif from_base_m > FURTHEST_M:
        detail = (
            f"This is {from_base_m / 1000:.0f} km from the team's base, more than"
            f" {FURTHEST_M / 1000:.0f}: is it longitude first?"
        )
        found.append(Problem("/position", "too_far", detail))
    if fix.accuracy_m is not None and fix.accuracy_m > VAGUEST_M:
        detail = f"More than {VAGUEST_M:.0f} m tells nothing: wait for a better fix."
        found.append(Problem("/accuracy_m", "too_vague", detail))
    skew = fix.sent_at - now if fix.sent_at is not None else timedelta(0)
    if abs(skew) > CLOCK_WRONG:
        detail = "The device's clock is more than a day off: set it by the network."
        found.append(Problem("/sent_at", "clock_absurd", detail))
        return found
    age = now - (fix.fixed_at - skew)
    if age < -CLOCK_TOLERANCE:
        detail = "This is in the future: set the device's clock, or send its time as `sent_at`."
        found.append(Problem("/fixed_at", "clock_ahead", detail))
    elif age > OLDEST_FIX:
        detail = "This is more than a day old: send where the team is now."
        found.append(Problem("/fixed_at", "too_old", detail))
    return found


def duty_at(status: Duty, until: datetime | None, at: datetime) -> tuple[Duty, datetime | None]:
    """The duty status that holds at an instant: one with an end is `available` from then on."""
    if until is not None and until <= at:
        return Duty.AVAILABLE, None
    return status, until


def is_on_duty(status: Duty, until: datetime | None, *, on_shift: bool, at: datetime) -> bool:
    """Whether the team may be alerted: not off, and on shift or on duty by hand until later."""
    holds, holds_until = duty_at(status, until, at)
    return holds is not Duty.OFF and (on_shift or holds_until is not None)
