from datetime import UTC, datetime, timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)


def path(team_id, *rest):
    return "/".join(["/v1/teams", WireId.of("team", team_id), *rest])


def test_staff_see_the_teams_of_their_organisation(desk, client, signed_in):
    listed = client.get("/v1/teams", headers=signed_in["Robin"])
    assert [team["name"] for team in listed.json["items"]] == ["First", "Third"]
    assert listed.headers["Cache-Control"] == "no-store"
    (first, _) = listed.json["items"]
    assert (first["on_shift"], first["on_duty"]) == (True, True)
    assert first["duty"] == {"status": "available", "until": None}


def test_control_room_sees_every_team_of_its_city(desk, client, signed_in):
    listed = client.get("/v1/teams", headers=signed_in["Casey"])
    assert {team["name"] for team in listed.json["items"]} == {
        "First",
        "Second",
        "Third",
        "Room",
    }
    assert client.get(path(desk.first), headers=signed_in["Casey"]).status_code == 200


def test_list_goes_on_page_by_page(desk, client, signed_in):
    found, address = [], "/v1/teams?limit=3"
    while address:
        page = client.get(address, headers=signed_in["Casey"])
        found += [team["name"] for team in page.json["items"]]
        link = page.headers.get("Link")
        address = link and link[1 : link.index(">")]
    assert len(found) == len(set(found)) == 4


def test_other_organisation_s_team_is_404(desk, client, signed_in):
    ali = signed_in["Ali"]
    assert client.get(path(desk.first), headers=ali).status_code == 404
    put = client.put(path(desk.first, "duty"), json={"status": "off"}, headers=ali)
    assert put.status_code == 404
    assert desk.rows("select from teams where duty_status <> 'available'") == []


def test_control_room_does_not_set_another_organisation_s_duty(desk, client, signed_in):
    put = client.put(path(desk.first, "duty"), json={"status": "off"}, headers=signed_in["Casey"])
    assert (put.status_code, put.json["code"]) == (403, "not_allowed")
    assert desk.rows("select from teams where duty_status <> 'available'") == []


def test_other_organisation_s_staff_change_no_team_by_hand_written_sql(desk):
    with desk.database.staff(desk.operator.organisation_id) as conn:
        changed = conn.execute("update teams set duty_status = 'off', version = version + 1")
    assert changed.rowcount == 1
    off = desk.rows("select id from teams where duty_status = 'off'")
    assert [row["id"] for row in off] == [desk.second]


def test_team_that_is_off_is_not_told_of_the_next_report(desk, client, signed_in):
    read = client.get(path(desk.first), headers=signed_in["Robin"])
    assert read.headers["ETag"] == '"1"'
    put = client.put(
        path(desk.first, "duty"),
        json={"status": "off"},
        headers={**signed_in["Robin"], "If-Match": read.headers["ETag"]},
    )
    assert (put.status_code, put.headers["ETag"]) == (200, '"2"')
    assert (put.json["on_duty"], put.json["on_shift"]) == (False, True)
    assert put.json["duty"] == {"status": "off", "until": None}
    desk.report(P2)
    assert desk.states() == {desk.second: "pending"}


def test_team_that_is_busy_comes_after_the_others(desk, client, signed_in):
    until = SOON.isoformat().replace("+00:00", "Z")
    put = client.put(
        path(desk.first, "duty"),
        json={"status": "busy", "until": until},
        headers=signed_in["Robin"],
    )
    assert put.json["duty"] == {"status": "busy", "until": until}
    assert put.json["on_duty"]
    desk.report(P2)
    assert desk.states() == {desk.second: "pending"}


def test_team_outside_its_shift_signs_on_by_hand(desk, client, signed_in):
    desk.do("update teams set on_shift_during = '{}' where id = %s", desk.first)
    robin = signed_in["Robin"]
    assert not client.get(path(desk.first), headers=robin).json["on_duty"]
    put = client.put(
        path(desk.first, "duty"),
        json={"status": "available", "until": SOON.isoformat()},
        headers=robin,
    )
    assert (put.json["on_shift"], put.json["on_duty"]) == (False, True)
    desk.report(P2)
    assert desk.states() == {desk.first: "pending"}


def test_duty_status_whose_time_is_over_is_available_again(desk, client, signed_in):
    desk.do(
        "update teams set duty_status = 'busy', duty_until = %s where id = %s",
        NOW - timedelta(seconds=1),
        desk.first,
    )
    found = client.get(path(desk.first), headers=signed_in["Robin"]).json
    assert found["duty"] == {"status": "available", "until": None}
    assert found["on_duty"]


def test_shifts_that_were_never_expanded_are_worked_out(desk, client, signed_in):
    desk.do("update teams set on_shift_during = null, expanded_until = null")
    assert client.get(path(desk.first), headers=signed_in["Robin"]).json["on_shift"]


def test_stale_version_is_412_and_changes_nothing(desk, client, signed_in):
    robin = signed_in["Robin"]
    client.put(path(desk.first, "duty"), json={"status": "busy"}, headers=robin)
    late = client.put(
        path(desk.first, "duty"),
        json={"status": "off"},
        headers={**robin, "If-Match": '"1"'},
    )
    assert (late.status_code, late.json["code"]) == (412, "stale_version")
    assert client.get(path(desk.first), headers=robin).json["duty"]["status"] == "busy"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/status"),
        ({"status": "asleep"}, "/status"),
        ({"status": "off", "until": "tomorrow"}, "/until"),
        ({"status": "off", "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"status": "off", "unti": None}, "/unti"),
    ],
)
def test_duty_that_cannot_be_understood_is_422(desk, client, signed_in, body, pointer):
    put = client.put(path(desk.first, "duty"), json=body, headers=signed_in["Robin"])
    assert put.status_code == 422
    assert [error["pointer"] for error in put.json["errors"]] == [pointer]


def test_nobody_sets_a_duty_without_a_key(desk, client):
    assert client.get("/v1/teams").status_code == 401
    put = client.put(path(desk.first, "duty"), json={"status": "off"})
    assert put.status_code == 401
