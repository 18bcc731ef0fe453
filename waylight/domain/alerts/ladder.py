"""When the next recipient is told, and when the control room is alarmed again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Bound:
    """How long a rung has to answer, and between what an organisation may say otherwise."""

    default_s: float
    least_s: float
    most_s: float
    why: str


BOUNDS: Mapping[int, Bound] = {
    1: Bound(
        60.0,
        20.0,
        90.0,
        "Somebody may be in danger: nobody waits longer; in less nobody can read and answer.",
    ),
    2: Bound(
        180.0,
        60.0,
        300.0,
        "What has just happened: the next team can still get there within minutes.",
    ),
    3: Bound(
        900.0,
        120.0,
        1800.0,
        "Nobody is in danger, and whoever reported it still hears within the hour.",
    ),
}
"""The escalation timetable by priority, with its bounds and their reasons: nobody switches a ladder
off. The check of `organisations.escalation` has the same bounds."""

Waits = Mapping[int, float]
"""What an organisation says otherwise: seconds by priority."""

LADDER_S: Mapping[int, float | None] = {
    **{priority: bound.default_s for priority, bound in BOUNDS.items()},
    4: None,
}
"""Seconds a rung has to answer, by priority; 4 waits in the inbox."""

ALARM_CAP = timedelta(minutes=15)
"""The control room is reminded of an unanswered incident at least this often."""


def waits_of(stored: Mapping[str, Any] | None) -> dict[int, float]:
    """A stored timetable as it counts: what is out of bounds is taken to the bound."""
    return {
        priority: min(max(float(stored[str(priority)]), bound.least_s), bound.most_s)
        for priority, bound in BOUNDS.items()
        if stored and str(priority) in stored
    }


def ladder_step_s(priority: int, waits: Waits | None = None) -> float | None:
    """Seconds until the next rung is told; None when the ladder does not climb by itself.

    `waits` are those of the organisation that was told last.
    """
    return (waits or {}).get(priority, LADDER_S[priority])


def next_climb(priority: int, *, now: datetime, waits: Waits | None = None) -> datetime | None:
    """When the rung that is told now has had its time; None is never."""
    step = ladder_step_s(priority, waits)
    return None if step is None else now + timedelta(seconds=step)


def next_alarm(
    priority: int, *, unanswered_at: datetime, now: datetime, waits: Waits | None = None
) -> datetime | None:
    """When the control room is alarmed again about an incident whose ladder is exhausted.

    After one step of the ladder, then at intervals that double, up to `ALARM_CAP`. None at
    priority 4, whose inbox entry is reminder enough. `waits` are the control room's own.
    """
    step = ladder_step_s(priority, waits)
    if step is None:
        return None
    return now + min(max(timedelta(seconds=step), now - unanswered_at), ALARM_CAP)
