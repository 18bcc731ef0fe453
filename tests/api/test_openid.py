"""Signing in by an OpenID provider, with a hostile one at the other end."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyotp
import pytest
from structlog.testing import capture_logs

from api import openid as door
from schemas.common import WireId
from tests.desk import Desk, open_desk
from tests.openid import CLIENT, DESK, SECRET, FakeProvider, fake_provider, key_of
from tests.staff import PASSWORD, QUICK, Person, administrator, enter, holder, person
from waylight.channels.guard import Guard
from waylight.channels.openid import OpenIdProviders
from waylight.domain.principals import Principal
from waylight.services import identity_providers, passwords
from waylight.services.operations import chores

ROBIN = {"email": "robin@police.example", "email_verified": True, "name": "Robin Shah"}
DESKS = {"claim": "groups", "value": "desk", "role": "responder"}
HEADS = {"claim": "/access/roles", "value": "head", "role": "administrator"}
VALUES: dict[str, Any] = {
    "name": "Directory",
    "client_id": CLIENT,
    "client_secret": SECRET,
    "redirect_uris": [DESK, "example.desk:/signed-in"],
    "scopes": [],
    "role_mapping": [DESKS, HEADS],
    "email_domains": [],
    "second_factor_values": ["mfa"],
    "enabled": True,
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture
def desk(database, vault, settings) -> Desk:
    return open_desk(database, vault, settings)


@pytest.fixture
def fake():
    with fake_provider() as provider:
        provider.claims = {**ROBIN, "groups": ["desk"]}
        yield provider


@dataclass
class Door:
    """The front door with one provider of the police behind it."""

    client: Any
    desk: Desk
    fake: FakeProvider
    ada: Person
    caller: Principal
    id: str
    row: Any
    logs: list[Any] = field(default_factory=list)

    def begin(self, provider=None, **body):
        return self.client.post(f"/v1/sign-in/{provider or self.id}", json=body)

    def end(self, begun, back, **over):
        body = {"sign_in": begun.json["sign_in"], **back, **over}
        with capture_logs() as self.logs:
            return self.client.post("/v1/sessions/openid", json=body)

    def enter(self, *, begin=None, **over):
        begun = self.begin(**(begin or {}))
        assert begun.status_code == 201, begun.text
        return self.end(begun, self.fake.visit(begun.json["url"]), **over)

    def why(self):
        """The reason of the last refusal, as the operator reads it."""
        return [one["reason"] for one in self.logs if "reason" in one]

    def get(self, path, session):
        return self.client.get(path, headers=bearer(session))


def bearer(session):
    return {"Authorization": f"Bearer {session.json['token']}"}


def made(desk, fake, caller, **values):
    return identity_providers.create_provider(
        desk.database,
        desk.vault,
        caller,
        values={**VALUES, "issuer": fake.issuer, **values},
        loopback_ports=[fake.port],
        now=datetime.now(UTC),
    )


def speaking(app, monkeypatch, *ports, total_s=5.0, **more):
    speaks = OpenIdProviders(Guard(loopback_ports=ports, total_s=total_s), **more)
    monkeypatch.setitem(app.extensions, door.EXTENSION, speaks)
    return speaks


def caller_of(desk, who):
    now = datetime.now(UTC)
    return holder(desk, enter(desk, who, now=now).token, now=now)


@pytest.fixture
def at(app, client, desk, fake, monkeypatch) -> Door:
    speaking(app, monkeypatch, fake.port, searched_every_s=0)
    ada = administrator(desk, now=datetime.now(UTC))
    caller = caller_of(desk, ada)
    row = made(desk, fake, caller)
    return Door(client, desk, fake, ada, caller, WireId.of("provider", row.id), row)


def refused(answer):
    assert (answer.status_code, answer.json["code"]) == (401, "sign_in_refused"), answer.text
    return {name: value for name, value in answer.json.items() if name != "instance"}


def accounts_of(desk):
    return {
        row["name"]: row["roles"]
        for row in desk.rows(
            "select s.name, a.roles from accounts a join staff s on s.id = staff_id"
        )
    }


# the way of everybody


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


# what is refused, by one answer


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


def test_many_refusals_from_one_address_are_not_heard_any_more(at):
    body = {"sign_in": "x", "state": "x", "code": "x"}
    remote = {"REMOTE_ADDR": "203.0.113.9"}
    statuses = [
        at.client.post("/v1/sessions/openid", json=body, environ_overrides=remote).status_code
        for _ in range(32)
    ]
    assert statuses[:30] == [401] * 30
    assert statuses[-1] == 429


# who is who, and of which organisation


def test_a_disabled_person_is_refused_and_their_sessions_end_at_once(at):
    session = at.enter()
    at.desk.do("update accounts set disabled_at = now() where roles = '{responder}'")
    assert at.get("/v1/alerts", session).status_code == 401
    refused(at.enter())
    assert at.why() == ["disabled"]


def test_an_address_given_to_somebody_else_there_does_not_open_the_account(at):
    at.enter()
    at.fake.claims["sub"] = "another robin"
    refused(at.enter())
    assert at.why() == ["linked_otherwise"]
    (row,) = at.desk.rows("select staff_id from identities")
    identity_providers.forget_person(
        at.desk.database,
        at.desk.vault,
        at.caller,
        provider_id=at.row.id,
        staff_id=row["staff_id"],
        now=datetime.now(UTC),
    )
    assert at.enter().status_code == 201


def test_only_the_named_domains_are_vouched_for(at):
    at.desk.do("update identity_providers set email_domains = '{police.example}'")
    at.fake.claims["email"] = "robin@evil.example"
    refused(at.enter())
    at.fake.claims["email"] = "robin@notpolice.example"
    refused(at.enter())
    at.fake.claims["email"] = "Robin@Police.Example"
    assert at.enter().status_code == 201


@pytest.fixture
def hostile(at, app, monkeypatch):
    """The operator's administrator runs a provider of their own."""
    with fake_provider() as fake:
        speaking(app, monkeypatch, at.fake.port, fake.port, searched_every_s=0)
        eve = administrator(
            at.desk, "eve@operator.example", organisation="operator", now=datetime.now(UTC)
        )
        caller = caller_of(at.desk, eve)
        row = made(at.desk, fake, caller)
        yield Door(at.client, at.desk, fake, eve, caller, WireId.of("provider", row.id), row)


def test_a_provider_never_makes_anybody_a_person_of_another_organisation(at, hostile):
    """Everything that the provider of the operator can say, to become Ada of the police."""
    assert at.enter().status_code == 201
    before = at.desk.rows(
        "select a.* from accounts a join organisations o on o.id = organisation_id"
        " where o.key = 'police' order by staff_id"
    )
    heads = {"access": {"roles": ["head"]}, "groups": ["desk"], "amr": ["mfa"]}
    police = WireId.of("organisation", at.desk.police.organisation_id)
    for claims in (
        {"sub": "x", "email": at.ada.email, "email_verified": True},
        {"sub": "robin", "email": ROBIN["email"], "email_verified": True},
        {"sub": str(at.ada.id), "organisation": police, "organisation_id": police},
        {"sub": "y", "email": at.ada.email.upper(), "email_verified": True, "hd": "police.example"},
    ):
        hostile.fake.claims = heads | claims
        session = hostile.enter()
        if session.status_code == 201:
            listed = hostile.get("/v1/staff", session).json["items"]
            assert {one["organisation"] for one in listed if "organisation" in one} <= {"operator"}
            ids = {WireId.read("staff", one["id"]) for one in listed}
            assert not ids & {row["staff_id"] for row in before}
    theirs = at.desk.rows(
        "select distinct o.key from sessions s join organisations o on o.id = s.organisation_id"
        " where identity_provider_id = %s",
        hostile.row.id,
    )
    assert theirs == [{"key": "operator"}]
    assert before == at.desk.rows(
        "select a.* from accounts a join organisations o on o.id = organisation_id"
        " where o.key = 'police' order by staff_id"
    )


def test_two_providers_are_not_mixed_up(at, hostile):
    """A code of one is never good, or sent, to the other; nor is a token of the other one's key."""
    mine = hostile.begin()
    theirs = at.fake.visit(mine.json["url"])  # the victim was led to the police's provider instead
    refused(hostile.end(mine, theirs, iss=at.fake.issuer))
    assert hostile.why() == ["other_issuer"]
    assert hostile.fake.called("/token") == 0
    # Without `iss`, the token is held against the provider that the sign-in was begun with.
    mine = hostile.begin()
    back = hostile.fake.visit(mine.json["url"])
    hostile.fake.claims = {"iss": at.fake.issuer}
    hostile.fake.key = at.fake.key
    refused(hostile.end(mine, back))


def test_a_session_is_not_opened_by_hand_for_another_organisation(at, hostile, database):
    """The second lock: the database holds provider, person and acting organisation together."""
    assert at.enter().status_code == 201
    (known,) = at.desk.rows("select * from identities")
    call = (
        "select open_provider_session(uuid_v7(), %s, %s, '\\x00', 60, now() + interval '1 hour',"
        " null, true, now())"
    )
    with database.staff(at.desk.operator.organisation_id) as conn:
        for provider in (at.row.id, hostile.row.id):
            assert conn.execute(call, [provider, known["staff_id"]]).fetchone() == (False,)
        assert conn.execute("select count(*) from identities").fetchone() == (0,)
        assert conn.execute("select id from identity_providers").fetchall() == [(hostile.row.id,)]


def test_a_person_cannot_be_linked_to_a_provider_of_another_organisation(at, hostile):
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        at.desk.do(
            "insert into identities select %s, '\\x01', %s, %s, now(), now()",
            hostile.row.id,
            at.ada.id,
            at.desk.operator.organisation_id,
        )


# the second factor, and stepping up


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


# the provider ends, breaks, or leads elsewhere


def test_disabled_provider_ends_its_sessions_at_once_and_no_others(at):
    session = at.enter()
    own = at.client.post(
        "/v1/sessions",
        json={
            "email": at.ada.email,
            "password": PASSWORD,
            "code": at.ada.code(datetime.now(UTC) + timedelta(seconds=30)),
        },
    )
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    identity_providers.edit_provider(
        at.desk.database,
        at.desk.vault,
        holder(at.desk, own.json["token"], now=datetime.now(UTC)),
        provider_id=at.row.id,
        values={"enabled": False},
        if_match=None,
        now=datetime.now(UTC),
    )
    assert at.get("/v1/alerts", session).status_code == 401
    assert at.get("/v1/staff", own).status_code == 200
    assert at.begin().status_code == 404
    refused(at.end(begun, back))
    assert at.why() == ["provider_gone"]


def test_provider_that_nobody_has_looks_like_a_disabled_one(at):
    nobodys = at.begin("provider_01jdw2s4x0e6qv3t8k5n7b9c1d")
    at.desk.do("update identity_providers set enabled = false")
    disabled = at.begin()
    assert nobodys.status_code == disabled.status_code == 404
    assert nobodys.json == disabled.json


BROKEN = {
    "answers 500": lambda talk: talk.say({}, status=500),
    "answers 404": lambda talk: talk.say({}, status=404),
    "is no JSON": lambda talk: talk.say(b"<html>"),
    "is a list": lambda talk: talk.say([]),
    "is deep": lambda talk: talk.say(b"[" * 100_000),
    "is huge": lambda talk: talk.say({"issuer": "x" * 200_000}),
    "leads to an address inside": lambda talk: talk.say(
        {}, status=302, Location="http://169.254.169.254/latest/meta-data"
    ),
    "says another issuer": lambda talk: talk.say({"issuer": "https://id.evil.example"}),
    "breaks off": lambda talk: talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_provider_whose_document_is_broken_is_away(at, name):
    at.fake.says["/.well-known/openid-configuration"] = BROKEN[name]
    answer = at.begin()
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    # The next do not wait for it, for a moment.
    asked = len(at.fake.asked)
    assert at.begin().status_code == 503
    assert len(at.fake.asked) == asked


@pytest.mark.parametrize("path", ["/token", "/keys", "/userinfo"])
@pytest.mark.parametrize("name", [one for one in BROKEN if "issuer" not in one])
def test_provider_that_breaks_later_is_away_or_refuses(at, path, name):
    at.fake.userinfo = {"sub": "robin", "groups": ["desk"]}
    del at.fake.claims["groups"]
    begun = at.begin()
    at.fake.says[path] = BROKEN[name]
    answer = at.end(begun, at.fake.visit(begun.json["url"]))
    assert answer.status_code in (401, 503), answer.text
    assert answer.json["code"] in ("sign_in_refused", "unavailable")
    assert at.fake.called("/latest/meta-data") == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:5432/",
        "https://localhost/",
        "file:///etc/passwd",
        "https://10.0.0.1/",
        "http://id.police.example/",
        "javascript:alert(1)",
        5,
        None,
    ],
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_endpoints_that_lead_inside_are_never_called_nor_given_to_a_browser(at, name, url):
    at.fake.metadata[name] = url
    answer = at.begin()
    if answer.status_code == 201:
        answer = at.end(answer, at.fake.visit(answer.json["url"]))
    assert answer.status_code == 503, answer.text


def test_slow_provider_is_given_up(at, app, monkeypatch):
    speaks = speaking(app, monkeypatch, at.fake.port, total_s=30.0)
    begun = at.begin()
    at.fake.says["/token"] = lambda _talk: at.fake.closing.wait(30)
    speaks._session._guard._total_s = 0.1  # once its documents are here
    assert at.end(begun, at.fake.visit(begun.json["url"])).status_code == 503
    assert at.why() == ["timed_out"]


def test_dripping_provider_is_given_up(at, app, monkeypatch):
    speaking(app, monkeypatch, at.fake.port, total_s=0.3)

    def drip(talk):
        talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(OSError):
            while not at.fake.closing.wait(0.02):
                talk.wfile.write(b" ")

    at.fake.says["/.well-known/openid-configuration"] = drip
    assert at.begin().status_code == 503


def test_refused_client_is_no_fault_of_the_person(at):
    at.fake.says["/token"] = lambda talk: talk.say({"error": "invalid_client"}, status=401)
    answer = at.enter()
    assert answer.status_code == 503
    assert at.why() == ["client_refused"]


def test_a_new_key_of_the_provider_is_found(at):
    assert at.enter().status_code == 201
    at.fake.key = key_of("second")
    at.fake.published = [key_of("second")]
    assert at.enter().status_code == 201


def test_keys_are_not_looked_for_more_often_than_twice_a_minute(at, app, monkeypatch):
    speaking(app, monkeypatch, at.fake.port)
    assert at.enter().status_code == 201
    at.fake.key = key_of("nobody's")
    for _ in range(3):
        refused(at.enter())
    assert at.fake.called("/keys") == 1


def test_secret_among_the_published_keys_signs_nothing(at):
    at.fake.says["/keys"] = lambda talk: talk.say(
        {
            "keys": [
                {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
                {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
                {"kty": "RSA", "n": 5, "kid": "broken"},
                "no key",
                key_of("first").as_dict(private=False),
            ]
        }
    )
    assert at.enter().status_code == 201
    at.fake.header = {"kid": "short"}
    refused(at.enter())


def test_key_that_takes_long_to_check_signs_nothing(at):
    slow = key_of("first").as_dict(private=False)
    number = int.from_bytes(urlsafe_b64decode(f"{slow['n']}==")) - 2
    exponent = urlsafe_b64encode(number.to_bytes(256)).rstrip(b"=").decode()
    at.fake.says["/keys"] = lambda talk: talk.say({"keys": [slow | {"e": exponent}]})
    refused(at.enter())
    assert at.why() == ["id_token_invalid_key_id"]


def test_public_client_shows_no_secret_but_its_name(at):
    at.desk.do("update identity_providers set client_secret = null")
    assert at.enter().status_code == 201
    _, form, headers = next(one for one in at.fake.asked if one[0] == "/token")
    assert form["client_id"] == [CLIENT]
    assert "Authorization" not in headers


def test_provider_that_wants_the_secret_in_the_form_gets_it_there(at):
    at.fake.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert at.enter().status_code == 201
    _, form, headers = next(one for one in at.fake.asked if one[0] == "/token")
    assert form["client_secret"] == [SECRET]
    assert "Authorization" not in headers


def test_unreadable_secret_is_told_to_the_operator_and_to_nobody_else(at):
    at.desk.do("update identity_providers set client_secret = '\\x00'")
    with capture_logs() as logs:
        answer = at.begin()
    assert answer.status_code == 503
    assert [one["event"] for one in logs] == ["openid_secret_unreadable", "request"]


def test_logs_and_rows_carry_no_code_token_secret_or_address(at, capfd):
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    session = at.end(begun, back)
    at.fake.claims["email_verified"] = at.fake.claims["groups"] = False
    at.fake.claims["sub"] = "somebody else"
    again = at.enter()
    refused(again)
    private: tuple[str, ...] = (
        back["code"],
        back["state"],
        session.json["token"],
        begun.json["sign_in"],
        SECRET,
        "robin@police.example",
        "somebody else",
        "access",
    )
    said = json.dumps(at.logs, default=str)
    said += "".join(capfd.readouterr())
    for table in ("events", "audit_entries", "identities", "spent_sign_ins", "sessions"):
        said += json.dumps(at.desk.rows(f"select t::text from {table} t"), default=str)  # noqa: S608
    for one in private:
        assert one not in said


def test_used_up_sign_ins_are_forgotten_once_they_are_over(at):
    at.enter()
    assert len(at.desk.rows("select from spent_sign_ins")) == 1
    chores.purge(at.desk.database, now=datetime.now(UTC))
    assert len(at.desk.rows("select from spent_sign_ins")) == 1
    chores.purge(at.desk.database, now=datetime.now(UTC) + timedelta(minutes=11))
    assert not at.desk.rows("select from spent_sign_ins")
