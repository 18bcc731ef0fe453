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

OUT = frozenset({State.EN_ROUTE, State.ON_SCENE})
"""Somebody is out there, perhaps alone. On the scene a timer starts by itself."""

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
    HAND_OVER = "hand_over"
    RELEASE = "release"


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
    # Another has it now: the team it was taken over from is done, and did nothing to close it.
    Step.RELEASE: (WORKING, State.CLOSED),
}
"""From which states a step leads, and to which. HAND_OVER leads nowhere: its team still has it."""


class Ending(StrEnum):
    """How an alert was closed, as its team saw it."""

    RESOLVED = "resolved"
    FOUNDED = "founded"
    MINOR = "minor"
    UNFOUNDED = "unfounded"
    NO_TRACE = "no_trace"
    CANCELLED = "cancelled"
    ADVISED = "advised"
    TRANSFERRED = "transferred"
    DUPLICATE = "duplicate"


class Released(StrEnum):
    """Why an alert was closed without a word of its team's about how it ended."""

    HANDED_OVER = "handed_over"
    MERGED = "merged"


class DeclineCause(StrEnum):
    """Why a team does not take an alert."""

    BUSY = "busy"
    TOO_FAR = "too_far"
    NOT_OURS = "not_ours"
    OTHER = "other"


def after(step: Step, state: State) -> State:
    """The state that `step` leads to from `state`.

    A repeat of the step that led here changes nothing, and acknowledging while on the way or on
    the scene keeps that state, as handing over does: whoever hands over has it until it is taken.
    Raises StateConflict for every other step that is not in `STEPS`.
    """
    sources, target = STEPS.get(step, (WORKING, state))
    if state in sources:
        return target
    if (step in STEPS and state is target) or (step is Step.ACKNOWLEDGE and state in WORKING):
        return state
    raise StateConflict(f"This alert is {state}: {step} is not possible from there.")


@dataclass(frozen=True)
class Rung:
    """One alert as the rules see it. Hubs are told, but are no part of the ladder.

    An overseer is the control room: it can take an incident, but it cannot go there. `handed_from`
    is the alert whose team asked this recipient to take the incident over.
    """

    id: UUID
    state: State
    is_hub: bool = False
    is_overseer: bool = False
    acknowledged_at: datetime | None = None
    recipient_id: UUID | None = None
    handed_from: UUID | None = None


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

    `released` is whoever handed the incident over, now that it was taken. `changed` is False when
    the step was a repeat without any effect.
    """

    state: State
    hold: Hold
    withdrawn: tuple[UUID, ...]
    changed: bool
    released: tuple[UUID, ...] = ()


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
    alert only.

    While the holder is handing over, it holds until a team takes it: the one that was asked, or one
    that can go there and that the ladder told. That answer makes the new holder and releases the
    old one; until then no acknowledgement stops the ladder. Raises StateConflict.
    """
    if step is Step.HAND_OVER:
        raise ValueError("handing over has more to say: use hand_over")
    state = after(step, rung.state)
    repeated = state is rung.state
    if rung.is_hub:
        return Taken(state, hold, (), changed=not repeated)
    if hold.closed and not repeated:
        raise StateConflict("This incident is closed.")
    if not repeated and rung.state in ENDED and _has_another(rung, others):
        raise StateConflict("This team has a newer alert about the same incident: answer that one.")
    teams = [other for other in others if not other.is_hub]
    # Nobody has said yes to a report they have not seen.
    goes_on = hold.escalate_at is not None and not is_informed
    if step is Step.ACKNOWLEDGE:
        return _acknowledged(rung, state, hold=hold, teams=teams, goes_on=goes_on)
    if repeated:
        return Taken(state, hold, (), changed=False)
    if step in (Step.DECLINE, Step.CLOSE):
        hold = _ended(step, rung, hold=hold, teams=teams, goes_on=goes_on, now=now)
    return Taken(state, hold, (), changed=True)


def _acknowledged(
    rung: Rung, state: State, *, hold: Hold, teams: Sequence[Rung], goes_on: bool
) -> Taken:
    """A team's yes. `goes_on` says that it does not know why the ladder runs."""
    repeated = state is rung.state
    leaving = is_handing_over(hold, (rung, *teams))
    if hold.closed or (leaving and rung.id == hold.held_by):
        return Taken(state, hold, (), changed=False)
    was_asked = rung.handed_from is not None and rung.handed_from == hold.held_by
    takes_over = leaving and not goes_on and (was_asked or not rung.is_overseer)
    goes_on = goes_on or (leaving and not takes_over)
    # A control room that answers first must not stand down the team that could walk there.
    stood_down: tuple[UUID, ...] = ()
    if not rung.is_overseer and not goes_on:
        stood_down = tuple(other.id for other in teams if other.state in WAITING)
    # A more serious report restarts a ladder that is held: only a new answer stops it.
    taken = Hold(
        held_by=rung.id if takes_over else hold.held_by or rung.id,
        escalate_at=hold.escalate_at if goes_on else None,
        unanswered_at=None,
    )
    if repeated and taken == hold and not stood_down:
        return Taken(state, hold, (), changed=False)
    released = (hold.held_by,) if takes_over and hold.held_by is not None else ()
    return Taken(state, taken, stood_down, changed=True, released=released)


def _ended(
    step: Step, rung: Rung, *, hold: Hold, teams: Sequence[Rung], goes_on: bool, now: datetime
) -> Hold:
    """The incident after a team has declined or closed."""
    working = [other for other in teams if other.state in WORKING]
    leaving = is_handing_over(hold, (rung, *teams))
    left = _without(rung, hold, working)
    if step is Step.CLOSE:
        waiting = any(other.state in WAITING for other in teams)
        if left.held_by is None and not waiting and not goes_on:
            return replace(left, escalate_at=None, closed=True)
    # With a control room alone at work there is still nobody who goes there.
    elif left.escalate_at is not None or leaving or all(one.is_overseer for one in working):
        return replace(left, escalate_at=now)
    if left.held_by is None:
        return replace(left, escalate_at=left.escalate_at or now)
    return left


def _has_another(rung: Rung, others: Sequence[Rung]) -> bool:
    return rung.recipient_id is not None and any(
        other.recipient_id == rung.recipient_id and other.state in LIVE for other in others
    )


def is_handing_over(hold: Hold, rungs: Sequence[Rung]) -> bool:
    """Whether the holder has asked somebody to take the incident over, and still has it."""
    return hold.held_by is not None and any(rung.handed_from == hold.held_by for rung in rungs)


def _without(rung: Rung, hold: Hold, working: Sequence[Rung]) -> Hold:
    if hold.held_by != rung.id:
        return hold
    heirs = sorted(
        working, key=lambda other: (other.acknowledged_at is None, other.acknowledged_at, other.id)
    )
    return replace(hold, held_by=heirs[0].id if heirs else None)
