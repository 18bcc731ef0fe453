"""`waylight exercise` as it is typed, with a real worker beside it."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tests.databases import ROOT, environment_for
from tests.desk import P1
from tests.processes import PATIENCE_S, running
from tests.proxy import soon

pytestmark = [pytest.mark.commits, pytest.mark.slow]


@pytest.fixture
def exercise(desk):
    """Starts the command; its output is a person's, or a program's with `--json`."""

    def exercise(*words, **changes):
        return subprocess.Popen(
            [sys.executable, "-m", "waylight.cli", "exercise", *words],
            cwd=ROOT,
            env={**os.environ, **environment_for(desk.settings.database_url), **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return exercise


@pytest.fixture
def worker(desk, tmp_path):
    with running(desk.settings.database_url, tmp_path / "worker.log", "worker"):
        soon(lambda: desk.rows("select from worker_heartbeats"))
        yield


def test_all_teams_are_told_and_the_summary_says_how_fast(desk, worker, exercise):
    desk.do("update teams set duty_status = 'off' where id = %s", desk.third)
    out, told = exercise("--until", "sent").communicate(timeout=PATIENCE_S)
    lines = out.splitlines()
    assert lines[0] == "EXERCISE"
    assert lines[-1] == "3 of 3 teams on duty were reached (sent)."
    off, reached = lines.index("OFF DUTY, left in peace"), lines.index("REACHED")
    assert lines[off + 1].startswith("  Third")
    assert "NOT REACHED" not in lines
    first = next(n for n, line in enumerate(lines) if line.startswith("  First"))
    assert first > reached
    assert re.fullmatch(r"    sent after \d+\.\d s", lines[first + 1])
    assert lines[first + 2].startswith("    console: sent after")
    assert "3 of 4 teams are told" in told
    assert {row["state"] for row in desk.rows("select state from alerts")} == {"withdrawn"}
    assert {row["state"] for row in desk.rows("select state from incidents")} == {"closed"}


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_summary_fits_the_terminal_of_a_phone(desk, exercise, columns):
    out, _ = exercise("--wait", "1", COLUMNS=columns).communicate(timeout=PATIENCE_S)
    lines = out.splitlines()
    assert "NOT REACHED" in lines
    assert max(map(len, lines)) <= min(max(int(columns), 32), 80)
    told = " ".join(out.split("\n\n")[-1].split())
    assert told == "0 of 4 teams on duty were reached (acknowledged)."


def test_whoever_does_not_answer_is_named_and_the_code_says_so(desk, worker, exercise):
    def rung(wait_s):
        process = exercise("--team", "first", "--wait", wait_s, "--json")
        out, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        told = json.loads(out)
        assert (told["told"], told["reached"], told["missed"], told["stopped"]) == (1, 0, 1, False)
        (found,) = told["rungs"]
        assert found["team"] == "First"
        return found["level"], found["why"]

    # A busy worker may not have sent it before the first is over.
    assert ("sent", "no_answer") in (rung(wait_s) for wait_s in ("2", "10", "50"))


def test_answer_ends_the_waiting(desk, worker, exercise):
    process = exercise("--team", "first", "--wait", "600", "--json")
    soon(lambda: desk.rows("select from alerts"))
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=datetime.now(UTC))
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    (rung,) = json.loads(out)["rungs"]
    assert (rung["level"], rung["why"]) == ("acknowledged", None)
    assert desk.states() == {desk.first: "closed"}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_takes_the_alerts_back(desk, exercise, sign):
    process = exercise("--wait", "600")
    soon(lambda: desk.rows("select from alerts"))
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(sign)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "0 of 4 teams on duty were reached (acknowledged)."
    assert set(desk.states().values()) == {"withdrawn"}
    assert desk.rows("select from drills where ended_at is not null")


def test_killed_drill_is_ended_by_a_worker(desk, exercise, tmp_path):
    process = exercise("--wait", "1")
    soon(lambda: desk.rows("select from alerts"))
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    desk.do("update drills set ends_at = ends_at - interval '1 minute'")
    with running(desk.settings.database_url, tmp_path / "worker.log", "worker"):
        soon(lambda: desk.rows("select from drills where ended_at is not null"))
    assert set(desk.states().values()) == {"withdrawn"}


def test_nobody_by_that_name_is_said_in_words(desk, exercise):
    process = exercise("--team", "nobody")
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "No team of these names" in told


def test_real_report_in_the_middle_of_a_drill_is_told_at_once_and_counted_alone(
    desk, worker, exercise
):
    process = exercise("--wait", "600")
    soon(lambda: len(desk.rows("select from deliveries where status = 'sent'")) >= 4)
    at = datetime.now(UTC)
    answer = desk.report(P1, now=at)
    assert not answer.joined
    soon(
        lambda: (
            len(
                desk.rows(
                    "select from deliveries d where report_id = %s and status = 'sent'", answer.id
                )
            )
            == 2
        )
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    real = desk.rows("select state, exercise from alerts where report_id = %s", answer.id)
    assert real == [{"state": "pending", "exercise": False}] * 2
    (incident,) = desk.rows("select state, escalate_at - opened_at as step from incidents"
                            " where not exercise")  # fmt: skip
    assert (incident["state"], incident["step"].total_seconds()) == ("open", 60)
    assert len(desk.rows("select from reports where not exercise")) == 1
