"""Signing in and out over the wire."""

from dataclasses import replace
from datetime import UTC, datetime

import pyotp
import pytest

from schemas.common import WireId
from tests.desk import Desk, keys_for, open_desk
from tests.push_service import Browser, from_base64url
from tests.staff import OTHER, PASSWORD, QUICK, administrator, person
from waylight.services import passwords
from waylight.services.context import Waylight
from waylight.vault import Vault

PRIVATE, _ = Vault.new_push_key()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture
def still(app, monkeypatch):
    """A clock that stands: no turn comes while a test is slow."""
    at = datetime.now(UTC)
    monkeypatch.setitem(app.extensions, "waylight.clock", lambda: at)


@pytest.fixture
def desk(database, vault, settings) -> Desk:
    return open_desk(database, vault, settings)


@pytest.fixture
def post(client):
    def post(path, body=None, *, token=None, remote="127.0.0.1"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.post(
            path, json=body, headers=headers, environ_overrides={"REMOTE_ADDR": remote}
        )

    return post


@pytest.fixture
def enter(post):
    def enter(who, *, remote="127.0.0.1", **given):
        now = datetime.now(UTC)
        code = who.code(now) if who.secret else None
        body = {"email": who.email, "password": PASSWORD, "code": code} | given
        return post("/v1/sessions", body, remote=remote)

    return enter


def step_up(post, token):
    answer = post("/v1/sessions/current/step-up", {"password": PASSWORD}, token=token)
    assert answer.status_code == 200


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_session_opens_what_its_roles_do_and_nothing_else(desk, client, enter):
    token = enter(person(desk)).json["token"]
    assert client.get("/v1/alerts", headers=bearer(token)).status_code == 200
    refused = client.get("/v1/staff", headers=bearer(token))
    assert (refused.status_code, refused.json["code"]) == (403, "not_allowed")


def test_answer_of_a_sign_in_is_kept_by_nobody(desk, enter):
    answer = enter(person(desk))
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"


def test_wrong_credentials_are_one_answer(desk, enter):
    robin = person(desk)
    answers = [
        enter(robin, password=OTHER),
        enter(robin, email="nobody@police.example"),
        enter(robin, email="nobody"),
        enter(robin, organisation="operator"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert answers[0].json["code"] == "wrong_credentials"
    heads = [{k: v for k, v in answer.headers if k != "X-Request-Id"} for answer in answers]
    assert all(head == heads[0] for head in heads)


@pytest.mark.usefixtures("still")
def test_too_many_tries_say_when_to_try_again(desk, enter):
    robin = person(desk)
    for _ in range(5):
        assert enter(robin, password=OTHER, remote="203.0.113.9").status_code == 401
    refused = enter(robin, remote="203.0.113.9")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert enter(robin, remote="203.0.113.10").status_code == 201


def test_sessions_are_listed_and_ended(desk, client, enter):
    robin = person(desk)
    first, second, third = (enter(robin).json["token"] for _ in range(3))
    listed = client.get("/v1/sessions", headers=bearer(second)).json["items"]
    assert [one["current"] for one in listed] == [False, True, False]
    gone = listed[2]["id"]
    assert client.delete(f"/v1/sessions/{gone}", headers=bearer(second)).status_code == 204
    assert client.get("/v1/alerts", headers=bearer(first)).status_code == 401
    assert client.delete(f"/v1/sessions/{gone}", headers=bearer(second)).status_code == 404
    assert client.delete("/v1/sessions", headers=bearer(third)).status_code == 204
    assert client.get("/v1/sessions", headers=bearer(second)).status_code == 401
    assert len(client.get("/v1/sessions", headers=bearer(third)).json["items"]) == 1


def test_session_of_somebody_else_cannot_be_ended(desk, client, enter):
    robin, sam = person(desk), person(desk, "sam@police.example")
    token, other = enter(robin).json["token"], enter(sam).json["token"]
    (theirs,) = client.get("/v1/sessions", headers=bearer(other)).json["items"]
    answer = client.delete(f"/v1/sessions/{theirs['id']}", headers=bearer(token))
    assert answer.status_code == 404
    assert client.get("/v1/alerts", headers=bearer(other)).status_code == 200


def test_devices_end_with_the_session_that_they_were_signed_in_with(desk, app, client, post, enter):
    pushing = replace(
        desk.settings,
        channels=("console", "web_push"),
        vapid_keys=(from_base64url(PRIVATE),),
        vapid_subject="mailto:desk@waylight.example",
    )
    app.extensions["waylight"] = Waylight(pushing, desk.database, Vault(pushing))
    robin = person(desk)
    telephone, laptop = enter(robin).json["token"], enter(robin).json["token"]
    body = {**Browser().to_json(), "team": WireId.of("team", desk.first), "name": "Telephone"}
    assert post("/v1/push/subscriptions", body, token=telephone).status_code == 201
    assert client.delete("/v1/sessions", headers=bearer(laptop)).status_code == 204
    (row,) = desk.rows("select state, wrapped_key from addresses where channel = 'web_push'")
    assert row == {"state": "gone", "wrapped_key": None}


def test_ticket_of_an_ended_session_opens_nothing(desk, client, post, enter):
    robin = person(desk)
    token, other = enter(robin).json["token"], enter(robin).json["token"]
    ticket = post("/v1/alerts/stream/tickets", {}, token=token).json["ticket"]
    assert client.delete("/v1/sessions", headers=bearer(other)).status_code == 204
    assert client.get(f"/v1/alerts/stream?ticket={ticket}").status_code == 401


def test_ticket_of_a_session_has_the_rights_of_its_person_by_then(desk, client, post, enter):
    robin = person(desk)
    token = enter(robin).json["token"]
    ticket = post("/v1/alerts/stream/tickets", {}, token=token).json["ticket"]
    desk.do("update accounts set roles = '{auditor}' where staff_id = %s", robin.id)
    answer = client.head(f"/v1/alerts/stream?ticket={ticket}")
    assert answer.status_code == 403


# --- step-up


def test_what_deserves_it_asks_for_the_password_once_more(desk, client, post, enter):
    token = enter(person(desk, roles=("dispatcher",))).json["token"]
    desk.report()
    (report,) = desk.rows("select id from reports")
    path = f"/v1/reports/{WireId.of('report', report['id'])}/original"
    asked = client.get(path, headers=bearer(token))
    assert (asked.status_code, asked.json["code"]) == (401, "step_up_needed")
    wrong = post("/v1/sessions/current/step-up", {"password": OTHER}, token=token)
    assert (wrong.status_code, wrong.json["code"]) == (401, "wrong_credentials")
    assert client.get(path, headers=bearer(token)).json["code"] == "step_up_needed"
    step_up(post, token)
    assert client.get(path, headers=bearer(token)).status_code == 200
    desk.do("update sessions set fresh_until = now() - interval '1 second'")
    assert client.get(path, headers=bearer(token)).json["code"] == "step_up_needed"


def test_step_up_is_of_one_session(desk, client, post, enter):
    robin = administrator(desk, now=datetime.now(UTC))
    token = enter(robin).json["token"]
    step_up(post, token)
    other = enter(robin, code=robin.recovery[0]).json["token"]
    body = {"url": "https://partner.example/x", "event_types": ["alert.*"], "description": "x"}
    assert post("/v1/webhooks", body, token=other).json["code"] == "step_up_needed"
    assert post("/v1/webhooks", body, token=token).status_code == 409, "the channel is off"


def test_token_of_a_client_outlives_the_session_so_it_asks_for_a_step_up(desk, client, post, enter):
    """Whoever has got hold of a session must not keep a door of their own when it ends."""
    token = enter(administrator(desk, now=datetime.now(UTC))).json["token"]
    body = {"name": "App", "scopes": ["webhooks:manage"]}
    assert post("/v1/clients", body, token=token).json["code"] == "step_up_needed"
    step_up(post, token)
    made = post("/v1/clients", body, token=token)
    assert made.status_code == 201
    desk.do("update sessions set fresh_until = null")
    path = f"/v1/clients/{made.json['id']}"
    assert post(f"{path}/rotate", {}, token=token).json["code"] == "step_up_needed"
    longer = client.patch(path, json={"expires_at": None}, headers=bearer(token))
    assert longer.json["code"] == "step_up_needed"
    # Whoever sees a leak must be able to stop it.
    assert post(f"{path}/revoke", token=token).status_code == 200


@pytest.mark.usefixtures("still")
def test_step_up_takes_a_code_once_and_no_more_than_a_few_guesses(desk, post, enter):
    robin = administrator(desk, now=datetime.now(UTC))
    token = enter(robin, code=robin.recovery[0]).json["token"]

    def try_code(code):
        return post("/v1/sessions/current/step-up", {"code": code}, token=token).status_code

    assert try_code(robin.recovery[1]) == 200
    assert try_code(robin.recovery[1]) == 401
    assert [try_code("000000") for _ in range(6)] == [401] * 4 + [429] * 2


@pytest.mark.parametrize("body", [{}, {"password": "x", "code": "y"}])
def test_step_up_takes_one_proof(desk, post, enter, body):
    token = enter(person(desk)).json["token"]
    assert post("/v1/sessions/current/step-up", body, token=token).status_code == 422


# --- the second factor


def test_administrator_without_a_second_factor_sets_one_up_and_goes_on(desk, client, post, enter):
    ada = person(desk, "ada@police.example", roles=("administrator",))
    opened = enter(ada).json
    assert opened["must_enrol"]
    token = opened["token"]
    for path in ("/v1/staff", "/v1/alerts", "/v1/webhooks", "/v1/sign-in-policy"):
        refused = client.get(path, headers=bearer(token))
        assert (refused.status_code, refused.json["code"]) == (403, "enrolment_needed"), path
    assert post("/v1/account/totp", token=token).json["code"] == "step_up_needed"
    step_up(post, token)
    begun = post("/v1/account/totp", token=token)
    assert begun.status_code == 201
    shown = pyotp.parse_uri(begun.json["uri"])
    assert shown.secret == begun.json["secret"]
    assert (shown.name, shown.issuer) == (ada.email, "Waylight")
    assert client.get("/v1/staff", headers=bearer(token)).status_code == 403
    wrong = post("/v1/account/totp/confirm", {"code": "000000"}, token=token)
    assert wrong.status_code == 401
    code = pyotp.TOTP(begun.json["secret"]).now()
    done = post("/v1/account/totp/confirm", {"code": code}, token=token)
    assert done.status_code == 200
    assert len(done.json["recovery_codes"]) == 10
    assert client.get("/v1/staff", headers=bearer(token)).status_code == 200
    again = post("/v1/account/totp/confirm", {"code": code}, token=token)
    assert (again.status_code, again.json["code"]) == (409, "state_conflict")
    assert enter(ada).status_code == 401, "without a code"
    assert client.delete("/v1/account/totp", headers=bearer(token)).status_code == 409


def test_second_factor_goes_where_nobody_demands_it(desk, client, post, enter):
    robin = person(desk, totp=True, now=datetime.now(UTC))
    token = enter(robin).json["token"]
    assert client.delete("/v1/account/totp", headers=bearer(token)).status_code == 401
    step_up(post, token)
    assert client.delete("/v1/account/totp", headers=bearer(token)).status_code == 204
    assert enter(robin, code=None).status_code == 201


def test_password_changes_and_other_sessions_end(desk, client, post, enter):
    robin = person(desk)
    token, other = enter(robin).json["token"], enter(robin).json["token"]
    step_up(post, token)

    def change(password):
        return client.put(
            "/v1/account/password", json={"password": password}, headers=bearer(token)
        )

    weak = change("password1234567")
    assert (weak.status_code, weak.json["errors"][0]["code"]) == (422, "too_common")
    assert "password1234567" not in weak.text
    assert change(OTHER).status_code == 204
    assert client.get("/v1/alerts", headers=bearer(other)).status_code == 401
    assert enter(robin).status_code == 401
    assert enter(robin, password=OTHER).status_code == 201


def test_keys_go_on_as_they_were(desk, client, post):
    """A key is no session: it is asked for no step-up, and can do none."""
    (token,) = keys_for(
        desk, [replace(desk.control, scopes=frozenset({"webhooks:manage"}))]
    ).values()
    body = {"url": "https://partner.example/x", "event_types": ["alert.*"], "description": "x"}
    assert post("/v1/webhooks", body, token=token).status_code == 409, "the channel is off"
    refused = post("/v1/sessions/current/step-up", {"password": PASSWORD}, token=token)
    assert refused.status_code == 403
    assert client.get("/v1/sessions", headers=bearer(token)).json["items"] == []
