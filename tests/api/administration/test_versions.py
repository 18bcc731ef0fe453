"""Whoever comes second is told the version that there is."""

from schemas.common import WireId
from tests.desk import P2


def test_whoever_comes_second_is_told_the_version_that_there_is(desk, client, robin):
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    made = {
        where: client.post(where, json=body, headers=robin)
        for where, body in (
            ("/v1/clients", {"name": "App", "scopes": []}),
            (f"{team}/shifts", {"kind": "recurring", "rule": "24/7"}),
        )
    }
    for where, answer in made.items():
        assert answer.status_code == 201, answer.text
        one = f"{where}/{answer.json['id']}"
        hours = {"kind": "recurring", "rule": "24/7"}
        method, body = ("PUT", hours) if "shifts" in where else ("PATCH", {"name": "B"})
        late = client.open(one, method=method, json=body, headers={**robin, "If-Match": '"99"'})
        assert (late.status_code, late.headers.get("ETag")) == (412, '"1"'), late.text


def test_whoever_comes_second_at_the_desk_is_told_the_version_too(desk, client, robin):
    report = desk.report(P2)
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    (row,) = desk.rows("select incident_id from reports where id = %s", report.id)
    incident = f"/v1/incidents/{WireId.of('incident', row['incident_id'])}"
    address = client.post(
        f"{team}/addresses",
        json={"channel": "email", "address": "desk@police.example", "name": "Desk"},
        headers=robin,
    )
    assert address.status_code == 201, address.text
    one = f"/v1/addresses/{address.json['id']}"
    acknowledged = client.post(f"{alert}/acknowledge", headers=robin)
    assert acknowledged.status_code == 200, acknowledged.text
    for method, where, read, body in (
        ("PUT", f"{team}/duty", team, {"status": "busy"}),
        ("PUT", f"{team}/capabilities", team, {"capabilities": None}),
        ("PUT", "/v1/sign-in-policy", "/v1/sign-in-policy", {"requires_totp": True}),
        ("PUT", "/v1/check-ins/default", "/v1/check-ins/default", {"due_in_s": 900}),
        ("PATCH", one, one, {"name": "B"}),
        ("DELETE", one, one, None),
        ("POST", f"{alert}/en-route", alert, None),
        (
            "POST",
            f"{alert}/hand-over",
            alert,
            {"to_team": WireId.of("team", desk.second), "reason": "Nearer."},
        ),
    ):
        seen = client.get(read, headers=robin)
        assert seen.status_code == 200, seen.text
        late = client.open(where, method=method, json=body, headers={**robin, "If-Match": '"99"'})
        assert late.status_code == 412, (where, late.text)
        assert late.headers.get("ETag") == seen.headers["ETag"], where
    closed = client.post(f"{alert}/close", json={"outcome": "resolved"}, headers=robin)
    assert closed.status_code == 200, closed.text
    late = client.post(
        f"{incident}/reopen", json={"reason": "Again."}, headers={**robin, "If-Match": '"99"'}
    )
    seen = client.get(incident, headers=robin)
    assert (late.status_code, late.headers.get("ETag")) == (412, seen.headers["ETag"])
