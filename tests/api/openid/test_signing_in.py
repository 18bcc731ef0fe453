"""Somebody signs in by the provider of their organisation."""

import pytest

from tests.api.openid.door import VALUES, accounts_of, refused
from tests.openid import DESK, SECRET
from tests.staff import person


def test_somebody_new_is_let_in_with_the_roles_of_the_mapping(at):
    session = at.enter()
    assert session.status_code == 201, at.why()
    assert session.headers["Cache-Control"] == "no-store"
    assert at.get("/v1/alerts", session).status_code == 200
    assert at.get("/v1/staff", session).json["code"] == "not_allowed"
    assert accounts_of(at.desk)["Robin Shah"] == ["responder"]
    (robin,) = at.desk.rows("select role from staff where name = 'Robin Shah'")
    assert robin == {"role": "responder"}
    kinds = [row["kind"] for row in at.desk.rows("select kind from events order by id")]
    assert {"account.created", "identity.linked", "session.opened"} <= set(kinds)
    actions = {row["action"] for row in at.desk.rows("select action from audit_entries")}
    assert {"account.created", "identity.linked", "identity_provider.created"} <= actions


def test_the_second_time_it_is_the_same_person_whatever_their_address_is_by_then(at):
    first = at.enter()
    at.fake.claims |= {"email": "robin.shah@police.example", "email_verified": False}
    assert at.enter().status_code == first.status_code == 201
    assert len(at.desk.rows("select from identities")) == 1
    assert list(accounts_of(at.desk)).count("Robin Shah") == 1


def test_an_account_of_the_organisation_is_linked_by_its_verified_address(at):
    robin = person(at.desk, roles=("dispatcher",))
    assert at.enter().status_code == 201
    (row,) = at.desk.rows("select staff_id from identities")
    assert row["staff_id"] == robin.id
    assert accounts_of(at.desk)["Robin"] == ["responder"]  # by the mapping from now on


def test_the_request_is_a_code_with_pkce_state_and_nonce_for_this_page_alone(at):
    begun = at.begin(redirect_uri=VALUES["redirect_uris"][1])
    url = begun.json["url"]
    for part in (
        "response_type=code",
        "code_challenge_method=S256",
        "code_challenge=",
        "nonce=",
        "state=",
        "scope=openid+email+profile",
        "redirect_uri=example.desk",
    ):
        assert part in url
    assert SECRET not in url
    assert at.end(begun, at.fake.visit(url)).status_code == 201
    _, form, headers = next(one for one in at.fake.asked if one[0] == "/token")
    assert len(form["code_verifier"][0]) >= 43
    assert headers["Authorization"].startswith("Basic ")
    assert form["redirect_uri"] == [VALUES["redirect_uris"][1]]


@pytest.mark.parametrize("uri", ["https://evil.example/", DESK + "/", DESK + "?x=1", "javascript:"])
def test_nobody_is_sent_back_to_an_address_that_is_not_on_the_list(at, uri):
    answer = at.begin(redirect_uri=uri)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown_redirect_uri")


def test_roles_follow_the_provider_and_one_taken_away_ends_older_sessions(at):
    at.fake.claims |= {"access": {"roles": ["head"]}, "amr": ["mfa"]}
    first = at.enter()
    assert "staff:manage" in first.json["scopes"]
    at.fake.claims["access"] = {}
    second = at.enter()
    assert second.json["scopes"] == sorted(second.json["scopes"])
    assert "staff:manage" not in second.json["scopes"]
    assert at.get("/v1/alerts", first).status_code == 401
    assert at.get("/v1/alerts", second).status_code == 200
    changed = at.desk.events("account.changed")
    assert [row["data"]["roles"] for row in changed] == [["responder"]]


def test_without_a_mapping_only_accounts_made_by_hand_come_in_and_keep_their_roles(at):
    at.desk.do("update identity_providers set role_mapping = '[]'")
    refused(at.enter())
    assert at.why() == ["nobody_here"]
    person(at.desk, roles=("auditor",))
    assert at.enter().json["scopes"] == ["audit:read"]


def test_the_last_administrator_with_a_password_stays_one(at):
    at.fake.claims |= {"email": at.ada.email, "amr": ["mfa"]}
    assert "staff:manage" in at.enter().json["scopes"]
    assert accounts_of(at.desk)["Ada"] == ["administrator", "responder"]


def test_groups_may_come_from_userinfo(at):
    del at.fake.claims["groups"]
    at.fake.userinfo = {"sub": "robin", "groups": ["desk"]}
    assert at.enter().status_code == 201
    _, _, headers = next(one for one in at.fake.asked if one[0] == "/userinfo")
    assert headers["Authorization"] == "Bearer access"


def test_what_the_provider_signed_is_not_overruled_by_userinfo(at):
    del at.fake.claims["groups"]
    at.fake.userinfo = {"sub": "robin", "groups": ["desk"], "email": at.ada.email}
    assert at.enter().status_code == 201
    assert accounts_of(at.desk)["Robin Shah"] == ["responder"]
