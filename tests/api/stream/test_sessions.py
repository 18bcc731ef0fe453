"""Signing in as it is served: a stream ends with its session, and hashing holds up nobody."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.processes import PATIENCE_S, serving
from tests.proxy import soon
from tests.staff import OTHER, enter, holder, person
from tests.streams import Stream, following
from waylight.services import accounts

pytestmark = [pytest.mark.commits, pytest.mark.slow, pytest.mark.usefixtures("numbered")]


@pytest.fixture
def server(desk, database, tmp_path):
    with serving(database._settings.database_url, tmp_path) as server:
        yield server


def test_stream_of_an_ended_session_ends_and_cannot_come_back(server, desk):
    now = datetime.now(UTC)
    robin = person(desk, now=now)
    token, other = (enter(desk, robin, now=now).token for _ in range(2))
    with following(server.port, token=token) as ended, following(server.port, token=other) as goes:
        head = {"Authorization": f"Bearer {other}"}
        assert server.ask("DELETE", "/v1/sessions", headers=head)[0] == 204
        assert ended.ended.wait(PATIENCE_S)
        assert [one.data["reason"] for one in ended.about("stream.closing")] == ["key_ended"]
        assert not goes.ended.is_set()
    assert Stream(server.port, token=token, last_event_id=ended.last_id).status == 401


def test_stream_of_a_disabled_person_ends(server, desk):
    now = datetime.now(UTC)
    robin = person(desk, now=now)
    ada = person(desk, "ada@police.example", roles=("administrator",), totp=True, now=now)
    caller = holder(desk, enter(desk, ada, now=now).token, now=now)
    with following(server.port, token=enter(desk, robin, now=now).token) as stream:
        accounts.change_account(desk.database, desk.vault, caller, robin.id, disabled=True, now=now)
        assert stream.ended.wait(PATIENCE_S)


def test_open_stream_keeps_its_session_from_going_idle(server, desk):
    now = datetime.now(UTC)
    token = enter(desk, person(desk, now=now), now=now).token
    with following(server.port, token=token):
        desk.do("update sessions set last_used_at = last_used_at - interval '30 minutes'")
        used = _wait_until_used(desk, now - timedelta(minutes=5))
    assert used > now - timedelta(minutes=5)


def test_whoever_is_served_does_not_wait_for_passwords(server, desk):
    """A process has one loop: while many passwords are hashed, it answers others all the while."""
    now = datetime.now(UTC)
    robin = person(desk, now=now)
    wrong = json.dumps({"email": robin.email, "password": OTHER}).encode()
    head = {"Content-Type": "application/json"}
    statuses: list[int] = []

    def try_one():
        statuses.append(server.ask("POST", "/v1/sessions", wrong, head)[0])

    def answered_beside_a_crowd():
        statuses.clear()
        tries = [threading.Thread(target=try_one) for _ in range(16)]
        for one in tries:
            one.start()
        answered = 0
        while any(one.is_alive() for one in tries):
            assert server.ask("GET", "/healthz")[0] == 200
            answered += len(statuses) < len(tries)
        for one in tries:
            one.join()
        assert set(statuses) == {401}
        return answered

    # On a busy machine a crowd may be over before this thread has its turn.
    assert any(answered_beside_a_crowd() > 1 for _ in range(5))
    assert "Traceback" not in server.told()
    told = server.told()
    for private in (robin.email, OTHER):
        assert private not in told


def _wait_until_used(desk, since):
    soon(lambda: desk.rows("select from sessions where last_used_at > %s", since))
    return desk.rows("select last_used_at from sessions")[0]["last_used_at"]
