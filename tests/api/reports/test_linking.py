"""Reports of one event, and an honest timeline."""

import pytest

from schemas.common import WireId
from tests.api.reports.sending import codes, count, read_back, report, submit


def test_a_second_report_joins_and_the_holder_is_told_of_it(client, london):
    first, second = submit(client).json, submit(client).json
    assert (first["incident"]["joined"], second["incident"]["joined"]) == (False, True)
    assert count(london, "incidents") == 1
    assert [r["team"]["id"] for r in second["routed_to"]] == [
        r["team"]["id"] for r in first["routed_to"] if r["told"] == "now"
    ]
    assert codes(second["routed_to"][0]["reasons"])[0] == "joined_incident"
    assert count(london, "deliveries", "message = 'alert.updated'") == 1


def test_a_graver_report_restarts_the_ladder_and_tells_the_control_room(client, london):
    submit(client)
    body = submit(client, report(in_danger=True)).json
    assert body["incident"]["joined"]
    assert {r["role"] for r in body["routed_to"]} == {"primary", "control_room"}
    with london.owner() as conn:
        assert conn.execute("select priority from incidents").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": ["poor_lighting"]},
        {"location": {"point": {"type": "Point", "coordinates": [-0.1426, 51.5410]}}},
        {"wants": ["help"]},
        {"under_18": True},
        {"happening": "earlier", "occurred": {"to": "2026-01-01T00:00:00Z"}},
    ],
)
def test_another_event_is_another_incident(client, london, changes):
    submit(client)
    assert submit(client, report(**changes)).json["incident"] == {"joined": False}
    assert count(london, "incidents") == 2


def test_the_same_vehicle_joins_wherever_it_is(client, london):
    journey = {"mode": "tube", "route_id": "northern", "vehicle_id": "123"}
    submit(client, report(journey=journey))
    elsewhere = {"point": {"type": "Point", "coordinates": [-0.1387, 51.5284]}}
    assert submit(client, report(journey=journey, location=elsewhere)).json["incident"]["joined"]


def test_an_exercise_mark_without_the_scope_is_ignored_and_the_report_is_real(client, london):
    body = submit(client, report(exercise=True)).json
    assert body["exercise"] is False
    assert codes(body["warnings"]) == ["exercise_ignored"]


def test_a_report_that_joins_from_another_mode_reaches_a_team_of_its_own_mode(client, london):
    by_tube = submit(client).json["routed_to"][0]["team"]["id"]
    by_bus = submit(client, report(journey={"mode": "bus"})).json
    assert by_bus["incident"]["joined"]
    primaries = {r["team"]["id"] for r in by_bus["routed_to"] if r["role"] == "primary"}
    assert by_tube in primaries
    assert len(primaries) == 2


def test_a_vehicle_number_alone_links_nobody(client, london):
    journey = {"mode": "bus", "vehicle_id": "1"}
    submit(client, report(journey=journey))
    elsewhere = {"point": {"type": "Point", "coordinates": [-0.05, 51.45]}}
    answer = submit(client, report(journey=journey, location=elsewhere)).json
    assert answer["incident"] == {"joined": False}


def test_the_same_vehicle_out_of_its_reach_is_another(client, london):
    journey = {"mode": "elizabeth", "route_id": "elizabeth", "vehicle_id": "1"}
    submit(client, report(journey=journey))
    reading = {"point": {"type": "Point", "coordinates": [-0.9719, 51.4588]}}
    answer = submit(client, report(journey=journey, location=reading)).json
    assert answer["incident"] == {"joined": False}


def test_police_wanted_are_told_also_when_somebody_else_has_the_incident(client, london):
    submit(client)
    with london.owner() as conn:
        conn.execute(
            "update alerts a set team_id = t.id, organisation_id = t.organisation_id"
            " from teams t join organisations o on o.id = t.organisation_id"
            " where o.kind = 'operator'"
        )
    body = submit(client, report(wants=["help", "police"])).json
    assert body["incident"]["joined"]
    with london.owner() as conn:
        kinds = conn.execute(
            "select o.kind from alerts a join organisations o on o.id = a.organisation_id"
            " where a.report_id = %s",
            [WireId.read("report", body["id"])],
        ).fetchall()
    assert ("police",) in kinds


def test_a_graver_report_does_not_take_the_team_from_whoever_reported_first(client, london):
    first = submit(client, report(wants=["help"])).json
    graver = submit(client, report(wants=["help"], in_danger=True)).json
    assert graver["incident"]["joined"]
    told = {r["team"]["name"] for r in read_back(client, first["receipt"]).json["told"]}
    assert told == {r["team"]["name"] for r in graver["routed_to"]}
    with london.owner() as conn:
        ungranted = conn.execute(
            "select count(*) from alerts a, reports r where not exists (select from grants g"
            " where g.report_id = r.id and g.organisation_id = a.organisation_id)"
        ).fetchone()
    assert ungranted == (0,)


def test_each_passenger_who_asks_for_the_hub_is_announced_to_it(client, london):
    both = report(wants=["help", "hub"])
    roles = [
        {r["role"] for r in submit(client, both).json["routed_to"] if r["told"] == "now"}
        for _ in range(2)
    ]
    assert roles[0] == roles[1]
    assert "hub" in roles[0]
    with london.owner() as conn:
        conn.execute("update alerts set state = 'closed' where hub_id is not null")
    third = submit(client, both).json
    assert "hub" in {r["role"] for r in third["routed_to"]}
    assert count(london, "alerts", "hub_id is not null") == 2


def test_who_sees_this_names_those_who_were_really_told(client, london):
    submit(client)
    with london.owner() as conn:
        conn.execute(
            "update teams set duty_status = 'off' where id in (select team_id from alerts)"
        )
    body = submit(client).json
    named = body["safety_card"]["who_sees_this"][0]["text"]
    assert body["routed_to"][0]["team"]["name"] in named
