"""Teams and whether they are on duty."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from waylight.domain.geo import Point


class Duty(StrEnum):
    """What a team says of itself. `available` past its shift means: on duty by hand."""

    AVAILABLE = "available"
    BUSY = "busy"
    OFF = "off"


@dataclass(frozen=True)
class Team:
    """A transport safety team. `duty_until` None is until further notice.

    `on_duty` is what routing goes by: on shift, or on duty by hand, and not off.
    """

    id: UUID
    version: int
    name: str
    kind: str
    organisation: str
    capabilities: tuple[str, ...]
    base: Point
    shifts: str
    on_shift: bool
    on_duty: bool
    duty: Duty
    duty_until: datetime | None
    demo: bool


def duty_at(status: Duty, until: datetime | None, at: datetime) -> tuple[Duty, datetime | None]:
    """The duty status that holds at an instant: one with an end is `available` from then on."""
    if until is not None and until <= at:
        return Duty.AVAILABLE, None
    return status, until


def is_on_duty(status: Duty, until: datetime | None, *, on_shift: bool, at: datetime) -> bool:
    """Whether the team may be alerted: not off, and on shift or on duty by hand until later."""
    holds, holds_until = duty_at(status, until, at)
    return holds is not Duty.OFF and (on_shift or holds_until is not None)
