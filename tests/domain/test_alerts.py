from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from waylight.domain.alerts import (
    ALARM_CAP,
    ATTEMPTS,
    ENDED,
    LIVE,
    WAITING,
    WORKING,
    Hold,
    Outcome,
    Result,
    Rung,
    State,
    Step,
    after,
    after_attempt,
    ladder_step_s,
    next_alarm,
    next_climb,
    take,
)
from waylight.domain.errors import StateConflict

NOW = datetime(2026, 11, 21, 23, 52, 40, tzinfo=UTC)
STAFF_STEPS = [Step.ACKNOWLEDGE, Step.DECLINE, Step.EN_ROUTE, Step.ON_SCENE, Step.CLOSE]

WAY_THROUGH = {
    (State.PENDING, Step.DELIVER): State.DELIVERED,
    (State.PENDING, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.PENDING, Step.DECLINE): State.DECLINED,
    (State.PENDING, Step.EXPIRE): State.EXPIRED,
    (State.PENDING, Step.WITHDRAW): State.WITHDRAWN,
    (State.DELIVERED, Step.DELIVER): State.DELIVERED,
    (State.DELIVERED, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.DELIVERED, Step.DECLINE): State.DECLINED,
    (State.DELIVERED, Step.EXPIRE): State.EXPIRED,
    (State.DELIVERED, Step.WITHDRAW): State.WITHDRAWN,
    (State.ACKNOWLEDGED, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.ACKNOWLEDGED, Step.DECLINE): State.DECLINED,
    (State.ACKNOWLEDGED, Step.EN_ROUTE): State.EN_ROUTE,
    (State.ACKNOWLEDGED, Step.ON_SCENE): State.ON_SCENE,
    (State.ACKNOWLEDGED, Step.CLOSE): State.CLOSED,
    (State.EN_ROUTE, Step.ACKNOWLEDGE): State.EN_ROUTE,
    (State.EN_ROUTE, Step.DECLINE): State.DECLINED,
    (State.EN_ROUTE, Step.EN_ROUTE): State.EN_ROUTE,
    (State.EN_ROUTE, Step.ON_SCENE): State.ON_SCENE,
    (State.EN_ROUTE, Step.CLOSE): State.CLOSED,
    (State.ON_SCENE, Step.ACKNOWLEDGE): State.ON_SCENE,
    (State.ON_SCENE, Step.ON_SCENE): State.ON_SCENE,
    (State.ON_SCENE, Step.CLOSE): State.CLOSED,
    (State.CLOSED, Step.CLOSE): State.CLOSED,
    (State.DECLINED, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.DECLINED, Step.DECLINE): State.DECLINED,
    (State.EXPIRED, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.EXPIRED, Step.EXPIRE): State.EXPIRED,
    (State.WITHDRAWN, Step.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.WITHDRAWN, Step.WITHDRAW): State.WITHDRAWN,
    (State.ACKNOWLEDGED, Step.HAND_OVER): State.ACKNOWLEDGED,
    (State.EN_ROUTE, Step.HAND_OVER): State.EN_ROUTE,
    (State.ON_SCENE, Step.HAND_OVER): State.ON_SCENE,
    (State.ACKNOWLEDGED, Step.RELEASE): State.CLOSED,
    (State.EN_ROUTE, Step.RELEASE): State.CLOSED,
    (State.ON_SCENE, Step.RELEASE): State.CLOSED,
    (State.CLOSED, Step.RELEASE): State.CLOSED,
}
"""Every step that is possible; each pair that is missing here is a conflict."""


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("state", State)
def test_each_step_leads_where_the_table_says_or_is_a_conflict(state, step):
    expected = WAY_THROUGH.get((state, step))
    if expected is None:
        with pytest.raises(StateConflict, match=state):
            after(step, state)
    else:
        assert after(step, state) is expected


def rung(state=State.PENDING, *, is_hub=False, acknowledged_at=None):
    return Rung(id=uuid4(), state=state, is_hub=is_hub, acknowledged_at=acknowledged_at)


def running(held_by=None, *, escalate_at=NOW, unanswered_at=None):
    return Hold(held_by=held_by, escalate_at=escalate_at, unanswered_at=unanswered_at)


def test_control_room_that_answers_first_stops_the_ladder_and_stands_nobody_down():
    room, field = Rung(id=uuid4(), state=State.PENDING, is_overseer=True), rung()
    taken = take(Step.ACKNOWLEDGE, room, hold=running(), others=[field], now=NOW)
    assert taken.hold == Hold(held_by=room.id, escalate_at=None, unanswered_at=None)
    assert taken.withdrawn == ()
    again = replace(room, state=State.ACKNOWLEDGED)
    assert not take(Step.ACKNOWLEDGE, again, hold=taken.hold, others=[field], now=NOW).changed
    joined = take(Step.ACKNOWLEDGE, field, hold=taken.hold, others=[again], now=NOW)
    assert joined.hold.held_by == room.id


def test_first_team_to_acknowledge_holds_and_those_who_wait_are_stood_down():
    mine, waiting, delivered = rung(), rung(), rung(State.DELIVERED)
    declined, hub = rung(State.DECLINED), rung(is_hub=True)
    taken = take(
        Step.ACKNOWLEDGE,
        mine,
        hold=running(unanswered_at=NOW),
        others=[waiting, delivered, declined, hub],
        now=NOW,
    )
    assert taken.state is State.ACKNOWLEDGED
    assert taken.hold == Hold(held_by=mine.id, escalate_at=None, unanswered_at=None)
    assert set(taken.withdrawn) == {waiting.id, delivered.id}


def test_later_team_joins_and_the_first_still_holds():
    holder, late = rung(State.EN_ROUTE), rung(State.WITHDRAWN)
    taken = take(
        Step.ACKNOWLEDGE,
        late,
        hold=running(holder.id, escalate_at=None),
        others=[holder],
        now=NOW,
    )
    assert taken.changed
    assert taken.hold.held_by == holder.id


def test_acknowledging_again_changes_nothing_while_the_ladder_rests():
    mine = rung(State.ON_SCENE)
    hold = running(mine.id, escalate_at=None)
    taken = take(Step.ACKNOWLEDGE, mine, hold=hold, others=[rung(State.WITHDRAWN)], now=NOW)
    assert not taken.changed
    assert (taken.state, taken.hold, taken.withdrawn) == (State.ON_SCENE, hold, ())


def test_acknowledging_again_stops_a_ladder_that_a_graver_report_started_afresh():
    mine, told_since = rung(State.EN_ROUTE), rung()
    taken = take(Step.ACKNOWLEDGE, mine, hold=running(mine.id), others=[told_since], now=NOW)
    assert taken.changed
    assert taken.state is State.EN_ROUTE
    assert taken.hold.escalate_at is None
    assert taken.withdrawn == (told_since.id,)


@pytest.mark.parametrize("state", [State.PENDING, State.WITHDRAWN, State.EN_ROUTE])
def test_team_that_has_not_read_the_graver_report_neither_stops_its_ladder_nor_stands_down(state):
    mine, told_since = rung(state), rung()
    held_by = mine.id if state in WORKING else None
    taken = take(
        Step.ACKNOWLEDGE,
        mine,
        hold=running(held_by),
        others=[told_since],
        now=NOW,
        is_informed=False,
    )
    assert taken.state in WORKING
    assert taken.hold == Hold(held_by=mine.id, escalate_at=NOW, unanswered_at=None)
    assert taken.withdrawn == ()
    assert taken.changed is (held_by is None)


def test_ladder_at_rest_needs_no_further_reading_to_stand_down_who_waits():
    holder, late, waiting = rung(State.ON_SCENE), rung(), rung()
    taken = take(
        Step.ACKNOWLEDGE,
        late,
        hold=running(holder.id, escalate_at=None),
        others=[holder, waiting],
        now=NOW,
        is_informed=False,
    )
    assert taken.hold.escalate_at is None
    assert taken.withdrawn == (waiting.id,)


def test_decline_makes_the_next_rung_due_at_once():
    later = NOW + timedelta(minutes=3)
    taken = take(Step.DECLINE, rung(), hold=running(escalate_at=later), others=[], now=NOW)
    assert taken.state is State.DECLINED
    assert taken.hold.escalate_at == NOW


def test_decline_at_priority_4_starts_a_ladder_that_never_climbs_by_itself():
    taken = take(Step.DECLINE, rung(), hold=running(escalate_at=None), others=[], now=NOW)
    assert taken.hold.escalate_at == NOW


def test_late_decline_leaves_a_held_incident_alone():
    holder, passed_over = rung(State.ON_SCENE), rung()
    hold = running(holder.id, escalate_at=None)
    taken = take(Step.DECLINE, passed_over, hold=hold, others=[holder], now=NOW)
    assert taken.hold == hold


def test_team_that_hands_back_leaves_it_to_the_team_that_has_worked_longest():
    mine = rung(State.EN_ROUTE)
    longest = rung(State.ACKNOWLEDGED, acknowledged_at=NOW - timedelta(minutes=4))
    other = rung(State.ON_SCENE, acknowledged_at=NOW - timedelta(minutes=2))
    taken = take(
        Step.DECLINE,
        mine,
        hold=running(mine.id, escalate_at=None),
        others=[other, longest],
        now=NOW,
    )
    assert taken.hold == Hold(held_by=longest.id, escalate_at=None, unanswered_at=None)


def test_team_that_hands_back_with_nobody_else_working_sends_the_ladder_on():
    mine = rung(State.ACKNOWLEDGED)
    taken = take(
        Step.DECLINE,
        mine,
        hold=running(mine.id, escalate_at=None),
        others=[rung(State.WITHDRAWN)],
        now=NOW,
    )
    assert taken.hold == Hold(held_by=None, escalate_at=NOW, unanswered_at=None)


def test_last_team_to_close_closes_the_incident():
    mine = rung(State.ON_SCENE)
    taken = take(
        Step.CLOSE,
        mine,
        hold=running(mine.id, escalate_at=None),
        others=[rung(State.CLOSED), rung(State.WITHDRAWN), rung(is_hub=True)],
        now=NOW,
    )
    assert taken.hold == Hold(None, None, None, closed=True)


def test_holder_that_closes_passes_the_incident_on_while_another_works():
    mine, other = rung(State.ON_SCENE), rung(State.EN_ROUTE, acknowledged_at=NOW)
    taken = take(Step.CLOSE, mine, hold=running(mine.id, escalate_at=None), others=[other], now=NOW)
    assert taken.hold == Hold(held_by=other.id, escalate_at=None, unanswered_at=None)


def test_joined_team_that_closes_leaves_the_holder_holding():
    holder, joined = rung(State.ON_SCENE), rung(State.ON_SCENE)
    hold = running(holder.id, escalate_at=None)
    taken = take(Step.CLOSE, joined, hold=hold, others=[holder], now=NOW)
    assert taken.hold == hold


def test_incident_stays_open_while_somebody_has_yet_to_answer():
    mine, told_since = rung(State.ON_SCENE), rung(State.DELIVERED)
    soon = NOW + timedelta(seconds=20)
    taken = take(
        Step.CLOSE,
        mine,
        hold=running(mine.id, escalate_at=soon),
        others=[told_since],
        now=NOW,
    )
    assert taken.hold == Hold(held_by=None, escalate_at=soon, unanswered_at=None)


def test_nobody_takes_up_an_incident_that_is_closed():
    with pytest.raises(StateConflict, match="incident is closed"):
        take(
            Step.ACKNOWLEDGE,
            rung(State.WITHDRAWN),
            hold=Hold(None, None, None, closed=True),
            others=[],
            now=NOW,
        )


@pytest.mark.parametrize("step", STAFF_STEPS)
@pytest.mark.parametrize("state", State)
def test_answer_of_a_hub_never_touches_the_ladder(state, step):
    hold = running(unanswered_at=NOW)
    try:
        taken = take(step, rung(state, is_hub=True), hold=hold, others=[rung()], now=NOW)
    except StateConflict:
        return
    assert (taken.hold, taken.withdrawn) == (hold, ())


class Incident(RuleBasedStateMachine):
    """Teams and a hub act in any order, graver reports join, the ladder climbs."""

    @initialize(teams=st.integers(1, 3), hub=st.booleans())
    def begins(self, teams, hub):
        self.now = NOW
        self.rungs = {one.id: one for one in (rung() for _ in range(teams))}
        if hub:
            one = rung(is_hub=True)
            self.rungs[one.id] = one
        self.hold = running(escalate_at=self.now + timedelta(seconds=60))

    @rule(
        step=st.sampled_from(STAFF_STEPS),
        which=st.integers(0, 9),
        wait=st.integers(0, 90),
        has_read=st.booleans(),
    )
    def somebody_acts(self, step, which, wait, has_read):
        self.now += timedelta(seconds=wait)
        mine = list(self.rungs.values())[which % len(self.rungs)]
        others = [one for one in self.rungs.values() if one is not mine]
        try:
            taken = take(
                step, mine, hold=self.hold, others=others, now=self.now, is_informed=has_read
            )
        except StateConflict:
            return
        if not has_read and step is Step.ACKNOWLEDGE and not mine.is_hub:
            assert taken.hold.escalate_at == self.hold.escalate_at
        if not taken.changed:
            assert (taken.state, taken.hold, taken.withdrawn) == (mine.state, self.hold, ())
        assert mine.state is not State.CLOSED or taken.state is State.CLOSED
        taken_up = taken.state in WORKING and mine.state not in WORKING
        acknowledged_at = self.now if taken_up else mine.acknowledged_at
        self._put(replace(mine, state=taken.state, acknowledged_at=acknowledged_at))
        for stood_down in taken.withdrawn:
            was = self.rungs[stood_down]
            assert was.state in WAITING
            assert not was.is_hub
            self._put(replace(was, state=State.WITHDRAWN))
        self.hold = taken.hold

    @precondition(lambda self: self.hold.escalate_at is not None)
    @rule()
    def ladder_climbs(self):
        self.now = max(self.now, self.hold.escalate_at)
        if len(self.rungs) < 8:
            told = rung()
            self._put(told)
        unanswered_at = self.now if len(self.rungs) == 8 and not self.hold.held_by else None
        self.hold = running(
            self.hold.held_by,
            escalate_at=self.now + timedelta(seconds=60),
            unanswered_at=unanswered_at,
        )

    @precondition(lambda self: not self.hold.closed)
    @rule()
    def graver_report_joins(self):
        self.hold = running(self.hold.held_by, escalate_at=self.now + timedelta(seconds=60))

    @rule(which=st.integers(0, 9))
    def far_side_confirms(self, which):
        one = list(self.rungs.values())[which % len(self.rungs)]
        if one.state is State.PENDING:
            self._put(replace(one, state=after(Step.DELIVER, one.state)))

    def _put(self, one):
        self.rungs[one.id] = one

    def _teams(self, states):
        return [one for one in self.rungs.values() if not one.is_hub and one.state in states]

    @invariant()
    def holder_is_a_team_that_works(self):
        working = {one.id for one in self._teams(WORKING)}
        assert (self.hold.held_by in working) if working else (self.hold.held_by is None)

    @invariant()
    def closed_incident_has_nobody_left_at_it(self):
        if self.hold.closed:
            assert not self._teams(LIVE)
            assert self.hold.escalate_at is None

    @invariant()
    def open_incident_is_held_or_climbs(self):
        if not self.hold.closed and self.hold.held_by is None:
            assert self.hold.escalate_at is not None


TestIncident = Incident.TestCase
TestIncident.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_states_are_waiting_working_or_ended():
    assert frozenset(State) == WAITING | WORKING | ENDED
    assert not WAITING & WORKING
    assert not LIVE & ENDED


@pytest.mark.parametrize(("priority", "step_s"), [(1, 60), (2, 180), (3, 900), (4, None)])
def test_ladder_climbs_on_the_timetable_of_its_priority(priority, step_s):
    assert ladder_step_s(priority) == step_s
    assert next_climb(priority, now=NOW) == (
        None if step_s is None else NOW + timedelta(seconds=step_s)
    )


def test_alarms_of_an_unanswered_incident_double_up_to_a_quarter_of_an_hour():
    at, gaps = NOW, []
    for _ in range(7):
        following = next_alarm(1, unanswered_at=NOW, now=at)
        assert following is not None
        gaps.append((following - at).total_seconds())
        at = following
    assert gaps == [60, 60, 120, 240, 480, 900, 900]
    assert timedelta(seconds=gaps[-1]) == ALARM_CAP


def test_priority_4_is_never_alarmed():
    assert next_alarm(4, unanswered_at=NOW, now=NOW) is None


@given(attempts=st.integers(1, ATTEMPTS - 1), jitter=st.floats(0, 1))
def test_failure_is_tried_again_within_its_window(attempts, jitter):
    following = after_attempt(Outcome(Result.FAILED), attempts=attempts, jitter=jitter, now=NOW)
    longest = min(2.0 ** (attempts - 1), 60.0)
    assert following.status == "queued"
    assert following.at is not None
    wait_s = (following.at - NOW).total_seconds()
    assert longest / 2 - 1e-3 <= wait_s <= longest + 1e-3


@given(jitter=st.floats(0, 1), asked_s=st.floats(61, 3600))
def test_far_side_that_asks_for_patience_gets_it(jitter, asked_s):
    outcome = Outcome(Result.FAILED, retry_after_s=asked_s)
    following = after_attempt(outcome, attempts=3, jitter=jitter, now=NOW)
    assert following.at == NOW + timedelta(seconds=asked_s)


@pytest.mark.parametrize(
    ("result", "attempts", "status"),
    [
        (Result.SENT, 1, "sent"),
        (Result.DELIVERED, 1, "delivered"),
        (Result.REFUSED, 1, "failed"),
        (Result.FAILED, ATTEMPTS - 1, "queued"),
        (Result.FAILED, ATTEMPTS, "failed"),
    ],
)
def test_attempt_ends_as_its_result_says(result, attempts, status):
    following = after_attempt(Outcome(result), attempts=attempts, jitter=0.5, now=NOW)
    assert following.status == status
    assert (following.at is not None) == (status == "queued")
