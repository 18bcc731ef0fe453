import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, P4, SPOT
from waylight.domain.alerts import DeclineCause, Ending, Named, State
from waylight.domain.errors import StaleVersion, StateConflict
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import alerts

LATER = NOW + timedelta(minutes=1)

STORY = replace(P2, narrative="He got on at King's Cross.")


def test_team_that_acknowledges_holds_the_incident_and_stops_the_ladder(desk):
    report = desk.report(P1)
    alert, overseer = desk.alert_of(desk.first), desk.alert_of(desk.room)
    found = desk.acknowledge(desk.police, alert, now=LATER)
    assert found.alert.state is State.ACKNOWLEDGED
    assert found.alert.acknowledged_at == LATER
    assert found.alert.acknowledged_by == Named(desk.police.staff_id, "Robin")
    assert found.alert.version == 2
    incident = desk.incident()
    assert (incident["held_by_alert_id"], incident["escalate_at"]) == (alert, None)
    assert desk.states() == {desk.first: "acknowledged", desk.room: "withdrawn"}
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"dropped"}
    (acknowledged,) = desk.events("alert.acknowledged")
    assert acknowledged["data"] == {"role": "officer", "holds": True, "again": False}
    assert (acknowledged["report_id"], acknowledged["staff_id"]) == (
        report.id,
        desk.police.staff_id,
    )
    (withdrawn,) = desk.events("alert.withdrawn")
    assert withdrawn["alert_id"] == overseer
    assert withdrawn["organisation_id"] == desk.police.organisation_id


def test_acknowledging_is_reading(desk):
    report = desk.report(STORY)
    found = desk.acknowledge(desk.police, desk.alert_of(desk.first))
    assert found.reports[0].story.narrative == "He got on at King's Cross."
    assert [row["report_id"] for row in desk.rows("select * from audit_entries")] == [report.id]


def test_withdrawn_team_that_comes_all_the_same_joins(desk):
    desk.report(P1)
    holder, late = desk.alert_of(desk.first), desk.alert_of(desk.room)
    desk.acknowledge(desk.police, holder)
    found = desk.acknowledge(desk.control, late, now=LATER)
    assert found.alert.state is State.ACKNOWLEDGED
    assert found.alert.ended_at is None
    assert found.alert.acknowledged_at == LATER
    assert desk.incident()["held_by_alert_id"] == holder
    data = [event["data"]["holds"] for event in desk.events("alert.acknowledged")]
    assert data == [True, False]


@pytest.mark.commits
def test_two_teams_acknowledge_at_once_and_one_holds_while_the_other_joins(desk):
    for n in range(5):
        desk.report(P1, at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=NOW + timedelta(seconds=n))
        people = {
            desk.alert_of(desk.first): desk.police,
            desk.alert_of(desk.room): desk.control,
        }
        together = threading.Barrier(2)

        def answer(alert, who, together=together):
            together.wait()
            return desk.acknowledge(who, alert)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(answer, people, people.values()))
        assert {one.alert.state for one in answers} == {State.ACKNOWLEDGED}
        (held_by,) = {
            row["held_by_alert_id"]
            for row in desk.rows(
                "select i.* from incidents i join alerts a on a.incident_id = i.id"
                " where a.id = any (%s)",
                list(people),
            )
        }
        assert held_by in people
        said = [e for e in desk.events("alert.acknowledged") if e["alert_id"] in people]
        assert sorted(e["data"]["holds"] for e in said) == [False, True]
        assert {e["alert_id"] for e in said if e["data"]["holds"]} == {held_by}


def test_acknowledging_twice_is_one_acknowledgement(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    once = desk.acknowledge(desk.police, alert)
    twice = desk.acknowledge(desk.police, alert, now=LATER)
    assert twice.alert == once.alert
    assert len(desk.events("alert.acknowledged")) == 1


def test_stale_version_changes_nothing(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    assert desk.acknowledge(desk.police, alert, if_match=1).alert.version == 2
    with pytest.raises(StaleVersion):
        alerts.en_route(
            desk.database,
            desk.vault,
            principal=desk.police,
            alert_id=alert,
            now=NOW,
            if_match=1,
        )
    assert desk.states() == {desk.first: "acknowledged"}


def test_report_that_joins_makes_the_version_that_was_read_stale(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    version = desk.read(desk.police, alert).alert.version
    desk.report(now=LATER)
    with pytest.raises(StaleVersion):
        desk.acknowledge(desk.police, alert, if_match=version)


@pytest.mark.parametrize("knows_by", ["reading", "version"])
def test_acknowledging_again_stops_the_ladder_that_a_graver_report_started_afresh(desk, knows_by):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    desk.report(P1, now=LATER)
    assert desk.incident()["escalate_at"] == LATER + timedelta(seconds=60)
    assert desk.states() == {desk.first: "acknowledged", desk.room: "pending"}
    version = None
    if knows_by == "reading":
        desk.read(desk.police, alert, now=LATER)
    else:
        (row,) = desk.rows("select version from alerts where id = %s", alert)
        version = row["version"]
    found = desk.acknowledge(desk.police, alert, now=LATER, if_match=version)
    assert found.alert.state is State.ACKNOWLEDGED
    assert len(found.reports) == 2
    assert desk.incident()["escalate_at"] is None
    assert desk.states() == {desk.first: "acknowledged", desk.room: "withdrawn"}
    assert [event["data"]["again"] for event in desk.events("alert.acknowledged")] == [False, True]


def test_acknowledging_what_was_read_before_a_graver_report_joined_silences_nothing(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.do("update deliveries set status = 'sent'")
    desk.read(desk.police, alert, now=NOW)
    joined_at = NOW + timedelta(seconds=5)
    desk.report(P1, now=joined_at)
    found = desk.acknowledge(desk.police, alert, now=NOW + timedelta(seconds=6))
    assert found.alert.state is State.ACKNOWLEDGED
    incident = desk.incident()
    assert incident["held_by_alert_id"] == alert
    assert incident["escalate_at"] == joined_at + timedelta(seconds=60)
    assert desk.states() == {desk.first: "acknowledged", desk.room: "pending"}
    waiting = desk.rows("select alert_id, message, priority from deliveries where status='queued'")
    assert {(row["alert_id"], row["message"], row["priority"]) for row in waiting} == {
        (alert, "alert.updated", 1),
        (desk.alert_of(desk.room), "alert.created", 1),
    }
    assert desk.events("alert.withdrawn") == []
    # The answer to a step is no reading: the phone may have sent it twice, never having got one.
    desk.acknowledge(desk.police, alert, now=NOW + timedelta(seconds=7))
    assert desk.climb(incident["escalate_at"]) == 1
    assert desk.states()[desk.second] == "pending"


def test_control_room_that_the_graver_report_itself_has_told_stops_the_ladder_unread(desk):
    desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    desk.report(P1, now=LATER)
    desk.acknowledge(desk.control, desk.alert_of(desk.room), now=LATER)
    assert desk.incident()["escalate_at"] is None
    assert desk.states() == {desk.first: "acknowledged", desk.room: "acknowledged"}


def test_report_that_joined_is_told_to_a_team_whatever_it_does_but_leave(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.report(P2, now=LATER)
    who = {"principal": desk.police, "alert_id": alert, "now": LATER}

    def updates():
        rows = desk.rows("select status from deliveries where message = 'alert.updated'")
        return [row["status"] for row in rows]

    desk.acknowledge(desk.police, alert, now=LATER)
    alerts.en_route(desk.database, desk.vault, **who)
    alerts.on_scene(desk.database, desk.vault, **who)
    assert updates() == ["queued"]
    alerts.close(desk.database, desk.vault, **who)
    assert updates() == ["dropped"]


@pytest.mark.commits
def test_two_people_of_a_hub_answer_at_once_and_the_second_is_told_that_it_is_stale(desk):
    desk.report(replace(P2, wants=(Want.HELP, Want.HUB)))
    alert = desk.alert_of(desk.hub)
    together = threading.Barrier(2)

    def answer(_):
        together.wait()
        try:
            return desk.acknowledge(desk.hub_host, alert, if_match=1).alert.version
        except StaleVersion:
            return "stale"

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(answer, range(2)))
    assert set(answers) == {2, "stale"}
    assert len(desk.events("alert.acknowledged")) == 1


def test_answer_of_a_hub_does_not_stop_the_ladder(desk):
    desk.report(replace(P2, wants=(Want.HELP, Want.HUB, Want.POLICE)))
    before = desk.incident()
    found = desk.acknowledge(desk.hub_host, desk.alert_of(desk.hub))
    assert found.alert.state is State.ACKNOWLEDGED
    assert desk.incident() == before
    assert desk.states() == {desk.first: "pending"}


def test_step_that_is_not_possible_is_a_conflict_and_changes_nothing(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    before = desk.kinds()
    with pytest.raises(StateConflict):
        alerts.on_scene(desk.database, desk.vault, principal=desk.police, alert_id=alert, now=NOW)
    assert desk.states() == {desk.first: "pending"}
    assert desk.kinds() == before


def test_team_goes_arrives_and_closes_and_the_incident_is_closed(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    who = {"principal": desk.police, "alert_id": alert, "now": LATER}
    desk.acknowledge(desk.police, alert)
    assert alerts.en_route(desk.database, desk.vault, **who).alert.state is State.EN_ROUTE
    assert alerts.on_scene(desk.database, desk.vault, **who).alert.state is State.ON_SCENE
    found = alerts.close(desk.database, desk.vault, **who, ending=Ending.FOUNDED)
    assert found.alert.state is State.CLOSED
    assert (found.alert.outcome, found.alert.ended_at) == ("founded", LATER)
    assert found.alert.incident.state == "closed"
    incident = desk.incident()
    assert (incident["state"], incident["closed_at"]) == ("closed", LATER)
    assert (incident["held_by_alert_id"], incident["escalate_at"]) == (None, None)
    assert {"alert.en_route", "alert.on_scene", "alert.closed", "incident.closed"} <= set(
        desk.kinds()
    )
    (closed,) = desk.events("alert.closed")
    assert closed["data"] == {"role": "officer", "outcome": "founded"}


def test_decline_tells_the_next_rung_at_once(desk):
    desk.report()
    found = desk.decline(desk.police, desk.alert_of(desk.first), now=LATER, cause=DeclineCause.BUSY)
    assert (found.alert.state, found.alert.outcome) == (State.DECLINED, "busy")
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}
    assert desk.incident()["escalate_at"] == LATER + timedelta(minutes=3)
    (told,) = desk.rows("select * from deliveries where alert_id = %s", desk.alert_of(desk.second))
    assert (told["status"], told["next_attempt_at"]) == ("queued", LATER)


def test_decline_is_followed_by_the_worker_when_the_climb_fails_in_the_request(desk, monkeypatch):
    desk.report()

    def broken(*_, **__):
        raise RuntimeError("no climb today")

    monkeypatch.setattr("waylight.services.alerts.steps.climb", broken)
    found = desk.decline(desk.police, desk.alert_of(desk.first), now=LATER)
    assert found.alert.state is State.DECLINED
    assert desk.states() == {desk.first: "declined"}
    assert desk.climb(LATER) == 1
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}


def test_team_that_hands_back_what_it_held_sends_the_ladder_on(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    desk.decline(desk.police, alert, now=LATER)
    assert desk.incident()["held_by_alert_id"] is None
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}


def test_priority_1_that_is_handed_back_reaches_the_control_room_again(desk):
    desk.report(P1)
    alert, stood_down = desk.alert_of(desk.first), desk.alert_of(desk.room)
    desk.acknowledge(desk.police, alert)
    assert desk.states() == {desk.first: "acknowledged", desk.room: "withdrawn"}
    desk.decline(desk.police, alert, now=LATER)
    assert desk.states() == {
        desk.first: "declined",
        desk.second: "pending",
        desk.room: "pending",
    }
    again = desk.alert_of(desk.room)
    assert again != stood_down
    (before,) = desk.rows("select state from alerts where id = %s", stood_down)
    assert before["state"] == "withdrawn"
    (message,) = desk.rows("select * from deliveries where alert_id = %s", again)
    assert (message["status"], message["next_attempt_at"]) == ("queued", LATER)
    assert desk.read(desk.control, again).alert.reasons[0].code == "control_room_priority_1"


def test_priority_1_handed_back_while_another_team_works_leaves_the_control_room_alone(desk):
    desk.report(P1)
    desk.climb(LATER)
    holder, joined = desk.alert_of(desk.first), desk.alert_of(desk.second)
    desk.acknowledge(desk.police, holder, now=LATER)
    desk.acknowledge(desk.operator, joined, now=LATER)
    desk.decline(desk.police, holder, now=LATER)
    assert desk.incident()["held_by_alert_id"] == joined
    assert desk.states()[desk.room] == "withdrawn"


def test_team_that_was_only_stood_down_is_asked_again_by_a_new_alert(desk):
    desk.report(P2)
    desk.climb(NOW + timedelta(minutes=3))
    holder, stood_down = desk.alert_of(desk.first), desk.alert_of(desk.second)
    at = NOW + timedelta(minutes=4)
    desk.acknowledge(desk.police, holder, now=at)
    assert desk.states() == {desk.first: "acknowledged", desk.second: "withdrawn"}
    desk.decline(desk.police, holder, now=at)
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}
    again = desk.alert_of(desk.second)
    assert again != stood_down
    desk.acknowledge(desk.operator, again, now=at)
    assert desk.incident()["held_by_alert_id"] == again
    (before,) = desk.rows("select state from alerts where id = %s", stood_down)
    assert before["state"] == "withdrawn"


def test_declined_alert_of_priority_4_goes_to_the_next_inbox_without_a_message(desk):
    desk.report(P4)
    assert desk.incident()["escalate_at"] is None
    desk.decline(desk.police, desk.alert_of(desk.first))
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}
    assert desk.incident()["escalate_at"] is None
    assert desk.rows("select from deliveries") == []


def test_report_that_only_the_fallback_could_route_is_answered_like_any_other(desk):
    desk.report(P1)
    desk.do("update incidents set restarted_at = null")
    found = desk.acknowledge(desk.police, desk.alert_of(desk.first))
    assert found.alert.state == "acknowledged"
