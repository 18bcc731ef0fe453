import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.desk import NOW, P1, P2, SPOT
from waylight.db.alerts import ladder
from waylight.domain.geo import Point
from waylight.domain.reports import NewReport
from waylight.services import alerts, routing

LATER = NOW + timedelta(minutes=1)
ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)


def test_rung_that_does_not_answer_in_time_is_followed_by_the_next(desk):
    report = desk.report(P2)
    assert desk.climb(NOW + timedelta(seconds=179)) == 0
    at = NOW + timedelta(seconds=180)
    assert desk.climb(at) == 1
    assert desk.states() == {desk.first: "pending", desk.second: "pending"}
    (alert,) = desk.rows("select * from alerts where team_id = %s", desk.second)
    assert (alert["created_at"], alert["role"], alert["rank"]) == (at, "backup", 2)
    assert "next_in_ladder" in [reason["code"] for reason in alert["reasons"]]
    incident = desk.incident()
    assert (incident["escalate_at"], incident["rung"]) == (at + timedelta(seconds=180), 2)
    (escalated,) = desk.events("alert.escalated")
    assert (escalated["alert_id"], escalated["at"]) == (alert["id"], at)
    assert escalated["report_id"] == report.id
    assert desk.events("alert.created")[-1]["at"] == at
    found = desk.read(desk.operator, alert["id"])
    assert found.reports[0].story.narrative == "A man followed me."


def test_next_rung_is_told_of_every_report_of_the_incident(desk):
    first = desk.report(P2)
    second = desk.report(replace(P2, narrative="I saw it too."), now=LATER)
    third = desk.report(P1, now=LATER)
    desk.climb(LATER + timedelta(seconds=60))
    alert = desk.alert_of(desk.second)
    (row,) = desk.rows("select report_id, priority from alerts where id = %s", alert)
    assert (row["report_id"], row["priority"]) == (third.id, 1)
    found = desk.read(desk.operator, alert)
    assert {report.id for report in found.reports} == {first.id, second.id, third.id}
    assert all(report.story for report in found.reports)
    told = [e["report_id"] for e in desk.events("alert.updated") if e["alert_id"] == alert]
    assert set(told) == {first.id, second.id}


def test_most_urgent_incident_climbs_first(desk):
    desk.report(P2)
    desk.report(P1, at=ELSEWHERE)
    assert desk.climb(NOW + timedelta(minutes=5), limit=1) == 1
    (climbed,) = desk.events("alert.escalated")
    assert climbed["data"]["priority"] == 1


def test_incident_nobody_answers_alarms_the_control_room_again_and_again(desk):
    desk.report(P2)
    at = NOW
    for _ in range(3):
        at += timedelta(minutes=3)
        assert desk.climb(at) == 1
    assert desk.states()[desk.room] == "pending"
    assert desk.events("incident.unanswered") == []

    alarms = []
    for _ in range(5):
        at = desk.incident()["escalate_at"]
        assert desk.climb(at) == 1
        alarms.append(at)
        desk.do("update deliveries set status = 'sent'")
    incident = desk.incident()
    assert incident["unanswered_at"] == alarms[0]
    assert [(b - a).seconds for a, b in pairwise(alarms)] == [
        180,
        180,
        360,
        720,
    ]
    (unanswered,) = desk.events("incident.unanswered")
    assert (unanswered["at"], unanswered["incident_id"]) == (alarms[0], incident["id"])
    sent = desk.rows("select * from deliveries where message = 'incident.unanswered'")
    assert {row["alert_id"] for row in sent} == {desk.alert_of(desk.room)}
    assert len(sent) == 5

    desk.acknowledge(desk.control, desk.alert_of(desk.room), now=at)
    incident = desk.incident()
    assert (incident["unanswered_at"], incident["escalate_at"]) == (None, None)


def test_alarm_that_could_not_be_sent_yet_is_not_queued_twice(desk):
    desk.report(P2)
    for _ in range(6):
        assert desk.climb(desk.incident()["escalate_at"]) == 1
    sent = desk.rows("select * from deliveries where message = 'incident.unanswered'")
    assert len(sent) == 1


def test_control_room_that_declined_is_told_anew_when_nobody_else_is_left(desk):
    desk.report(P2)
    for who, team in (
        (desk.police, desk.first),
        (desk.operator, desk.second),
        (desk.police, desk.third),
    ):
        desk.decline(who, desk.alert_of(team))
    declined = desk.alert_of(desk.room)
    desk.decline(desk.control, declined, now=LATER)
    told_anew = desk.alert_of(desk.room)
    assert told_anew != declined
    (row,) = desk.rows("select state, rank, role from alerts where id = %s", told_anew)
    assert row == {"state": "pending", "rank": 5, "role": "control_room"}
    assert desk.incident()["unanswered_at"] == LATER
    assert desk.incident()["escalate_at"] == LATER + timedelta(minutes=3)


def test_team_that_comes_on_duty_is_told_of_an_unanswered_incident(desk):
    desk.do("update teams set duty_status = 'off' where id = %s", desk.third)
    desk.report(P2)
    for _ in range(3):
        desk.climb(desk.incident()["escalate_at"])
    assert desk.incident()["unanswered_at"] is not None
    desk.do("update teams set duty_status = 'available' where id = %s", desk.third)
    desk.climb(desk.incident()["escalate_at"])
    assert desk.states()[desk.third] == "pending"
    assert desk.incident()["unanswered_at"] is not None


def test_held_incident_whose_graver_report_nobody_answers_is_not_called_unanswered(desk):
    desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    desk.report(P1, now=LATER)
    for _ in range(4):
        desk.climb(desk.incident()["escalate_at"])
    incident = desk.incident()
    assert incident["held_by_alert_id"] == desk.alert_of(desk.first)
    assert incident["unanswered_at"] is None
    assert incident["escalate_at"] is not None
    assert desk.events("incident.unanswered") == []
    assert desk.rows("select from deliveries where message = 'incident.unanswered'")


def test_incident_whose_next_rung_cannot_be_chosen_reaches_the_control_room(desk, monkeypatch):
    desk.report(P1)
    real = routing.next_rung

    def broken(conn, incident_id, *, now):
        conn.execute("select no_such_column")

    monkeypatch.setattr(routing, "next_rung", broken)
    assert desk.climb(LATER) == 1
    (alarm,) = desk.rows("select * from deliveries where message = 'incident.unanswered'")
    assert alarm["alert_id"] == desk.alert_of(desk.room)
    monkeypatch.setattr(routing, "next_rung", real)
    assert desk.climb(desk.incident()["escalate_at"]) == 1
    assert desk.states()[desk.second] == "pending"


def test_incident_that_fails_does_not_keep_the_others_from_climbing(desk, monkeypatch):
    desk.report(P1)
    desk.report(P2, at=ELSEWHERE)
    (broken,) = desk.rows("select id from incidents where priority = 1")
    real = ladder.tell

    def tell(conn, incident_id, recipient, *, now):
        if incident_id == broken["id"]:
            raise RuntimeError("this one cannot be told")
        return real(conn, incident_id, recipient, now=now)

    monkeypatch.setattr(ladder, "tell", tell)
    assert desk.climb(NOW + timedelta(minutes=5)) == 1
    (escalated,) = desk.events("alert.escalated")
    assert escalated["incident_id"] != broken["id"]
    (still_due,) = desk.rows("select escalate_at from incidents where id = %s", broken["id"])
    assert still_due["escalate_at"] == LATER


def test_incident_whose_reports_were_all_withdrawn_stops_climbing(desk):
    desk.report(P2)
    desk.do("update reports set withdrawn_at = %s", NOW)
    assert desk.climb(NOW + timedelta(minutes=3)) == 1
    assert desk.states() == {desk.first: "pending"}
    assert desk.incident()["escalate_at"] is None


@pytest.mark.commits
def test_incident_that_another_worker_has_is_left_to_it(desk):
    desk.report(P2)
    at = NOW + timedelta(minutes=3)
    with desk.database.intake() as conn:
        conn.execute("select from incidents for update")
        assert desk.climb(at) == 0
    assert desk.climb(at) == 1


@pytest.mark.commits
def test_many_workers_climb_each_incident_once(desk):
    for n in range(8):
        desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.02 * n))
    at = NOW + timedelta(minutes=3)
    with ThreadPoolExecutor(4) as pool:
        climbed = list(pool.map(lambda _: desk.climb(at), range(4)))
    assert sum(climbed) == 8
    told = desk.rows("select incident_id from alerts where team_id = %s", desk.second)
    assert len(told) == len({row["incident_id"] for row in told}) == 8


@pytest.mark.commits
def test_acknowledgement_and_climb_at_once_leave_the_ladder_at_rest(desk):
    for n in range(5):
        desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=NOW + timedelta(seconds=n))
        alert = desk.alert_of(desk.first)
        together = threading.Barrier(2)

        def climb(together=together):
            together.wait()
            desk.climb(NOW + timedelta(minutes=10))

        def acknowledge(together=together, alert=alert):
            together.wait()
            desk.acknowledge(desk.police, alert)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(climb), pool.submit(acknowledge)]:
                done.result()
    incidents = desk.rows("select held_by_alert_id, escalate_at from incidents")
    assert len(incidents) == 5
    assert all(row["held_by_alert_id"] and not row["escalate_at"] for row in incidents)
    assert (
        desk.rows("select from alerts where team_id = %s and state = 'pending'", desk.second) == []
    )


def test_report_that_could_not_be_routed_reaches_the_control_room(desk):
    report = desk.report(NewReport(in_danger=True))
    desk.do("delete from alerts")
    desk.do("delete from deliveries")
    desk.do("update reports set status = 'unrouted', incident_id = null")
    assert alerts.route_waiting(desk.database, now=LATER) == 1
    (row,) = desk.rows("select status, incident_id from reports")
    assert row["status"] == "routed"
    assert row["incident_id"] is not None
    assert [e["alert_id"] for e in desk.events("alert.created")][-1] == desk.alert_of(desk.room)
    assert [one.id for one in desk.read(desk.control, desk.alert_of(desk.room)).reports] == [
        report.id
    ]
    assert alerts.route_waiting(desk.database, now=LATER) == 0


def test_report_that_still_cannot_be_routed_does_not_stop_the_sweep(desk, monkeypatch):
    desk.report(P1)
    desk.report(P1, at=ELSEWHERE)
    desk.do("update reports set status = 'unrouted', incident_id = null")
    stuck = desk.rows("select id from reports order by id")[0]["id"]
    real = routing.route_unrouted

    def route(conn, report_id, *, now):
        if report_id == stuck:
            raise RuntimeError("not this one")
        real(conn, report_id, now=now)

    monkeypatch.setattr(routing, "route_unrouted", route)
    assert alerts.route_waiting(desk.database, now=LATER) == 1
    left = desk.rows("select id from reports where status = 'unrouted'")
    assert [row["id"] for row in left] == [stuck]
