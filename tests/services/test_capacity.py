"""A team at work on one incident is asked last about another."""

from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, SPOT
from waylight.domain.geo import Point
from waylight.services import alerts, teams

NEXT_DOOR = Point(SPOT.lon + 0.0012, SPOT.lat)
ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)
LATER = NOW + timedelta(minutes=2)


def go(desk, who, alert_id, step=alerts.en_route):
    desk.acknowledge(who, alert_id)
    return step(desk.database, desk.vault, principal=who, alert_id=alert_id, now=NOW)


def reasons(desk, team_id):
    (row,) = desk.rows(
        "select reasons from alerts where team_id = %s order by id desc limit 1", team_id
    )
    return [reason["code"] for reason in row["reasons"]]


def told_of(desk, report):
    return {
        row["team_id"]
        for row in desk.rows("select team_id from alerts where report_id = %s", report.id)
    }


@pytest.fixture
def at_work(desk):
    """The nearest team is on its way to the spot."""
    desk.report(P2)
    go(desk, desk.police, desk.alert_of(desk.first))
    return desk


def test_second_incident_elsewhere_goes_to_the_next_team(at_work):
    desk = at_work
    second = desk.report(P2, at=ELSEWHERE, now=LATER)
    assert told_of(desk, second) == {desk.second}
    why = {r.name: [reason.code for reason in r.reasons] for r in second.routed_to}
    assert "on_other_incident" in why["First"]
    assert "available" not in why["First"]


def test_team_that_only_acknowledged_is_still_free(desk):
    desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    second = desk.report(P2, at=ELSEWHERE, now=LATER)
    assert told_of(desk, second) == {desk.first}


def test_second_report_of_the_same_incident_still_goes_to_the_team(at_work):
    desk = at_work
    joined = desk.report(P2, now=LATER)
    assert told_of(desk, joined) == set()
    (told,) = desk.events("alert.updated")
    assert (told["report_id"], told["alert_id"]) == (joined.id, desk.alert_of(desk.first))


def test_graver_report_of_the_same_incident_rouses_nobody_else_at_once(at_work):
    desk = at_work
    desk.report(P1, now=LATER)
    assert desk.states().keys() == {desk.first, desk.room}


def test_incident_next_to_the_one_at_work_is_not_elsewhere(at_work):
    desk = at_work
    desk.do("update incidents set category_groups = '{contact}'")
    beside = desk.report(P2, at=NEXT_DOOR, now=LATER)
    assert len(desk.rows("select from incidents")) == 2
    assert told_of(desk, beside) == {desk.first}


def test_when_every_team_is_at_work_the_nearest_is_told(at_work):
    desk = at_work
    desk.report(P2, at=ELSEWHERE, now=LATER)
    go(desk, desk.operator, desk.alert_of(desk.second), alerts.on_scene)
    far = Point(SPOT.lon + 0.06, SPOT.lat)
    desk.report(P2, at=far, now=LATER)
    go(desk, desk.police, desk.alert_of(desk.third), alerts.on_scene)
    last = desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.05), now=LATER)
    assert told_of(desk, last) == {desk.first}
    assert "on_other_incident" in reasons(desk, desk.first)


def test_team_that_is_done_is_free_again(at_work):
    desk = at_work
    alerts.close(
        desk.database,
        desk.vault,
        principal=desk.police,
        alert_id=desk.alert_of(desk.first),
        now=NOW,
    )
    second = desk.report(P2, at=ELSEWHERE, now=LATER)
    assert told_of(desk, second) == {desk.first}


def test_team_follows_its_alert_into_another_incident_and_out_of_work(at_work):
    desk = at_work
    elsewhere = desk.report(P2, at=ELSEWHERE, now=LATER)
    (other,) = desk.rows("select incident_id from reports where id = %s", elsewhere.id)
    alert = desk.alert_of(desk.first)
    desk.do("update alerts set incident_id = %s where id = %s", other["incident_id"], alert)
    (work,) = desk.rows("select * from engagements")
    assert (work["incident_id"], work["team_id"]) == (other["incident_id"], desk.first)
    desk.do("update alerts set state = 'declined' where id = %s", alert)
    assert desk.rows("select from engagements") == []


def test_alert_that_nobody_closed_does_not_keep_a_team_busy_for_ever(desk):
    early = NOW - timedelta(hours=13)
    desk.report(P2, now=early)
    alert = desk.alert_of(desk.first)
    desk.do("update alerts set state = 'on_scene' where id = %s", alert)
    second = desk.report(P2, at=ELSEWHERE)
    assert told_of(desk, second) == {desk.first}


def test_exercise_keeps_no_team_from_a_real_report(at_work):
    desk = at_work
    for table in ("alerts", "incidents", "engagements"):
        desk.do(f"update {table} set exercise = true")  # noqa: S608 - of the line above
    second = desk.report(P2, at=ELSEWHERE, now=LATER)
    assert told_of(desk, second) == {desk.first}


def test_next_rung_of_a_ladder_is_a_team_that_is_free(desk):
    desk.report(P2)
    go(desk, desk.operator, _tell_second(desk))
    second = desk.report(P2, at=ELSEWHERE, now=LATER)
    assert told_of(desk, second) == {desk.first}
    desk.climb(LATER + timedelta(minutes=3))
    assert told_of(desk, second) == {desk.first, desk.third}


def _tell_second(desk):
    desk.climb(NOW + timedelta(minutes=3))
    return desk.alert_of(desk.second)


def test_team_shows_what_it_is_working_on(at_work):
    desk = at_work

    def seen(team_id):
        found = teams.read_team(desk.database, desk.police, team_id=team_id, now=NOW)
        return found.working_on

    assert (seen(desk.first), seen(desk.third)) == (1, 0)
