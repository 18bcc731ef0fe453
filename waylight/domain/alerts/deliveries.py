"""What a channel says, what became of an attempt, and when it is tried again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Target:
    """One place on one channel: a device, a telephone, a mailbox, an endpoint.

    `address` is what that channel needs to reach it, opened; left out of every `repr`, for a log
    must not lead to a person.
    """

    id: UUID
    address: Mapping[str, Any] = field(repr=False)
    person_id: UUID | None = None
    organisation_id: UUID | None = None
    """Who chose where it leads, for a channel that calls what others name: they share the senders
    with everybody. None where a provider of the operator's carries it."""


@dataclass(frozen=True)
class Message:
    """What a channel says: what kind, how urgent, a link. No story and no exact place (D13).

    `attempt` counts from 1; `kind` is the event told, for example `alert.created`. `alert_id` is
    None for an event that is about no alert, `target` for a channel that needs none and for one
    whose address cannot be opened. `reply_code` is what a person without a data signal answers
    with.
    """

    delivery_id: UUID
    alert_id: UUID | None
    attempt: int
    channel: str
    kind: str
    recipient: str
    priority: int
    category_groups: tuple[str, ...]
    exercise: bool
    link: str
    target: Target | None = None
    reply_code: str | None = None
    incident_id: UUID | None = None
    event_id: UUID | None = None
    body: bytes | None = field(default=None, repr=False)
    """What a channel for machines sends, made by whoever knows the wire."""
    rests_s: float | None = None
    """For how long nothing is sent to this target, which did not answer in time again and again."""


class Result(StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    """The channel took it; nobody knows more."""
    DELIVERED = "delivered"
    """The far side confirmed it."""
    FAILED = "failed"
    """It may work later."""
    REFUSED = "refused"
    """It will never work."""
    GONE = "gone"
    """It will never work, and neither will anything else that is sent to this address."""


@dataclass(frozen=True)
class Outcome:
    """A channel's answer. `detail` is for the log of the operator: no address, no story.

    `provider` is who carried it, where a channel has several, and `provider_ref` what it calls the
    message: its receipts come under that name.
    """

    result: Result
    detail: str | None = None
    retry_after_s: float | None = None
    provider: str | None = None
    provider_ref: str | None = None


TIMED_OUT = "timed_out"
"""The detail of an attempt that the far side did not answer in time."""

RESTS = "address_rests"
"""The detail of one that was not made, because that has happened there again and again."""

ATTEMPTS = 10
FIRST_RETRY_S = 1.0
RETRY_CAP_S = 60.0

SHORT = tuple(min(FIRST_RETRY_S * 2.0**n, RETRY_CAP_S) for n in range(ATTEMPTS - 1))
"""Seconds before each further attempt to reach a person: 1, 2, 4 ... 60."""

LONG = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""The same to reach a machine: the schedule of Standard Webhooks 1.0, some three days in all."""


@dataclass(frozen=True)
class NextAttempt:
    """What a delivery becomes: sent, delivered, failed, or queued again for `at`."""

    status: str
    at: datetime | None = None


def after_attempt(
    outcome: Outcome,
    *,
    attempts: int,
    jitter: float,
    now: datetime,
    waits_s: Sequence[float] = SHORT,
) -> NextAttempt:
    """What follows the attempt number `attempts`.

    A failure is tried again after `waits_s` seconds, one wait for each further attempt, or after
    what the far side asked for if that is longer, each less up to half of it by `jitter` (0 to 1),
    so that a thousand deliveries that failed together do not come back together. After the last
    wait it is given up.
    """
    if outcome.result is Result.SENT:
        return NextAttempt("sent")
    if outcome.result is Result.DELIVERED:
        return NextAttempt("delivered")
    if outcome.result is not Result.FAILED or attempts > len(waits_s):
        return NextAttempt("failed")
    wait = waits_s[attempts - 1] * (1 - jitter / 2)
    return NextAttempt("queued", now + timedelta(seconds=max(wait, outcome.retry_after_s or 0.0)))
