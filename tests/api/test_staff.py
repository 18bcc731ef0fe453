"""Administrators and the accounts of their organisation, over the wire."""

from datetime import UTC, datetime

import pytest

from schemas.common import WireId
from tests.desk import Desk, open_desk
from tests.staff import PASSWORD, QUICK, administrator, enter, person
from waylight.services import passwords


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture
def desk(database, vault, settings) -> Desk:
    return open_desk(database, vault, settings)


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def ada(desk, now):
    """The police's administrator, signed in and fresh."""
    token = enter(desk, administrator(desk, now=now), now=now).token
    desk.do("update sessions set fresh_until = now() + interval '10 minutes'")
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def eve(desk, now):
    """The operator's, the same."""
    who = administrator(desk, "eve@operator.example", organisation="operator", now=now)
    token = enter(desk, who, now=now).token
    desk.do("update sessions set fresh_until = now() + interval '10 minutes'")
    return {"Authorization": f"Bearer {token}"}


KIM = {"email": "kim@police.example", "name": "Kim", "job": "officer", "roles": ["responder"]}


def test_person_is_hired_invited_and_signs_in(desk, client, ada):
    made = client.post("/v1/staff", json=KIM, headers=ada)
    assert made.status_code == 201
    assert made.headers["ETag"] == '"1"'
    assert made.json["has_password"] is False
    one = f"/v1/staff/{made.json['id']}"
    assert client.get(one, headers=ada).json == made.json
    assert made.json in client.get("/v1/staff", headers=ada).json["items"]
    invitation = client.post(f"{one}/invitation", headers=ada)
    assert invitation.status_code == 201
    body = {"token": invitation.json["token"], "password": "short"}
    assert client.post("/v1/invitations/accept", json=body).status_code == 422
    body["password"] = PASSWORD
    accepted = client.post("/v1/invitations/accept", json=body)
    assert accepted.status_code == 200
    assert accepted.json["organisation"] == "police"
    assert client.post("/v1/invitations/accept", json=body).status_code == 404
    given = {"email": KIM["email"], "password": PASSWORD, "device": accepted.json["device"]}
    opened = client.post("/v1/sessions", json=given)
    assert opened.status_code == 201
    assert opened.json["device"] == accepted.json["device"]


def test_changes_go_by_the_version_that_was_read(desk, client, ada):
    made = client.post("/v1/staff", json=KIM, headers=ada)
    one = f"/v1/staff/{made.json['id']}"
    changed = client.patch(one, json={"roles": ["dispatcher"]}, headers={**ada, "If-Match": '"1"'})
    assert changed.json["roles"] == ["dispatcher"]
    stale = client.patch(one, json={"job": "x"}, headers={**ada, "If-Match": '"1"'})
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    assert client.patch(one, json={}, headers=ada).status_code == 422
    assert client.patch(one, json={"roles": ["king"]}, headers=ada).status_code == 422
    assert client.patch(one, json={"organisation_id": "x"}, headers=ada).status_code == 422


def test_last_administrator_is_told_so(desk, client, ada):
    (me,) = client.get("/v1/staff", headers=ada).json["items"]
    refused = client.patch(f"/v1/staff/{me['id']}", json={"disabled": True}, headers=ada)
    assert (refused.status_code, refused.json["code"]) == (409, "last_administrator")


def test_administrator_of_another_organisation_finds_nobody(desk, client, ada, eve, now):
    robin = person(desk, now=now)
    session = enter(desk, robin, now=now)
    (row,) = desk.rows("select id from sessions where staff_id = %s", robin.id)
    (me,) = client.get("/v1/staff", headers=ada).json["items"][:1]
    one, other = f"/v1/staff/{WireId.of('staff', robin.id)}", f"/v1/staff/{me['id']}"
    theirs = f"{one}/sessions/{WireId.of('session', row['id'])}"
    for method, path, body in (
        ("GET", one, None),
        ("PATCH", one, {"roles": ["administrator"]}),
        ("PATCH", other, {"disabled": True}),
        ("POST", f"{other}/invitation", {}),
        ("GET", f"{one}/sessions", None),
        ("DELETE", f"{one}/sessions", None),
        ("DELETE", theirs, None),
    ):
        answer = client.open(path, method=method, json=body, headers=eve)
        assert answer.status_code == 404, f"{method} {path}"
    listed = client.get("/v1/staff", headers=eve).json["items"]
    assert [account["name"] for account in listed] == ["Eve"]
    token = {"Authorization": f"Bearer {session.token}"}
    assert client.get("/v1/alerts", headers=token).status_code == 200
    assert len(client.get(f"{one}/sessions", headers=ada).json["items"]) == 1
    assert client.delete(theirs, headers=ada).status_code == 204
    assert client.get("/v1/alerts", headers=token).status_code == 401


def test_policy_holds_at_once(desk, client, ada, now):
    token = {"Authorization": f"Bearer {enter(desk, person(desk, now=now), now=now).token}"}
    assert client.get("/v1/alerts", headers=token).status_code == 200
    path = "/v1/sign-in-policy"
    assert client.get(path, headers=ada).json == {"requires_totp": False, "version": 0}
    assert client.put(path, json={"requires_totp": True}, headers=ada).status_code == 200
    assert client.get("/v1/alerts", headers=token).json["code"] == "enrolment_needed"
    stale = client.put(path, json={"requires_totp": False}, headers={**ada, "If-Match": '"9"'})
    assert stale.status_code == 412


def test_list_goes_on_where_it_ended(desk, client, ada):
    for number in range(3):
        body = {**KIM, "email": f"kim{number}@police.example"}
        assert client.post("/v1/staff", json=body, headers=ada).status_code == 201
    first = client.get("/v1/staff?limit=3", headers=ada)
    rest = client.get(f"/v1/staff?cursor={first.json['next_cursor']}", headers=ada)
    ids = [one["id"] for page in (first, rest) for one in page.json["items"]]
    assert len(set(ids)) == len(ids) == 4


def test_what_changes_rights_asks_for_a_step_up(desk, client, ada):
    desk.do("update sessions set fresh_until = null")
    (me,) = client.get("/v1/staff", headers=ada).json["items"]
    for method, path, body in (
        ("POST", "/v1/staff", KIM),
        ("PATCH", f"/v1/staff/{me['id']}", {"name": "Ada"}),
        ("POST", f"/v1/staff/{me['id']}/invitation", {}),
        ("PUT", "/v1/sign-in-policy", {"requires_totp": True}),
    ):
        answer = client.open(path, method=method, json=body, headers=ada)
        assert (answer.status_code, answer.json["code"]) == (401, "step_up_needed"), path
