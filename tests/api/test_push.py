from dataclasses import replace

import pytest

from schemas.common import WireId
from tests.desk import P2, keys_for, open_desk
from tests.push_service import Browser, from_base64url
from waylight.services.context import Waylight
from waylight.vault import Vault

PRIVATE, PUBLIC = Vault.new_push_key()
PATH = "/v1/push/subscriptions"


@pytest.fixture
def desk(app, database, settings):
    pushing = replace(
        settings,
        channels=("console", "web_push"),
        vapid_keys=(from_base64url(PRIVATE),),
        vapid_subject="mailto:desk@waylight.example",
    )
    vault = Vault(pushing)
    app.extensions["waylight"] = Waylight(pushing, database, vault)
    return open_desk(database, vault, pushing)


@pytest.fixture
def post(client, signed_in):
    def post(body, *, who="Robin"):
        return client.post(PATH, json=body, headers=signed_in[who])

    return post


def body_of(desk, browser=None, **changes):
    browser = browser or Browser()
    team = WireId.of("team", desk.first)
    return {**browser.to_json(), "team": team, "name": "Robin's phone"} | changes


def test_browser_gets_the_key_to_subscribe_with(desk, client, signed_in):
    got = client.get("/v1/push/key", headers=signed_in["Robin"])
    assert got.json == {"public_key": PUBLIC}
    assert from_base64url(PUBLIC)[:1] == b"\x04"


def test_device_is_subscribed_listed_and_deleted(desk, client, signed_in, post):
    made = post(body_of(desk))
    assert made.status_code == 201
    assert made.json["team"]["name"] == "First"
    listed = client.get(PATH, headers=signed_in["Robin"])
    assert listed.json == {"items": [made.json], "next_cursor": None}
    assert listed.headers["Cache-Control"] == "no-store"
    path = f"{PATH}/{made.json['id']}"
    assert client.delete(path, headers=signed_in["Robin"]).status_code == 204
    assert client.delete(path, headers=signed_in["Robin"]).status_code == 404
    assert client.get(PATH, headers=signed_in["Robin"]).json["items"] == []


def test_device_that_is_sent_again_is_the_same(desk, post):
    body = body_of(desk)
    first, again = post(body), post(body | {"name": "My phone"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json | {"name": "My phone"}


def test_endpoint_and_keys_are_never_told_again(desk, client, signed_in, post):
    browser = Browser()
    said = post(body_of(desk, browser)).text
    said += client.get(PATH, headers=signed_in["Robin"]).text
    said += post(body_of(desk, browser), who="Ali").text
    for secret in (browser.endpoint, "push.example.net", *browser.keys.values()):
        assert secret not in said


def test_other_person_s_device_is_404_and_stays(desk, client, signed_in, post):
    device = post(body_of(desk)).json["id"]
    for other in ("Ali", "Casey"):
        assert client.delete(f"{PATH}/{device}", headers=signed_in[other]).status_code == 404
        assert client.get(PATH, headers=signed_in[other]).json["items"] == []
    assert len(client.get(PATH, headers=signed_in["Robin"]).json["items"]) == 1


def test_known_endpoint_with_other_keys_is_409(desk, post):
    browser = Browser()
    post(body_of(desk, browser))
    thief = body_of(desk, Browser(browser.endpoint), team=WireId.of("team", desk.second))
    refused = post(thief, who="Ali")
    assert (refused.status_code, refused.json["code"]) == (409, "state_conflict")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"endpoint": "https://10.0.0.1/push"}, "/endpoint"),
        ({"endpoint": "http://push.example.net/"}, "/endpoint"),
        ({"endpoint": "x" * 3000}, "/endpoint"),
        ({"endpoint": None}, "/endpoint"),
        ({"expirationTime": 1000}, "/expirationTime"),
        ({"expirationTime": -1}, "/expirationTime"),
        ({"expirationTime": 1e300}, "/expirationTime"),
        ({"expirationTime": "2026-01-01"}, "/expirationTime"),
        ({"expirationTime": True}, "/expirationTime"),
        ({"keys": {}}, "/keys/auth"),
        ({"keys": None}, "/keys"),
        ({"keys": "p256dh"}, "/keys"),
        ({"keys": {**Browser().keys, "auth": "AAAA"}}, "/keys/auth"),
        ({"keys": {**Browser().keys, "auth": 7}}, "/keys/auth"),
        ({"keys": {**Browser().keys, "auth": "A" * 200_000}}, "/keys/auth"),
        ({"keys": {**Browser().keys, "auth": "AAAAAAAAAAAAAAAAAAAA+/"}}, "/keys/auth"),
        ({"keys": {**Browser().keys, "p256dh": "B" * 87}}, "/keys/p256dh"),
        ({"keys": {**Browser().keys, "p256dh": "\u00e9" * 87}}, "/keys/p256dh"),
        ({"team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/team"),
        ({"team": None}, "/team"),
        ({"team": "hub_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/team"),
        ({"hub": "hub_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/team"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 81}, "/name"),
        ({"name": "phone\r\nTopic: x"}, "/name"),
        ({"name": "phone\n"}, "/name"),
        ({"name": "phone\u2028"}, "/name"),
        ({"application_server_key": Vault.new_push_key()[1]}, "/application_server_key"),
        ({"application_server_key": "AAAA"}, "/application_server_key"),
        ({"staff_id": "staff_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/staff_id"),
    ],
)
def test_device_that_cannot_be_understood_is_422(desk, post, changes, pointer):
    refused = post(body_of(desk, **changes))
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json["errors"]]
    assert desk.rows("select from addresses") == []


def test_team_of_another_organisation_is_422_like_one_that_is_not_there(desk, post):
    theirs = post(body_of(desk, team=WireId.of("team", desk.second)))
    nobodys = post(body_of(desk, team="team_01jdw2s4x0e6qv3t8k5n7b9c1d"))
    assert theirs.status_code == nobodys.status_code == 422
    assert theirs.json == nobodys.json


def test_what_browsers_really_send_is_taken(desk, post):
    browser = Browser()
    padded = {name: key + "=" * (-len(key) % 4) for name, key in browser.keys.items()}
    body = body_of(
        desk,
        browser,
        expirationTime=4_102_444_800_000.5,
        keys={**padded, "newer": "AAAA"},
        application_server_key=PUBLIC,
        hub=None,
        name="Ω \u202bhandset\u202c \U0001f4f1",
    )
    made = post(body)
    assert made.status_code == 201
    assert made.json["expires_at"].startswith("2100-01-01T00:00:00")


def test_where_nothing_is_pushed_that_is_404(desk, app, client, signed_in, post):
    context = app.extensions["waylight"]
    off = replace(context.settings, channels=("console",))
    app.extensions["waylight"] = Waylight(off, context.database, context.vault)
    for answer in (client.get("/v1/push/key", headers=signed_in["Robin"]), post(body_of(desk))):
        assert answer.status_code == 404
        assert "WAYLIGHT_CHANNELS" in answer.json["detail"]


def test_key_without_the_scope_or_of_a_program_subscribes_nothing(desk, client):
    weak = replace(desk.police, scopes=frozenset({"teams:duty"}))
    token = keys_for(desk, (weak,))[weak]
    refused = client.post(PATH, json=body_of(desk), headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403
    assert client.post(PATH, json=body_of(desk)).status_code == 401


def test_subscribed_device_is_told_of_the_next_report(desk, post):
    post(body_of(desk))
    desk.report(P2)
    queued = desk.rows("select channel from deliveries where target_id is not null")
    assert queued == [{"channel": "web_push"}]
