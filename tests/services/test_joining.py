"""A report that joins an incident: never silences, never slows, never speaks for another."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, SPOT
from waylight.db import reports as db_reports
from waylight.domain.errors import StateConflict
from waylight.domain.reports import Happening, Journey, LocationClaim, NewReport, Submission
from waylight.services import alerts
from waylight.services.reports import my_report, submit_reports

LATER = NOW + timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
CATCALL = NewReport(categories=("catcalling",))
BY_TUBE = replace(CATCALL, in_danger=True, journey=Journey(mode="tube"))
BY_BUS_EARLIER = replace(
    CATCALL,
    happening=Happening.EARLIER,
    happened_to=NOW,
    journey=Journey(mode="bus"),
)


@pytest.fixture
def split(desk):
    """The police look after the tube, the operator after the bus."""
    desk.do("update coverages set modes = '{tube}' where team_id <> %s", desk.second)
    desk.do("update coverages set modes = '{bus}' where team_id = %s", desk.second)
    return desk


@pytest.mark.parametrize(
    "lesser", [BY_BUS_EARLIER, replace(BY_BUS_EARLIER, happening=Happening.NOW)]
)
def test_a_lesser_report_that_starts_the_ladder_never_slows_one_that_runs(split, lesser):
    split.report(BY_TUBE)
    due = split.incident()["escalate_at"]
    assert split.report(lesser, now=LATER).joined
    assert split.alert_of(split.second)
    assert split.incident()["escalate_at"] == due == NOW + MINUTE
    assert split.climb(NOW + 10 * MINUTE) == 1


def test_a_decline_goes_on_at_once_also_when_the_control_room_has_answered(desk):
    desk.report(P1)
    desk.acknowledge(desk.control, desk.alert_of(desk.room))
    desk.decline(desk.police, desk.alert_of(desk.first), now=LATER)
    assert desk.states()[desk.second] == "pending"


def test_a_hand_back_goes_on_at_once_also_when_the_control_room_has_answered(desk):
    desk.report(P1)
    desk.acknowledge(desk.control, desk.alert_of(desk.room))
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    desk.decline(desk.police, desk.alert_of(desk.first), now=LATER)
    assert desk.states()[desk.second] == "pending"


def close(desk, alert, **others):
    return alerts.close(
        desk.database, desk.vault, principal=desk.police, alert_id=alert, now=LATER, **others
    )


@pytest.mark.parametrize("joiner", [P2, P1])
def test_a_report_that_nobody_has_read_is_not_closed_with_the_others(desk, joiner):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.read(desk.police, alert)
    desk.acknowledge(desk.police, alert)
    desk.report(joiner, now=LATER)
    with pytest.raises(StateConflict, match="Another report"):
        close(desk, alert)
    assert desk.incident()["state"] == "open"
    found = desk.read(desk.police, alert, now=LATER)
    assert len(found.reports) == 2
    close(desk, alert)


def test_a_close_with_if_match_has_seen_what_it_closes(desk):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    desk.report(P2, now=LATER)
    (row,) = desk.rows("select version from alerts where id = %s", alert)
    close(desk, alert, if_match=row["version"])
    assert desk.incident()["state"] == "closed"


def test_a_fault_after_the_commit_stores_nothing_twice(desk, monkeypatch):
    desk.report(P1)

    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(db_reports, "recipients", broken)
    answer = desk.report(P1, now=LATER)
    assert answer.joined
    assert len(desk.rows("select id from reports")) == 2
    assert my_report(desk.database, desk.vault, answer.receipt).id == answer.id


def test_a_fault_in_a_drill_alarms_nobody_for_real(desk, monkeypatch):
    submit, calls = db_reports.submit, []

    def breaks_once(conn, payloads):
        calls.append(payloads)
        if len(calls) == 1:
            raise ValueError
        return submit(conn, payloads)

    monkeypatch.setattr(db_reports, "submit", breaks_once)
    placed = replace(P1, exercise=True, location=LocationClaim(point=SPOT))
    submit_reports(
        desk.database, desk.vault, desk.settings, [Submission(placed, NOW, principal=desk.control)]
    )
    assert [row["exercise"] for row in desk.rows("select exercise from alerts")] == [True]


def test_those_who_declined_a_lesser_report_are_asked_again_about_a_graver_one(desk):
    desk.report(replace(CATCALL, happening=Happening.JUST_NOW))
    for who, team in ((desk.police, desk.first), (desk.operator, desk.second)):
        desk.decline(who, desk.alert_of(team))
    desk.decline(desk.police, desk.alert_of(desk.third))
    desk.report(replace(CATCALL, in_danger=True), now=NOW + MINUTE)
    for minutes in range(2, 6):
        desk.climb(NOW + minutes * MINUTE)
    assert {desk.states()[team] for team in (desk.first, desk.second, desk.third)} == {"pending"}


def test_the_timeline_of_a_joined_report_begins_with_it(desk):
    desk.do("delete from coverages")
    desk.report(P2)
    for minutes in range(3, 12, 3):
        desk.climb(NOW + minutes * MINUTE)
    joined = desk.report(P2, now=NOW + 13 * MINUTE)
    assert joined.joined
    story = my_report(desk.database, desk.vault, joined.receipt).timeline
    assert story[0].code == "received"


def test_a_report_without_a_position_claims_no_mode(desk):
    words = replace(P2, location=LocationClaim(description="on the train"))
    submit_reports(desk.database, desk.vault, desk.settings, [Submission(words, NOW)])
    assert desk.rows("select mode from reports") == [{"mode": None}]


def test_the_first_look_at_a_list_is_audited_once_for_each_person(desk):
    report = desk.report(P1)
    for _ in range(2):
        alerts.list_alerts(desk.database, desk.vault, desk.police, now=NOW)
    entries = desk.rows("select action, report_id, staff_id from audit_entries")
    assert entries == [
        {"action": "report.listed", "report_id": report.id, "staff_id": desk.police.staff_id}
    ]


def test_the_list_says_something_of_every_report_of_an_incident_and_is_a_look_at_each(desk):
    first, joined = desk.report(P2), desk.report(P1, now=NOW + MINUTE)
    assert joined.joined
    for _ in range(2):
        alerts.list_alerts(desk.database, desk.vault, desk.police, now=NOW + MINUTE)
    listed = desk.rows(
        "select report_id, alert_id is not null as by_alert from audit_entries"
        " where action = 'report.listed' order by report_id"
    )
    assert [row["report_id"] for row in listed] == sorted([first.id, joined.id])
    assert any(row["by_alert"] for row in listed)
