from datetime import datetime, timedelta

import pytest

from schemas.common import WireId
from tests.desk import P2


@pytest.fixture
def alert(desk, client, robin):
    """The path of an alert whose team is on the way."""
    desk.report(P2)
    path = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    for step in ("acknowledge", "en-route"):
        assert client.post(f"{path}/{step}", headers=robin).status_code == 200
    return path


def test_responder_checks_in_and_the_alert_shows_it(client, robin, alert):
    put = client.put(f"{alert}/check-in", json={"due_in_s": 900}, headers=robin)
    assert put.status_code == 200
    assert put.json["due_in_s"] == 900
    due, since = (datetime.fromisoformat(put.json[name]) for name in ("due_at", "checked_in_at"))
    assert due - since == timedelta(minutes=15)
    assert client.get(alert, headers=robin).json["check_in"] == put.json
    again = client.put(f"{alert}/check-in", headers=robin)
    assert again.json["due_in_s"] == 900
    gone = client.delete(f"{alert}/check-in", headers=robin)
    assert (gone.status_code, gone.data) == (204, b"")
    assert client.get(alert, headers=robin).json["check_in"]["ended_at"] is not None


def test_alert_without_a_timer_shows_none(client, robin, alert):
    assert client.get(alert, headers=robin).json["check_in"] is None


def test_arriving_starts_one(client, robin, alert):
    arrived = client.post(f"{alert}/on-scene", headers=robin)
    assert arrived.json["check_in"]["due_in_s"] == 1800


@pytest.mark.parametrize("due", [59, 14_401, -1, "900", 1.5, True])
def test_time_that_means_nothing_is_422(client, robin, alert, due):
    put = client.put(f"{alert}/check-in", json={"due_in_s": due}, headers=robin)
    assert put.status_code == 422
    assert [error["pointer"] for error in put.json["errors"]] == ["/due_in_s"]


def test_before_the_way_there_is_nothing_to_check_in_from(desk, client, robin):
    desk.report(P2)
    path = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    put = client.put(f"{path}/check-in", json={"due_in_s": 900}, headers=robin)
    assert (put.status_code, put.json["code"]) == (409, "state_conflict")


def test_another_organisation_s_alert_is_404_and_the_overseer_may_not(client, signed_in, alert):
    for who, status in (("Ali", 404), ("Casey", 403)):
        for answer in (
            client.put(f"{alert}/check-in", json={"due_in_s": 900}, headers=signed_in[who]),
            client.delete(f"{alert}/check-in", headers=signed_in[who]),
        ):
            assert answer.status_code == status, who


def test_key_without_the_scope_checks_nobody_in(desk, client, robin, alert):
    desk.do("update api_keys set scopes = '{alerts:read,teams:duty}'")
    for answer in (
        client.put(f"{alert}/check-in", json={"due_in_s": 900}, headers=robin),
        client.delete(f"{alert}/check-in", headers=robin),
        client.put("/v1/check-ins/default", json={"due_in_s": None}, headers=robin),
    ):
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (403, "missing_scope")


def test_organisation_sets_its_own_default(client, signed_in):
    path = "/v1/check-ins/default"
    before = client.get(path, headers=signed_in["Robin"])
    assert (before.json, before.headers["ETag"]) == ({"due_in_s": 1800, "version": 0}, '"0"')
    put = client.put(
        path, json={"due_in_s": None}, headers={**signed_in["Robin"], "If-Match": '"0"'}
    )
    assert (put.json, put.headers["ETag"]) == ({"due_in_s": None, "version": 1}, '"1"')
    late = client.put(
        path, json={"due_in_s": 600}, headers={**signed_in["Robin"], "If-Match": '"0"'}
    )
    assert late.status_code == 412
    assert client.get(path, headers=signed_in["Ali"]).json["due_in_s"] == 1800
