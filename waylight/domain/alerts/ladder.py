"""When the next recipient is told, and when the control room is alarmed again."""

from collections.abc import Mapping
from datetime import datetime, timedelta

LADDER_S: Mapping[int, float | None] = {1: 60.0, 2: 180.0, 3: 900.0, 4: None}
"""Seconds a rung has to answer, by priority; 4 waits in the inbox."""

ALARM_CAP = timedelta(minutes=15)
"""The control room is reminded of an unanswered incident at least this often."""


def ladder_step_s(priority: int) -> float | None:
    """Seconds until the next rung is told; None when the ladder does not climb by itself."""
    return LADDER_S[priority]


def next_climb(priority: int, *, now: datetime) -> datetime | None:
    """When the rung that is told now has had its time; None is never."""
    step = LADDER_S[priority]
    return None if step is None else now + timedelta(seconds=step)


def next_alarm(priority: int, *, unanswered_at: datetime, now: datetime) -> datetime | None:
    """When the control room is alarmed again about an incident whose ladder is exhausted.

    After one step of the ladder, then at intervals that double, up to `ALARM_CAP`. None at
    priority 4, whose inbox entry is reminder enough.
    """
    step = LADDER_S[priority]
    if step is None:
        return None
    return now + min(max(timedelta(seconds=step), now - unanswered_at), ALARM_CAP)
