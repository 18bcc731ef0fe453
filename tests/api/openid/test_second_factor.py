"""The second factor of somebody whom a provider signed in, and stepping up."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from tests.api.openid.door import ROBIN, bearer, refused
from tests.staff import PASSWORD


def head(at, **claims):
    at.fake.claims |= {"access": {"roles": ["head"]}, "sub": "head", **claims}


def test_an_administrator_must_set_up_a_second_factor_unless_the_provider_vouches(at):
    head(at, email="head@police.example", amr=["pwd"])
    session = at.enter()
    assert (session.json["must_enrol"], session.json["scopes"]) == (True, [])
    assert at.get("/v1/staff", session).json["code"] == "enrolment_needed"
    head(at, amr=["pwd", "mfa"])
    assert at.get("/v1/staff", at.enter()).status_code == 200
    head(at, amr=None, acr="mfa")
    assert at.get("/v1/staff", at.enter()).status_code == 200


def test_second_factor_that_is_set_up_is_asked_for_unless_the_provider_vouches(at):
    head(at, email=at.ada.email)
    session = at.enter()
    assert (session.json["must_prove"], session.json["must_enrol"]) == (True, False)
    assert at.get("/v1/staff", session).json["code"] == "step_up_needed"
    code = {"code": at.ada.code(datetime.now(UTC) + timedelta(seconds=30))}

    def step_up(body):
        return at.client.post(
            "/v1/sessions/current/step-up", json=body, headers=bearer(session)
        ).status_code

    assert step_up({"password": PASSWORD}) == 401
    assert at.get("/v1/staff", session).json["code"] == "step_up_needed"
    assert step_up(code) == 200
    assert at.get("/v1/staff", session).status_code == 200


def test_provider_alone_takes_no_second_factor_away(at):
    head(at, email=at.ada.email, auth_time=int(datetime.now(UTC).timestamp()))
    session = at.enter(begin={"fresh": True})
    answer = at.client.delete("/v1/account/totp", headers=bearer(session))
    assert (answer.status_code, answer.json["code"]) == (401, "step_up_needed")


def test_amr_is_nothing_where_the_provider_is_not_set_to_vouch(at):
    at.desk.do("update identity_providers set second_factor_values = '{}'")
    head(at, email="head@police.example", amr=["mfa"], acr="mfa")
    assert at.enter().json["must_enrol"] is True


def test_fresh_sign_in_asks_anew_and_opens_what_asks_for_a_step_up(at):
    head(at, email="head@police.example", amr=["mfa"])
    stale = at.enter()
    body = {"name": "New", "email": "new@police.example", "roles": ["auditor"]}
    asked = at.client.post("/v1/staff", json=body, headers=bearer(stale))
    assert asked.json["code"] == "step_up_needed"
    begun = at.begin(fresh=True)
    assert "prompt=login" in begun.json["url"]
    assert "max_age=0" in begun.json["url"]
    at.fake.claims["auth_time"] = int(datetime.now(UTC).timestamp())
    fresh = at.end(begun, at.fake.visit(begun.json["url"]))
    assert fresh.json["fresh_until"] is not None
    assert at.client.post("/v1/staff", json=body, headers=bearer(fresh)).status_code == 201


@pytest.mark.parametrize("auth_time", [None, 1_700_000_000, "now", True])
def test_provider_that_did_not_ask_anew_makes_nothing_fresh(at, auth_time):
    at.fake.claims["auth_time"] = auth_time
    refused(at.enter(begin={"fresh": True}))


def test_session_is_stepped_up_by_the_provider_of_its_person(at):
    session = at.enter()

    def step_up(**begin):
        begun = at.begin(**begin)
        back = at.fake.visit(begun.json["url"])
        body = {"sign_in": begun.json["sign_in"], **back}
        return at.client.post(
            "/v1/sessions/current/step-up/openid", json=body, headers=bearer(session)
        )

    refused(step_up())  # not begun with `fresh`
    at.fake.claims["auth_time"] = int(datetime.now(UTC).timestamp())
    assert step_up(fresh=True).status_code == 200
    assert at.client.post("/v1/account/totp", headers=bearer(session)).status_code == 201
    at.fake.claims |= {"sub": "another", "email": "another@police.example"}
    refused(step_up(fresh=True))
    # Whoever has left the directory's group proves nothing with its word.
    at.fake.claims |= {"sub": "robin", "email": ROBIN["email"], "groups": ["canteen"]}
    refused(step_up(fresh=True))


def test_whom_a_provider_signed_in_sets_no_password_that_would_outlive_it(at):
    at.fake.claims["auth_time"] = int(datetime.now(UTC).timestamp())
    session = at.enter(begin={"fresh": True})
    answer = at.client.put(
        "/v1/account/password", json={"password": PASSWORD}, headers=bearer(session)
    )
    assert (answer.status_code, answer.json["code"]) == (403, "not_allowed")


def test_new_administrator_without_a_password_sets_a_second_factor_up_by_the_provider(at):
    head(at, email="head@police.example", auth_time=int(datetime.now(UTC).timestamp()))
    session = at.enter(begin={"fresh": True})
    assert session.json["must_enrol"]
    begun = at.client.post("/v1/account/totp", headers=bearer(session))
    code = pyotp.TOTP(begun.json["secret"]).at(datetime.now(UTC))
    confirmed = at.client.post(
        "/v1/account/totp/confirm", json={"code": code}, headers=bearer(session)
    )
    assert confirmed.status_code == 200
    assert at.get("/v1/staff", session).status_code == 200
    assert at.enter().json["must_prove"]  # the next time the code is asked for


def test_everybody_of_an_organisation_that_demands_it_needs_a_second_factor(at):
    at.desk.do(
        "insert into sign_in_policies (organisation_id, requires_totp) values (%s, true)",
        at.desk.police.organisation_id,
    )
    assert at.enter().json["must_enrol"]
    at.fake.claims["amr"] = ["mfa"]
    assert not at.enter().json["must_enrol"]


def test_second_factor_and_freshness_are_of_the_id_token_alone(at):
    """In userinfo stands what people wrote into their profile, where their provider lets them."""
    del at.fake.claims["groups"]
    head(at, email="head@police.example")
    said = {"amr": ["mfa"], "acr": "mfa", "auth_time": int(datetime.now(UTC).timestamp())}
    at.fake.userinfo = {"sub": "head", "groups": ["desk"], **said}
    assert at.enter().json["must_enrol"]
    refused(at.enter(begin={"fresh": True}))
    assert at.why() == ["not_asked_anew"]


def test_whoever_has_not_shown_the_second_factor_sees_and_ends_their_own_session_alone(at):
    """Who has got hold of a password at the provider must not sign the person's devices out."""
    head(at, email=at.ada.email)
    other = at.enter()
    code = {"code": at.ada.code(datetime.now(UTC) + timedelta(seconds=30))}
    at.client.post("/v1/sessions/current/step-up", json=code, headers=bearer(other))
    session = at.enter()
    assert session.json["must_prove"]
    (own,) = at.get("/v1/sessions", session).json["items"]
    assert own["current"]
    ids = [one["id"] for one in at.get("/v1/sessions", other).json["items"]]
    for one in {*ids} - {own["id"]}:
        ended = at.client.delete(f"/v1/sessions/{one}", headers=bearer(session))
        assert ended.status_code == 404
    ended = at.client.delete("/v1/sessions", headers=bearer(session))
    assert (ended.status_code, ended.json["code"]) == (401, "step_up_needed")
    assert at.get("/v1/staff", other).status_code == 200
    ended = at.client.delete(f"/v1/sessions/{own['id']}", headers=bearer(session))
    assert ended.status_code == 204


def test_guesses_of_whoever_has_not_shown_the_second_factor_keep_its_owner_from_nothing(
    at, app, monkeypatch
):
    moment = datetime.now(UTC)  # a clock that stands: no turn comes while the test is slow
    monkeypatch.setitem(app.extensions, "waylight.clock", lambda: moment)
    head(at, email=at.ada.email)
    owner = at.enter()

    def try_code(session, code):
        return at.client.post(
            "/v1/sessions/current/step-up", json={"code": code}, headers=bearer(session)
        ).status_code

    assert try_code(owner, at.ada.code(moment + timedelta(seconds=30))) == 200
    # However many sessions a stranger opens with the password at the provider.
    strangers = [at.enter() for _ in range(3)]
    guesses = [try_code(one, "000000") for one in strangers for _ in range(3)]
    assert guesses == [401] * 5 + [429] * 4
    assert try_code(owner, at.ada.recovery[0]) == 200
    assert try_code(strangers[0], at.ada.recovery[1]) == 429
