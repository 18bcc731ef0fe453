"""Lone workers: by when a responder has to give a sign of life, and what happens without one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

DEFAULT_S = 1_800
"""Half an hour on a scene, where the organisation has said nothing else."""

SHORTEST_S = 60
LONGEST_S = 14_400
"""Four hours: whoever needs longer is not on a scene any more."""

SOON = timedelta(minutes=1)
OFTEN = 5
LATER = timedelta(minutes=5)


@dataclass(frozen=True)
class CheckIn:
    """The timer of the responder of an alert. `answered` is whether somebody has taken it up.

    `overdue_at` is since when the control room has been told, `raised` how often it was.
    """

    alert_id: UUID
    due_in_s: int
    started_at: datetime
    checked_in_at: datetime
    due_at: datetime
    overdue_at: datetime | None
    raised: int
    answered: bool
    ended_at: datetime | None


@dataclass(frozen=True)
class CheckInDefault:
    """What starts with `on_scene`; None is nothing. `version` 0 is of one nobody has set."""

    due_in_s: int | None
    version: int


def due_at(due_in_s: int, *, now: datetime) -> datetime:
    """By when the next sign of life has to come."""
    return now + timedelta(seconds=due_in_s)


def is_of_another_clock(at: datetime, *, now: datetime) -> bool:
    """Whether a time lies further off than any timer runs: the clock that set it was wrong."""
    return at > now + timedelta(seconds=LONGEST_S) + SOON


def next_raise(raised: int, *, now: datetime) -> datetime:
    """When it is said again that a responder is overdue: five times each minute, then each five."""
    return now + (SOON if raised < OFTEN else LATER)
