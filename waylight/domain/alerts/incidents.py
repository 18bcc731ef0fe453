"""What is done to an incident as a whole: handed over, merged, split, opened again.

Nobody is dropped by any of it: whoever has an incident keeps it until somebody else does, and an
incident that nobody has is due at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from waylight.domain.alerts.ladder import Waits, next_climb
from waylight.domain.alerts.steps import (
    LIVE,
    WAITING,
    WORKING,
    Hold,
    Rung,
    State,
    Step,
    Taken,
    after,
    is_handing_over,
)
from waylight.domain.errors import StateConflict

HOW_FAR = {
    State.PENDING: 0,
    State.DELIVERED: 1,
    State.ACKNOWLEDGED: 2,
    State.EN_ROUTE: 3,
    State.ON_SCENE: 4,
}
"""Of two alerts of one team about one event, the one that is further along is kept."""


@dataclass(frozen=True)
class Standing:
    """An incident with everybody who was told about it."""

    hold: Hold
    priority: int
    rungs: tuple[Rung, ...]


@dataclass(frozen=True)
class Merged:
    """What becomes of two incidents that are one.

    `moved` are alerts of the incident that was merged away which go on in the other; `released` and
    `withdrawn` end, the first because their team has another alert that is kept. `restarted` says
    that the ladder runs for the whole: an answer of before counts for what its team had read.
    """

    hold: Hold
    priority: int
    moved: tuple[UUID, ...]
    released: tuple[UUID, ...]
    withdrawn: tuple[UUID, ...]
    restarted: bool


def hand_over(
    rung: Rung,
    *,
    hold: Hold,
    to: Rung | None,
    priority: int,
    now: datetime,
    waits: Waits | None = None,
) -> Taken:
    """The holder asks another team to take the incident; `to` is that team's live alert, if any.

    `waits` are those of the organisation that is asked.

    The holder keeps it, and the ladder runs, until it is taken. A team that is at work on the
    incident already has taken it at once. Raises StateConflict for anybody but the holder.
    """
    state = after(Step.HAND_OVER, rung.state)
    if hold.closed:
        raise StateConflict("This incident is closed.")
    if rung.is_hub or hold.held_by != rung.id:
        raise StateConflict("Only the team that has the incident can hand it over.")
    if to is not None and to.state in WORKING:
        released = after(Step.RELEASE, rung.state)
        return Taken(released, replace(hold, held_by=to.id), (), changed=True, released=(rung.id,))
    climb_at = next_climb(priority, now=now, waits=waits)
    due = [at for at in (hold.escalate_at, climb_at) if at is not None]
    return Taken(state, replace(hold, escalate_at=min(due, default=None)), (), changed=True)


def reopen(hold: Hold, *, now: datetime) -> Hold:
    """A closed incident again: nobody has it, and its ladder is due. Raises StateConflict."""
    if not hold.closed:
        raise StateConflict("This incident is open.")
    return Hold(held_by=None, escalate_at=now, unanswered_at=None)


def _whose(rung: Rung) -> UUID:
    """What two alerts have in common of which one is enough: their team.

    A hub expects somebody else with each of its alerts.
    """
    return rung.id if rung.is_hub else rung.recipient_id or rung.id


def merge(source: Standing, into: Standing, *, now: datetime) -> Merged:
    """Two open incidents as one.

    The holder of `into` holds, else that of `source`; the other works on beside it. One that is
    handing over gives way to one that can go there. The ladder rests if it rests for the more
    serious of the two, and whoever waits is then stood down as by an acknowledgement; otherwise it
    runs, as soon as either would have. A team that was told twice keeps the alert that is further
    along. Hubs go with their reports. Raises StateConflict when either is closed.
    """
    if source.hold.closed or into.hold.closed:
        raise StateConflict("Only open incidents can be merged.")
    live = [rung for rung in (*into.rungs, *source.rungs) if rung.state in LIVE]
    kept: dict[UUID, Rung] = {}
    for rung in live:
        known = kept.get(_whose(rung))
        if known is None or HOW_FAR[rung.state] > HOW_FAR[known.state]:
            kept[_whose(rung)] = rung
    staying = {rung.id: rung for rung in kept.values()}
    successor = {rung.id: kept[_whose(rung)].id for rung in live}
    held = _held(source, into)
    held_by = held.hold.held_by
    priority = min(source.priority, into.priority)
    rests = _rests(source, into, priority) and not is_handing_over(held.hold, held.rungs)
    due = [
        at
        for at in (source.hold.escalate_at, into.hold.escalate_at, next_climb(priority, now=now))
        if at is not None
    ]
    since = [at for at in (source.hold.unanswered_at, into.hold.unanswered_at) if at is not None]
    waiting = [r.id for r in staying.values() if r.state in WAITING and not r.is_hub]
    someone_goes = any(
        r.state in WORKING and not r.is_overseer for r in staying.values() if not r.is_hub
    )
    stood_down = set(waiting) if rests and someone_goes else set()
    dropped = [rung for rung in live if rung.id not in staying]
    return Merged(
        hold=Hold(
            held_by=successor.get(held_by) if held_by is not None else None,
            escalate_at=None if rests else min(due, default=None),
            unanswered_at=None if rests or held_by is not None else min(since, default=None),
        ),
        priority=priority,
        moved=tuple(r.id for r in source.rungs if r.id in staying and r.id not in stood_down),
        released=tuple(r.id for r in dropped if r.state in WORKING),
        withdrawn=(*(r.id for r in dropped if r.state in WAITING), *sorted(stood_down)),
        restarted=not rests,
    )


def _held(source: Standing, into: Standing) -> Standing:
    """The one of the two whose holder, if there is any, holds both."""
    held = [one for one in (into, source) if one.hold.held_by is not None]
    leaving = [one for one in held if is_handing_over(one.hold, one.rungs)]
    if not leaving:
        return held[0] if held else into
    staying = [one for one in held if one not in leaving and _goes_there(one)]
    return (staying or leaving)[0]


def _goes_there(one: Standing) -> bool:
    return any(rung.id == one.hold.held_by and not rung.is_overseer for rung in one.rungs)


def _rests(source: Standing, into: Standing, priority: int) -> bool:
    both = (source, into)
    if priority == 4:
        return all(one.hold.escalate_at is None for one in both)
    return any(
        one.priority == priority and one.hold.held_by is not None and one.hold.escalate_at is None
        for one in both
    )


def left_behind(hold: Hold, *, before: int, remaining: int, rungs: Sequence[Rung]) -> Hold:
    """An incident of which reports were split off: `before` and `remaining` are its priorities.

    A ladder that ran beside a holder for a more serious report rests when that report is gone.
    """
    holder = next((rung for rung in rungs if rung.id == hold.held_by), None)
    if (
        holder is not None
        and remaining > before
        and not holder.is_overseer
        and not is_handing_over(hold, rungs)
    ):
        return replace(hold, escalate_at=None)
    return hold
