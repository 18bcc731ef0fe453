"""What wrong credentials tell: nothing. One answer, and the same statements, whatever is wrong."""

from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from tests.desk import NOW, keys_for
from tests.staff import OTHER, QUICK, administrator, enter, holder, person
from tests.tokens import token
from waylight.domain.principals import Kind
from waylight.services import keys, oauth, passwords


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture(autouse=True)
def _still(app, monkeypatch):
    """A clock that stands: no turn comes while a test is slow."""
    monkeypatch.setitem(app.extensions, "waylight.clock", lambda: NOW)


@contextmanager
def statements(monkeypatch):
    """What is sent to the database, without what opens and closes transactions."""
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def noted(self, query, *args, **kwargs):
        text = query if isinstance(query, str) else query.as_string(self)
        if not text.lstrip().startswith(("set ", "savepoint", "release", "rollback", "begin")):
            sent.append(text)
        return execute(self, query, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", noted)
        yield sent


def said(answer):
    """An answer without what is of one request alone, and the seconds left of a minute."""
    head = {
        name: value.partition(";t=")[0] for name, value in answer.headers if name != "X-Request-Id"
    }
    return answer.status_code, answer.data, head


def client_key(desk, **others):
    """A token of a new client of the police."""
    return keys.create_client_key(
        desk.database,
        desk.vault,
        name="App",
        scopes=["webhooks:manage"],
        organisation="police",
        now=NOW - timedelta(days=2),
        **others,
    )


@pytest.fixture
def ended(desk):
    """Tokens that open nothing, by why."""
    robin, gone = person(desk), person(desk, "gone@police.example")
    sessions = {}
    for why in ("revoked session", "expired session", "idle session"):
        opened = enter(desk, robin)
        sessions[why] = (opened.token, holder(desk, opened.token).key_id)
    sessions["session of a disabled person"] = (enter(desk, gone).token, None)
    long_ago = NOW - timedelta(days=1)
    for change, why in (
        ("update api_keys set revoked_at = %s where id = %s", "revoked session"),
        ("update api_keys set expires_at = %s where id = %s", "expired session"),
        ("update sessions set last_used_at = %s where id = %s", "idle session"),
    ):
        desk.do(change, long_ago, sessions[why][1])
    desk.do("update accounts set disabled_at = now() where staff_id = %s", gone.id)
    revoked, rotated = client_key(desk), client_key(desk)
    keys.revoke_key(desk.database, desk.vault, revoked.id, now=NOW)
    keys.rotate_key(desk.database, desk.vault, rotated.id, overlap=timedelta(0), now=NOW)
    return {why: secret for why, (secret, _) in sessions.items()} | {
        "session that never was": token("session", "nobody"),
        "key that never was": token("staff", "nobody"),
        "revoked client": revoked.token,
        "expired client": client_key(desk, expires_at=long_ago).token,
        "token before a rotation": rotated.token,
    }


@pytest.mark.parametrize("path", ["/v1/alerts", "/v1/webhooks", "/v1/sessions"])
def test_token_that_opens_nothing_says_not_why(client, ended, monkeypatch, path):
    answers, work = {}, {}
    for why, secret in ended.items():
        with statements(monkeypatch) as sent:
            answer = client.get(path, headers={"Authorization": f"Bearer {secret}"})
        answers[why], work[why] = said(answer), sent
    first = answers["session that never was"]
    assert first[0] == 401
    assert {why for why, one in answers.items() if one != first} == set()
    assert {len(one) for one in work.values()} == {1}
    assert len({tuple(one) for one in work.values()}) == 1


def test_access_token_that_opens_nothing_says_not_why(desk, client, monkeypatch):
    made = {}
    for why, change in (
        ("over", "update access_tokens set expires_at = %s where key_id = %s"),
        ("of a revoked client", "update api_keys set revoked_at = %s where id = %s"),
        ("of an expired client", "update api_keys set expires_at = %s where id = %s"),
    ):
        key = client_key(desk)
        caller = holder(desk, key.token)
        assert caller.kind is Kind.CLIENT
        made[why] = oauth.issue_access_token(
            desk.database, desk.vault, caller, scopes=caller.scopes, now=NOW
        )
        desk.do(change, NOW - timedelta(hours=1), key.id)
    made["that never was"] = token("access token", "nobody")
    answers, work = [], []
    for secret in made.values():
        with statements(monkeypatch) as sent:
            answer = client.get("/v1/webhooks", headers={"Authorization": f"Bearer {secret}"})
        answers.append(said(answer))
        work.append(sent)
    assert answers[0][0] == 401
    assert all(one == answers[0] for one in answers)
    assert all(one == work[0] and len(one) == 1 for one in work)


@pytest.mark.parametrize("is_too_often", [False, True])
def test_sign_in_says_not_what_is_wrong_nor_whether_there_is_an_account(
    desk, client, monkeypatch, is_too_often
):
    """Unknown, known, disabled, without a password, with a second factor: also once it waits."""
    robin = administrator(desk)
    gone, new = person(desk, "gone@police.example"), person(desk, "new@police.example")
    desk.do("update accounts set disabled_at = now() where staff_id = %s", gone.id)
    desk.do("update accounts set password_hash = null where staff_id = %s", new.id)
    answers, work = {}, {}
    for number, (who, more) in enumerate(
        (
            ("nobody@police.example", {}),
            (robin.email, {"password": OTHER}),
            (robin.email, {"code": "000000"}),
            (robin.email, {}),
            (gone.email, {}),
            (new.email, {}),
            (robin.email, {"organisation": "nowhere"}),
        )
    ):
        body = {"email": who, "password": "a long walk by the river"} | more
        remote = {"REMOTE_ADDR": f"203.0.113.{number + 1}"}
        for _ in range(5 if is_too_often else 0):
            client.post("/v1/sessions", json=body, environ_overrides=remote)
        with statements(monkeypatch) as sent:
            answer = client.post("/v1/sessions", json=body, environ_overrides=remote)
        answers[number], work[number] = said(answer), sent
    assert {status for status, _, _ in answers.values()} == {429 if is_too_often else 401}
    assert all(one == answers[0] for one in answers.values())
    assert all(one == work[0] for one in work.values())
    assert len(work[0]) == 2


def test_invitation_that_is_none_says_not_why(desk, client, monkeypatch):
    robin = person(desk)
    secrets = [token("invitation", number) for number in range(3)]
    over, used, _ = map(desk.vault.hash_token, secrets)
    desk.do(
        "update accounts set invitation_hash = %s, invited_until = %s where staff_id = %s",
        over,
        NOW - timedelta(hours=1),
        robin.id,
    )
    kim = person(desk, "kim@police.example")
    desk.do(
        "update accounts set invitation_hash = %s, invited_until = %s, disabled_at = now()"
        " where staff_id = %s",
        used,
        NOW + timedelta(hours=1),
        kim.id,
    )
    answers, work = [], []
    for secret in secrets:
        body = {"token": secret, "password": "seven green umbrellas sing"}
        with statements(monkeypatch) as sent:
            answers.append(said(client.post("/v1/invitations/accept", json=body)))
        work.append(sent)
    assert answers[0][0] == 404
    assert all(one == answers[0] for one in answers)
    assert all(one == work[0] for one in work)


def test_address_that_another_organisation_knows_is_no_conflict(desk, client):
    """Nor is it told by the answer, by an event or by the audit log of whoever asks."""
    desk_keys = keys_for(desk, [desk.police, desk.operator])
    desk.do("update api_keys set scopes = '{staff:manage}'")
    person(desk, "sam@work.example", organisation="operator")
    heads = {"Authorization": f"Bearer {desk_keys[desk.police]}"}
    answers = []
    for email in ("sam@work.example", "new@work.example"):
        body = {"email": email, "name": "Sam", "roles": ["responder"]}
        made = client.post("/v1/staff", json=body, headers=heads)
        answers.append((made.status_code, sorted(made.json), made.headers["ETag"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 201
