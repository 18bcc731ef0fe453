"""Webhooks over the wire."""

from dataclasses import replace

import pytest

from api.wire import limits
from api.wire.limits import Limiter
from schemas.common import WireId
from tests.tokens import token
from waylight.domain.webhooks import MOST
from waylight.services import webhooks
from waylight.services.context import Waylight

NEW = {"url": "https://partner.example/hook", "event_types": ["alert.*"]}


@pytest.fixture
def robin(app, desk, signed_in):
    used = replace(desk.settings, channels=("console", "webhook"))
    app.extensions["waylight"] = Waylight(used, desk.database, desk.vault)
    return signed_in["Robin"]


def put_client(desk, *, scopes=("webhooks:manage",), organisation=True):
    secret = token("client", "a")
    desk.do(
        "insert into api_keys (kind, name, token_hash, organisation_id, scopes)"
        " values ('client', 'App', %s, %s, %s)",
        desk.vault.hash_token(secret),
        desk.police.organisation_id if organisation else None,
        list(scopes),
    )
    return {"Authorization": f"Bearer {secret}"}


def create(client, headers, **changes):
    made = client.post("/v1/webhooks", json=NEW | changes, headers=headers)
    assert made.status_code == 201, made.text
    return made


def path(made, *rest):
    return "/".join(["/v1/webhooks", made.json["id"], *rest])


def test_secret_is_shown_once_and_never_again(client, robin):
    made = create(client, robin)
    assert made.json["secret"].startswith("whsec_")
    assert made.headers["ETag"] == '"1"'
    assert made.headers["Cache-Control"] == "no-store"
    for address in ("/v1/webhooks", path(made), path(made, "deliveries")):
        assert "whsec_" not in client.get(address, headers=robin).text
    rotated = client.post(path(made, "rotate-secret"), json={"overlap_s": 60}, headers=robin)
    assert rotated.status_code == 200
    assert rotated.json["secret"] != made.json["secret"]
    assert rotated.json["old_secret_until"] is not None
    again = client.post(path(made, "rotate-secret"), json={"overlap_s": 0}, headers=robin)
    assert again.json["old_secret_until"] is None


def test_webhook_is_changed_paused_enabled_and_deleted_by_version(client, robin):
    made = create(client, robin)
    changed = client.patch(
        path(made), json={"state": "paused", "description": "Wall"}, headers=robin
    )
    assert (changed.json["state"], changed.json["description"]) == ("paused", "Wall")
    stale = client.delete(path(made), headers=robin | {"If-Match": made.headers["ETag"]})
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    refused = client.post(path(made, "ping"), headers=robin)
    assert (refused.status_code, refused.json["code"]) == (409, "state_conflict")
    enabled = client.post(path(made, "enable"), headers=robin)
    assert enabled.json["state"] == "active"
    gone = client.delete(path(made), headers=robin | {"If-Match": enabled.headers["ETag"]})
    assert gone.status_code == 204
    assert client.get(path(made), headers=robin).status_code == 404


def test_list_goes_on_by_its_cursor(client, robin):
    made = [create(client, robin).json["id"] for _ in range(3)]
    first = client.get("/v1/webhooks?limit=2", headers=robin)
    rest = client.get(first.headers["Link"].split(">")[0][1:], headers=robin)
    assert [one["id"] for one in (*first.json["items"], *rest.json["items"])] == made
    assert rest.json["next_cursor"] is None


def test_ping_is_in_the_log_and_is_replayed_once_it_is_over(client, robin, desk):
    made = create(client, robin)
    ping = client.post(path(made, "ping"), headers=robin)
    assert (ping.status_code, ping.json["event_type"], ping.json["status"]) == (
        202,
        "webhook.ping",
        "queued",
    )
    replay = path(made, "deliveries", ping.json["id"], "replay")
    assert client.post(replay, headers=robin).status_code == 409
    desk.do("update deliveries set status = 'failed'")
    again = client.post(replay, headers=robin)
    assert (again.status_code, again.json["event_id"]) == (202, ping.json["event_id"])
    logged = client.get(path(made, "deliveries") + "?limit=1", headers=robin)
    assert [one["id"] for one in logged.json["items"]] == [again.json["id"]]
    older = client.get(logged.headers["Link"].split(">")[0][1:], headers=robin)
    assert [one["id"] for one in older.json["items"]] == [ping.json["id"]]


def test_organisation_pings_and_replays_only_so_often_with_whatever_keys(
    app, client, robin, desk, signed_in
):
    app.extensions["waylight.limiter"] = Limiter()
    made = create(client, robin)
    other_key = put_client(desk)
    sent = [
        client.post(path(made, "ping"), headers=(robin, other_key)[number % 2])
        for number in range(limits.PINGS.quota)
    ]
    assert {one.status_code for one in sent} == {202}
    for headers in (robin, other_key):
        refused = client.post(path(made, "ping"), headers=headers)
        assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) > 0
    replay = path(made, "deliveries", sent[0].json["id"], "replay")
    found = {client.post(replay, headers=robin).status_code for _ in range(limits.REPLAYS.quota)}
    assert found == {409}
    assert client.post(replay, headers=other_key).status_code == 429
    assert client.get(path(made), headers=robin).status_code == 200
    assert client.post(path(made, "ping"), headers=signed_in["Ali"]).status_code == 404


def test_another_organisation_s_webhook_is_a_404_whatever_is_done(client, robin, signed_in):
    made, ali = create(client, robin), signed_in["Ali"]
    delivery = client.post(path(made, "ping"), headers=robin).json["id"]
    answers = [
        client.get(path(made), headers=ali),
        client.patch(path(made), json={"state": "paused"}, headers=ali),
        client.delete(path(made), headers=ali),
        client.post(path(made, "rotate-secret"), json={}, headers=ali),
        client.post(path(made, "enable"), headers=ali),
        client.post(path(made, "ping"), headers=ali),
        client.get(path(made, "deliveries"), headers=ali),
        client.post(path(made, "deliveries", delivery, "replay"), headers=ali),
    ]
    assert {one.status_code for one in answers} == {404}
    assert client.get("/v1/webhooks", headers=ali).json["items"] == []
    assert client.get(path(made), headers=robin).json["state"] == "active"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("url", "http://partner.example/", "https_only"),
        ("url", "https://169.254.169.254/latest/meta-data/", "not_public"),
        ("url", "https://user:password@partner.example/", "invalid_url"),
        ("url", "https://2130706433/", "invalid_url"),
        ("url", 7, "not_a_string"),
        ("event_types", [], "invalid"),
        ("event_types", ["report.created"], "invalid"),
        ("state", "disabled", "invalid"),
        ("secret", "whsec_mine", "unknown"),
        ("organisation_id", "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d", "unknown"),
    ],
)
def test_field_that_cannot_be_used_is_named_with_its_fix(client, robin, field, value, code):
    refused = client.post("/v1/webhooks", json=NEW | {field: value}, headers=robin)
    assert refused.status_code == 422
    (problem,) = refused.json["errors"]
    assert problem["pointer"].startswith(f"/{field}")
    assert problem["code"] == code
    assert problem["detail"]


def test_client_of_an_organisation_registers_and_one_of_none_is_refused(client, robin, desk):
    headers = put_client(desk)
    made = create(client, headers)
    assert client.get(path(made), headers=robin).status_code == 200
    desk.do("update api_keys set organisation_id = null where kind = 'client'")
    assert client.get("/v1/webhooks", headers=headers).status_code == 403


def test_key_without_the_scope_is_refused(client, robin, desk):
    headers = put_client(desk, scopes=("exercise",))
    assert client.get("/v1/webhooks", headers=headers).status_code == 403
    assert client.get("/v1/webhooks").status_code == 401


def test_one_too_many_is_a_conflict(client, robin, monkeypatch):
    monkeypatch.setattr(webhooks.managing, "MOST", 1)
    create(client, robin)
    refused = client.post("/v1/webhooks", json=NEW, headers=robin)
    assert (refused.status_code, refused.json["code"]) == (409, "state_conflict")
    assert MOST > 1


def test_deployment_without_the_channel_takes_no_webhooks(client, desk, signed_in):
    refused = client.post("/v1/webhooks", json=NEW, headers=signed_in["Robin"])
    assert refused.status_code == 409
    assert "WAYLIGHT_CHANNELS" in refused.json["detail"]


def test_webhook_that_was_disabled_says_why(client, robin, desk):
    made = create(client, robin)
    desk.do(
        "update webhooks set state = 'disabled', disabled_reason = 'gone', disabled_at = now()"
        " where id = %s",
        WireId.read("webhook", made.json["id"]),
    )
    found = client.get(path(made), headers=robin).json
    assert (found["state"], found["disabled_reason"]) == ("disabled", "gone")
    refused = client.patch(path(made), json={"state": "active"}, headers=robin)
    assert refused.status_code == 409
    assert "enable" in refused.json["detail"]
