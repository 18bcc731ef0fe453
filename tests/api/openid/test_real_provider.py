"""The whole way of a sign-in with a real provider: npm's oidc-provider, with its own forms."""

import shutil
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from schemas.common import WireId
from tests.api.openid.door import bearer, caller_of, made, refused, speaking
from tests.openid import DESK, NODE, brought_back, real_provider
from tests.staff import administrator, person

PEOPLE = {
    "robin": {
        "email": "robin@police.example",
        "email_verified": True,
        "name": "Robin Shah",
        "groups": ["desk", "canteen"],
    },
    "sam": {
        "email": "sam@police.example",
        "email_verified": True,
        "name": "Sam",
        "groups": ["canteen"],
    },
    "eve": {"email": "ada@police.example", "email_verified": False, "groups": ["desk"]},
}


@pytest.fixture(scope="module")
def provider():
    if shutil.which("node") is None or not NODE.is_dir():
        pytest.skip("run bin/node-tools")
    with real_provider(PEOPLE) as found:
        yield found


@pytest.fixture
def provider_id(app, desk, provider, monkeypatch):
    speaking(app, monkeypatch, provider.port)
    ada = administrator(desk, now=datetime.now(UTC))
    row = made(desk, provider, caller_of(desk, ada), scopes=["groups"])
    return WireId.of("provider", row.id)


@pytest.fixture
def enter(client, provider, provider_id):
    def enter(somebody, *, browser=None, session=None, **begin):
        begun = client.post(f"/v1/sign-in/{provider_id}", json=begin)
        assert begun.status_code == 201, begun.text
        back = provider.visit(begun.json["url"], person=somebody, browser=browser)
        assert back.startswith(f"{DESK}?")
        body = {"sign_in": begun.json["sign_in"], **brought_back(back)}
        if session is not None:
            path = "/v1/sessions/current/step-up/openid"
            return client.post(path, json=body, headers=bearer(session))
        return client.post("/v1/sessions/openid", json=body)

    return enter


def test_somebody_signs_in_through_the_forms_of_the_provider(client, enter):
    session = enter("robin")
    assert session.status_code == 201, session.text
    assert client.get("/v1/alerts", headers=bearer(session)).status_code == 200
    assert "alerts:act" in session.json["scopes"]


def test_it_sends_its_issuer_and_that_is_held_against_it(client, provider, provider_id):
    begun = client.post(f"/v1/sign-in/{provider_id}")
    back = brought_back(provider.visit(begun.json["url"], person="robin"))
    assert back["iss"] == provider.issuer
    body = {"sign_in": begun.json["sign_in"], **back}
    refused(client.post("/v1/sessions/openid", json=body | {"iss": None}))


def test_whom_the_mapping_gives_nothing_and_whose_address_is_not_verified_are_one(desk, enter):
    answers = [enter("sam"), enter("eve")]
    assert refused(answers[0]) == refused(answers[1])
    assert desk.rows("select from identities") == []


def test_somebody_with_an_account_is_the_same_person(desk, enter):
    robin = person(desk, roles=("dispatcher",))
    assert enter("robin").status_code == 201
    assert enter("robin").status_code == 201
    assert desk.rows("select staff_id from identities") == [{"staff_id": robin.id}]


def test_a_code_is_good_once_and_for_its_own_sign_in(client, provider, provider_id):
    begun, *others = (client.post(f"/v1/sign-in/{provider_id}").json for _ in range(3))
    back = brought_back(provider.visit(begun["url"], person="robin"))

    def end(with_):
        mine = back | {"sign_in": with_["sign_in"], "state": _state(with_["url"])}
        return client.post("/v1/sessions/openid", json=mine)

    refused(end(others[0]))  # PKCE: another verifier
    assert end(begun).status_code == 201
    refused(end(begun))
    refused(end(others[1]))


def test_fresh_sign_in_asks_also_whoever_is_signed_in_there(client, enter):
    browser = requests.Session()
    session = enter("robin", browser=browser)
    refused(enter("robin", browser=browser, session=session))  # not asked anew
    stepped = enter("robin", browser=browser, session=session, fresh=True)
    assert stepped.status_code == 200, stepped.text
    begun = client.post("/v1/account/totp", headers=bearer(session))
    assert begun.status_code == 201


def test_wrong_secret_is_told_to_the_operator_as_such(desk, enter):
    desk.do("update identity_providers set client_secret = null")
    assert enter("robin").status_code == 503


def _state(url):
    return parse_qs(urlsplit(url).query)["state"][0]
