"""What does not fit signs nobody in, and is one answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.wire import limits
from tests.api.openid.door import ROBIN, accounts_of, refused
from tests.openid import CLIENT, key_of

HOSTILE: dict[str, dict[str, Any]] = {
    "wrong issuer": {"claims": {"iss": "https://id.evil.example"}},
    "no issuer": {"claims": {"iss": None}},
    "wrong audience": {"claims": {"aud": "another"}},
    "another audience beside ours without azp": {"claims": {"aud": [CLIENT, "another"]}},
    "azp of another": {"claims": {"aud": [CLIENT, "another"], "azp": "another"}},
    "alg none": {"header": {"alg": "none"}},
    "HS256 by the public key": {"header": {"alg": "HS256"}},
    "expired": {"claims": {"exp": 1_700_000_000}},
    "no end": {"claims": {"exp": None}},
    "a word for an end": {"claims": {"exp": "tomorrow"}},
    "issued in the future": {"claims": {"iat": 4_000_000_000}},
    "wrong nonce": {"claims": {"nonce": "of another sign-in"}},
    "no nonce": {"claims": {"nonce": None}},
    "nonce that is no text": {"claims": {"nonce": ["x"]}},
    "no subject": {"claims": {"sub": None}},
    "empty subject": {"claims": {"sub": ""}},
    "subject that is no text": {"claims": {"sub": {"a": 1}}},
    "long subject": {"claims": {"sub": "x" * 256}},
    "another's access token": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "a key that it does not publish": {"key": key_of("other")},
    "its key's name over another key": {"key": key_of("other"), "header": {"kid": "first"}},
    "critical header that nobody knows": {"header": {"crit": ["x"], "x": 1}},
    "no ID token": {"token": {"id_token": None}},
    "an ID token that is none": {"token": {"id_token": "a.b"}},
    "an ID token outside ASCII": {"token": {"id_token": "\N{SNOWMAN}"}},
    "unverified address": {"claims": {"email_verified": False}},
    "an address verified by a word": {"claims": {"email_verified": "true"}},
    "no address": {"claims": {"email": None}},
    "an address that is none": {"claims": {"email": "robin"}},
    "groups without a role": {"claims": {"groups": ["canteen"]}},
    "a group that only begins so": {"claims": {"groups": "desks"}},
    "userinfo of another": {
        "claims": {"email": None},
        "userinfo": {"sub": "ada", **ROBIN},
    },
}


WHY = {
    "an ID token that is none": "id_token_decode_error",
    "long subject": "no_subject",
    "no end": "id_token_missing_claim_exp",
    "no ID token": "no_id_token",
    "userinfo of another": "userinfo_of_another",
    "groups without a role": "no_role",
    "another's access token": "id_token_invalid_claim_at_hash",
    "critical header that nobody knows": "id_token_unsupported_header",
    "a key that it does not publish": "id_token_invalid_key_id",
    "nonce that is no text": "id_token_invalid_claim_nonce",
    "an ID token outside ASCII": "no_id_token",
    "its key's name over another key": "id_token_bad_signature",
    "issued in the future": "id_token_invalid_claim_iat",
    "expired": "id_token_expired_token_exp",
    "HS256 by the public key": "id_token_unsupported_algorithm",
    "subject that is no text": "id_token_invalid_claim_sub",
    "wrong nonce": "id_token_invalid_claim_nonce",
    "wrong audience": "id_token_invalid_claim_aud",
    "azp of another": "id_token_invalid_claim_azp",
    "a word for an end": "id_token_invalid_claim_exp",
    "wrong issuer": "id_token_invalid_claim_iss",
    "a group that only begins so": "no_role",
    "another audience beside ours without azp": "id_token_missing_claim_azp",
    "no nonce": "id_token_missing_claim_nonce",
    "an address verified by a word": "no_verified_email",
    "no issuer": "id_token_missing_claim_iss",
    "empty subject": "no_subject",
    "alg none": "id_token_unsupported_algorithm",
    "no subject": "id_token_missing_claim_sub",
    "unverified address": "no_verified_email",
    "an address that is none": "no_verified_email",
    "no address": "no_verified_email",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_fit_is_refused_by_one_answer(at, name):
    for what, value in HOSTILE[name].items():
        old = getattr(at.fake, what)
        setattr(at.fake, what, {**old, **value} if isinstance(old, dict) else value)
    before = accounts_of(at.desk)
    answer = refused(at.enter())
    assert answer["detail"] == "That sign-in did not work: begin again."
    assert at.why() == [WHY[name]]
    assert accounts_of(at.desk) == before
    assert not at.desk.rows("select from sessions where identity_provider_id is not null")


def test_a_sign_in_ends_once(at):
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    assert at.end(begun, back).status_code == 201
    refused(at.end(begun, back))
    assert at.why() == ["used_before"]
    assert at.fake.called("/token") == 1


def test_a_wrong_code_uses_the_sign_in_up_as_well(at):
    begun = at.begin()
    at.fake.says["/token"] = lambda talk: talk.say({"error": "invalid_grant"}, status=400)
    back = at.fake.visit(begun.json["url"])
    refused(at.end(begun, back, code="guessed"))
    assert at.why() == ["code_refused"]
    del at.fake.says["/token"]
    refused(at.end(begun, back))


def test_state_of_another_browser_ends_nothing(at):
    """Login CSRF: the attacker's code and state, led into the browser of somebody else."""
    theirs, own = at.begin(), at.begin()
    attackers = at.fake.visit(theirs.json["url"])
    refused(at.end(own, attackers))
    assert at.why() == ["other_state"]
    refused(at.end(own, at.fake.visit(own.json["url"]) | {"code": attackers["code"]}))
    assert at.why() == ["id_token_invalid_claim_nonce"]


@pytest.mark.parametrize("sign_in", ["x", "AAAA", "\N{SNOWMAN}", "A" * 800])
def test_a_sign_in_that_was_never_begun_asks_nobody_anything(at, sign_in):
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    refused(at.end(begun, back, sign_in=sign_in))
    assert at.fake.called("/token") == 0


def test_a_sign_in_is_over_after_ten_minutes(at, app, monkeypatch):
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    later = datetime.now(UTC) + timedelta(minutes=10, seconds=1)
    monkeypatch.setitem(app.extensions, "waylight.clock", lambda: later)
    refused(at.end(begun, back))
    assert at.why() == ["over"]


def test_wrong_issuer_beside_the_code_is_of_another_provider(at):
    refused(at.enter(iss="https://id.evil.example"))
    assert at.why() == ["other_issuer"]
    assert at.fake.called("/token") == 0
    assert at.enter(iss=at.fake.issuer).status_code == 201


def test_a_provider_that_promised_its_issuer_must_send_it(at):
    at.fake.metadata["authorization_response_iss_parameter_supported"] = True
    refused(at.enter())
    assert at.why() == ["no_issuer"]


def test_many_refusals_from_one_address_are_not_heard_any_more(at, monkeypatch):
    """Nor brought before the provider, which would shut us out with everybody."""
    monkeypatch.setattr(limits, "FAILED_SIGN_INS", replace(limits.FAILED_SIGN_INS, quota=3))

    def try_it(remote):
        begun = at.begin()
        body = {"sign_in": begun.json["sign_in"], **at.fake.visit(begun.json["url"])}
        return at.client.post(
            "/v1/sessions/openid", json=body, environ_overrides={"REMOTE_ADDR": remote}
        ).status_code

    at.fake.says["/token"] = lambda talk: talk.say({"error": "invalid_grant"}, status=400)
    assert [try_it("203.0.113.9") for _ in range(5)] == [401] * 3 + [429] * 2
    assert at.fake.called("/token") == 3
    del at.fake.says["/token"]
    assert try_it("198.51.100.7") == 201
