import threading
from datetime import UTC, datetime, timedelta

import pytest

from api.app import create_app
from tests.databases import settings_for
from tests.proxy import Line, soon
from waylight.db.session import Database
from waylight.services.operations import chores, migrations
from waylight.services.operations.health import Readiness


def beat(database, *, ago_s=0.0):
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    chores.beat(database, "w", host="h", pid=1, started_at=at, now=at)


def lacking(answer):
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    return [(problem["pointer"], problem["code"]) for problem in answer.json["errors"]]


@pytest.fixture
def counted(app, database, monkeypatch):
    """How often the database is asked."""
    asked = []
    look = Database.intake

    def counting(self, **others):
        asked.append(1)
        return look(self, **others)

    monkeypatch.setattr(Database, "intake", counting)
    return asked


def test_a_process_without_a_database_lives(counted):
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert counted == []


def test_a_process_with_database_schema_and_worker_is_ready(client, database):
    beat(database)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_ask_by_head(client, database, path):
    beat(database)
    answer = client.head(path)
    assert (answer.status_code, answer.data) == (200, b"")


def test_head_says_that_it_is_not_ready(client, database):
    assert client.head("/readyz").status_code == 503


def test_without_a_living_worker_it_is_not_ready(client, database):
    assert lacking(client.get("/readyz")) == [("worker", "none_alive")]


def test_a_worker_silent_for_too_long_is_a_dead_one(client, database):
    beat(database, ago_s=16)
    assert lacking(client.get("/readyz")) == [("worker", "none_alive")]


def test_everything_that_is_missing_is_named_at_once(client, database):
    with database.owner() as conn:
        conn.execute("update alembic_version set version_num = '0001'")
    assert lacking(client.get("/readyz")) == [("migrations", "behind"), ("worker", "none_alive")]


@pytest.mark.commits
def test_a_database_that_was_never_migrated_is_named(client, database):
    migrations.downgrade(database, "base")
    assert lacking(client.get("/readyz")) == [("migrations", "behind")]


def test_old_code_stays_ready_on_a_newer_schema(client, database):
    """An upgrade migrates first; were the running processes unready, nobody would take reports."""
    beat(database)
    with database.owner() as conn:
        conn.execute("update alembic_version set version_num = '9999'")
    assert client.get("/readyz").status_code == 200


def test_a_process_that_stops_is_not_ready_and_still_lives(app, client, database):
    beat(database)
    app.extensions["waylight.readiness"].stopping = lambda: True
    assert lacking(client.get("/readyz")) == [("process", "stopping")]
    assert client.get("/healthz").status_code == 200


def test_probes_are_never_limited(app, client, database, monkeypatch):
    monkeypatch.setattr(app.extensions["waylight.limiter"], "_exempt_loopback", False)
    beat(database)
    for path in ("/healthz", "/readyz"):
        for _ in range(1500):
            answer = client.head(path)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


def test_asking_often_asks_the_database_once_a_second(app, client, database, counted):
    now = [100.0]
    app.extensions["waylight.readiness"] = Readiness(clock=lambda: now[0])
    for _ in range(50):
        client.get("/readyz")
    assert len(counted) == 1
    now[0] += 1.0
    client.get("/readyz")
    assert len(counted) == 2


def test_what_is_mended_is_ready_again(app, client, database):
    now = [100.0]
    app.extensions["waylight.readiness"] = Readiness(clock=lambda: now[0])
    lacking(client.get("/readyz"))
    beat(database)
    lacking(client.get("/readyz"))
    now[0] += 1.0
    assert client.get("/readyz").status_code == 200


def test_nothing_of_the_deployment_is_given_away(client, database):
    told = client.get("/readyz").text + client.get("/healthz").text
    settings = database._settings
    for secret in (settings.database_url, settings.intake_url, migrations.head()):
        assert secret not in told


@pytest.fixture
def line(database):
    found = Line(database._settings.database_url)
    yield found
    found.close()


@pytest.fixture
def behind_a_line(line):
    """An app that reaches its database over a line, with a short patience."""
    app = create_app(settings_for(line.url(), WAYLIGHT_DATABASE_TIMEOUT_S="0.5"))
    yield app
    app.extensions["waylight"].database.close()


@pytest.mark.commits
def test_many_probes_of_a_silent_database_wait_for_one_statement(
    behind_a_line, line, database, counted
):
    beat(database)
    client = behind_a_line.test_client()
    soon(lambda: client.get("/readyz").status_code == 200)
    # Its clock stands: on a busy machine the last of them may come a second after the first.
    behind_a_line.extensions["waylight.readiness"] = Readiness(clock=lambda: 0.0)
    counted.clear()
    line.hang()
    answers = []
    probes = [
        threading.Thread(target=lambda: answers.append(behind_a_line.test_client().get("/readyz")))
        for _ in range(20)
    ]
    for probe in probes:
        probe.start()
    for probe in probes:
        probe.join(timeout=120)
    assert [lacking(answer) for answer in answers] == [[("database", "unreachable")]] * 20
    assert len(counted) == 1
    line.resume()
    behind_a_line.extensions["waylight.readiness"] = Readiness()
    soon(lambda: client.get("/readyz").status_code == 200)


@pytest.mark.commits
def test_a_database_that_refuses_is_named(behind_a_line, line):
    line.stop()
    answer = behind_a_line.test_client().get("/readyz")
    assert lacking(answer) == [("database", "unreachable")]
