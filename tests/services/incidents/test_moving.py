"""Merging, splitting and opening again: nobody is dropped, nobody sees what was not granted."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.desk import NOW, P1, P2, SPOT
from tests.services.hub_desk import override, put_hub
from tests.services.incidents.conftest import LATER, MINUTE
from waylight.domain.alerts import Ending, State
from waylight.domain.arrivals import Arrival
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
from waylight.services.alerts import check_ins
from waylight.services.reports import submit_reports

LATE = LATER + MINUTE


@pytest.fixture
def two(desk, room, west):
    """Two incidents of one evening: the police's first team was told of both."""
    here, there = desk.report(P2), desk.report(replace(P2, narrative="By the bus."), at=west)
    assert room.of(here) != room.of(there)
    return here, there


def grants(desk):
    return {
        (row["report_id"], row["organisation_id"])
        for row in desk.rows("select report_id, organisation_id from grants")
    }


# --- merging


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


# --- splitting


@pytest.fixture
def three(desk):
    """One incident of three reports."""
    return [
        desk.report(replace(P2, narrative=f"Story {n}."), now=NOW + timedelta(seconds=n))
        for n in range(3)
    ]


def test_split_off_report_has_an_incident_and_a_ladder_of_its_own_at_once(desk, room, three):
    old = room.of(three[0])
    alert = room.alert(old, desk.first)
    desk.acknowledge(desk.police, alert)
    found = room.split(desk.control, old, three[2])
    new = found.incident.id
    assert (found.incident.split_from, found.incident.report_count) == (old, 1)
    assert room.of(three[2]) == new
    assert [report.id for report in found.reports] == [three[2].id]
    row = room.row(new)
    assert row["escalate_at"] == LATER + 3 * MINUTE
    (told,) = desk.rows("select * from alerts where incident_id = %s", new)
    assert (told["team_id"], told["state"], told["role"]) == (desk.first, "pending", "primary")
    assert desk.rows("select from deliveries where alert_id = %s", told["id"])
    assert (room.row(old)["report_count"], room.row(old)["held_by_alert_id"]) == (2, alert)


def test_first_report_leaves_the_alert_that_it_raised_to_the_others(desk, room, three):
    old = room.of(three[0])
    alert = room.alert(old, desk.first)
    desk.acknowledge(desk.police, alert)
    room.split(desk.control, old, three[0])
    (row,) = desk.rows("select report_id, version from alerts where id = %s", alert)
    assert row["report_id"] == three[1].id
    room.close(desk.police, alert, now=LATE, if_match=row["version"])
    assert "closed" in room.codes(three[1])
    assert "closed" not in room.codes(three[0])
    assert room.codes(three[0])[-2:] == ["parted", "told"]
    assert room.told(three[0]).held_by is None


def test_splitting_off_the_gravest_lets_the_holder_s_ladder_rest(desk, room):
    first = desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    graver = desk.report(P1, now=LATER)
    old = room.of(first)
    assert room.row(old)["escalate_at"] is not None
    room.split(desk.control, old, graver, now=LATE)
    row = room.row(old)
    assert (row["priority"], row["escalate_at"]) == (2, None)
    new = room.row(room.of(graver))
    assert (new["priority"], new["escalate_at"]) == (1, LATE + MINUTE)
    # Priority 1: the control room is told with the first team.
    assert room.alerts(new["id"]) == {desk.first: "pending", desk.room: "pending"}


def test_splitting_again_changes_nothing(desk, room, three):
    old = room.of(three[0])
    once = room.split(desk.control, old, three[1], three[2])
    kinds = desk.kinds()
    again = room.split(desk.control, old, three[2], three[1], now=LATE)
    assert again.incident.id == once.incident.id
    assert desk.kinds() == kinds


def test_split_that_leaves_nothing_or_names_another_s_report_is_refused(desk, room, three, west):
    old, elsewhere = room.of(three[0]), desk.report(P2, at=west)
    with pytest.raises(StateConflict, match="Nothing would be left"):
        room.split(desk.control, old, *three)
    with pytest.raises(NotFound) as caught:
        room.split(desk.control, old, three[0], elsewhere)
    assert [p.pointer for p in caught.value.problems] == ["/reports/1"]
    with pytest.raises(StaleVersion):
        room.split(desk.control, old, three[0], if_match=99)
    with pytest.raises(NotAllowed):
        room.split(desk.police, old, three[0])
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            room.split(stranger, old, three[0])
    assert room.row(old)["report_count"] == 3


def test_split_and_merged_back_is_one_incident_again(desk, room, three):
    old = room.of(three[0])
    new = room.split(desk.control, old, three[2]).incident.id
    room.merge(desk.control, new, old, now=LATE)
    assert {room.of(report) for report in three} == {old}
    assert room.row(old)["report_count"] == 3
    assert room.alerts(old) == {desk.first: "pending"}


# --- opening again


@pytest.fixture
def closed(desk, room):
    """A report whose incident the police have closed."""
    report = desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    room.close(desk.police, alert, now=LATER, ending=Ending.NO_TRACE)
    assert room.row(room.of(report))["state"] == "closed"
    return report


def test_reopened_incident_is_told_afresh_and_ended_alerts_stay_ended(desk, room, closed):
    incident = room.of(closed)
    old = room.alert(incident, desk.first)
    found = room.reopen(desk.police, incident, now=LATE)
    assert found.incident.state == "open"
    row = room.row(incident)
    assert (row["held_by_alert_id"], row["closed_at"]) == (None, None)
    assert row["escalate_at"] == LATE + 3 * MINUTE
    new = room.alert(incident, desk.first)
    assert new != old
    states = {r["id"]: r["state"] for r in desk.rows("select id, state from alerts")}
    assert (states[old], states[new]) == ("closed", "pending")
    assert room.codes(closed)[-2:] == ["reopened", "told"]
    desk.acknowledge(desk.police, new, now=LATE)
    assert room.row(incident)["held_by_alert_id"] == new


def test_reopening_again_changes_nothing(desk, room, closed):
    incident = room.of(closed)
    room.reopen(desk.control, incident, now=LATE)
    kinds = desk.kinds()
    again = room.reopen(desk.control, incident, now=LATE + MINUTE)
    assert again.incident.state == "open"
    assert desk.kinds() == kinds


def test_only_whoever_closed_it_or_the_control_room_opens_it_again(desk, room, closed):
    incident = room.of(closed)
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            room.reopen(stranger, incident)
    with pytest.raises(StaleVersion):
        room.reopen(desk.police, incident, if_match=1)
    desk.do("update alerts set state = 'declined' where incident_id = %s", incident)
    with pytest.raises(NotAllowed):
        room.reopen(desk.police, incident)
    room.reopen(desk.control, incident)


def test_incident_whose_first_team_cannot_be_chosen_again_reaches_the_control_room(
    desk, room, closed
):
    desk.do("update teams set duty_status = 'off' where kind = 'field'")
    room.reopen(desk.police, room.of(closed), now=LATE)
    assert room.alerts(room.of(closed))[desk.room] == "pending"


def test_merged_incident_is_not_opened_again(desk, room, two):
    source, into = map(room.of, two)
    room.merge(desk.control, source, into)
    with pytest.raises(StateConflict, match="merged"):
        room.reopen(desk.control, source)


def test_report_that_comes_after_the_closing_is_an_incident_of_its_own(desk, room, closed):
    again = desk.report(P2, now=LATE)
    assert not again.joined
    assert room.of(again) != room.of(closed)


def test_control_room_that_came_along_by_a_merge_is_not_told_a_second_time(desk, room, west):
    early, late = desk.report(P1, at=west), desk.report(P1, now=NOW + timedelta(seconds=5))
    source, into = room.of(early), room.of(late)
    # The newer alert of the room has ended, the older one lives and comes along.
    desk.acknowledge(desk.control, room.alert(into, desk.room))
    desk.decline(desk.control, room.alert(into, desk.room), now=LATER)
    room.merge(desk.control, source, into, now=LATER)
    for minutes in range(5, 35, 5):
        desk.climb(LATER + minutes * MINUTE)
    live = desk.rows(
        "select team_id from alerts where incident_id = %s and team_id = %s and state in"
        " ('pending', 'delivered', 'acknowledged')",
        into,
        desk.room,
    )
    assert len(live) == 1


# --- beside a responder's timer


def overdue(desk, team, who):
    """A responder on the scene who was not heard of; returns the incident that is about them."""
    alert = desk.alert_of(team)
    desk.acknowledge(who, alert)
    alerts.on_scene(desk.database, desk.vault, principal=who, alert_id=alert, now=NOW)
    check_ins.check_in(desk.database, who, alert_id=alert, due_in_s=300, now=NOW)
    check_ins.watch(desk.database, channels=("console",), now=NOW + 6 * MINUTE)
    (row,) = desk.rows("select id from incidents where about_alert_id = %s", alert)
    return row["id"]


def test_timer_of_a_responder_goes_along_with_a_merge(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    desk.decline(desk.police, room.alert(source, desk.first))
    alert = room.alert(source, desk.second)
    desk.acknowledge(desk.operator, alert, now=LATER)
    alerts.on_scene(desk.database, desk.vault, principal=desk.operator, alert_id=alert, now=LATER)
    check_ins.check_in(desk.database, desk.operator, alert_id=alert, due_in_s=300, now=LATER)
    room.merge(desk.control, source, into, now=LATE)
    assert desk.rows("select incident_id from check_ins") == [{"incident_id": into}]


def test_incident_about_a_colleague_is_neither_moved_nor_given_away(desk, room, west):
    report = desk.report(P2)
    colleague = overdue(desk, desk.first, desk.police)
    for pair in ((colleague, room.of(report)), (room.of(report), colleague)):
        with pytest.raises((StateConflict, NotAllowed, NotFound)):
            room.merge(desk.control, *pair, now=LATE)
    alert = room.alert(colleague, desk.room)
    desk.acknowledge(desk.control, alert, now=NOW + 7 * MINUTE)
    with pytest.raises(StateConflict, match="colleague"):
        room.hand_over(desk.control, alert, desk.second, now=NOW + 8 * MINUTE)
    assert desk.events("incident.merged", "alert.hand_over_asked") == []


# --- people on their way to a hub


WANTS_HUB = replace(P2, wants=(Want.HELP, Want.POLICE, Want.HUB))


def hub_alerts(desk, hub=None):
    """The alerts of a hub, in the order of their first reports."""
    return desk.rows("select * from alerts where hub_id = %s order by report_id", hub or desk.hub)


def expected(desk, alert):
    found = desk.read(desk.hub_host, alert["id"], now=LATER)
    return {one.report_id for one in found.expects}


def arrive(desk, alert, report=None, *, now=LATER, status=Arrival.ARRIVED):
    return alerts.log_arrival(
        desk.database,
        desk.vault,
        principal=desk.hub_host,
        alert_id=alert["id"],
        status=status,
        report_id=report and report.id,
        at=None,
        now=now,
    )


@pytest.fixture
def both_expected(desk, room, west):
    """Two passengers of two incidents, whom one hub was told to expect."""
    here = desk.report(WANTS_HUB)
    there = desk.report(WANTS_HUB, at=west, now=NOW + timedelta(seconds=1))
    desk.do("update alerts set hub_id = %s where hub_id is not null", desk.hub)
    assert room.of(here) != room.of(there)
    assert len(hub_alerts(desk)) == 2
    return here, there


def test_hub_expects_both_passengers_after_a_merge_and_logs_each(desk, room, both_expected):
    here, there = both_expected
    room.merge(desk.control, room.of(here), room.of(there))
    ours, theirs = hub_alerts(desk)
    assert (expected(desk, ours), expected(desk, theirs)) == ({here.id}, {there.id})
    for alert, report in ((ours, here), (theirs, there)):
        assert arrive(desk, alert).alert.state is State.ON_SCENE
        done = arrive(desk, alert, now=LATE, status=Arrival.LEFT_SAFELY)
        assert done.alert.state is State.CLOSED
        assert room.codes(report)[-2:] == ["arrived_at_hub", "left_hub_safely"]


def test_hub_that_closes_after_a_merge_tells_both_passengers(desk, room, both_expected):
    here, there = both_expected
    put_hub(desk, "Other", north=0.004)
    room.merge(desk.control, room.of(here), room.of(there))
    override(desk, "closed", now=LATER, until=LATER + timedelta(hours=1))
    for report in both_expected:
        assert room.codes(report).count("hub_closing") == 1
        assert room.codes(report)[-1] == "hub_instead"


def test_hub_waits_on_for_a_second_passenger_after_a_merge(desk, room, west):
    """Who has arrived elsewhere was told there with somebody who is still on the way."""
    other = put_hub(desk, "Other", north=0.004)
    first = desk.report(WANTS_HUB)
    second = desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1))
    assert second.joined
    mine, *_ = hub_alerts(desk)
    desk.decline(desk.hub_host, mine["id"], now=NOW + timedelta(seconds=2))
    (instead,) = hub_alerts(desk, other)
    room.merge(desk.control, room.of(first), room.of(desk.report(P2, at=west)))
    arrive(desk, mine, first)
    assert hub_alerts(desk, other) == [{**instead, "incident_id": room.of(first), "version": 3}]
    assert "hub_stood_down" not in room.codes(second)


@pytest.mark.parametrize("leaving", [0, 1])
def test_hub_goes_on_expecting_everybody_when_their_reports_part(desk, room, leaving):
    both = (desk.report(WANTS_HUB), desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1)))
    (alert,) = hub_alerts(desk)
    put_hub(desk, "Other", north=0.004)
    room.split(desk.control, room.of(both[0]), both[leaving])
    assert expected(desk, alert) == {one.id for one in both}
    arrive(desk, alert, both[0])
    override(desk, "closed", now=LATE, until=LATE + timedelta(hours=1))
    assert room.codes(both[0])[-1] == "arrived_at_hub"
    assert room.codes(both[1])[-1] == "hub_instead"
    (instead,) = desk.rows(
        "select a.incident_id from alerts a join hubs h on h.id = a.hub_id where h.name = 'Other'"
    )
    assert instead["incident_id"] == room.of(both[1])


def test_hub_that_declined_before_the_reports_parted_is_not_asked_again(desk, room):
    other = put_hub(desk, "Other", north=0.004)
    both = (desk.report(WANTS_HUB), desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1)))
    (alert,) = hub_alerts(desk)
    desk.decline(desk.hub_host, alert["id"], now=LATER)
    room.split(desk.control, room.of(both[0]), both[1])
    (instead,) = hub_alerts(desk, other)
    desk.decline(desk.operator, instead["id"], now=LATE)
    assert [room.codes(one)[-1] for one in both] == ["no_hub_instead"] * 2
    assert len(hub_alerts(desk)) == 1
