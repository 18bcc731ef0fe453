"""Workers that fell silent, and work that waits for one."""

from datetime import timedelta

import pytest

from tests.services.operations.doctor.deployment import NOW, change, findings, ill, problem
from waylight.channels.console import Console
from waylight.services.context import Waylight
from waylight.services.operations import chores
from waylight.vault import Vault
from waylight.worker import Worker

pytestmark = pytest.mark.commits


def test_a_silent_worker_is_found(well):
    assert ill(well, now=NOW + timedelta(seconds=14)) == set()
    assert ill(well, now=NOW + timedelta(seconds=16)) == {"worker"}


def test_work_that_waits_is_found(well):
    change(
        well,
        "insert into events (kind, at) values ('x', %s)",
        NOW - timedelta(minutes=2),
    )
    assert ill(well) == {"queues"}
    assert "1 events" in (findings(well)["queues"].problem or "")


def test_a_worker_that_fell_silent_beside_a_living_one_is_found(well):
    at = NOW - timedelta(minutes=5)
    change(well, "insert into worker_heartbeats values ('d', 'night', 7, %s, %s)", at, at)
    told, _ = problem(well, "worker")
    assert told == "fell silent without a goodbye: night (process 7)"
    assert ill(well, now=NOW + timedelta(seconds=3)) == {"worker"}
    chores.beat(well, "d", host="night", pid=7, started_at=at, now=NOW)
    assert ill(well) == set()


def test_no_living_worker_is_mended_by_a_beat(well):
    change(well, "delete from worker_heartbeats")
    assert problem(well, "worker")[1] == "run `waylight worker`"
    chores.beat(well, "n", host="h", pid=1, started_at=NOW, now=NOW)
    assert ill(well) == set()


def test_stuck_work_is_told_by_kind_and_mended_by_a_worker(reported):
    change(reported, "update deliveries set next_attempt_at = %s", NOW - timedelta(minutes=5))
    change(reported, "update incidents set escalate_at = %s", NOW - timedelta(minutes=5))
    change(reported, "update events set at = %s", NOW - timedelta(minutes=5))
    told, fix = problem(reported, "queues")
    assert "deliveries" in told
    assert "ladders" in told
    assert "events" in told
    assert "worker" in fix
    context = Waylight(reported._settings, reported, Vault(reported._settings))
    one = Worker(context, channels={"console": Console()})
    while one.turn() or one.number():
        pass
    one._finish()
    assert findings(reported)["queues"].problem is None


def test_an_incident_that_nobody_answered_is_told_until_somebody_does(reported):
    change(reported, "update incidents set unanswered_at = now()")
    told, fix = problem(reported, "unanswered alerts")
    assert "nobody has answered" in told
    assert "control room" in fix
    change(reported, "update incidents set unanswered_at = null")
    assert findings(reported)["unanswered alerts"].problem is None


def test_a_worker_that_was_started_again_in_its_place_is_not_asked_after(well):
    dead = NOW - timedelta(minutes=2)
    change(well, "insert into worker_heartbeats values ('x', 'h', 2, %s, %s)", dead, dead)
    assert ill(well) == set()
    change(well, "update worker_heartbeats set host = 'elsewhere' where worker_id = 'x'")
    assert ill(well) == {"worker"}
