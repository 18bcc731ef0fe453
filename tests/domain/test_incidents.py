"""Whole incidents: handed over, merged, opened again; nobody who waits for help is dropped."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from waylight.domain.alerts import (
    LIVE,
    WAITING,
    WORKING,
    Hold,
    Rung,
    Standing,
    State,
    Step,
    after,
    hand_over,
    is_handing_over,
    left_behind,
    merge,
    next_climb,
    reopen,
    take,
)
from waylight.domain.errors import StateConflict

NOW = datetime(2026, 11, 21, 23, 52, 40, tzinfo=UTC)
SOON = NOW + timedelta(seconds=20)
MINUTE = timedelta(minutes=1)


def rung(state=State.PENDING, **others):
    return Rung(id=uuid4(), state=state, recipient_id=others.pop("recipient_id", uuid4()), **others)


def held(holder, *, escalate_at=None):
    return Hold(held_by=holder.id, escalate_at=escalate_at, unanswered_at=None)


def ringing(*, escalate_at=SOON, unanswered_at=None):
    return Hold(held_by=None, escalate_at=escalate_at, unanswered_at=unanswered_at)


# --- handing over


@pytest.mark.parametrize("state", sorted(WORKING))
def test_whoever_hands_over_holds_until_it_is_taken_and_the_ladder_runs(state):
    mine = rung(state)
    given = hand_over(mine, hold=held(mine), to=None, priority=2, now=NOW)
    assert (given.state, given.hold.held_by, given.released) == (state, mine.id, ())
    assert given.hold.escalate_at == next_climb(2, now=NOW)


def test_ladder_that_runs_already_is_not_slowed_by_handing_over():
    mine = rung(State.ON_SCENE)
    given = hand_over(mine, hold=held(mine, escalate_at=SOON), to=None, priority=3, now=NOW)
    assert given.hold.escalate_at == SOON


def test_team_that_was_asked_holds_with_its_answer_and_the_old_holder_is_released():
    mine, other = rung(State.ON_SCENE), rung()
    asked = rung(handed_from=mine.id)
    hold = held(mine, escalate_at=SOON)
    taken = take(Step.ACKNOWLEDGE, asked, hold=hold, others=[mine, other], now=NOW)
    assert taken.hold == held(asked)
    assert (taken.released, taken.withdrawn) == ((mine.id,), (other.id,))


def test_team_that_the_ladder_told_meanwhile_takes_it_as_well():
    mine, told = rung(State.ON_SCENE), rung()
    asked = rung(State.DECLINED, handed_from=mine.id)
    hold = held(mine, escalate_at=SOON)
    taken = take(Step.ACKNOWLEDGE, told, hold=hold, others=[mine, asked], now=NOW)
    assert taken.hold == held(told)
    assert taken.released == (mine.id,)


def test_control_room_that_was_not_asked_joins_and_the_asking_goes_on():
    mine, room = rung(State.ON_SCENE), rung(is_overseer=True)
    asked = rung(handed_from=mine.id)
    hold = held(mine, escalate_at=SOON)
    taken = take(Step.ACKNOWLEDGE, room, hold=hold, others=[mine, asked], now=NOW)
    assert (taken.hold, taken.released, taken.withdrawn) == (hold, (), ())


def test_control_room_that_was_asked_holds():
    mine = rung(State.ON_SCENE)
    room = rung(is_overseer=True, handed_from=mine.id)
    taken = take(Step.ACKNOWLEDGE, room, hold=held(mine, escalate_at=SOON), others=[mine], now=NOW)
    assert (taken.hold, taken.released) == (held(room), (mine.id,))


def test_whoever_hands_over_does_not_stop_the_ladder_by_a_belated_acknowledgement():
    mine = rung(State.ACKNOWLEDGED)
    asked = rung(handed_from=mine.id)
    taken = take(Step.ACKNOWLEDGE, mine, hold=held(mine, escalate_at=SOON), others=[asked], now=NOW)
    assert not taken.changed


@pytest.mark.parametrize("escalate_at", [SOON, None])
def test_team_that_was_asked_and_declines_sends_the_ladder_on_at_once(escalate_at):
    mine = rung(State.ACKNOWLEDGED)
    asked = rung(handed_from=mine.id)
    hold = held(mine, escalate_at=escalate_at)
    taken = take(Step.DECLINE, asked, hold=hold, others=[mine], now=NOW)
    assert taken.hold == replace(hold, escalate_at=NOW)


def test_team_that_works_on_it_already_has_it_at_once():
    mine, beside = rung(State.ON_SCENE), rung(State.EN_ROUTE)
    given = hand_over(mine, hold=held(mine), to=beside, priority=1, now=NOW)
    assert (given.state, given.hold, given.released) == (State.CLOSED, held(beside), (mine.id,))


def test_only_the_holder_hands_over():
    holder, beside = rung(State.ON_SCENE), rung(State.ON_SCENE)
    for wrong in (beside, rung(State.PENDING), replace(beside, is_hub=True)):
        with pytest.raises(StateConflict):
            hand_over(wrong, hold=held(holder), to=None, priority=1, now=NOW)
    with pytest.raises(StateConflict, match="closed"):
        hand_over(holder, hold=replace(held(holder), closed=True), to=None, priority=1, now=NOW)


# --- merging


def test_merging_leaves_the_holder_holding_and_the_other_working_beside_it():
    mine, theirs = rung(State.ON_SCENE), rung(State.EN_ROUTE)
    done = merge(Standing(held(theirs), 2, (theirs,)), Standing(held(mine), 2, (mine,)), now=NOW)
    assert done.hold == held(mine)
    assert (done.moved, done.released, done.withdrawn) == ((theirs.id,), (), ())
    assert not done.restarted


def test_merging_into_an_incident_that_nobody_has_makes_the_other_s_holder_its_holder():
    theirs, waiting = rung(State.EN_ROUTE), rung()
    done = merge(Standing(held(theirs), 1, (theirs,)), Standing(ringing(), 2, (waiting,)), now=NOW)
    assert done.hold == held(theirs)
    assert done.withdrawn == (waiting.id,)


def test_merging_a_graver_incident_that_nobody_has_keeps_its_ladder_running():
    holder, waiting = rung(State.EN_ROUTE), rung()
    done = merge(Standing(ringing(), 1, (waiting,)), Standing(held(holder), 2, (holder,)), now=NOW)
    assert done.hold == held(holder, escalate_at=SOON)
    assert (done.priority, done.moved, done.withdrawn) == (1, (waiting.id,), ())
    assert done.restarted


def test_control_room_alone_at_work_stands_nobody_down_by_a_merge():
    room, waiting = rung(State.ACKNOWLEDGED, is_overseer=True), rung()
    done = merge(Standing(ringing(), 2, (waiting,)), Standing(held(room), 2, (room,)), now=NOW)
    assert (done.moved, done.withdrawn) == ((waiting.id,), ())


@pytest.mark.parametrize("here", sorted(LIVE))
@pytest.mark.parametrize("there", sorted(LIVE))
def test_team_that_was_told_twice_keeps_the_alert_that_is_further_along(here, there):
    team = uuid4()
    kept_here, kept_there = rung(here, recipient_id=team), rung(there, recipient_id=team)
    holds = [held(one) if one.state in WORKING else ringing() for one in (kept_there, kept_here)]
    done = merge(Standing(holds[0], 2, (kept_there,)), Standing(holds[1], 2, (kept_here,)), now=NOW)
    order = [State.PENDING, State.DELIVERED, State.ACKNOWLEDGED, State.EN_ROUTE, State.ON_SCENE]
    other_first = order.index(there) > order.index(here)
    kept, dropped = (kept_there, kept_here) if other_first else (kept_here, kept_there)
    assert done.moved == ((kept.id,) if other_first else ())
    assert dropped.id in (*done.released, *done.withdrawn)
    assert kept.id not in (*done.released, *done.withdrawn)
    assert done.hold.held_by == (kept.id if kept.state in WORKING else None)


def test_holder_that_hands_over_gives_way_to_the_other_s_when_they_are_merged():
    leaving, other = rung(State.ON_SCENE), rung(State.EN_ROUTE)
    asked = rung(handed_from=leaving.id)
    here = Standing(held(leaving, escalate_at=SOON), 1, (leaving, asked))
    done = merge(Standing(held(other), 1, (other,)), here, now=NOW)
    assert done.hold == held(other)
    assert done.withdrawn == (asked.id,)


def test_control_room_does_not_relieve_a_holder_that_hands_over_by_a_merge():
    leaving, room = rung(State.ON_SCENE), rung(State.ACKNOWLEDGED, is_overseer=True)
    asked = rung(handed_from=leaving.id)
    here = Standing(held(leaving, escalate_at=SOON), 1, (leaving, asked))
    done = merge(Standing(held(room), 1, (room,)), here, now=NOW)
    assert done.hold == held(leaving, escalate_at=SOON)
    assert done.withdrawn == ()


def test_team_that_has_a_newer_alert_does_not_answer_the_old_one():
    new = rung(State.ACKNOWLEDGED)
    old = rung(State.WITHDRAWN, recipient_id=new.recipient_id)
    with pytest.raises(StateConflict, match="newer"):
        take(Step.ACKNOWLEDGE, old, hold=held(new), others=[new], now=NOW)


def test_hub_goes_with_its_report_and_is_never_stood_down():
    hub, holder = rung(is_hub=True), rung(State.ON_SCENE)
    done = merge(Standing(ringing(), 2, (hub,)), Standing(held(holder), 2, (holder,)), now=NOW)
    assert (done.moved, done.withdrawn) == ((hub.id,), ())


def test_hub_that_expects_two_people_still_expects_both_after_a_merge():
    hub = uuid4()
    mine, theirs = rung(is_hub=True, recipient_id=hub), rung(is_hub=True, recipient_id=hub)
    teams = rung(State.ON_SCENE), rung(State.ON_SCENE)
    done = merge(
        Standing(held(teams[0]), 2, (teams[0], theirs)),
        Standing(held(teams[1]), 2, (teams[1], mine)),
        now=NOW,
    )
    assert not {mine.id, theirs.id} & {*done.withdrawn, *done.released}


def test_closed_incident_is_not_merged():
    closed = Standing(Hold(None, None, None, closed=True), 2, ())
    for pair in ((closed, Standing(ringing(), 2, ())), (Standing(ringing(), 2, ()), closed)):
        with pytest.raises(StateConflict):
            merge(*pair, now=NOW)


# --- splitting and opening again


def test_ladder_that_ran_for_the_report_that_left_rests_with_its_holder():
    holder = rung(State.ON_SCENE)
    hold = held(holder, escalate_at=SOON)
    assert left_behind(hold, before=1, remaining=2, rungs=[holder]) == held(holder)
    assert left_behind(hold, before=2, remaining=2, rungs=[holder]) == hold
    assert left_behind(ringing(), before=1, remaining=2, rungs=[]) == ringing()


def test_reopened_incident_is_nobody_s_and_due():
    assert reopen(Hold(None, None, None, closed=True), now=NOW) == ringing(escalate_at=NOW)
    with pytest.raises(StateConflict, match="open"):
        reopen(ringing(), now=NOW)


# --- all of it in any order


FORWARD = {
    State.PENDING: 0,
    State.DELIVERED: 1,
    State.ACKNOWLEDGED: 2,
    State.EN_ROUTE: 3,
    State.ON_SCENE: 4,
}


class Night(RuleBasedStateMachine):
    """Teams act on several incidents, ladders climb, dispatchers merge, split and open again."""

    @initialize(incidents=st.integers(1, 3), priorities=st.lists(st.integers(1, 4), min_size=3))
    def begins(self, incidents, priorities):
        self.now = NOW
        self.teams = [uuid4() for _ in range(4)]
        self.room = uuid4()
        self.incidents: dict[UUID, Standing] = {}
        self.acknowledged: dict[tuple[UUID, UUID], int] = {}
        for n in range(incidents):
            self._open(priorities[n])

    def _open(self, priority):
        first = rung(recipient_id=self.teams[0])
        escalate_at = next_climb(priority, now=self.now)
        self.incidents[uuid4()] = Standing(Hold(None, escalate_at, None), priority, (first,))

    def _pick(self, n, *, closed=False):
        found = [key for key, one in self.incidents.items() if one.hold.closed == closed]
        return found[n % len(found)] if found else None

    def _put(self, key, hold, changed):
        standing = self.incidents[key]
        by_id = {one.id: one for one in standing.rungs}
        for one in changed:
            was = by_id.get(one.id)
            if was is not None and was.state in LIVE and one.state in LIVE:
                assert FORWARD[one.state] >= FORWARD[was.state]
            if was is not None and was.state is State.CLOSED:
                assert one.state is State.CLOSED
            by_id[one.id] = one
        self.incidents[key] = replace(standing, hold=hold, rungs=tuple(by_id.values()))

    @rule(
        n=st.integers(0, 3),
        which=st.integers(0, 9),
        step=st.sampled_from(
            [Step.ACKNOWLEDGE, Step.DECLINE, Step.EN_ROUTE, Step.ON_SCENE, Step.CLOSE]
        ),
        has_read=st.booleans(),
        wait=st.integers(0, 90),
    )
    def somebody_acts(self, n, which, step, has_read, wait):
        self.now += timedelta(seconds=wait)
        key = self._pick(n)
        if key is None:
            return
        standing = self.incidents[key]
        mine = standing.rungs[which % len(standing.rungs)]
        others = [one for one in standing.rungs if one is not mine]
        before = standing.hold
        try:
            taken = take(step, mine, hold=before, others=others, now=self.now, is_informed=has_read)
        except StateConflict:
            return
        if not taken.changed:
            assert (taken.state, taken.hold, taken.withdrawn, taken.released) == (
                mine.state,
                before,
                (),
                (),
            )
            return
        taken_up = taken.state in WORKING and mine.state not in WORKING
        changed = [
            replace(
                mine,
                state=taken.state,
                acknowledged_at=self.now if taken_up else mine.acknowledged_at,
            )
        ]
        for other in others:
            if other.id in taken.withdrawn:
                changed.append(replace(other, state=after(Step.WITHDRAW, other.state)))
            elif other.id in taken.released:
                assert other.id == before.held_by
                changed.append(replace(other, state=after(Step.RELEASE, other.state)))
        self._put(key, taken.hold, changed)
        if step is Step.ACKNOWLEDGE:
            # Said once more, it is no second acknowledgement.
            self._repeat(key, mine.id, has_read=has_read)

    def _repeat(self, key, alert, *, has_read):
        standing = self.incidents[key]
        mine = next(one for one in standing.rungs if one.id == alert)
        others = [one for one in standing.rungs if one is not mine]
        again = take(
            Step.ACKNOWLEDGE,
            mine,
            hold=standing.hold,
            others=others,
            now=self.now,
            is_informed=has_read,
        )
        assert not again.changed

    @rule(n=st.integers(0, 3), to=st.integers(0, 3))
    def holder_hands_over(self, n, to):
        key = self._pick(n)
        if key is None or self.incidents[key].hold.held_by is None:
            return
        standing = self.incidents[key]
        mine = next(one for one in standing.rungs if one.id == standing.hold.held_by)
        team = [*self.teams, self.room][to]
        if team == mine.recipient_id:
            return
        live = next((r for r in standing.rungs if r.recipient_id == team and r.state in LIVE), None)
        given = hand_over(
            mine, hold=standing.hold, to=live, priority=standing.priority, now=self.now
        )
        asked = live or rung(recipient_id=team, is_overseer=team == self.room)
        changed = [replace(mine, state=given.state)]
        if given.released:
            assert live is not None
        else:
            changed.append(replace(asked, handed_from=mine.id))
            assert given.hold.held_by == mine.id
        self._put(key, given.hold, changed)

    @rule(n=st.integers(0, 3), m=st.integers(0, 3))
    def dispatcher_merges(self, n, m):
        source, into = self._pick(n), self._pick(m)
        if source is None or source == into:
            return
        one, other = self.incidents[source], self.incidents[into]
        done = merge(one, other, now=self.now)
        changed = {}
        for was in (*one.rungs, *other.rungs):
            step = {
                **dict.fromkeys(done.released, Step.RELEASE),
                **dict.fromkeys(done.withdrawn, Step.WITHDRAW),
            }.get(was.id)
            changed[was.id] = replace(was, state=after(step, was.state)) if step else was
        stay = tuple(changed[r.id] for r in one.rungs if r.id not in done.moved)
        come = tuple(changed[r.id] for r in one.rungs if r.id in done.moved)
        assert all(r.state not in LIVE for r in stay), "somebody was left at nothing"
        del self.incidents[source]
        self.incidents[into] = Standing(
            done.hold, done.priority, (*(changed[r.id] for r in other.rungs), *come)
        )
        recipients = {r.recipient_id for r in (*one.rungs, *other.rungs) if r.state in WORKING}
        at_work = {r.recipient_id for r in self.incidents[into].rungs if r.state in WORKING}
        assert at_work == recipients, "somebody at work was dropped"

    @rule(n=st.integers(0, 3))
    def incident_is_opened_again(self, n):
        key = self._pick(n, closed=True)
        if key is not None:
            self._put(key, reopen(self.incidents[key].hold, now=self.now), [])

    @rule(n=st.integers(0, 3))
    def ladder_climbs(self, n):
        key = self._pick(n)
        if key is None:
            return
        standing = self.incidents[key]
        if (due_at := standing.hold.escalate_at) is None:
            return
        self.now = max(self.now, due_at)
        live = {r.recipient_id for r in standing.rungs if r.state in LIVE}
        free = [team for team in (*self.teams, self.room) if team not in live]
        hold = standing.hold
        told = [rung(recipient_id=t, is_overseer=t == self.room) for t in free[:1]]
        step = timedelta(minutes=15) if standing.priority == 4 else MINUTE
        self._put(key, replace(hold, escalate_at=self.now + step), told)

    @rule(n=st.integers(0, 3))
    def graver_report_joins(self, n):
        key = self._pick(n)
        if key is not None and self.incidents[key].priority > 1:
            standing = self.incidents[key]
            climb = next_climb(standing.priority - 1, now=self.now)
            due = [at for at in (standing.hold.escalate_at, climb) if at is not None]
            self.incidents[key] = replace(
                standing,
                priority=standing.priority - 1,
                hold=replace(standing.hold, escalate_at=min(due)),
            )

    @precondition(lambda self: len(self.incidents) < 4)
    @rule(n=st.integers(0, 3), priority=st.integers(1, 4))
    def reports_are_split_off(self, n, priority):
        key = self._pick(n)
        if key is not None:
            standing = self.incidents[key]
            hold = left_behind(
                standing.hold,
                before=standing.priority,
                remaining=max(priority, standing.priority),
                rungs=standing.rungs,
            )
            self.incidents[key] = replace(standing, hold=hold)
        self._open(priority)

    def _at(self, key, states):
        return [r for r in self.incidents[key].rungs if not r.is_hub and r.state in states]

    @invariant()
    def there_is_one_holder_and_it_works(self):
        for key, one in self.incidents.items():
            working = {r.id for r in self._at(key, WORKING)}
            held_by = one.hold.held_by
            assert (held_by in working) if working else (held_by is None)

    @invariant()
    def no_team_has_two_alerts_at_work_on_one_incident(self):
        for key in self.incidents:
            teams = [r.recipient_id for r in self._at(key, LIVE)]
            assert len(teams) == len(set(teams))

    @invariant()
    def open_incident_is_somebody_s_or_an_alarm_is_due(self):
        for key, one in self.incidents.items():
            if one.hold.closed or one.hold.held_by is not None:
                continue
            told = self._at(key, WAITING)
            assert one.hold.escalate_at is not None or (one.priority == 4 and told), one

    @invariant()
    def whoever_hands_over_still_has_it_or_somebody_else_does(self):
        for one in self.incidents.values():
            if is_handing_over(one.hold, one.rungs):
                assert one.hold.held_by is not None
                assert one.hold.escalate_at is not None or one.priority == 4

    @invariant()
    def closed_incident_has_nobody_left_at_it(self):
        for key, one in self.incidents.items():
            if one.hold.closed:
                assert not self._at(key, LIVE)
                assert one.hold.escalate_at is None


TestNight = Night.TestCase
TestNight.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
