"""Teams as administrators found, change and retire them."""

from datetime import timedelta

import pytest

from schemas.common import WireId
from tests.api.administration.asking import FAR, NOBODYS, TEAM, actions, any_version, codes
from tests.desk import NOW, P1, P2, SPOT, headers_for
from waylight.domain import roles


def test_new_team_is_told_once_it_has_a_coverage_and_a_shift(desk, client, robin):
    made = client.post("/v1/teams", json=TEAM, headers=robin)
    assert made.status_code == 201, made.text
    team = made.json
    assert team["organisation"] == "Police"
    assert (team["capabilities"], team["capabilities_set_by"]) == (["first_aid"], "staff")
    assert (team["on_shift"], team["on_duty"], team["shifts_set_by"]) == (False, False, "staff")
    where, team_id = f"/v1/teams/{team['id']}", WireId.read("team", team["id"])
    desk.do("update teams set duty_status = 'off' where id <> %s", team_id)
    desk.report(P2)
    assert team_id not in desk.states()
    added = client.post(f"{where}/coverages", json={"area": "all"}, headers=robin)
    assert added.status_code == 201
    shift = {"kind": "recurring", "rule": "24/7"}
    assert client.post(f"{where}/shifts", json=shift, headers=robin).status_code == 201
    desk.report(P2, now=NOW + timedelta(hours=1))
    assert desk.states()[team_id] == "pending"
    assert desk.kinds().count("team.created") == 1
    assert actions(desk)[0] == "team.created"


def test_base_is_in_the_city_unless_said(desk, client, robin):
    assert ("/base", "outside_city") in codes(
        client.post("/v1/teams", json={**TEAM, "base": FAR}, headers=robin)
    )
    said = {**TEAM, "base": FAR, "outside_city": True}
    assert client.post("/v1/teams", json=said, headers=robin).status_code == 201
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert ("/base", "outside_city") in codes(
        client.patch(where, json={"base": FAR}, headers=robin)
    )


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"organisation_id": f"organisation_{NOBODYS}"}, "/organisation_id", "unknown"),
        ({"kind": "control_room"}, "/kind", "unknown"),
        ({"name": ""}, "/name", "invalid"),
        ({"capabilities": [{"capability": "flying"}]}, "/capabilities/0/capability", "invalid"),
    ],
)
def test_nobody_founds_a_team_of_another_organisation_or_a_control_room(
    client, robin, more, pointer, code
):
    assert (pointer, code) in codes(client.post("/v1/teams", json={**TEAM, **more}, headers=robin))


def test_edit_counts_from_the_next_report_and_outlives_a_pack(desk, client, robin):
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    far = {"type": "Point", "coordinates": [SPOT.lon + 0.3, SPOT.lat]}
    seen = client.get(where, headers=robin).headers["ETag"]
    changed = client.patch(
        where, json={"name": "Moved", "base": far}, headers={**robin, "If-Match": seen}
    )
    assert (changed.status_code, changed.json["name"]) == (200, "Moved")
    late = client.patch(where, json={"name": "Late"}, headers={**robin, "If-Match": seen})
    assert (late.status_code, late.headers["ETag"]) == (412, changed.headers["ETag"])
    desk.report(P2)
    assert next(iter(desk.states())) == desk.second
    assert ("", "nothing_to_change") in codes(client.patch(where, json={}, headers=robin))


def test_retired_team_is_gone_and_what_it_did_stays(desk, client, robin):
    desk.report(P2)
    alert, where = desk.alert_of(desk.first), f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.delete(where, headers=robin).status_code == 204
    assert client.get(where, headers=robin).status_code == 404
    assert client.delete(where, headers=robin).status_code == 404
    read = client.get(f"/v1/alerts/{WireId.of('alert', alert)}", headers=robin)
    assert read.status_code == 200
    desk.report(P2, now=NOW + timedelta(hours=1))
    assert desk.alert_of(desk.first) == alert
    assert desk.kinds()[-1] != "team.created"
    assert actions(desk)[0] == "team.retired"


def test_team_with_an_incident_is_not_retired(desk, client, robin):
    desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.delete(where, headers=robin).status_code == 409
    assert client.get(where, headers=robin).status_code == 200


def test_control_room_is_not_retired_by_whoever_runs_it(desk, client, signed_in):
    where = f"/v1/teams/{WireId.of('team', desk.room)}"
    assert client.delete(where, headers=signed_in["Casey"]).status_code == 409
    with (
        pytest.raises(Exception, match="row-level security"),
        desk.database.staff(desk.control.organisation_id) as conn,
    ):
        conn.execute("update teams set retired = true where id = %s", [desk.room])


def test_administrator_reads_teams_without_reading_alerts(desk, client):
    only = headers_for(desk, roles.scopes_of(["administrator"]))["Robin"]
    assert client.get("/v1/teams", headers=only).json["items"]
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.get(where, headers=only).status_code == 200
    assert client.get(f"{where}/shifts", headers=only).status_code == 200
    assert client.get("/v1/alerts", headers=only).status_code == 403


def test_report_after_the_last_team_of_a_place_is_retired_reaches_the_control_room(
    desk, client, signed_in
):
    for name, team_id in (
        ("Robin", desk.first), ("Ali", desk.second), ("Robin", desk.third)
    ):  # fmt: skip
        gone = client.delete(
            f"/v1/teams/{WireId.of('team', team_id)}", headers=any_version(signed_in[name])
        )
        assert gone.status_code == 204, gone.text
    report = desk.report(P1)
    (told,) = desk.rows("select team_id from alerts where report_id = %s", report.id)
    assert told["team_id"] == desk.room
