"""The front door as it is served: many processes, and an end that loses nothing."""

import contextlib
import json
import os
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.reports.sending import report
from tests.desk import open_desk
from tests.processes import PATIENCE_S, serving
from tests.proxy import soon
from waylight.services import keys
from waylight.services.operations import chores

pytestmark = [pytest.mark.commits, pytest.mark.slow]

BODY = json.dumps(report()).encode()


@pytest.fixture
def desk(database, vault, settings):
    now = datetime.now(UTC)
    # A server that is long in starting must not take its worker for dead.
    chores.beat(database, "w", host="h", pid=1, started_at=now, now=now + timedelta(hours=1))
    return open_desk(database, vault, settings)


@pytest.fixture
def scraper(database, vault):
    issued = keys.create_client_key(
        database, vault, name="prometheus", scopes=["metrics:read"], now=datetime.now(UTC)
    )
    return {"Authorization": f"Bearer {issued.token}"}


def url_of(database):
    return database._settings.database_url


def told(server, headers):
    status, body = server.ask("GET", "/metrics", headers=headers)
    assert status == 200
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def children(server):
    pid = server.process.pid
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def folder_of(server):
    environment = Path(f"/proc/{children(server)[0]}/environ").read_bytes()
    assert b"PROMETHEUS_MULTIPROC_DIR" not in environment  # it is made within the process
    found = Path("/dev/shm").glob(f"waylight-metrics-{server.process.pid}-*")  # noqa: S108
    # One that was killed may have had the same number.
    return max(found, key=lambda folder: folder.stat().st_mtime)


def test_every_process_answers_for_all_and_a_killed_one_stays_counted(
    desk, database, tmp_path, scraper
):
    with serving(url_of(database), tmp_path, workers=3) as server:
        for _ in range(30):
            assert server.ask("POST", "/v1/reports", BODY)[0] == 201
        name = ("waylight_http_requests_total", "POST", "/v1/reports", "201")
        assert told(server, scraper)[name] == 30
        assert len(set(folder_of(server).glob("counter_*.db"))) > 1
        killed = children(server)[0]
        os.kill(killed, signal.SIGKILL)
        soon(lambda: killed not in children(server) and len(children(server)) == 3)
        found = told(server, scraper)
        assert found[name] == 30
        assert (
            sum(value for key, value in found.items() if key[0] == "waylight_reports_total") == 30
        )
        soon(lambda: not list(folder_of(server).glob(f"gauge_live*_{killed}.db")))
        folder = folder_of(server)
        assert folder.stat().st_mode & 0o077 == 0
        server.process.send_signal(signal.SIGTERM)
        assert server.ends() == 0
        assert not folder.exists()


def test_a_report_is_answered_when_the_folder_of_the_numbers_was_deleted(desk, database, tmp_path):
    with serving(url_of(database), tmp_path, workers=1) as server:
        shutil.rmtree(folder_of(server))
        (before,) = children(server)
        os.kill(before, signal.SIGKILL)
        soon(lambda: children(server) not in ([], [before]))
        assert server.ask("POST", "/v1/reports", BODY)[0] == 201
        assert server.ask("GET", "/v1/categories")[0] == 200
        assert "nothing_is_counted" in server.told()
    assert len(desk.rows("select from reports")) == 1


def test_a_report_that_is_being_written_when_the_server_is_told_to_stop_gets_its_201(
    desk, database, tmp_path
):
    with (
        serving(url_of(database), tmp_path, WAYLIGHT_DATABASE_TIMEOUT_S="30") as server,
        database.connect("owner") as conn,
        contextlib.closing(server.connect()) as kept,
    ):
        conn.execute("lock table reports in access exclusive mode")
        sending = threading.Thread(
            target=lambda: server.answers.append(server.ask("POST", "/v1/reports", BODY))
        )
        sending.start()
        soon(lambda: waits_for_a_lock(database))
        assert probe(kept)["status"] == "ready"
        server.process.send_signal(signal.SIGTERM)
        # A connection that was kept is answered once more: this process is not ready any longer.
        soon(lambda: probe(kept)["status"] == 503)
        soon(lambda: refuses(server))
        assert sending.is_alive()
        conn.rollback()
        sending.join(PATIENCE_S)
        ((status, body),) = server.answers
        assert status == 201
        assert json.loads(body)["receipt"]
        assert server.ends() == 0
    assert len(desk.rows("select from reports")) == 1
    assert "Traceback" not in server.told()


def probe(kept):
    kept.request("GET", "/readyz")
    return json.loads(kept.getresponse().read())


def waits_for_a_lock(database):
    with database.owner() as conn:
        return conn.execute(
            # Of this database: the server is also that of other tests.
            "select 1 from pg_locks where not granted and relation = 'reports'::regclass"
            " and database = (select oid from pg_database where datname = current_database())"
        ).fetchone()


def refuses(server):
    try:
        server.ask("GET", "/healthz")
    except OSError:
        return True
    return False


def test_a_second_sigterm_ends_at_once(desk, database, tmp_path):
    with (
        serving(url_of(database), tmp_path, WAYLIGHT_DATABASE_TIMEOUT_S="30") as server,
        database.connect("owner") as conn,
    ):
        conn.execute("lock table reports in access exclusive mode")

        def send():
            try:
                server.answers.append(server.ask("POST", "/v1/reports", BODY))
            except OSError:
                server.answers.append((0, b""))

        sending = threading.Thread(target=send)
        sending.start()
        soon(lambda: waits_for_a_lock(database))
        server.process.send_signal(signal.SIGTERM)
        soon(lambda: refuses(server))
        server.process.send_signal(signal.SIGTERM)
        # While the lock is still held: it does not wait for what is under way.
        assert server.ends() == 0
        sending.join(PATIENCE_S)
        assert server.answers == [(0, b"")]
        conn.rollback()
    assert desk.rows("select from reports") == []


def test_every_line_of_the_log_is_json_also_gunicorns_own(desk, database, tmp_path):
    with serving(url_of(database), tmp_path) as server:
        server.raw(b"NONSENSE\r\n\r\n")
        server.ask("GET", "/v1/categories", headers={"X-Request-Id": "the-request-id"})
        server.process.send_signal(signal.SIGTERM)
        server.ends()
    lines = [json.loads(line) for line in server.told().splitlines()]
    assert {"gunicorn.error", "api.wire.observe"} <= {line["logger"] for line in lines}
    assert all(line["at"] and line["level"] and line["event"] for line in lines)
    (line,) = [one for one in lines if one.get("request_id") == "the-request-id"]
    assert (line["event"], line["method"], line["route"], line["status"]) == (
        "request",
        "GET",
        "/v1/categories",
        200,
    )
    assert line["duration_ms"] >= 0
    assert not [one for one in lines if one.get("route") in ("/healthz", "/readyz", "/metrics")]
