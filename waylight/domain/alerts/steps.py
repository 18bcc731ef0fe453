"""Which step may follow which, and what a step does to the incident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from waylight.domain.errors import StateConflict


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
