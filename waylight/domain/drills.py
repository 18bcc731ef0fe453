"""Drills: a marked alert that really travels, to learn who would have been reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

AUDIENCE = "drill:"
"""Begins the audience of every incident of a drill: no report joins it, and its ladder does not
climb, because who is reached is asked of each team by itself."""

PRIORITY = 2
"""Of a drill's alert: pushed at once, and behind every real message of the same priority."""

WITHIN = timedelta(hours=1)
"""A time of the schedule that was missed by more is left out: nobody expects a drill then."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Level(StrEnum):
    """How far an alert came, each further than the one before."""

    SENT = "sent"
    """A channel took the message."""
    DELIVERED = "delivered"
    """The far side confirmed it."""
    SEEN = "seen"
    """A person opened it."""
    ACKNOWLEDGED = "acknowledged"
    """A person answered: declining is an answer, too."""


class Why(StrEnum):
    """Why a team was not reached."""

    OFF_DUTY = "off_duty"
    NO_ADDRESS = "no_address"
    FAILED = "failed"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class Slot:
    """A time of the week, in a city's own zone."""

    weekday: int
    at: time


@dataclass(frozen=True)
class Travelled:
    """What became of the message on one channel, the furthest of several addresses."""

    channel: str
    status: str
    after_s: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Rung:
    """One team in a drill. `after_s` is how long it took to the level that was asked for."""

    team_id: UUID
    team: str
    organisation: str
    alert_id: UUID | None = None
    incident_id: UUID | None = None
    level: Level | None = None
    after_s: float | None = None
    channels: tuple[Travelled, ...] = ()
    why: Why | None = None

    @property
    def is_reached(self) -> bool:
        """Whether its alert came as far as was asked for."""
        return self.why is None


@dataclass(frozen=True)
class Drill:
    """One drill. `level` is what counts as reached; while it runs `why` says what is so now."""

    id: UUID
    level: Level
    started_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    rungs: tuple[Rung, ...]

    @property
    def reached(self) -> int:
        """How many teams were reached."""
        return sum(rung.is_reached for rung in self.rungs)

    @property
    def missed(self) -> tuple[Rung, ...]:
        """Who was not reached and should have been: whoever is off duty was left in peace."""
        return tuple(rung for rung in self.rungs if rung.why not in (None, Why.OFF_DUTY))

    @property
    def is_settled(self) -> bool:
        """Whether waiting longer can change nothing."""
        return all(rung.why is not Why.NO_ANSWER for rung in self.rungs)


def judge(
    wanted: Level,
    times: Mapping[Level, datetime | None],
    channels: Sequence[Travelled],
    *,
    since: datetime,
) -> tuple[Level | None, float | None, Why | None]:
    """How far an alert came, how soon it came as far as `wanted`, and why it did not.

    `times` says when it first came to each level, `channels` how its messages stand.
    """
    order = list(Level)
    reached = [level for level in order if times.get(level) is not None]
    enough = [at for level in order[order.index(wanted) :] if (at := times.get(level)) is not None]
    level = reached[-1] if reached else None
    if enough:
        return level, max(0.0, (min(enough) - since).total_seconds()), None
    if not channels:
        return level, None, Why.NO_ADDRESS
    if all(one.status in ("failed", "dropped") for one in channels):
        return level, None, Why.FAILED
    return level, None, Why.NO_ANSWER


def latest(slots: Sequence[Slot], zone: ZoneInfo, *, now: datetime) -> datetime | None:
    """The newest time of a schedule that is over by less than `WITHIN`; None when there is none.

    A time that the clocks leave out when they go forward is taken as the hour after it, one that
    they repeat as the first of the two.
    """
    today = now.astimezone(zone).date()
    found = [
        at
        for day in (today, today - timedelta(days=1))
        for slot in slots
        if slot.weekday == day.weekday()
        if timedelta(0)
        <= now - (at := datetime.combine(day, slot.at, zone).astimezone(UTC))
        < WITHIN
    ]
    return max(found, default=None)
