"""A shift that ends while an alert is open."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, P4
from waylight.domain.teams import Duty
from waylight.services import alerts, teams
from waylight.services.reports import my_report

SOON = NOW + timedelta(seconds=10)


def end_shift(desk, team_id, *, at=SOON):
    desk.do(
        "update teams set on_shift_during = tstzmultirange(tstzrange(null, %s)) where id = %s",
        at,
        team_id,
    )


def sweep(desk, now=SOON):
    return alerts.pass_over_off_duty(desk.database, now=now)


def test_unanswered_alert_of_a_team_that_goes_off_duty_climbs_at_once(desk):
    report = desk.report(P2)
    end_shift(desk, desk.first)
    assert sweep(desk, NOW + timedelta(seconds=9)) == 0
    assert sweep(desk) == 1
    assert desk.climb(SOON) == 1
    assert desk.states() == {desk.first: "pending", desk.second: "pending"}
    (left,) = desk.events("alert.off_duty")
    assert (left["at"], left["alert_id"]) == (SOON, desk.alert_of(desk.first))
    assert desk.incident()["escalate_at"] == SOON + timedelta(minutes=3)
    shown = desk.read(desk.police, desk.alert_of(desk.first), now=SOON)
    assert shown.alert.off_duty_at == SOON
    told = [e.code for e in my_report(desk.database, desk.vault, report.receipt).timeline]
    assert told.count("told_next") == 1


def test_it_is_passed_over_once(desk):
    desk.report(P2)
    end_shift(desk, desk.first)
    for team in (desk.second, desk.third):
        desk.do("update teams set duty_status = 'off' where id = %s", team)
    assert sweep(desk) == 1
    assert desk.climb(SOON) == 1  # the control room: no team is left
    desk.climb(SOON + timedelta(minutes=4))
    assert sweep(desk, SOON + timedelta(minutes=4)) == 0
    assert len(desk.events("alert.off_duty")) == 1


def test_alert_that_was_taken_on_stays_with_the_team_past_its_shift(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    end_shift(desk, desk.first)
    assert sweep(desk) == 0
    joined = desk.report(P2, now=SOON)
    assert desk.states() == {desk.first: "acknowledged"}
    told = desk.events("alert.updated")
    assert [(e["report_id"], e["alert_id"]) for e in told] == [(joined.id, alert)]
    for step in (alerts.en_route, alerts.on_scene, alerts.close):
        step(desk.database, desk.vault, principal=desk.police, alert_id=alert, now=SOON)
        if step is alerts.en_route:
            desk.read(desk.police, alert, now=SOON)
    assert desk.states() == {desk.first: "closed"}


def test_team_that_went_off_may_still_answer(desk):
    desk.report(P2)
    end_shift(desk, desk.first)
    sweep(desk)
    desk.climb(SOON)
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=SOON)
    assert desk.states() == {desk.first: "acknowledged", desk.second: "withdrawn"}


@pytest.mark.parametrize("how", ["off", "signed_off", "hand_over", "retired"])
def test_a_team_goes_off_in_more_than_one_way(desk, how):
    desk.report(P2)
    if how == "off":
        teams.set_duty(
            desk.database,
            desk.police,
            team_id=desk.first,
            duty=Duty.OFF,
            until=None,
            if_match=None,
            now=SOON,
        )
    elif how == "signed_off":
        desk.do(
            "update teams set on_shift_during = '{}', duty_until = %s where id = %s",
            SOON,
            desk.first,
        )
    elif how == "hand_over":
        desk.do(
            "update teams set duty_status = 'off', duty_until = %s where id = %s",
            SOON + timedelta(hours=1),
            desk.first,
        )
    else:
        desk.do("update teams set retired = true where id = %s", desk.first)
    assert sweep(desk) == 1
    desk.climb(SOON)
    assert desk.states()[desk.second] == "pending"


@pytest.mark.parametrize("how", ["by hand", "busy", "off is over", "not expanded"])
def test_team_that_is_still_on_duty_keeps_its_time(desk, how):
    desk.report(P2)
    later = SOON + timedelta(hours=1)
    if how == "by hand":
        end_shift(desk, desk.first)
        desk.do("update teams set duty_until = %s where id = %s", later, desk.first)
    elif how == "busy":
        desk.do("update teams set duty_status = 'busy' where id = %s", desk.first)
    elif how == "off is over":
        desk.do(
            "update teams set duty_status = 'off', duty_until = %s where id = %s", NOW, desk.first
        )
    else:
        desk.do("update teams set on_shift_during = null, expanded_until = null")
    assert sweep(desk) == 0


def test_team_that_had_its_time_hurries_nobody(desk):
    desk.report(P2)
    desk.climb(NOW + timedelta(minutes=3))
    end_shift(desk, desk.first)
    assert sweep(desk, NOW + timedelta(minutes=4)) == 0


def test_ladder_that_a_control_room_stopped_stays_at_rest(desk):
    desk.report(P1)
    desk.acknowledge(desk.control, desk.alert_of(desk.room))
    end_shift(desk, desk.first)
    assert sweep(desk) == 0
    assert desk.incident()["escalate_at"] is None


def test_least_urgent_alert_waits_for_the_team_s_next_shift(desk):
    desk.report(P4)
    (alert,) = desk.rows("select priority from alerts where team_id is not null")
    assert alert["priority"] == 4
    end_shift(desk, desk.first)
    assert sweep(desk) == 0


@pytest.mark.commits
def test_several_workers_pass_an_alert_over_once(desk):
    desk.report(P2)
    end_shift(desk, desk.first)
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        return sweep(desk)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, range(4)))
    assert sum(done) == 1
    assert len(desk.events("alert.off_duty")) == 1
