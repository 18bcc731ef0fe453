import threading
from datetime import timedelta

import pytest

from tests.desk import NOW, P2
from tests.proxy import soon
from tests.services.hub_desk import override
from tests.worker.channels import PATIENCE_S, Recorder, Stuck, delivery, running, sent_out
from waylight import worker
from waylight.domain.errors import Unavailable
from waylight.services import alerts
from waylight.services.operations import chores

pytestmark = pytest.mark.commits


def test_worker_tells_of_an_override_that_has_ended_and_sets_times_right(desk, make):
    override(desk, "closed", until=NOW + timedelta(minutes=1))
    desk.report(P2)
    lost = NOW + timedelta(hours=5)
    desk.do(
        "update deliveries set leased_by = 'dead', leased_until = %s, next_attempt_at = %s",
        lost,
        lost,
    )
    channel = Recorder()
    with running(make(channel, now=NOW + timedelta(minutes=2))):
        channel.wait_for(1)
        soon(lambda: len(desk.events("hub.updated")) == 2)


def test_worker_survives_a_database_that_goes_away_and_beats_again(
    desk, make, monkeypatch, cluster
):
    monkeypatch.setattr(worker, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(worker, "BEAT_EVERY_S", 0.0)
    name = desk.database._settings.intake_url.partition("dbname=")[2].split()[0].strip("'")
    beaten, missed = threading.Semaphore(0), threading.Semaphore(0)
    beat, claim = chores.beat, alerts.claim

    def watched_beat(*args, **kwargs):
        beat(*args, **kwargs)
        beaten.release()

    def watched_claim(*args, **kwargs):
        try:
            return claim(*args, **kwargs)
        except Unavailable:
            missed.release()
            raise

    monkeypatch.setattr(chores, "beat", watched_beat)
    monkeypatch.setattr(alerts, "claim", watched_claim)
    channel = Recorder()
    with running(make(channel)), cluster.connect() as admin:
        assert beaten.acquire(timeout=PATIENCE_S)
        admin.execute(f'alter database "{name}" allow_connections false')
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        assert missed.acquire(timeout=PATIENCE_S)
        admin.execute(f'alter database "{name}" allow_connections true')
        while beaten.acquire(blocking=False):
            pass
        assert beaten.acquire(timeout=PATIENCE_S)
        desk.report(P2)
        channel.wait_for(1)


def test_worker_that_is_told_to_stop_gives_back_what_it_cannot_finish(desk, make, monkeypatch):
    monkeypatch.setattr(worker, "GRACE_S", 0.05)
    desk.report(P2)
    stuck = Stuck()
    one = make(stuck)
    with running(one):
        stuck.wait_for(1)
    row = delivery(desk)
    assert (row["status"], row["leased_by"], row["attempts"]) == ("queued", None, 0)
    assert row["next_attempt_at"] == NOW
    assert desk.rows("select from worker_heartbeats") == []
    stuck.let_go.set()
    sent_out(one)


def test_worker_that_is_told_to_stop_finishes_what_it_is_sending(desk, make):
    desk.report(P2)
    stuck = Stuck()
    with running(make(stuck)) as run:
        stuck.wait_for(1)
        run.stop.set()
        stuck.let_go.set()
    assert delivery(desk)["status"] == "sent"
