"""Signing in by a provider through the door as it is served: one loop, which nothing holds up."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from schemas.common import WireId
from tests.api.openid.door import ROBIN, caller_of, made
from tests.api.reports.sending import report
from tests.desk import open_desk
from tests.openid import DESK, SECRET, brought_back, fake_provider, real_provider
from tests.processes import serving
from tests.proxy import soon
from tests.staff import QUICK, administrator
from waylight.channels.openid import AT_ONCE
from waylight.services import passwords
from waylight.services.operations import chores

pytestmark = [pytest.mark.commits, pytest.mark.slow]

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def desk(database, vault, settings, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    now = datetime.now(UTC)
    # A server that is long in starting must not take its worker for dead.
    chores.beat(database, "w", host="h", pid=1, started_at=now, now=now + timedelta(hours=1))
    return open_desk(database, vault, settings)


def post(server, path, body, **headers):
    status, answer = server.ask("POST", path, json.dumps(body).encode(), JSON | headers)
    return status, json.loads(answer)


def served(database, folder, port):
    return serving(
        database._settings.database_url, folder, WAYLIGHT_ALLOWED_LOOPBACK_PORTS=str(port)
    )


def provider_of(desk, fake):
    ada = administrator(desk, now=datetime.now(UTC))
    return WireId.of("provider", made(desk, fake, caller_of(desk, ada), scopes=[]).id)


def test_provider_that_keeps_everybody_waiting_holds_up_nobody_else(desk, database, tmp_path):
    goes_on = threading.Event()

    def wait(talk):
        goes_on.wait(60)
        talk.say({"keys": [key.as_dict(private=False) for key in fake.published]})

    with fake_provider() as fake:
        fake.claims = {**ROBIN, "groups": ["desk"]}
        path = f"/v1/sign-in/{provider_of(desk, fake)}"
        with served(database, tmp_path, fake.port) as server:
            bodies = []
            for _ in range(AT_ONCE + 4):
                status, begun = post(server, path, {})
                assert status == 201, server.told()
                bodies.append({"sign_in": begun["sign_in"], **fake.visit(begun["url"])})
            fake.says["/keys"] = wait
            with ThreadPoolExecutor(len(bodies)) as pool:
                ends = [pool.submit(post, server, "/v1/sessions/openid", one) for one in bodies]
                # Those beyond the places hear at once that there is none.
                soon(lambda: sum(end.done() for end in ends) == 4)
                assert {end.result()[0] for end in ends if end.done()} == {503}
                assert server.ask("GET", "/healthz")[0] == 200
                assert post(server, "/v1/reports", report())[0] == 201
                assert not goes_on.is_set()
                goes_on.set()
                statuses = sorted(end.result()[0] for end in ends)
            assert statuses == [201] * AT_ONCE + [503] * 4, server.told()
            assert SECRET not in server.told()
            assert "robin@police.example" not in server.told()


def test_real_provider_signs_somebody_in_through_the_served_door(desk, database, tmp_path):
    people = {"robin": {**ROBIN, "groups": ["desk"]}}
    with real_provider(people) as provider:
        path = f"/v1/sign-in/{provider_of(desk, provider)}"
        desk.do("update identity_providers set scopes = '{groups}'")
        with served(database, tmp_path, provider.port) as server:
            status, begun = post(server, path, {"redirect_uri": DESK})
            assert status == 201, server.told()
            back = brought_back(provider.visit(begun["url"], person="robin"))
            status, session = post(
                server, "/v1/sessions/openid", {"sign_in": begun["sign_in"], **back}
            )
            assert status == 201, server.told()
            bearer = {"Authorization": f"Bearer {session['token']}"}
            assert server.ask("GET", "/v1/alerts", headers=bearer)[0] == 200
            desk.do("update identity_providers set enabled = false")
            assert server.ask("POST", path, b"{}", JSON)[0] == 404
            log = server.told()
            assert not [one for one in (*back.values(), session["token"]) if one in log]


def test_nobody_signs_in_to_a_database_that_is_read_only_and_all_hear_it_at_once(
    desk, database, tmp_path
):
    """A standby that is asked before it is its turn: 503 and come again, no fault of ours."""
    with fake_provider() as fake:
        path = f"/v1/sign-in/{provider_of(desk, fake)}"
        with serving(
            database._settings.database_url,
            tmp_path,
            WAYLIGHT_ALLOWED_LOOPBACK_PORTS=str(fake.port),
            PGOPTIONS="-c default_transaction_read_only=on",
        ) as server:
            status, begun = post(server, path, {})
            assert status == 201, server.told()
            ends = {"sign_in": begun["sign_in"], **fake.visit(begun["url"])}
            password = {"email": "ada@police.example", "password": "x"}
            for at, body in (("/v1/sessions/openid", ends), ("/v1/sessions", password)):
                status, refused = post(server, at, body)
                assert (status, refused["code"]) == (503, "unavailable"), server.told()
            assert fake.called("/token") == 0
            assert post(server, "/v1/reports", report())[0] == 503
