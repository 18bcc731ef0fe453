"""Devices of staff that get push messages: what one is, and how urgent and how lasting a message.

RFC 8030 names the urgencies and the time to live.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from waylight.domain.alerts import ALARM_CAP, LADDER_S, Named

DEVICES_AT_MOST = 20
"""Of one person. A device that is subscribed for two teams counts twice."""

STEPS_KEPT = 5
"""For how many steps of the ladder a push service keeps a message for a device that is away. Until
then whoever comes back may still be the first to answer; later the alert is somebody else's."""

RESTS_AFTER = 3
"""Time-outs in a row after which a device's push service is left alone for a while."""

_REST_S, _REST_CAP_S = 30.0, 300.0

URGENCY = {1: "high", 2: "high", 3: "normal", 4: "low"}
"""RFC 8030, 5.3: `high` is for what rings, `low` may wait for a charger. Nothing of priority 4 is
pushed but what could not be routed."""

PRIORITY_WORDS = {1: "at_once", 2: "soon", 3: "today", 4: "inbox"}


@dataclass(frozen=True)
class NewDevice:
    """A browser's PushSubscription, and for whom: either a team or a hub.

    `public_key` is the key that it subscribed with, where it says so.
    """

    endpoint: str = field(repr=False)
    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)
    name: str
    team_id: UUID | None = None
    hub_id: UUID | None = None
    expires_at: datetime | None = None
    public_key: str | None = None


@dataclass(frozen=True)
class Device:
    """A device as its owner sees it: nothing that leads to it.

    `renew`: it subscribed with a key that is not the one in use, and does so again when it can.
    """

    id: UUID
    name: str
    team: Named | None
    hub: Named | None
    created_at: datetime
    last_sent_at: datetime | None
    expires_at: datetime | None
    renew: bool
    rests_until: datetime | None = None
    """Its push service timed out again and again: until then nothing is sent to it."""


def rest_s(timeouts: int) -> float:
    """Seconds that a device rests after so many time-outs in a row: 30, 60 ... 300."""
    if timeouts < RESTS_AFTER:
        return 0.0
    return min(_REST_S * 2.0 ** min(timeouts - RESTS_AFTER, 10), _REST_CAP_S)


def rests_for_s(until: datetime | None, *, now: datetime) -> float | None:
    """For how many seconds a device rests from now on; None for one that does not.

    A rest that would be longer than any was written while the clock ran ahead, and is none.
    """
    left = (until - now).total_seconds() if until is not None else 0.0
    return left if 0.0 < left <= _REST_CAP_S else None


def kept_for_s(kind: str, priority: int) -> int:
    """Seconds that a push service keeps a message for a device that is away (TTL).

    By the ladder: an alert for `STEPS_KEPT` of its steps, an hour at most; that one is over, for
    one step. What only alarms again is worthless once the next alarm is due.
    """
    step = LADDER_S[priority] or LADDER_S[3] or 0.0
    if kind == "alert.withdrawn":
        return int(step)
    if kind == "incident.unanswered":
        return int(ALARM_CAP.total_seconds())
    return int(min(STEPS_KEPT * step, 3600.0))
