"""Alerts: which step may follow which, what it does to the incident, and the two timetables.

An alert is one recipient told about one incident. The ladder says when the next recipient is told;
the timetable of attempts says when a message that did not get through is sent again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from waylight.domain.errors import StateConflict
from waylight.domain.reports import Contact, Journey, Located, Priority, Reason, Recipient


class State(StrEnum):
    """Where one alert stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    EN_ROUTE = "en_route"
    ON_SCENE = "on_scene"
    CLOSED = "closed"
    DECLINED = "declined"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


WAITING = frozenset({State.PENDING, State.DELIVERED})
"""Told, and nobody has answered."""

WORKING = frozenset({State.ACKNOWLEDGED, State.EN_ROUTE, State.ON_SCENE})
"""Somebody said they have it."""

LIVE = WAITING | WORKING
ENDED = frozenset(State) - LIVE

STOOD_DOWN = frozenset({State.WITHDRAWN, State.EXPIRED})
"""Ended without an answer of its own: such a recipient may be told again, by a new alert."""


class Step(StrEnum):
    """What a person, a far side or the worker does to an alert."""

    DELIVER = "deliver"
    ACKNOWLEDGE = "acknowledge"
    DECLINE = "decline"
    EN_ROUTE = "en_route"
    ON_SCENE = "on_scene"
    CLOSE = "close"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


STEPS: Mapping[Step, tuple[frozenset[State], State]] = {
    Step.DELIVER: (frozenset({State.PENDING}), State.DELIVERED),
    # Whoever was passed over, said no or was stood down may still come: that is joining late.
    Step.ACKNOWLEDGE: (
        WAITING | {State.DECLINED, State.EXPIRED, State.WITHDRAWN},
        State.ACKNOWLEDGED,
    ),
    # A team that has it and cannot come after all hands it back; on the scene it closes instead.
    Step.DECLINE: (WAITING | {State.ACKNOWLEDGED, State.EN_ROUTE}, State.DECLINED),
    Step.EN_ROUTE: (frozenset({State.ACKNOWLEDGED}), State.EN_ROUTE),
    Step.ON_SCENE: (frozenset({State.ACKNOWLEDGED, State.EN_ROUTE}), State.ON_SCENE),
    Step.CLOSE: (WORKING, State.CLOSED),
    Step.EXPIRE: (WAITING, State.EXPIRED),
    Step.WITHDRAW: (WAITING, State.WITHDRAWN),
}
"""From which states a step leads, and to which."""


class Ending(StrEnum):
    """How an alert was closed, as its team saw it."""

    RESOLVED = "resolved"
    FOUNDED = "founded"
    MINOR = "minor"
    UNFOUNDED = "unfounded"
    CANCELLED = "cancelled"


class DeclineCause(StrEnum):
    """Why a team does not take an alert."""

    BUSY = "busy"
    TOO_FAR = "too_far"
    NOT_OURS = "not_ours"
    OTHER = "other"


def after(step: Step, state: State) -> State:
    """The state that `step` leads to from `state`.

    A repeat of the step that led here changes nothing, and acknowledging while on the way or on
    the scene keeps that state. Raises StateConflict for every other step that is not in `STEPS`.
    """
    sources, target = STEPS[step]
    if state in sources:
        return target
    if state is target or (step is Step.ACKNOWLEDGE and state in WORKING):
        return state
    raise StateConflict(f"This alert is {state}: {step} is not possible from there.")


@dataclass(frozen=True)
class Rung:
    """One alert as the rules see it. Hubs are told, but are no part of the ladder.

    An overseer is the control room: it can take an incident, but it cannot go there.
    """

    id: UUID
    state: State
    is_hub: bool = False
    is_overseer: bool = False
    acknowledged_at: datetime | None = None


@dataclass(frozen=True)
class Hold:
    """Who has an incident and when the ladder climbs next; `escalate_at` None is never."""

    held_by: UUID | None
    escalate_at: datetime | None
    unanswered_at: datetime | None
    closed: bool = False


@dataclass(frozen=True)
class Taken:
    """What a step did: the alert's new state, the incident's, and who is stood down by it.

    `changed` is False when the step was a repeat without any effect.
    """

    state: State
    hold: Hold
    withdrawn: tuple[UUID, ...]
    changed: bool


def take(
    step: Step,
    rung: Rung,
    *,
    hold: Hold,
    others: Sequence[Rung],
    now: datetime,
    is_informed: bool = True,
) -> Taken:
    """A recipient's step and all that follows from it for the incident.

    The first team to acknowledge holds the incident, a later one joins; any acknowledgement stops
    the ladder and stands down whoever has not answered, except that a control room stands nobody
    down, and that a recipient who does not know of the report for which the ladder runs
    (`is_informed` False) answers what it knew: it holds or joins, and the ladder goes on. A decline
    sends the ladder to the next rung at once, unless a team that can go there has it and the ladder
    rests. When
    the holder ends, the longest-working team holds; with none working the ladder goes on while
    somebody has yet to answer, and otherwise the incident is closed. A hub's step touches its own
    alert only. Raises StateConflict.
    """
    state = after(step, rung.state)
    repeated = state is rung.state
    if rung.is_hub:
        return Taken(state, hold, (), changed=not repeated)
    if hold.closed and not repeated:
        raise StateConflict("This incident is closed.")
    teams = [other for other in others if not other.is_hub]
    waiting = tuple(other.id for other in teams if other.state in WAITING)
    # A control room that answers first must not stand down the team that could walk there.
    # Nobody has said yes to a report they have not seen.
    goes_on = hold.escalate_at is not None and not is_informed
    stood_down = () if rung.is_overseer or goes_on else waiting
    working = [other for other in teams if other.state in WORKING]

    if step is Step.ACKNOWLEDGE:
        # A more serious report restarts a ladder that is held: only a new answer stops it.
        taken = Hold(
            held_by=hold.held_by or rung.id,
            escalate_at=hold.escalate_at if goes_on else None,
            unanswered_at=None,
        )
        if hold.closed or (repeated and taken == hold and not stood_down):
            return Taken(state, hold, (), changed=False)
        return Taken(state, taken, stood_down, changed=True)
    if repeated:
        return Taken(state, hold, (), changed=False)
    if step in (Step.DECLINE, Step.CLOSE):
        hold = _without(rung, hold, working)
        if step is Step.CLOSE and hold.held_by is None and not waiting and not goes_on:
            return Taken(state, replace(hold, escalate_at=None, closed=True), (), changed=True)
        # With a control room alone at work there is still nobody who goes there.
        if step is Step.DECLINE and (
            hold.escalate_at is not None or all(other.is_overseer for other in working)
        ):
            hold = replace(hold, escalate_at=now)
        elif hold.held_by is None:
            hold = replace(hold, escalate_at=hold.escalate_at or now)
    return Taken(state, hold, (), changed=True)


def _without(rung: Rung, hold: Hold, working: Sequence[Rung]) -> Hold:
    if hold.held_by != rung.id:
        return hold
    heirs = sorted(
        working, key=lambda other: (other.acknowledged_at is None, other.acknowledged_at, other.id)
    )
    return replace(hold, held_by=heirs[0].id if heirs else None)


# The ladder

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


# Deliveries


@dataclass(frozen=True)
class Target:
    """One place on one channel: a device, a telephone, a mailbox, an endpoint.

    `address` is what that channel needs to reach it, opened; left out of every `repr`, for a log
    must not lead to a person.
    """

    id: UUID
    address: Mapping[str, Any] = field(repr=False)


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


ATTEMPTS = 10
FIRST_RETRY_S = 1.0
RETRY_CAP_S = 60.0

SHORT = tuple(min(FIRST_RETRY_S * 2.0**n, RETRY_CAP_S) for n in range(ATTEMPTS - 1))
"""Seconds before each further attempt to reach a person: 1, 2, 4 ... 60."""


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


# What staff read


@dataclass(frozen=True)
class Named:
    """A team, a hub or a person by id and name."""

    id: UUID
    name: str


@dataclass(frozen=True)
class IncidentSummary:
    """The event that an alert is about. `held_by` is the alert of the team that has it."""

    id: UUID
    state: str
    priority: int
    category_groups: tuple[str, ...]
    report_count: int
    opened_at: datetime
    last_at: datetime
    held_by: UUID | None
    escalate_at: datetime | None
    unanswered_at: datetime | None


@dataclass(frozen=True)
class AlertSummary:
    """One line of an inbox. `place` is None where the caller has no full grant."""

    id: UUID
    version: int
    state: State
    role: str
    rank: int
    priority: int
    team: Named | None
    hub: Named | None
    organisation: str
    distance_m: int | None
    reasons: tuple[Reason, ...]
    categories: tuple[str, ...]
    mode: str | None
    place: str | None
    exercise: bool
    created_at: datetime
    delivered_at: datetime | None
    seen_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: Named | None
    ended_at: datetime | None
    outcome: str | None
    incident: IncidentSummary


@dataclass(frozen=True)
class ToldRung:
    """Somebody else who was told about the same incident."""

    alert_id: UUID
    team: Named | None
    hub: Named | None
    organisation: str
    role: str
    rank: int
    state: State
    told_at: datetime
    seen_at: datetime | None
    acknowledged_at: datetime | None


@dataclass(frozen=True)
class Story:
    """What the passenger wrote, decrypted. `readable` is False when its key is gone or wrong."""

    narrative: str | None = None
    description_of_person: str | None = None
    location_description: str | None = None
    contact: Contact | None = None
    not_understood: Mapping[str, object] = field(default_factory=dict)
    readable: bool = True


@dataclass(frozen=True)
class GrantedReport:
    """One report of the incident as far as the caller's organisation was granted it.

    A `heads_up` grant has neither `location`, `journey` nor `story`; a `full` one has them all.
    """

    id: UUID
    level: str
    received_at: datetime
    happening: str
    age_s: int
    happened_from: datetime | None
    happened_to: datetime | None
    happened_estimated: bool
    categories: tuple[str, ...]
    perspective: str
    in_danger: bool | None
    hurt_or_unwell: bool | None
    weapon_seen: bool | None
    person_nearby: bool | None
    under_18: bool | None
    wants: tuple[str, ...]
    needs: tuple[str, ...]
    language: str | None
    priority: Priority
    choices: tuple[Recipient, ...]
    shortfalls: tuple[Reason, ...]
    location: Located | None
    journey: Journey | None
    story: Story | None
    joined: bool
    withdrawn: bool
    exercise: bool


@dataclass(frozen=True)
class AlertDetail:
    """An alert with all that its team needs in order to act."""

    alert: AlertSummary
    rungs: tuple[ToldRung, ...]
    reports: tuple[GrantedReport, ...]
