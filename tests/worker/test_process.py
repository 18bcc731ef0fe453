import json
import os
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime

import pytest

from tests.desk import P1, P2, SPOT
from tests.ports import free_port
from tests.proxy import soon
from tests.worker.channels import PATIENCE_S, ROOT, delivery

pytestmark = pytest.mark.commits


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_worker_process_delivers_to_the_console_and_stops_when_told(desk, sign):
    # By the real clock, as that process reads it: NOW may be so long ago that the ladder climbs.
    desk.report(P1, now=datetime.now(UTC))
    with run_python(desk, "from waylight.worker import run\nrun(settings)") as process:
        assert process.stdout is not None
        lines = {process.stdout.readline() for _ in range(2)}
        soon(lambda: not desk.rows("select from deliveries where status <> 'sent'"))
        process.send_signal(sign)
        rest, log = process.communicate(timeout=PATIENCE_S)
    assert all(line.startswith("ALERT | alert.created | priority 1") for line in lines)
    assert process.returncode == 0
    assert rest == ""
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "worker_started"
    assert events[-1] == "worker_stopped"
    assert desk.rows("select from worker_heartbeats") == []
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"sent"}
    for private in ("He follows me", str(SPOT.lon)):
        assert private not in log
        assert private not in "".join(lines)


WAITS = """
        import os, sys
        from dataclasses import replace
        from waylight import worker
from waylight.channels import senders
        from waylight.domain.alerts import Outcome, Result

        class Waits:
            def send(self, message):
                print("SENDING", flush=True)
                open({gate!r}).read()
                return Outcome(Result.SENT)

        worker.GRACE_S = {grace_s}
        worker.open_channels = lambda settings: {{"console": Waits()}}
        worker.run(settings)
        """


@pytest.fixture
def waiting(desk, tmp_path):
    """Starts a worker process that is in the middle of sending until the gate is opened."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    desk.report(P2, now=datetime.now(UTC))

    def start(*, grace_s=30.0):
        process = run_python(desk, WAITS.format(gate=str(gate), grace_s=grace_s))
        assert process.stdout is not None
        assert process.stdout.readline() == "SENDING\n"
        return process, gate

    return start


def hears(process, event):
    """Reads the log of a process until it tells of this."""
    for line in process.stderr:
        if json.loads(line)["event"] == event:
            return json.loads(line)
    raise AssertionError(event)


def test_worker_process_told_to_stop_finishes_what_it_is_sending(desk, waiting):
    process, gate = waiting()
    with process:
        process.send_signal(signal.SIGTERM)
        hears(process, "worker_stopping")
        gate.write_text("go on")
        assert hears(process, "leases_given_back")["count"] == 0
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert delivery(desk)["status"] == "sent"
    assert desk.rows("select from worker_heartbeats") == []


def test_worker_process_told_to_stop_gives_back_what_does_not_end(desk, waiting):
    process, _ = waiting(grace_s=0.05)
    lease_ends = delivery(desk)["leased_until"]
    with process:
        process.send_signal(signal.SIGTERM)
        assert hears(process, "leases_given_back")["count"] == 1
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    row = delivery(desk)
    assert (row["status"], row["leased_by"], row["attempts"]) == ("queued", None, 0)
    # By its own clock, which it sets by the database's, and not when its lease would have ended.
    assert row["next_attempt_at"] < lease_ends
    assert desk.rows("select from worker_heartbeats") == []


def test_worker_process_told_twice_ends_at_once_and_its_lease_runs_out(desk, waiting):
    process, _ = waiting()
    with process:
        process.send_signal(signal.SIGTERM)
        hears(process, "worker_stopping")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGTERM
    row = delivery(desk)
    assert (row["status"], row["attempts"]) == ("queued", 1)
    assert row["leased_until"] is not None


def test_worker_tells_prometheus_what_it_counts_and_a_second_on_its_port_works_on(desk):
    port = free_port()
    code = f"""
        from dataclasses import replace
        from waylight import worker
from waylight.channels import senders
        worker.run(replace(settings, worker_metrics_port={port}))
        """
    desk.report(P2, now=datetime.now(UTC))
    with run_python(desk, code) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("ALERT")
        told: list[str] = []

        def has_counted():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                told.append(answer.read().decode())
            return 'outcome="sent"} 1.0' in told[-1]

        soon(has_counted)
        assert "waylight_worker_turns_total" in told[-1]
        assert 'waylight_first_delivery_seconds_count{priority="2"} 1.0' in told[-1]
        with run_python(desk, code) as second:
            assert hears(second, "worker_metrics_not_served")["port"] == port
            hears(second, "worker_started")
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=PATIENCE_S)
            assert second.returncode == 0
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0


def run_python(desk, code):
    """A Python process with `settings` for the desk's database."""
    body = "\n".join(line.removeprefix(" " * 8) for line in code.splitlines())
    start = (
        "from tests.databases import settings_for\n"
        f"settings = settings_for({desk.settings.database_url!r})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start + body],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
