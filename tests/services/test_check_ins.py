"""Lone workers: a responder who gives no sign of life in time is missed, loudly."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P2
from waylight.db.alerts import check_ins as db_check_ins
from waylight.db.alerts import ladder
from waylight.domain.errors import NotAllowed, NotFound, StaleVersion, StateConflict
from waylight.domain.reports import Want
from waylight.services import alerts
from waylight.services.alerts import check_ins
from waylight.services.reports import my_report

HALF_AN_HOUR = timedelta(minutes=30)
OVERDUE = NOW + HALF_AN_HOUR


def take(desk, step, who, alert_id, *, now=NOW, **others):
    return step(desk.database, desk.vault, principal=who, alert_id=alert_id, now=now, **others)


def watch(desk, now, **others):
    return check_ins.watch(desk.database, channels=desk.settings.channels, now=now, **others)


def check_in(desk, alert_id, due_in_s=None, *, who=None, now=NOW):
    return check_ins.check_in(
        desk.database, who or desk.police, alert_id=alert_id, due_in_s=due_in_s, now=now
    )


def timer(desk):
    (row,) = desk.rows("select * from check_ins")
    return row


def overdue_alerts(desk):
    """The alerts about responders, by team."""
    return {
        row["team_id"]: row
        for row in desk.rows(
            "select a.* from alerts a join incidents i on i.id = a.incident_id"
            " where i.about_alert_id is not null order by a.id"
        )
    }


def messages(desk, kind="responder.overdue"):
    return desk.rows("select * from deliveries where message = %s order by id", kind)


@pytest.fixture
def report(desk):
    return desk.report(P2)


@pytest.fixture
def out_there(desk, report):
    """The first team is on the scene, alone; returns its alert."""
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    take(desk, alerts.on_scene, desk.police, alert)
    return alert


# --- the timer


def test_arriving_on_a_scene_starts_half_an_hour(desk, out_there):
    row = timer(desk)
    assert (row["alert_id"], row["due_at"], row["staff_id"]) == (
        out_there,
        OVERDUE,
        desk.police.staff_id,
    )
    shown = desk.read(desk.police, out_there).check_in
    assert (shown.due_in_s, shown.due_at, shown.overdue_at) == (1800, OVERDUE, None)
    (started,) = desk.events("responder.check_in_started")
    assert (started["alert_id"], started["report_id"]) == (out_there, None)


def test_organisation_sets_what_starts_or_that_nothing_does(desk):
    for who, due_in_s in ((desk.police, 600), (desk.operator, None)):
        check_ins.set_default(desk.database, who, due_in_s=due_in_s, if_match=None, now=NOW)
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    take(desk, alerts.on_scene, desk.police, alert)
    assert timer(desk)["due_at"] == NOW + timedelta(minutes=10)
    desk.climb(NOW + timedelta(minutes=4))
    desk.do("delete from check_ins")
    desk.report(P2, now=NOW + timedelta(hours=1))
    theirs = desk.rows("select id from alerts where team_id = %s", desk.second)
    for row in theirs:
        desk.acknowledge(desk.operator, row["id"])
        take(desk, alerts.on_scene, desk.operator, row["id"])
    assert desk.rows("select from check_ins") == []


def test_responder_on_the_way_starts_one_when_asked_and_arriving_is_a_sign_of_life(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    with pytest.raises(StateConflict):
        check_in(desk, alert, 300)
    take(desk, alerts.en_route, desk.police, alert)
    assert desk.rows("select from check_ins") == []
    assert check_in(desk, alert, 300).due_at == NOW + timedelta(minutes=5)
    arrived = NOW + timedelta(minutes=4)
    take(desk, alerts.on_scene, desk.police, alert, now=arrived)
    assert timer(desk)["due_at"] == arrived + timedelta(minutes=5)
    assert len(desk.events("responder.check_in_started")) == 1


def test_checking_in_extends_as_long_as_said_or_as_long_as_before(desk, out_there):
    later = NOW + timedelta(minutes=29)
    assert check_in(desk, out_there, 600, now=later).due_at == later + timedelta(minutes=10)
    again = later + timedelta(minutes=1)
    assert check_in(desk, out_there, now=again).due_at == again + timedelta(minutes=10)
    assert watch(desk, OVERDUE) == 0
    assert len(desk.events("responder.checked_in")) == 2


@pytest.mark.parametrize("step", [alerts.close, check_ins.stop])
def test_timer_ends_with_the_work_or_by_hand(desk, out_there, step):
    if step is alerts.close:
        take(desk, alerts.close, desk.police, out_there)
    else:
        step(desk.database, desk.police, alert_id=out_there, now=NOW)
    assert timer(desk)["ended_at"] == NOW
    assert watch(desk, OVERDUE) == 0
    assert overdue_alerts(desk) == {}
    assert len(desk.events("responder.check_in_ended")) == 1


def test_work_that_ended_by_another_way_ends_the_timer(desk, out_there):
    """By a hand-over, or because its incident became part of another."""
    desk.do("update alerts set state = 'closed', outcome = 'handed_over' where id = %s", out_there)
    assert watch(desk, OVERDUE) == 1
    assert overdue_alerts(desk) == {}
    assert timer(desk)["ended_at"] == OVERDUE
    assert watch(desk, OVERDUE + HALF_AN_HOUR) == 0


def test_nobody_checks_in_on_an_alert_that_is_over(desk, out_there):
    take(desk, alerts.close, desk.police, out_there)
    with pytest.raises(StateConflict):
        check_in(desk, out_there)
    assert watch(desk, OVERDUE) == 0


# --- overdue


def test_responder_who_is_silent_raises_an_alert_of_the_highest_priority(desk, out_there):
    assert watch(desk, OVERDUE - timedelta(seconds=1)) == 0
    assert watch(desk, OVERDUE) == 1
    raised = overdue_alerts(desk)
    assert raised.keys() == {desk.room, desk.first}
    for alert in raised.values():
        assert (alert["priority"], alert["state"]) == (1, "pending")
        assert alert["reasons"] == [{"code": "responder_overdue", "params": {"team": "First"}}]
    sent = messages(desk)
    assert {row["alert_id"] for row in sent} == {alert["id"] for alert in raised.values()}
    assert {(row["priority"], row["status"]) for row in sent} == {(1, "queued")}
    (told,) = desk.events("responder.overdue")
    assert (told["alert_id"], told["data"]["times"]) == (out_there, 1)
    shown = desk.read(desk.police, out_there, now=OVERDUE).check_in
    assert (shown.overdue_at, shown.raised, shown.answered) == (OVERDUE, 1, False)
    seen = desk.read(desk.control, raised[desk.room]["id"], now=OVERDUE)
    assert seen.check_in.alert_id == out_there
    assert seen.reports == ()


@pytest.mark.usefixtures("out_there")
def test_the_passenger_s_ladder_and_story_are_not_touched(desk, report):
    before = desk.rows("select * from incidents")
    rungs = len(desk.rows("select from alerts"))
    timeline = my_report(desk.database, desk.vault, report.receipt).timeline
    told = my_report(desk.database, desk.vault, report.receipt).told
    watch(desk, OVERDUE)
    room = overdue_alerts(desk)[desk.room]["id"]
    desk.acknowledge(desk.control, room, now=OVERDUE)
    take(desk, alerts.close, desk.control, room, now=OVERDUE)
    (answered,) = (e for e in desk.events("alert.acknowledged") if e["alert_id"] == room)
    assert answered["report_id"] == report.id
    assert desk.rows("select * from incidents where about_alert_id is null") == before
    assert len(desk.rows("select from alerts")) == rungs + 2
    mine = my_report(desk.database, desk.vault, report.receipt)
    assert mine.timeline == timeline
    assert mine.told == told
    assert desk.climb(OVERDUE + timedelta(hours=1)) == 0


def test_it_is_said_again_until_somebody_answers(desk, out_there):
    watch(desk, OVERDUE)
    at = OVERDUE
    for times in range(2, 6):
        desk.do("update deliveries set status = 'sent' where message = 'responder.overdue'")
        at += timedelta(minutes=1)
        assert watch(desk, at - timedelta(seconds=1)) == 0
        assert watch(desk, at) == 1
        assert len(messages(desk)) == 2 * times
    assert watch(desk, at + timedelta(minutes=4)) == 0
    assert watch(desk, at + timedelta(minutes=5)) == 1
    assert len(overdue_alerts(desk)) == 2
    (about,) = desk.rows("select * from incidents where about_alert_id is not null")
    assert about["unanswered_at"] == OVERDUE + timedelta(minutes=1)
    room = overdue_alerts(desk)[desk.room]["id"]
    at += timedelta(minutes=6)
    desk.acknowledge(desk.control, room, now=at)
    count = len(messages(desk))
    watch(desk, at + timedelta(minutes=5))
    assert len(messages(desk)) == count
    shown = desk.read(desk.police, out_there, now=at).check_in
    assert (shown.answered, shown.raised) == (True, 6)


def test_answer_that_is_taken_back_is_none(desk, out_there):
    watch(desk, OVERDUE)
    room = overdue_alerts(desk)[desk.room]["id"]
    desk.acknowledge(desk.control, room, now=OVERDUE)
    watch(desk, OVERDUE + timedelta(minutes=1))
    desk.decline(desk.control, room, now=OVERDUE + timedelta(minutes=2))
    watch(desk, OVERDUE + timedelta(minutes=6))
    fresh = overdue_alerts(desk)[desk.room]
    assert fresh["id"] != room
    assert fresh["state"] == "pending"


def test_sign_of_life_withdraws_what_nobody_has_answered(desk, out_there):
    watch(desk, OVERDUE)
    later = OVERDUE + timedelta(seconds=20)
    check_in(desk, out_there, 900, now=later)
    assert watch(desk, later) == 1
    assert {row["state"] for row in overdue_alerts(desk).values()} == {"withdrawn"}
    assert {row["status"] for row in messages(desk)} == {"dropped"}
    (about,) = desk.rows("select * from incidents where about_alert_id is not null")
    assert (about["state"], about["unanswered_at"]) == ("closed", None)
    withdrawn = desk.events("alert.withdrawn")
    assert {e["data"]["reason"] for e in withdrawn} == {"responder_safe"}
    shown = desk.read(desk.police, out_there, now=later).check_in
    assert (shown.overdue_at, shown.raised) == (None, 0)
    again = later + timedelta(minutes=15)
    assert watch(desk, again) == 1
    assert len(desk.rows("select from incidents where about_alert_id is not null")) == 2


def test_who_went_to_look_is_told_that_all_is_well(desk, out_there):
    watch(desk, OVERDUE)
    room = overdue_alerts(desk)[desk.room]["id"]
    desk.acknowledge(desk.control, room, now=OVERDUE)
    take(desk, alerts.close, desk.police, out_there, now=OVERDUE)
    watch(desk, OVERDUE)
    (safe,) = messages(desk, "responder.safe")
    assert safe["alert_id"] == room
    states = {row["state"] for row in overdue_alerts(desk).values()}
    assert states == {"acknowledged", "withdrawn"}
    take(desk, alerts.close, desk.control, room, now=OVERDUE)
    (about,) = desk.rows("select * from incidents where about_alert_id is not null")
    assert about["state"] == "closed"


def test_declining_does_not_start_the_ladder_of_teams(desk, out_there):
    watch(desk, OVERDUE)
    room = overdue_alerts(desk)[desk.room]["id"]
    desk.decline(desk.control, room, now=OVERDUE)
    (about,) = desk.rows("select * from incidents where about_alert_id is not null")
    assert about["escalate_at"] is None
    assert desk.climb(OVERDUE + timedelta(hours=2)) == 0


def test_no_step_and_no_other_way_gives_it_a_ladder(desk, out_there):
    watch(desk, OVERDUE)
    (about,) = desk.rows("select id from incidents where about_alert_id is not null")
    with desk.database.intake() as conn:
        ladder.set_ladder(conn, about["id"], escalate_at=NOW, unanswered_at=None, climbed=False)
    assert desk.climb(OVERDUE) == 0


def test_no_report_joins_the_incident_that_is_about_a_responder(desk, out_there):
    desk.do("update incidents set state = 'closed' where about_alert_id is null")
    watch(desk, OVERDUE)
    joined = desk.report(P2, now=OVERDUE + timedelta(seconds=1))
    (row,) = desk.rows("select incident_id from reports where id = %s", joined.id)
    (about,) = desk.rows("select id from incidents where about_alert_id is not null")
    assert row["incident_id"] != about["id"]


def test_control_room_that_is_missing_keeps_the_team_s_addresses(desk, out_there):
    desk.do("update cities set control_room_id = null")
    watch(desk, OVERDUE)
    assert overdue_alerts(desk).keys() == {desk.first}


def test_drill_is_marked_as_one(desk, out_there):
    desk.do("update check_ins set exercise = true")
    desk.do("update incidents set exercise = true; update alerts set exercise = true")
    watch(desk, OVERDUE)
    assert {row["exercise"] for row in messages(desk)} == {True}


def test_time_that_was_set_while_a_clock_was_wrong_is_set_right(desk, out_there):
    """The server's clock was a day ahead when the responder checked in, and came back."""
    check_in(desk, out_there, 600, now=NOW + timedelta(days=1))
    assert watch(desk, NOW) == 1
    assert timer(desk)["due_at"] == NOW + timedelta(minutes=10)
    assert overdue_alerts(desk) == {}


# --- many workers, and dead ones


@pytest.mark.commits
def test_several_workers_raise_it_once(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    take(desk, alerts.on_scene, desk.police, alert)
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        return watch(desk, OVERDUE)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, range(4)))
    assert sum(done) == 1
    assert len(overdue_alerts(desk)) == 2
    assert len(desk.rows("select from alerts")) == 3


@pytest.mark.commits
def test_worker_that_dies_in_the_middle_leaves_it_to_the_next(desk, monkeypatch):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    take(desk, alerts.on_scene, desk.police, alert)

    class Killed(BaseException):
        """As abrupt as a signal."""

    def die(*_args, **_others):
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(db_check_ins, "look_again", die)
        with pytest.raises(Killed):
            watch(desk, OVERDUE)
    assert overdue_alerts(desk) == {}
    assert watch(desk, OVERDUE) == 1
    assert len(overdue_alerts(desk)) == 2


def test_one_that_cannot_be_raised_does_not_keep_the_others(desk, out_there, monkeypatch):
    desk.report(P2, now=NOW + timedelta(hours=2))
    second = desk.rows(
        "select id from alerts where incident_id <> (select incident_id from alerts where id = %s)"
        " and team_id is not null",
        out_there,
    )[0]["id"]
    desk.do(
        """
        insert into check_ins (alert_id, incident_id, team_id, organisation_id, city_id, exercise,
            due_in_s, started_at, checked_in_at, due_at, next_at)
        select id, incident_id, team_id, organisation_id, city_id, false, 60, %s, %s, %s, %s
        from alerts where id = %s
        """,
        *[NOW] * 4,
        second,
    )
    desk.do("update alerts set state = 'on_scene' where id = %s", second)
    real = db_check_ins.open_incident

    def breaks(conn, timer, *, now):
        if timer["alert_id"] == second:
            raise RuntimeError("broken")
        return real(conn, timer, now=now)

    monkeypatch.setattr(db_check_ins, "open_incident", breaks)
    assert watch(desk, OVERDUE) == 1
    assert len(desk.rows("select from incidents where about_alert_id = %s", out_there)) == 1


# --- who may


def test_only_the_responder_s_own_people_run_its_timer(desk, out_there):
    for who, error in ((desk.operator, NotFound), (desk.control, NotAllowed)):
        with pytest.raises(error):
            check_in(desk, out_there, who=who)
        with pytest.raises(error):
            check_ins.stop(desk.database, who, alert_id=out_there, now=NOW)
    assert timer(desk)["ended_at"] is None


def test_hand_written_sql_of_another_organisation_ends_no_timer(desk, out_there):
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select from check_ins").rowcount == 0
        assert conn.execute("update check_ins set ended_at = now()").rowcount == 0
        assert conn.execute("update check_in_defaults set due_in_s = null").rowcount == 0
    with desk.database.staff(desk.control.organisation_id) as conn:
        assert conn.execute("select from check_ins").rowcount == 1
        assert conn.execute("update check_ins set ended_at = now()").rowcount == 0


def test_hub_has_no_timer(desk):
    desk.report(replace(P2, wants=(Want.HUB,)))
    alert = desk.alert_of(desk.hub)
    desk.acknowledge(desk.hub_host, alert)
    take(desk, alerts.en_route, desk.hub_host, alert)
    with pytest.raises(StateConflict):
        check_in(desk, alert, who=desk.hub_host)
    take(desk, alerts.on_scene, desk.hub_host, alert)
    assert desk.rows("select from check_ins") == []


def test_default_is_changed_by_version(desk):
    assert check_ins.read_default(desk.database, desk.police).version == 0

    def change(if_match):
        return check_ins.set_default(
            desk.database, desk.police, due_in_s=600, if_match=if_match, now=NOW
        ).version

    assert change(0) == 1
    with pytest.raises(StaleVersion):
        change(0)
    assert change(1) == 2
    with pytest.raises(StaleVersion):
        change(1)
    assert change(None) == 3
    assert len(desk.events("organisation.check_in_default_changed")) == 3
