"""Webhooks: which events an endpoint wants, when it rests, and when it is given up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from waylight.domain.alerts import Outcome, Result
from waylight.domain.events import EXERCISE, NOUNS, TYPES

CHANNEL = "webhook"
"""The name of their channel."""

PING = "webhook.ping"
"""The type of the event that says nothing happened: for the owner to try the way."""

EVERYTHING = "*"

MOST = 20
"""Webhooks of one organisation."""

IN_FLIGHT = 2
"""Messages on their way to one endpoint at once: one that does not answer holds no more senders."""

OF_AN_ORGANISATION = 3
DRILLS_OF_AN_ORGANISATION = 1
"""The same to all endpoints of one organisation together: with twenty that answer late it would
otherwise hold every sender there is, and the messages of the others would wait."""

LOWEST_PRIORITY = 4
"""Of what its owner asks for, a ping or a replay: no event waits behind it."""

OVERLAP = timedelta(days=1)
"""How long the secret before signs beside a new one, unless somebody says otherwise."""
LONGEST_OVERLAP = timedelta(days=30)

DISABLED_AFTER = timedelta(days=5)
"""Of nothing but failures: longer than the ten attempts at one message take."""

RETRY_AFTER_CAP_S = 86_400.0

_RESTS_FROM = 3
_REST_S, _REST_CAP_S = 5.0, 300.0

CHOICES = (
    EVERYTHING,
    *(f"{noun}.*" for noun in NOUNS),
    *TYPES,
    f"{EXERCISE}*",
    *(f"{EXERCISE}{noun}.*" for noun in NOUNS),
    *(EXERCISE + one for one in TYPES),
)
"""What may stand in the event types of a webhook: a type, or the beginning of one before a star.
Only the star alone and what begins with `exercise.` has drills in it."""


class State(StrEnum):
    """Whether an endpoint is told."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By its owner: nothing is sent, and of what happens meanwhile nothing is queued."""
    DISABLED = "disabled"
    """By us: see its reason."""


class Reason(StrEnum):
    """Why one was disabled."""

    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """For days it answered nothing but failures."""
    UNREADABLE = "unreadable"
    """What is sealed of it cannot be opened: a key of ours is lost. Nothing can be sent there."""


@dataclass(frozen=True)
class Webhook:
    """An endpoint as its owner sees it. `secret` is there only where it was just made.

    `url` is None where it cannot be opened.
    """

    id: UUID
    organisation_id: UUID
    url: str | None = field(repr=False)
    event_types: tuple[str, ...]
    description: str
    state: State
    disabled_at: datetime | None
    disabled_reason: Reason | None
    failures: int
    failing_since: datetime | None
    rests_until: datetime | None
    last_delivered_at: datetime | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Attempt:
    """One attempt: `answered` is the HTTP status, None where no answer came."""

    at: datetime
    outcome: str
    duration_ms: int
    answered: int | None
    detail: str | None


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint, with every attempt."""

    id: UUID
    event_id: UUID
    event_type: str
    status: str
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    attempts: tuple[Attempt, ...]


def wants(event_types: Sequence[str], type_: str) -> bool:
    """Whether a webhook that asked for these is told of an event of this type."""
    return any(
        one == type_ or (one.endswith("*") and type_.startswith(one[:-1])) for one in event_types
    )


def answered(detail: str | None) -> int | None:
    """The HTTP status that an attempt ended with, from its detail: `http_503`."""
    found = re.fullmatch(r"http_([0-9]{3})", detail or "")
    return int(found[1]) if found else None


@dataclass(frozen=True)
class Standing:
    """How an endpoint does after an attempt."""

    failures: int
    failing_since: datetime | None
    rests_until: datetime | None
    disabled: Reason | None = None


def after_answer(
    outcome: Outcome, *, failures: int, failing_since: datetime | None, now: datetime
) -> Standing:
    """What follows from an attempt for the whole endpoint, whichever message it was.

    From the third failure in a row on it rests, for longer each time and at most five minutes, and
    after that a message or two try again: the queue of one that is down costs no more than that. It
    also rests for as long as it asked for. A refusal of ours says nothing about it.
    """
    if outcome.result in (Result.DELIVERED, Result.SENT):
        return Standing(0, None, None)
    if outcome.result is Result.REFUSED:
        return Standing(failures, failing_since, None)
    failures, since = failures + 1, failing_since or now
    if outcome.result is Result.GONE:
        return Standing(failures, since, None, Reason.GONE)
    if now - since >= DISABLED_AFTER:
        return Standing(failures, since, None, Reason.FAILING)
    rest = 0.0
    if failures >= _RESTS_FROM:
        rest = min(_REST_S * 2.0 ** min(failures - _RESTS_FROM, 10), _REST_CAP_S)
    rest = max(rest, outcome.retry_after_s or 0.0)
    return Standing(failures, since, now + timedelta(seconds=rest) if rest else None)
