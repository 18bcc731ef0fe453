"""Handing over, and "not ours": nobody drops the ball, and the passenger sees who has it."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.desk import NOW, P2, P4
from tests.services.incidents.conftest import LATER, MINUTE
from waylight.domain.alerts import DeclineCause, State
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)
from waylight.domain.reports import Want

LATE = LATER + MINUTE


@pytest.fixture
def held(desk):
    """A report whose incident the police's first team has; its alert."""
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    return alert


def test_holder_keeps_an_incident_until_the_team_that_was_asked_takes_it(desk, room, held):
    found = room.hand_over(desk.police, held, desk.second)
    assert found.alert.state is State.ACKNOWLEDGED
    incident = desk.incident()
    assert (incident["held_by_alert_id"], incident["escalate_at"]) == (held, LATER + 3 * MINUTE)
    asked = desk.alert_of(desk.second)
    (row,) = desk.rows("select * from alerts where id = %s", asked)
    assert (row["state"], row["priority"], row["handed_from"]) == ("pending", 2, held)
    assert [reason["code"] for reason in row["reasons"]] == ["handed_over"]
    (sent,) = desk.rows("select * from deliveries where alert_id = %s", asked)
    assert (sent["message"], sent["status"], sent["priority"]) == ("alert.created", "queued", 2)

    desk.acknowledge(desk.operator, asked, now=LATE)
    incident = desk.incident()
    assert (incident["held_by_alert_id"], incident["escalate_at"]) == (asked, None)
    (was,) = desk.rows("select state, outcome from alerts where id = %s", held)
    assert was == {"state": "closed", "outcome": "handed_over"}
    assert incident["state"] == "open"


def test_ladder_waits_as_long_as_the_organisation_that_is_asked_says(desk, room, held):
    desk.do(
        """update organisations set escalation = '{"1": 25, "2": 65, "3": 130}' where id = %s""",
        desk.operator.organisation_id,
    )
    room.hand_over(desk.police, held, desk.second)
    wait_s = {1: 25, 2: 65, 3: 130}[desk.incident()["priority"]]
    assert desk.incident()["escalate_at"] == LATER + timedelta(seconds=wait_s)


def test_team_that_was_asked_is_granted_the_reports_by_the_hand_over_alone(desk, room, held):
    other = desk.report(replace(P2, narrative="I saw it too."), now=NOW + timedelta(seconds=5))
    room.hand_over(desk.police, held, desk.second)
    grants = desk.rows(
        "select report_id, cause, level, created_by from grants"
        " where organisation_id = %s and cause <> %s",
        desk.operator.organisation_id,
        "oversight",
    )
    assert {grant["cause"] for grant in grants} == {"hand_over"}
    assert {grant["created_by"] for grant in grants} == {f"staff:{desk.police.staff_id}"}
    assert {grant["level"] for grant in grants} == {"full"}
    found = desk.read(desk.operator, desk.alert_of(desk.second), now=LATER)
    assert {report.story.narrative for report in found.reports} == {
        "A man followed me.",
        "I saw it too.",
    }
    assert other.id in {report.id for report in found.reports}


def test_passenger_reads_who_has_it_from_the_first_team_to_the_second(desk, room):
    report = desk.report(P2)
    assert room.told(report).held_by is None
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    assert room.told(report).held_by.name == "First"
    room.hand_over(desk.police, alert, desk.second)
    now_with = room.told(report)
    assert now_with.held_by.name == "First"
    (handing,) = [entry for entry in now_with.timeline if entry.code == "handing_over"]
    assert (handing.params["name"], handing.params["to"]) == ("First", "Second")
    desk.acknowledge(desk.operator, desk.alert_of(desk.second), now=LATE)
    after = room.told(report)
    assert (after.held_by.name, after.held_by.organisation) == ("Second", "Operator")
    assert room.codes(report)[-2:] == ["acknowledged", "handed_over"]


def test_team_that_was_asked_and_does_not_answer_is_followed_by_the_ladder(desk, room, held):
    room.hand_over(desk.police, held, desk.second)
    assert desk.climb(LATER + 3 * MINUTE) == 1
    assert desk.states()[desk.third] == "pending"
    desk.acknowledge(desk.police, desk.alert_of(desk.third), now=LATER + 4 * MINUTE)
    assert desk.incident()["held_by_alert_id"] == desk.alert_of(desk.third)
    assert desk.states() == {
        desk.first: "closed",
        desk.second: "withdrawn",
        desk.third: "acknowledged",
    }


def test_team_that_was_asked_and_declines_leaves_the_holder_holding_and_the_next_told(
    desk, room, held
):
    room.hand_over(desk.police, held, desk.second)
    desk.decline(desk.operator, desk.alert_of(desk.second), now=LATE)
    assert desk.incident()["held_by_alert_id"] == held
    assert desk.states()[desk.third] == "pending"


def test_team_that_is_at_work_on_it_already_has_it_at_once(desk, room):
    report = desk.report(P2)
    desk.climb(NOW + 3 * MINUTE)
    first, second = desk.alert_of(desk.first), desk.alert_of(desk.second)
    desk.acknowledge(desk.police, first, now=NOW + 4 * MINUTE)
    desk.acknowledge(desk.operator, second, now=NOW + 4 * MINUTE)
    found = room.hand_over(desk.police, first, desk.second, now=NOW + 5 * MINUTE)
    assert (found.alert.state, found.alert.outcome) == (State.CLOSED, "handed_over")
    assert desk.incident()["held_by_alert_id"] == second
    assert room.told(report).held_by.name == "Second"


def test_asking_the_same_team_again_changes_nothing(desk, room, held):
    once = room.hand_over(desk.police, held, desk.second)
    kinds = desk.kinds()
    twice = room.hand_over(desk.police, held, desk.second, now=LATE)
    assert desk.kinds() == kinds
    assert twice.alert == once.alert
    assert len(desk.rows("select from incident_notes")) == 1


def test_lesser_report_is_handed_over_without_waking_anybody(desk, room):
    desk.report(P4)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    room.hand_over(desk.police, alert, desk.second)
    assert desk.rows("select from deliveries where alert_id = %s", desk.alert_of(desk.second)) == []
    desk.acknowledge(desk.operator, desk.alert_of(desk.second), now=LATE)
    assert desk.incident()["held_by_alert_id"] == desk.alert_of(desk.second)


def test_reason_is_sealed_and_in_no_event(desk, room, held):
    room.hand_over(desk.police, held, desk.second, reason="Zmark she wore a red coat")
    (note,) = desk.rows("select * from incident_notes")
    assert note["kind"] == "hand_over"
    assert b"Zmark" not in note["note"]
    assert "Zmark" not in str(desk.events())


@pytest.mark.parametrize(
    ("wants", "to", "code"),
    [
        ((Want.HELP,), "first", "police_not_wanted"),
        ((Want.HELP,), "third", "police_not_wanted"),
    ],
)
def test_police_that_the_passenger_did_not_want_are_not_handed_the_incident(
    desk, room, wants, to, code
):
    desk.report(replace(P2, wants=wants))
    alert = desk.alert_of(desk.second)
    desk.acknowledge(desk.operator, alert)
    with pytest.raises(InvalidRequest) as caught:
        room.hand_over(desk.operator, alert, getattr(desk, to))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/to_team", code)]
    assert desk.states() == {desk.second: "acknowledged"}
    assert desk.rows("select from grants where cause = 'hand_over'") == []


def test_child_is_handed_to_safeguarding_people_alone(desk, room):
    desk.do("update teams set capabilities = '{}' where id in (%s, %s)", desk.third, desk.room)
    desk.report(replace(P2, under_18=True))
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    for team in (desk.third, desk.room):
        with pytest.raises(InvalidRequest) as caught:
            room.hand_over(desk.police, alert, team)
        assert caught.value.problems[0].code == "safeguarding_only"
    room.hand_over(desk.police, alert, desk.second)
    assert desk.states()[desk.second] == "pending"


def test_child_is_handed_to_nobody_whose_certificate_has_ended(desk, room):
    ended = Jsonb({"safeguarding": (NOW - timedelta(days=1)).isoformat()})
    desk.do("update teams set staff_capabilities = %s where id = %s", ended, desk.second)
    desk.report(replace(P2, under_18=True))
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    with pytest.raises(InvalidRequest) as caught:
        room.hand_over(desk.police, alert, desk.second)
    assert caught.value.problems[0].code == "safeguarding_only"


def test_team_that_there_is_not_and_the_own_team_are_refused(desk, room, held):
    desk.do("update teams set retired = true where id = %s", desk.third)
    for team, code in (
        (uuid4(), "unknown_team"),
        (desk.hub, "unknown_team"),
        (desk.third, "unknown_team"),
        (desk.first, "same_team"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            room.hand_over(desk.police, held, team)
        assert caught.value.problems[0].code == code


def test_only_the_holder_hands_over_and_only_its_own_alert(desk, room, held):
    with pytest.raises(NotFound):
        room.hand_over(desk.operator, held, desk.second)
    with pytest.raises(NotAllowed):
        room.hand_over(desk.control, held, desk.second)
    with pytest.raises(StaleVersion):
        room.hand_over(desk.police, held, desk.second, if_match=1)
    desk.decline(desk.police, held, now=LATER)
    with pytest.raises(StateConflict):
        room.hand_over(desk.police, held, desk.second)


# --- not ours


def test_what_is_not_theirs_goes_to_another_organisation_with_its_cause(desk, room):
    report = desk.report(P2)
    # The police's second team is nearer than the operator's.
    desk.do(
        "update teams set base = (select base from teams where id = %s) where id = %s",
        desk.first,
        desk.third,
    )
    desk.decline(desk.police, desk.alert_of(desk.first), cause=DeclineCause.NOT_OURS, now=LATER)
    assert desk.states() == {desk.first: "declined", desk.second: "pending"}
    (alert,) = desk.rows("select reasons from alerts where team_id = %s", desk.second)
    assert alert["reasons"][0] == {"code": "rerouted", "params": {"name": "First"}}
    (escalated,) = desk.events("alert.escalated")
    assert escalated["data"]["reasons"] == ["rerouted"]
    story = [(entry.code, entry.params.get("name")) for entry in room.told(report).timeline]
    assert story == [
        ("received", None),
        ("told", "First"),
        ("not_ours", "First"),
        ("read", None),  # the answer to their "not ours" showed it to them
        ("told", "Second"),
    ]
    desk.acknowledge(desk.operator, desk.alert_of(desk.second), now=LATE)
    assert room.told(report).held_by.name == "Second"


def test_busy_team_s_own_organisation_is_asked_next_as_before(desk):
    desk.report(P2)
    desk.do(
        "update teams set base = (select base from teams where id = %s) where id = %s",
        desk.first,
        desk.third,
    )
    desk.decline(desk.police, desk.alert_of(desk.first), cause=DeclineCause.BUSY, now=LATER)
    assert desk.states()[desk.third] == "pending"


def test_rather_the_same_organisation_than_nobody(desk):
    desk.do("delete from coverages where team_id = %s", desk.second)
    desk.report(P2)
    desk.decline(desk.police, desk.alert_of(desk.first), cause=DeclineCause.NOT_OURS, now=LATER)
    assert desk.states() == {desk.first: "declined", desk.third: "pending"}


def test_nobody_else_s_is_the_control_room_s(desk):
    desk.do("delete from coverages where team_id <> %s", desk.first)
    desk.report(P2)
    desk.decline(desk.police, desk.alert_of(desk.first), cause=DeclineCause.NOT_OURS, now=LATER)
    assert desk.states() == {desk.first: "declined", desk.room: "pending"}


def test_rung_that_comes_later_is_told_because_nobody_answered(desk):
    desk.report(P2)
    desk.decline(desk.police, desk.alert_of(desk.first), cause=DeclineCause.NOT_OURS, now=LATER)
    desk.climb(LATER + 3 * MINUTE)
    (alert,) = desk.rows("select reasons from alerts where team_id = %s", desk.third)
    assert alert["reasons"][0]["code"] == "next_in_ladder"
