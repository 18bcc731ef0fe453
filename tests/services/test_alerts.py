import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from tests.desk import NOW, P1, P2, P4, SPOT
from waylight.db.alerts import ladder
from waylight.domain.alerts import DeclineCause, Ending, Named, State
from waylight.domain.errors import NotAllowed, NotFound, StaleVersion, StateConflict
from waylight.domain.geo import Point
from waylight.domain.principals import NOBODY
from waylight.domain.reports import Contact, Need, NewReport, Want
from waylight.services import alerts, routing

LATER = NOW + timedelta(minutes=1)
ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)

STORY = replace(
    P2,
    narrative="He got on at King's Cross.",
    description_of_person="A green coat.",
    contact=Contact(phone="+447700900123", voicemail_ok=False),
    rejected={"/contact/email": "not an address"},
    needs=(Need.STEP_FREE,),
)


# Reading


def test_alert_is_read_with_its_story_its_place_and_why_it_was_routed_so(desk):
    desk.report(STORY)
    found = desk.read(desk.police, desk.alert_of(desk.first))
    assert found.alert.state is State.PENDING
    assert found.alert.categories == ("being_followed",)
    (report,) = found.reports
    assert report.level == "full"
    assert report.story.narrative == "He got on at King's Cross."
    assert report.story.description_of_person == "A green coat."
    assert report.story.contact == Contact(phone="+447700900123", voicemail_ok=False)
    assert report.story.not_understood == {"/contact/email": "not an address"}
    assert report.story.readable
    assert (report.location.point.lon, report.location.point.lat) == (SPOT.lon, SPOT.lat)
    assert report.needs == ("step_free",)
    assert [choice.name for choice in report.choices] == ["First", "Second", "Third", "Room"]
    assert "covers_area" in [reason.code for reason in report.choices[0].reasons]
    assert [(rung.team and rung.team.name, rung.state) for rung in found.rungs] == [
        ("First", State.PENDING)
    ]


def test_every_report_that_is_read_is_in_the_audit_log(desk):
    first = desk.report()
    second = desk.report(now=LATER)
    assert second.joined
    alert = desk.alert_of(desk.first)
    alerts.read_alert(
        desk.database,
        desk.vault,
        principal=desk.police,
        alert_id=alert,
        now=LATER,
        request_id="request-1",
    )
    entries = desk.rows("select * from audit_entries")
    assert {entry["report_id"] for entry in entries} == {first.id, second.id}
    assert {
        (e["at"], e["staff_id"], e["organisation_id"], e["action"], e["alert_id"], e["request_id"])
        for e in entries
    } == {
        (
            LATER,
            desk.police.staff_id,
            desk.police.organisation_id,
            "report.read",
            alert,
            "request-1",
        )
    }


def test_passenger_learns_once_that_a_person_has_seen_it(desk):
    report = desk.report()
    alert = desk.alert_of(desk.first)
    desk.do("update deliveries set status = 'sent' where alert_id = %s", alert)
    desk.read(desk.police, alert, now=LATER)
    desk.read(desk.police, alert, now=LATER + timedelta(minutes=1))
    (seen,) = desk.events("alert.seen")
    assert (seen["report_id"], seen["alert_id"], seen["at"]) == (report.id, alert, LATER)
    assert (seen["staff_id"], seen["organisation_id"]) == (
        desk.police.staff_id,
        desk.police.organisation_id,
    )
    assert seen["data"] == {"role": "officer"}
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"seen"}


def test_message_that_still_waits_is_not_called_seen(desk):
    desk.report()
    desk.read(desk.police, desk.alert_of(desk.first))
    assert [row["status"] for row in desk.rows("select status from deliveries")] == ["queued"]


def test_hub_is_told_to_expect_somebody_and_reads_no_story_and_no_place(desk):
    desk.report(replace(STORY, wants=(Want.HELP, Want.HUB)))
    found = desk.read(desk.hub_host, desk.alert_of(desk.hub))
    (report,) = found.reports
    assert report.level == "heads_up"
    assert report.needs == ("step_free",)
    assert (report.story, report.location, report.journey) == (None, None, None)
    assert report.choices == ()
    assert found.alert.place is None
    assert "+447700900123" not in repr(found)
    assert str(SPOT.lon) not in repr(found)


def test_story_whose_key_was_destroyed_leaves_the_facts_readable(desk):
    desk.report(STORY)
    desk.do("update report_secrets set wrapped_key = null")
    (report,) = desk.read(desk.police, desk.alert_of(desk.first)).reports
    assert not report.story.readable
    assert report.story.narrative is None
    assert report.categories == ("being_followed",)


def test_story_of_another_report_cannot_be_slipped_in(desk):
    desk.report(STORY)
    desk.report(replace(P2, narrative="Another."), at=ELSEWHERE)
    desk.do(
        "update report_secrets s set narrative = o.narrative from report_secrets o"
        " where o.report_id <> s.report_id"
    )
    (report,) = desk.read(desk.police, desk.alert_of(desk.first)).reports
    assert not report.story.readable


# Who sees what


def test_staff_of_an_organisation_that_was_not_told_find_nothing(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    assert alerts.list_alerts(desk.database, desk.operator) == []
    for act in (desk.read, desk.acknowledge, desk.decline):
        with pytest.raises(NotFound):
            act(desk.operator, alert)
    with pytest.raises(NotFound):
        desk.read(desk.police, uuid4())
    assert not desk.rows("select from audit_entries")


@pytest.mark.parametrize(
    "table",
    ["reports", "report_secrets", "incidents", "alerts", "deliveries", "events", "grants"],
)
def test_staff_of_another_organisation_see_nothing_by_hand_written_sql(desk, table):
    desk.report(STORY)
    desk.read(desk.police, desk.alert_of(desk.first))
    for who, sees in ((desk.police, True), (desk.operator, False)):
        with desk.database.staff(who.organisation_id) as conn:
            rows = conn.execute(f"select * from {table}").fetchall()  # noqa: S608 - a constant
        assert bool(rows) is sees


def test_staff_of_another_organisation_change_nothing_by_hand_written_sql(desk):
    desk.report()
    with desk.database.staff(desk.operator.organisation_id) as conn:
        for table in ("alerts", "incidents"):
            changed = conn.execute(
                f"update {table} set state = 'closed'"  # noqa: S608 - a constant
            )
            assert changed.rowcount == 0
        assert conn.execute("update deliveries set status = 'dropped'").rowcount == 0
        assert conn.execute("select from audit_entries").fetchall() == []


def test_team_that_was_told_sees_nothing_of_a_report_it_was_not_told_of(desk):
    desk.report()
    desk.report(STORY, at=ELSEWHERE)
    first, other = desk.rows("select id, report_id from alerts order by created_at, id")
    desk.do(
        "update alerts set organisation_id = %s, team_id = %s where id = %s",
        desk.operator.organisation_id,
        desk.second,
        other["id"],
    )
    desk.do("delete from grants where report_id = %s", other["report_id"])
    found = desk.read(desk.police, first["id"])
    assert [report.id for report in found.reports] == [first["report_id"]]
    # Told, and its grant revoked since: the alert stands, the report is gone.
    assert desk.read(desk.operator, other["id"]).reports == ()


def test_control_room_oversees_an_alert_but_cannot_answer_for_its_team(desk):
    report = desk.report()
    alert = desk.alert_of(desk.first)
    found = desk.read(desk.control, alert)
    assert [one.id for one in found.reports] == [report.id]
    assert desk.events("alert.seen") == []
    assert [row["organisation_id"] for row in desk.rows("select * from audit_entries")] == [
        desk.control.organisation_id
    ]
    for act in (desk.acknowledge, desk.decline):
        with pytest.raises(NotAllowed):
            act(desk.control, alert)


def test_caller_without_an_organisation_is_not_allowed(desk):
    desk.report()
    with pytest.raises(NotAllowed):
        desk.read(NOBODY, desk.alert_of(desk.first))


# The inbox


def test_inbox_is_newest_first_and_goes_on_where_it_stopped(desk):
    ids = []
    for n in range(5):
        desk.report(at=Point(SPOT.lon, SPOT.lat - 0.1 * n), now=NOW + timedelta(seconds=n))
        ids.append(desk.alert_of(desk.first))
    ids.reverse()
    page = alerts.list_alerts(desk.database, desk.police, limit=3)
    assert [alert.id for alert in page] == ids[:3]
    rest = alerts.list_alerts(desk.database, desk.police, limit=3, after=page[-1].id)
    assert [alert.id for alert in rest] == ids[3:]


def test_inbox_is_filtered_by_state(desk):
    desk.report()
    desk.report(at=ELSEWHERE)
    taken = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, taken)
    found = alerts.list_alerts(desk.database, desk.police, states=[State.ACKNOWLEDGED])
    assert [alert.id for alert in found] == [taken]
    assert alerts.list_alerts(desk.database, desk.police, states=[State.CLOSED]) == []


def test_inbox_of_one_team_holds_that_team_s_alerts(desk):
    desk.report()
    desk.decline(desk.police, desk.alert_of(desk.first))
    desk.decline(desk.operator, desk.alert_of(desk.second))
    found = alerts.list_alerts(desk.database, desk.police, team_id=desk.third)
    assert [alert.team for alert in found] == [Named(desk.third, "Third")]
    with pytest.raises(NotFound):
        alerts.list_alerts(desk.database, desk.police, team_id=desk.second)
    overseen = alerts.list_alerts(desk.database, desk.control, team_id=desk.second)
    assert [alert.team for alert in overseen] == [Named(desk.second, "Second")]


def test_inbox_of_a_hub_does_not_say_where(desk):
    desk.do(
        """
        insert into places (city_id, key, name, source_name, kind, position, modes, lines, codes)
        select id, 'stop', 'Camden Town', 'Camden Town', 'station', %s::geography, '{tube}', '{}',
               '{}' from cities
        """,
        SPOT.ewkt(),
    )
    desk.report(replace(P2, wants=(Want.HELP, Want.HUB, Want.POLICE)))
    (for_police,) = alerts.list_alerts(desk.database, desk.police)
    (for_hub,) = alerts.list_alerts(desk.database, desk.hub_host)
    assert for_police.place == "Camden Town"
    assert for_hub.place is None
    assert for_hub.hub == Named(desk.hub, "Hub")


# Acknowledging


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


def test_acknowledging_again_stops_the_ladder_that_a_graver_report_started_afresh(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    desk.report(P1, now=LATER)
    assert desk.incident()["escalate_at"] == LATER + timedelta(seconds=60)
    assert desk.states() == {desk.first: "acknowledged", desk.room: "pending"}
    found = desk.acknowledge(desk.police, alert, now=LATER)
    assert found.alert.state is State.ACKNOWLEDGED
    assert len(found.reports) == 2
    assert desk.incident()["escalate_at"] is None
    assert desk.states() == {desk.first: "acknowledged", desk.room: "withdrawn"}
    assert [event["data"]["again"] for event in desk.events("alert.acknowledged")] == [False, True]


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


# Declining


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


def test_declined_alert_of_priority_4_goes_to_the_next_inbox_without_a_message(desk):
    desk.report(P4)
    assert desk.incident()["escalate_at"] is None
    desk.decline(desk.police, desk.alert_of(desk.first))
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}
    assert desk.incident()["escalate_at"] is None
    assert desk.rows("select from deliveries") == []


# The ladder


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
