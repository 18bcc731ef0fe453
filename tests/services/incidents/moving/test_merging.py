"""Merging: nobody is dropped, nobody sees what was not granted."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.desk import NOW, P1, P2, SPOT
from tests.services.incidents.conftest import LATE, LATER, MINUTE
from waylight.domain.alerts import State
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)
from waylight.domain.geo import Point
from waylight.domain.reports import LocationClaim, Submission, Want
from waylight.services import alerts
from waylight.services.reports import submit_reports


def grants(desk):
    return {
        (row["report_id"], row["organisation_id"])
        for row in desk.rows("select report_id, organisation_id from grants")
    }


def test_reports_and_whoever_is_at_work_go_to_the_other_incident(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    found = room.merge(desk.control, source, into)
    assert (found.incident.id, found.incident.report_count) == (into, 2)
    assert {report.id for report in found.reports} == {here.id, there.id}
    gone = room.row(source)
    assert (gone["state"], gone["merged_into"], gone["report_count"]) == ("closed", into, 0)
    assert gone["escalate_at"] is None
    # The one team that was told twice has one alert that lives.
    assert room.alerts(into) == {desk.first: "pending"}
    assert room.alerts(source) == {desk.first: "withdrawn"}
    assert room.row(into)["escalate_at"] == NOW + 3 * MINUTE


def test_team_of_the_other_incident_is_told_of_what_it_did_not_know(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    holder = room.alert(into, desk.first)
    desk.acknowledge(desk.police, holder)
    room.merge(desk.control, source, into)
    assert room.row(into)["held_by_alert_id"] == holder
    told = [e for e in desk.events("alert.updated") if e["alert_id"] == holder]
    assert [e["report_id"] for e in told] == [here.id]
    (sent,) = desk.rows(
        "select report_id from deliveries where alert_id = %s and message = 'alert.updated'", holder
    )
    assert sent["report_id"] == here.id
    # It must be read before it can be closed with the rest.
    with pytest.raises(StateConflict, match="Another report"):
        room.close(desk.police, holder, now=LATE)
    desk.read(desk.police, holder, now=LATE)
    room.close(desk.police, holder, now=LATE)
    assert room.row(into)["state"] == "closed"


def test_merging_is_in_the_audit_log_for_each_report_that_others_may_read_by_it(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    for _ in range(2):
        room.merge(desk.control, source, into)
    (entry,) = desk.rows("select * from audit_entries where action = 'incident.merged'")
    assert (entry["report_id"], entry["incident_id"], entry["subject_id"]) == (
        here.id,
        into,
        source,
    )
    assert entry["staff_id"] == desk.control.staff_id


def test_holder_of_the_incident_that_is_merged_away_works_on(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    desk.decline(desk.police, room.alert(source, desk.first))
    mine = room.alert(source, desk.second)
    desk.acknowledge(desk.operator, mine, now=LATER)
    room.merge(desk.control, source, into, now=LATE)
    assert room.row(into)["held_by_alert_id"] == mine
    assert room.alerts(into)[desk.second] == "acknowledged"
    found = alerts.en_route(
        desk.database, desk.vault, principal=desk.operator, alert_id=mine, now=LATE
    )
    assert found.alert.state is State.EN_ROUTE
    assert {report.id for report in found.reports} == {here.id, there.id}


def test_graver_incident_that_nobody_has_keeps_its_ladder_and_is_answered_by_who_has_read_it(
    desk, room, west
):
    lesser, graver = desk.report(P2), desk.report(P1, at=west)
    into, source = room.of(lesser), room.of(graver)
    holder = room.alert(into, desk.first)
    desk.acknowledge(desk.police, holder)
    room.merge(desk.control, source, into)
    row = room.row(into)
    assert (row["priority"], row["held_by_alert_id"]) == (1, holder)
    assert row["escalate_at"] == NOW + MINUTE
    desk.acknowledge(desk.police, holder, now=LATE)
    assert room.row(into)["escalate_at"] is not None
    desk.read(desk.police, holder, now=LATE)
    desk.acknowledge(desk.police, holder, now=LATE)
    assert room.row(into)["escalate_at"] is None


def test_merging_grants_nobody_a_report_but_those_who_work_on_it(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    # The operator was told of one, and has declined it.
    desk.decline(desk.police, room.alert(source, desk.first))
    desk.decline(desk.operator, room.alert(source, desk.second))
    before = grants(desk)
    room.merge(desk.control, source, into)
    operator = desk.operator.organisation_id
    assert (there.id, operator) not in grants(desk)
    assert {pair for pair in grants(desk) - before if pair[1] == operator} == set()
    found = room.read(desk.operator, source)
    assert found.reports == ()
    assert found.incident.merged_into == into
    with pytest.raises(NotFound):
        room.read(desk.operator, into)


def test_each_organisation_still_reads_what_was_said_before(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    desk.decline(desk.police, room.alert(source, desk.first))
    desk.acknowledge(desk.operator, room.alert(source, desk.second), now=LATER)
    room.note(desk.operator, source, "Said before.")
    room.note(desk.police, into, "Said elsewhere.")
    room.merge(desk.control, source, into, now=LATE)
    notes = {e.note for e in room.timeline(desk.operator, into) if e.note}
    assert notes == {"Said before.", "Said elsewhere."}
    kinds = [e.kind for e in room.timeline(desk.operator, into)]
    assert kinds.count("alert.acknowledged") == 1
    assert kinds.count("report.received") == 2


def test_hub_s_alert_goes_with_its_report(desk, room, west):
    here = desk.report(replace(P2, wants=(Want.HELP, Want.POLICE, Want.HUB)))
    there = desk.report(replace(P2, wants=(Want.HELP, Want.POLICE)), at=west)
    room.merge(desk.control, room.of(here), room.of(there))
    (row,) = desk.rows("select incident_id, state from alerts where hub_id is not null")
    assert (row["incident_id"], row["state"]) == (room.of(there), "pending")


@pytest.mark.parametrize(
    "other", [{"wants": (Want.HELP,)}, {"under_18": True}, {"wants": (Want.HUB,)}]
)
def test_incidents_whose_passengers_allow_different_people_stay_apart(desk, room, west, other):
    open_to_all, limited = desk.report(P2), desk.report(replace(P2, **other), at=west)
    before = grants(desk)
    for pair in ((limited, open_to_all), (open_to_all, limited)):
        with pytest.raises(StateConflict) as caught:
            room.merge(desk.control, *map(room.of, pair))
        assert [p.code for p in caught.value.problems] == ["other_audience"]
    assert grants(desk) == before
    assert desk.events("incident.merged") == []


def test_drill_is_not_merged_with_a_real_incident(desk, room, west):
    real = desk.report(P2)
    drill = replace(P2, exercise=True, location=LocationClaim(point=west))
    submission = Submission(report=drill, received_at=NOW, principal=desk.control)
    (mock,) = submit_reports(desk.database, desk.vault, desk.settings, [submission])
    with pytest.raises(StateConflict, match="drill"):
        room.merge(desk.control, room.of(mock), room.of(real))


def test_merging_again_changes_nothing_and_closed_ones_are_not_merged(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    with pytest.raises(StaleVersion):
        room.merge(desk.control, source, into, if_match=7)
    with pytest.raises(InvalidRequest):
        room.merge(desk.control, source, source)
    room.merge(desk.control, source, into, if_match=1)
    kinds = desk.kinds()
    again = room.merge(desk.control, source, into, now=LATE, if_match=1)
    assert again.incident.id == into
    assert desk.kinds() == kinds
    with pytest.raises(StateConflict):
        room.merge(desk.control, into, source)


def test_only_whoever_holds_or_oversees_both_merges_them(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            room.merge(stranger, source, into)
    with pytest.raises(NotAllowed):
        room.merge(desk.police, source, into)
    desk.acknowledge(desk.police, room.alert(source, desk.first))
    with pytest.raises(NotAllowed):
        room.merge(desk.police, source, into)
    with pytest.raises(NotFound):
        room.merge(desk.police, source, uuid4())
    desk.acknowledge(desk.police, room.alert(into, desk.first))
    room.merge(desk.police, source, into)
    assert room.row(source)["merged_into"] == into


def test_both_passengers_read_that_it_is_one_and_who_has_it(desk, room, two):
    here, there = two
    desk.acknowledge(desk.police, room.alert(room.of(there), desk.first))
    room.merge(desk.control, room.of(here), room.of(there))
    for report in two:
        assert room.codes(report).count("joined") == 1
        assert room.told(report).held_by.name == "First"
    # What the passenger read before the merge is still there.
    assert room.codes(here)[:2] == ["received", "told"]


@pytest.mark.commits
def test_two_merges_the_other_way_round_do_not_wait_for_each_other_for_ever(desk, room):
    for n in range(4):
        pair = [
            room.of(desk.report(P2, at=Point(SPOT.lon - 0.05 * k, SPOT.lat + 0.05 * n)))
            for k in range(2)
        ]
        together = threading.Barrier(2)

        def one_way(order, together=together):
            together.wait()
            try:
                room.merge(desk.control, *order)
            except StateConflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(one_way, (pair, pair[::-1])))
        assert sorted(done) == [False, True]
        states = sorted(room.row(one)["state"] for one in pair)
        assert states == ["closed", "open"]


@pytest.mark.commits
def test_answer_that_waits_for_a_merge_counts_in_the_other_incident(desk, room):
    for n in range(4):
        here = desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.05 * n))
        there = desk.report(P2, at=Point(SPOT.lon - 0.05, SPOT.lat + 0.05 * n))
        source, into = room.of(here), room.of(there)
        desk.do(
            "delete from alerts where incident_id = %s and team_id is not null", into
        )  # so that the team's alert moves rather than ends
        alert = room.alert(source, desk.first)
        together = threading.Barrier(2)

        def merge(source=source, into=into, together=together):
            together.wait()
            room.merge(desk.control, source, into)

        def answer(alert=alert, together=together):
            together.wait()
            desk.acknowledge(desk.police, alert, now=LATER)

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(merge), pool.submit(answer)]:
                done.result()
        assert room.row(into)["held_by_alert_id"] == alert
        assert room.alerts(into) == {desk.first: "acknowledged"}
