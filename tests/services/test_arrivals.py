"""The arrival log of a hub, and what the passenger reads of it."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.desk import NOW, P2
from tests.services.hub_desk import codes, put_hub, said
from waylight.domain.arrivals import Arrival
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)
from waylight.domain.reports import Need, Want
from waylight.services import alerts

WANTS_HUB = replace(
    P2,
    wants=(Want.HELP, Want.HUB, Want.POLICE),
    needs=(Need.STEP_FREE, Need.FIRST_AID),
    language="es",
)
SOON = NOW + timedelta(minutes=4)
LATE = NOW + timedelta(minutes=30)


def log(desk, status, *, now=SOON, who=None, alert=None, **others):
    return alerts.log_arrival(
        desk.database,
        desk.vault,
        principal=who or desk.hub_host,
        alert_id=alert or desk.alert_of(desk.hub),
        status=Arrival(status),
        report_id=others.pop("report_id", None),
        at=others.pop("at", None),
        now=now,
        **others,
    )


def state(desk):
    (row,) = desk.rows("select state, outcome from alerts where hub_id = %s", desk.hub)
    return row["state"], row["outcome"]


def test_hub_reads_whom_it_expects_and_nothing_of_who_or_where_they_are(desk):
    desk.do("update hubs set access = '{step_free}', languages = '{en,es}'")
    report = desk.report(WANTS_HUB)
    found = desk.read(desk.hub_host, desk.alert_of(desk.hub))
    (expected,) = found.expects
    assert expected.report_id == report.id
    assert (expected.needs_met, expected.needs_unmet) == (("step_free",), ("first_aid",))
    assert (expected.language, expected.language_spoken) == ("es", True)
    # 111 m: between at once and ten minutes.
    assert (expected.band.walk_minutes_from, expected.band.walk_minutes_to) == (0, 10)
    assert expected.band.latest == NOW + timedelta(minutes=10)
    assert (expected.status, expected.redirected_at) == (None, None)
    (facts,) = found.reports
    assert (facts.level, facts.location, facts.story, facts.journey) == (
        "heads_up",
        None,
        None,
        None,
    )
    assert found.alert.place is None
    team = desk.read(desk.police, desk.alert_of(desk.first))
    assert team.expects == ()


def test_hubs_cannot_find_the_spot_by_how_far_each_of_them_is_from_it(desk):
    desk.report(WANTS_HUB)
    assert desk.rows("select distance_m from alerts where hub_id is not null")[0]["distance_m"]
    (listed,) = alerts.list_alerts(desk.database, desk.vault, desk.hub_host, now=NOW)
    assert listed.distance_m is None
    assert desk.read(desk.hub_host, desk.alert_of(desk.hub)).alert.distance_m is None


def test_passenger_reads_that_the_hub_expects_them_that_they_arrived_and_how_they_left(desk):
    report = desk.report(WANTS_HUB)
    desk.acknowledge(desk.hub_host, desk.alert_of(desk.hub))
    arrived = log(desk, "arrived")
    assert (arrived.alert.state, arrived.expects[0].status) == ("on_scene", "arrived")
    left = log(desk, "left_safely", now=LATE)
    assert (left.alert.state, left.alert.outcome) == ("closed", "left_safely")
    assert said(desk, report.receipt)[3:] == [
        ("expecting", "Hub"),
        ("arrived_at_hub", "Hub"),
        ("left_hub_safely", "Hub"),
    ]
    kinds = [event["kind"] for event in desk.events("alert.arrived", "alert.left_safely")]
    assert kinds == ["alert.arrived", "alert.left_safely"]


def test_step_that_only_a_team_can_take_is_no_arrival_in_the_passenger_s_timeline(desk):
    report = desk.report(WANTS_HUB)
    alert = desk.alert_of(desk.hub)
    desk.acknowledge(desk.hub_host, alert)
    alerts.on_scene(desk.database, desk.vault, principal=desk.hub_host, alert_id=alert, now=SOON)
    assert codes(desk, report.receipt)[3:] == ["expecting", "expecting"]


def test_arrival_leaves_the_teams_ladder_and_the_incident_alone(desk):
    desk.report(WANTS_HUB)
    before = desk.incident()
    log(desk, "arrived")
    log(desk, "handed_to_police")
    assert desk.incident() == before
    assert desk.states() == {desk.first: "pending"}


@pytest.mark.parametrize("ending", ["left_safely", "handed_to_police", "handed_to_ambulance"])
def test_nobody_leaves_who_did_not_arrive(desk, ending):
    desk.report(WANTS_HUB)
    with pytest.raises(StateConflict):
        log(desk, ending)
    assert state(desk) == ("pending", None)
    assert desk.rows("select from hub_arrivals") == []


def test_nobody_is_given_up_before_they_had_their_time(desk):
    report = desk.report(WANTS_HUB)
    with pytest.raises(StateConflict):
        log(desk, "did_not_arrive", now=NOW + timedelta(minutes=9))
    log(desk, "did_not_arrive", now=NOW + timedelta(minutes=10))
    assert state(desk) == ("closed", "did_not_arrive")
    assert codes(desk, report.receipt)[-1] == "did_not_arrive"


def test_somebody_given_up_who_comes_after_all_is_logged_and_the_alert_stays_closed(desk):
    report = desk.report(WANTS_HUB)
    log(desk, "did_not_arrive", now=LATE)
    log(desk, "arrived", now=LATE + timedelta(minutes=1))
    log(desk, "handed_to_ambulance", now=LATE + timedelta(minutes=2))
    assert state(desk)[0] == "closed"
    assert codes(desk, report.receipt)[3:] == [
        "did_not_arrive",
        "arrived_at_hub",
        "handed_to_ambulance",
    ]


def test_same_entry_again_changes_nothing(desk):
    report = desk.report(WANTS_HUB)
    first = log(desk, "arrived")
    again = log(desk, "arrived", now=LATE)
    assert again.alert.version == first.alert.version
    assert len(desk.rows("select from hub_arrivals")) == 1
    assert codes(desk, report.receipt).count("arrived_at_hub") == 1


def test_hub_that_someone_has_reached_cannot_decline_them_any_more(desk):
    desk.report(WANTS_HUB)
    log(desk, "arrived")
    with pytest.raises(StateConflict):
        desk.decline(desk.hub_host, desk.alert_of(desk.hub))


def test_passenger_who_comes_to_the_hub_that_declined_is_waited_for_nowhere_else(desk):
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB)
    desk.decline(desk.hub_host, desk.alert_of(desk.hub), now=NOW + timedelta(minutes=1))
    log(desk, "arrived")
    states = desk.rows(
        "select h.name, a.state from alerts a join hubs h on h.id = a.hub_id order by a.id"
    )
    assert [(row["name"], row["state"]) for row in states] == [
        ("Hub", "on_scene"),
        ("Other", "withdrawn"),
    ]
    assert said(desk, report.receipt)[-2:] == [
        ("arrived_at_hub", "Hub"),
        ("hub_stood_down", "Other"),
    ]
    queued = desk.rows(
        "select d.status from deliveries d join alerts a on a.id = d.alert_id"
        " join hubs h on h.id = a.hub_id where h.name = 'Other'"
    )
    assert {row["status"] for row in queued} == {"dropped"}


def test_with_two_people_expected_an_entry_names_which(desk):
    first = desk.report(WANTS_HUB)
    second = desk.report(WANTS_HUB, now=NOW + timedelta(minutes=1))
    assert second.joined
    with pytest.raises(InvalidRequest) as refused:
        log(desk, "arrived")
    assert [p.pointer for p in refused.value.problems] == ["/report_id"]
    log(desk, "arrived", report_id=second.id)
    assert "arrived_at_hub" not in codes(desk, first.receipt)
    assert codes(desk, second.receipt)[-1] == "arrived_at_hub"
    log(desk, "left_safely", report_id=second.id, now=LATE)
    assert state(desk) == ("on_scene", None)
    log(desk, "did_not_arrive", report_id=first.id, now=LATE)
    assert state(desk) == ("closed", "did_not_arrive")


def test_report_that_the_hub_was_not_told_of_is_no_arrival(desk):
    desk.report(WANTS_HUB)
    stranger = desk.report(replace(P2, categories=("unwanted_touching",)))
    for report_id in (stranger.id, uuid4()):
        with pytest.raises(InvalidRequest):
            log(desk, "arrived", report_id=report_id)
    assert desk.rows("select from hub_arrivals") == []


@pytest.mark.parametrize(
    ("at", "code"),
    [(NOW + timedelta(hours=1), "in_the_future"), (NOW - timedelta(hours=1), "too_early")],
)
def test_time_that_cannot_be_is_refused(desk, at, code):
    desk.report(WANTS_HUB)
    with pytest.raises(InvalidRequest) as refused:
        log(desk, "arrived", at=at)
    assert [p.code for p in refused.value.problems] == [code]


def test_stale_version_logs_nothing(desk):
    desk.report(WANTS_HUB)
    version = desk.read(desk.hub_host, desk.alert_of(desk.hub)).alert.version
    desk.acknowledge(desk.hub_host, desk.alert_of(desk.hub))
    with pytest.raises(StaleVersion):
        log(desk, "arrived", if_match=version)


def test_only_the_hub_s_own_people_log_and_only_on_a_hub_s_alert(desk):
    desk.report(WANTS_HUB)
    with pytest.raises(NotFound):
        log(desk, "arrived", who=desk.operator)
    with pytest.raises(NotAllowed):
        log(desk, "arrived", who=desk.control)
    with pytest.raises(StateConflict):
        log(desk, "arrived", who=desk.police, alert=desk.alert_of(desk.first))
    with pytest.raises(NotFound):
        log(desk, "arrived", alert=desk.alert_of(desk.first))
    assert desk.rows("select from hub_arrivals") == []


def test_hand_written_sql_logs_nothing_on_another_s_alert_and_reads_no_log_of_theirs(desk):
    report = desk.report(WANTS_HUB)
    log(desk, "arrived")
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select from hub_arrivals").rowcount == 0
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        desk.database.staff(desk.operator.organisation_id) as conn,
    ):
        conn.execute(
            "insert into hub_arrivals (alert_id, report_id, hub_id, organisation_id, status, at,"
            " logged_at, logged_by) values (%s, %s, %s, %s, 'arrived', %s, %s, %s)",
            [
                desk.alert_of(desk.hub),
                report.id,
                desk.hub,
                desk.operator.organisation_id,
                NOW,
                NOW,
                desk.operator.staff_id,
            ],
        )
