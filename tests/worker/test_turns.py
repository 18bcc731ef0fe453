import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.desk import NOW, P1, P2, SPOT
from tests.worker.channels import PATIENCE_S, Broken, Recorder, Stuck, delivery, running, sent_out
from tests.worker.test_process import run_python
from waylight.channels import senders
from waylight.domain.alerts import Outcome, Result
from waylight.domain.geo import Point
from waylight.services import alerts
from waylight.services.operations import chores

pytestmark = pytest.mark.commits


def test_turn_delivers_climbs_routes_numbers_and_beats(desk, make):
    desk.report(P2)
    desk.report(P1, at=Point(SPOT.lon - 0.05, SPOT.lat))
    lost = desk.report(P1, at=Point(SPOT.lon - 0.1, SPOT.lat))
    desk.do(
        "delete from deliveries d using alerts a where a.id = d.alert_id and a.report_id = %s",
        lost.id,
    )
    desk.do("delete from alerts where report_id = %s", lost.id)
    desk.do("update reports set status = 'unrouted', incident_id = null where id = %s", lost.id)
    channel = Recorder()
    at = NOW + timedelta(minutes=2)
    one = make(channel, now=at)
    one.turn()
    sent_out(one)
    one.turn()
    sent_out(one)
    assert {m.recipient for m in channel.sent} == {"First", "Second", "Room"}
    assert desk.rows("select from deliveries where status <> 'sent'") == []
    assert desk.rows("select from reports where status = 'unrouted'") == []
    assert desk.states()[desk.second] == "pending"
    (beat,) = desk.rows("select worker_id, beat_at, started_at from worker_heartbeats")
    assert beat == {"worker_id": one.id, "beat_at": at, "started_at": at}
    one.number()
    assert desk.rows("select from events where sequence is null") == []


def test_turn_misses_a_silent_responder_and_passes_over_a_team_off_duty(desk, make):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    alerts.on_scene(desk.database, desk.vault, principal=desk.police, alert_id=alert, now=NOW)
    late = NOW + timedelta(minutes=31)
    desk.report(P2, at=Point(SPOT.lon - 0.05, SPOT.lat), now=late)
    desk.do("update teams set duty_status = 'off' where id = %s", desk.second)
    one = make(Recorder(), now=late)
    one.turn()
    sent_out(one)
    channel = Recorder()
    next_one = make(channel, now=late)
    next_one.turn()
    sent_out(next_one)
    overdue = [m for m in channel.sent if m.kind == "responder.overdue"]
    assert {(m.recipient, m.priority) for m in overdue} == {("Room", 1), ("First", 1)}
    assert desk.states()[desk.second] == desk.states()[desk.third] == "pending"


def test_worker_that_is_killed_while_it_sends_is_followed_by_another(desk, make):
    desk.report(P2, now=datetime.now(UTC))
    with run_python(
        desk,
        """
        import os, signal, threading
        from waylight.services.context import open_waylight
        from waylight.worker import Worker

        class Killer:
            def send(self, message):
                os.kill(os.getpid(), signal.SIGKILL)

        Worker(open_waylight(settings), channels={"console": Killer()}).run(threading.Event())
        """,
    ) as killed:
        killed.communicate(timeout=PATIENCE_S)
    assert killed.returncode == -signal.SIGKILL
    row = delivery(desk)
    assert (row["status"], row["attempts"]) == ("queued", 1)
    assert row["leased_until"] is not None

    channel = Recorder()
    early = make(channel, now=row["leased_until"] - timedelta(seconds=1))
    early.turn()
    assert channel.sent == []
    late = make(channel, now=row["leased_until"])
    late.turn()
    sent_out(late)
    assert [m.attempt for m in channel.sent] == [2]
    assert delivery(desk)["status"] == "sent"


def test_worker_that_slept_past_its_lease_does_not_undo_what_another_did(desk, make):
    desk.report(P2)
    stuck = Stuck()
    stuck.outcome = Outcome(Result.FAILED)
    sleeper = make(stuck)
    sleeper.turn()
    stuck.wait_for(1)
    other = make(Recorder(), now=NOW + timedelta(seconds=desk.settings.lease_s))
    other.turn()
    sent_out(other)
    stuck.let_go.set()
    sent_out(sleeper)
    row = delivery(desk)
    assert (row["status"], row["attempts"]) == ("sent", 2)


def test_slow_receiver_keeps_no_other_message_waiting(desk, make):
    for n in range(senders.SENDERS + 3):
        desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.02 * n))

    class SlowForOne(Recorder):
        let_go = threading.Event()

        def send(self, message):
            first = not self.sent
            outcome = super().send(message)
            if first:
                self.let_go.wait(PATIENCE_S)
            return outcome

    channel = SlowForOne()
    one = make(channel)
    while one.turn():
        pass
    channel.wait_for(senders.SENDERS + 3)
    assert not one._senders.wait(0.0)
    channel.let_go.set()
    sent_out(one)
    assert len({m.delivery_id for m in channel.sent}) == senders.SENDERS + 3


def test_channel_that_breaks_is_tried_again_and_its_words_are_not_kept(desk, make, capsys):
    desk.report(P2)
    channel = Broken()
    one = make(channel)
    one.turn()
    sent_out(one)
    row = delivery(desk)
    assert (row["status"], row["outcome"], row["detail"]) == ("queued", "failed", "OSError")
    assert NOW < row["next_attempt_at"] <= NOW + timedelta(seconds=1)
    assert "447700900123" not in row["detail"]


def test_message_for_a_channel_that_this_worker_has_not_waits(desk, make):
    desk.report(P2)
    desk.do("update deliveries set channel = 'pigeon'")
    one = make(Recorder())
    one._find_orphans()
    one.turn()
    assert (delivery(desk)["status"], delivery(desk)["attempts"]) == ("queued", 0)


def test_message_for_a_channel_that_no_worker_has_is_tried_in_the_end_and_says_why(desk, make):
    desk.report(P2)
    desk.do("update deliveries set channel = 'pigeon'")
    one = make(Recorder(), now=NOW + timedelta(minutes=6))
    one._find_orphans()
    one.turn()
    sent_out(one)
    rows = desk.rows("select status, detail from deliveries where channel = 'pigeon'")
    assert rows == [{"status": "queued", "detail": "no_such_channel"}]


def test_stuck_channel_keeps_no_other_waiting(desk, make):
    for n in range(senders.SENDERS + 2):
        desk.report(P2, at=Point(SPOT.lon - 0.02 * n, SPOT.lat))
    desk.do("update deliveries set channel = 'stuck'")
    desk.report(P2, at=Point(SPOT.lon + 0.02, SPOT.lat))
    stuck, console = Stuck(), Recorder()
    one = make(console)
    one._senders.channels = {"stuck": stuck, "console": console}
    while one.turn() and not console.sent:
        pass
    console.wait_for(1)
    stuck.wait_for(senders.SENDERS)
    assert len(stuck.sent) == senders.SENDERS
    stuck.let_go.set()
    sent_out(one)


@pytest.mark.parametrize("part", ["climb", "route_waiting"])
def test_part_that_fails_stops_no_delivery(desk, make, monkeypatch, part):
    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(alerts, part, broken)
    desk.report(P2)
    channel = Recorder()
    one = make(channel)
    one.turn()
    sent_out(one)
    assert len(channel.sent) == 1


@pytest.mark.parametrize(("part", "beats"), [("claim", 0), ("climb", 0), ("route_waiting", 1)])
def test_worker_that_cannot_do_its_work_does_not_say_that_it_lives(
    desk, make, monkeypatch, part, beats
):
    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(alerts, part, broken)
    make(Recorder()).turn()
    assert len(desk.rows("select from worker_heartbeats")) == beats


def test_chore_that_fails_is_done_again_and_stops_no_other(desk, make, monkeypatch):
    tried, purged = threading.Semaphore(0), threading.Semaphore(0)

    def broken(*_, **__):
        tried.release()
        raise RuntimeError("broken")

    monkeypatch.setattr(chores, "make_partitions", broken)
    monkeypatch.setattr(chores, "purge", lambda *_, **__: purged.release())
    one = make(Recorder())
    with running(one):
        assert tried.acquire(timeout=PATIENCE_S)
        assert purged.acquire(timeout=PATIENCE_S)
    due = {chore.name: chore for chore in one._chores()}
    assert one._do(due["partitions"]) == due["partitions"].again_s
    assert one._do(due["purge"]) == due["purge"].every_s
