from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, P4, open_desk
from waylight import metrics
from waylight.domain.alerts import Outcome, Result
from waylight.domain.drills import Level, Slot, Why
from waylight.domain.errors import InvalidRequest, StateConflict
from waylight.services import alerts, drills, incidents
from waylight.services.operations.metrics import Scrape

SENT, DELIVERED = Outcome(Result.SENT), Outcome(Result.DELIVERED)
REFUSED = Outcome(Result.REFUSED, "unknown_number")
LASTS = timedelta(minutes=2)


@pytest.fixture
def begin(desk):
    def begin(*, now=NOW, **which):
        return drills.begin(desk.database, desk.vault, desk.settings, lasts=LASTS, now=now, **which)

    return begin


@pytest.fixture
def deliver(desk, claim, record):
    """Lets every message that waits have this outcome; returns the messages."""

    def deliver(outcome=SENT, *, now=NOW):
        messages = claim(now=now)
        for message in messages:
            record(message, outcome, now=now + timedelta(seconds=2))
        return messages

    return deliver


def by_team(drill):
    return {rung.team: rung for rung in drill.rungs}


def test_drill_tells_every_team_on_duty_by_itself_and_marks_everything(desk, begin, deliver):
    begin()
    messages = deliver()
    assert sorted(m.recipient for m in messages) == ["First", "Room", "Second", "Third"]
    assert all(m.exercise and m.priority == 2 for m in messages)
    for table in ("reports", "incidents", "alerts", "deliveries", "events"):
        assert {row["exercise"] for row in desk.rows(f"select exercise from {table}")} == {True}  # noqa: S608 - constants of this line
    assert len(desk.rows("select distinct incident_id from alerts")) == 4
    assert desk.rows("select from grants where cause = 'oversight'") == []


def test_drill_says_who_was_reached_how_far_and_how_soon(desk, begin, deliver):
    drill = begin()
    deliver(DELIVERED)
    alert = desk.alert_of(desk.first)
    desk.read(desk.police, alert, now=NOW + timedelta(seconds=10))
    desk.acknowledge(desk.police, alert, now=NOW + timedelta(seconds=20))
    found = by_team(drills.look(desk.database, drill.id))
    first, second = found["First"], found["Second"]
    assert (first.level, first.after_s, first.why) == (Level.ACKNOWLEDGED, 20.0, None)
    assert [(one.channel, one.status, one.after_s) for one in first.channels] == [
        ("console", "seen", 2.0)
    ]
    assert (second.level, second.after_s, second.why) == (Level.DELIVERED, None, Why.NO_ANSWER)


@pytest.mark.parametrize(("level", "reached"), [(Level.SENT, 4), (Level.DELIVERED, 0)])
def test_what_counts_as_reached_is_asked_for(desk, begin, deliver, level, reached):
    drill = begin(level=level)
    deliver(SENT)
    assert drills.look(desk.database, drill.id).reached == reached


def test_team_off_duty_is_left_in_peace_and_is_no_failure(desk, begin, deliver):
    desk.do("update teams set duty_status = 'off' where id = %s", desk.third)
    drill = begin(level=Level.SENT)
    assert "Third" not in [m.recipient for m in deliver()]
    ended = drills.end(desk.database, drill.id, now=NOW + LASTS)
    assert by_team(ended)["Third"].why is Why.OFF_DUTY
    assert ended.missed == ()


def test_team_without_an_address_is_named(desk, begin):
    settings = replace(desk.settings, channels=("sms",))
    drill = drills.begin(desk.database, desk.vault, settings, lasts=LASTS, now=NOW)
    assert drill is not None
    found = drills.look(desk.database, drill.id)
    assert {rung.why for rung in found.rungs} == {Why.NO_ADDRESS}
    assert found.is_settled


def test_team_that_no_channel_can_reach_is_named_and_nobody_else_is_woken(desk, begin, deliver):
    drill = begin(team="first")
    deliver(REFUSED)
    found = by_team(drills.look(desk.database, drill.id))["First"]
    assert found.why is Why.FAILED
    assert [one.detail for one in found.channels] == ["unknown_number"]
    assert desk.climb(now=NOW + timedelta(hours=1)) == 0
    assert len(desk.rows("select from alerts")) == 1


def test_team_that_declines_a_drill_was_reached_and_no_other_team_is_told(desk, begin, deliver):
    drill = begin(team="first")
    deliver()
    desk.decline(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=5))
    found = by_team(drills.look(desk.database, drill.id))["First"]
    assert (found.level, found.why) == (Level.ACKNOWLEDGED, None)
    assert desk.climb(now=NOW + timedelta(hours=1)) == 0
    assert len(desk.rows("select from alerts")) == 1


def giving(desk, incident_id, alert_id, **by):
    return incidents.hand_over(**by, alert_id=alert_id, to_team=desk.third, reason="Away.")


def splitting(desk, incident_id, alert_id, **by):
    (row,) = desk.rows("select id from reports where incident_id = %s", incident_id)
    return incidents.split(**by, incident_id=incident_id, report_ids=[row["id"]])


def merging(desk, incident_id, alert_id, **by):
    real = desk.report(P2, now=NOW + timedelta(seconds=1))
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    (row,) = desk.rows("select incident_id from reports where id = %s", real.id)
    return incidents.merge(**by, incident_id=incident_id, into=row["incident_id"])


def merging_a_real_one(desk, incident_id, alert_id, **by):
    other = desk.report(P2, now=NOW + timedelta(seconds=1))
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    (row,) = desk.rows("select incident_id from reports where id = %s", other.id)
    return incidents.merge(**by, incident_id=row["incident_id"], into=incident_id)


@pytest.mark.parametrize("doing", [giving, splitting, merging, merging_a_real_one])
def test_drill_is_made_no_work_of_anybody_else_s(desk, begin, deliver, doing):
    begin(team="first")
    deliver()
    alert_id = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert_id, now=NOW + timedelta(seconds=5))
    drilled = desk.incident()
    by = {
        "database": desk.database,
        "vault": desk.vault,
        "principal": desk.police,
        "channels": desk.settings.channels,
        "now": NOW + timedelta(seconds=9),
    }
    with pytest.raises(StateConflict, match="This is a drill"):
        doing(desk, drilled["id"], alert_id, **by)
    assert desk.rows("select * from incidents where id = %s", drilled["id"]) == [drilled]
    assert {row["team_id"] for row in desk.rows("select team_id from alerts")} == {desk.first}


def test_drill_that_is_over_is_not_opened_again(desk, begin, deliver):
    drill = begin(team="first")
    deliver()
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=5))
    drills.end(desk.database, drill.id, now=NOW + LASTS)
    with pytest.raises(StateConflict, match="This is a drill"):
        incidents.reopen(
            desk.database,
            desk.vault,
            principal=desk.police,
            incident_id=desk.incident()["id"],
            reason="He is back.",
            channels=desk.settings.channels,
            now=NOW + LASTS,
        )
    assert desk.incident()["state"] == "closed"
    assert len(desk.rows("select from alerts")) == 1


def test_end_takes_back_what_nobody_answered_closes_the_rest_and_keeps_what_was_found(
    desk, begin, deliver
):
    drill = begin()
    deliver()
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=9))
    ended = drills.end(desk.database, drill.id, now=NOW + LASTS)
    assert desk.states() == {
        desk.first: "closed",
        desk.second: "withdrawn",
        desk.third: "withdrawn",
        desk.room: "withdrawn",
    }
    assert {row["state"] for row in desk.rows("select state from incidents")} == {"closed"}
    told = deliver(now=NOW + LASTS)
    assert sorted(m.kind for m in told) == ["alert.withdrawn"] * 3
    assert all(m.exercise for m in told)
    (row,) = desk.rows("select told, reached, ended_at from drills")
    assert row == {"told": 4, "reached": 1, "ended_at": NOW + LASTS}
    assert drills.end(desk.database, drill.id, now=NOW + LASTS) == ended
    assert drills.look(desk.database, drill.id) == ended
    assert len(desk.events("drill.finished")) == 1


def test_drill_of_nobody_is_refused(begin):
    with pytest.raises(InvalidRequest):
        begin(team="nobody")


def test_real_report_in_the_middle_of_a_drill_goes_first(desk, begin, claim):
    begin()
    desk.report(P2, now=NOW + timedelta(seconds=1))
    claimed = claim(now=NOW + timedelta(seconds=1))
    assert [m.exercise for m in claimed] == [False, True, True, True, True]


def test_drills_have_room_of_their_own_so_that_no_real_message_waits_for_one(desk, begin):
    begin()
    desk.report(P2)
    claimed = alerts.claim(
        desk.database,
        desk.vault,
        "one",
        free={"console": 5},
        drills={"console": 1},
        lease_s=30,
        base_url="http://x",
        now=NOW,
    )
    assert [m.exercise for m in claimed] == [False, True]


def test_team_at_work_on_a_drill_gets_the_real_report(desk, begin, deliver):
    begin(team="first")
    deliver()
    for step in (alerts.acknowledge, alerts.en_route, alerts.on_scene):
        step(
            desk.database,
            desk.vault,
            principal=desk.police,
            alert_id=desk.alert_of(desk.first),
            now=NOW,
        )
    answer = desk.report(P1)
    assert not answer.joined
    assert answer.routed_to[0].team_id == desk.first
    assert {one.told for one in answer.routed_to if one.team_id == desk.first} == {"now"}
    (alert,) = desk.rows("select exercise from alerts where report_id = %s and team_id = %s",
                         answer.id, desk.first)  # fmt: skip
    assert alert == {"exercise": False}


def test_end_of_a_drill_leaves_real_alerts_alone(desk, begin):
    drill = begin()
    answer = desk.report(P2)
    before = desk.rows("select * from alerts where not exercise")
    incident = desk.rows("select * from incidents where not exercise")
    drills.end(desk.database, drill.id, now=NOW + LASTS)
    assert desk.rows("select * from alerts where not exercise") == before
    assert desk.rows("select * from incidents where not exercise") == incident
    assert answer.status == "routed"
    assert desk.climb(now=NOW + timedelta(minutes=4)) == 1


def test_drill_is_counted_nowhere(desk, begin, deliver):
    def counted():
        text = Scrape().text(desk.database, now=NOW + timedelta(minutes=5)).decode()
        return sorted(
            line
            for line in text.splitlines()
            if line.startswith("waylight_")
            and not line.startswith("waylight_pool")
            and not line.startswith("waylight_last_drill")
            # Who reads the alert of a drill is written down as in any other.
            and "unsealed" not in line
        )

    before, in_process = counted(), metrics.exposition()
    drill = begin()
    deliver()
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=9))
    assert counted() == before
    drills.end(desk.database, drill.id, now=NOW + LASTS)
    deliver(REFUSED, now=NOW + LASTS)
    assert counted() == before
    assert metrics.exposition() == in_process


def test_priority_4_and_drills_do_not_mix(desk, begin):
    drill = begin()
    desk.report(P4)
    assert drills.look(desk.database, drill.id).reached == 0


@pytest.mark.commits
class TestSchedule:
    @pytest.fixture
    def desk(self, database, vault, settings):
        return open_desk(database, vault, settings)

    @pytest.fixture
    def keep(self, desk):
        local = NOW + timedelta(hours=0)
        slot = Slot(local.weekday(), local.time().replace(second=0, microsecond=0))
        desk.do("update cities set time_zone = 'UTC'")
        settings = replace(desk.settings, exercise_schedule=(slot,))

        def keep(now):
            drills.keep(desk.database, desk.vault, settings, now=now)

        return keep

    def test_scheduled_drill_is_begun_once_and_ended_by_any_worker(self, desk, keep):
        for after_s in (0, 15, 30):
            keep(NOW + timedelta(seconds=after_s))
        assert len(desk.rows("select from drills where ended_at is null")) == 1
        assert len(desk.rows("select from alerts")) == 4
        keep(NOW + drills.SCHEDULED_FOR + drills.LEFT_ALONE + timedelta(seconds=1))
        (row,) = desk.rows("select told, reached from drills where ended_at is not null")
        assert row == {"told": 4, "reached": 0}
        assert set(desk.states().values()) == {"withdrawn"}

    def test_time_that_was_missed_by_hours_is_left_out(self, desk, keep):
        keep(NOW + timedelta(hours=2))
        assert desk.rows("select from drills") == []
