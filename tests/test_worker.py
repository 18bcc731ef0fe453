import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.desk import NOW, P1, P2, SPOT, open_desk
from tests.processes import free_port
from tests.proxy import soon
from tests.receivers import answer, receiving, silent
from tests.services.hub_desk import override
from waylight import worker
from waylight.channels import open_channels, senders
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import Unavailable
from waylight.domain.geo import Point
from waylight.domain.webhooks import IN_FLIGHT
from waylight.services import alerts, webhooks
from waylight.services.context import Waylight
from waylight.services.operations import chores

pytestmark = pytest.mark.commits

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 30
"""How long a test waits for what must happen; it takes as long only when it fails."""


class Recorder:
    """A channel that keeps what it is given and says when something came."""

    def __init__(self, outcome=Outcome(Result.SENT)):  # noqa: B008 - frozen
        self.sent = []
        self.outcome = outcome
        self._came = threading.Condition()

    def send(self, message):
        with self._came:
            self.sent.append(message)
            self._came.notify_all()
        return self.outcome

    def wait_for(self, count):
        with self._came:
            assert self._came.wait_for(lambda: len(self.sent) >= count, timeout=PATIENCE_S)


class Stuck(Recorder):
    """A channel that does not come back until it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def send(self, message):
        super().send(message)
        self.let_go.wait(PATIENCE_S)
        return self.outcome


class Broken(Recorder):
    def send(self, message):
        super().send(message)
        raise OSError("the provider's address +447700900123 is unreachable")


@pytest.fixture
def desk(database, vault, settings):
    return open_desk(database, vault, settings)


@pytest.fixture
def make(desk):
    def make(channel, *, now=NOW, **changes):
        settings = replace(desk.settings, worker_poll_s=0.01, **changes)
        context = Waylight(settings, desk.database, desk.vault)
        return worker.Worker(context, channels={"console": channel}, clock=lambda: now)

    return make


def sent_out(one):
    """Waits until nothing is on its way."""
    assert one._senders.wait(PATIENCE_S)


def delivery(desk):
    (row,) = desk.rows("select * from deliveries")
    return row


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


class running:  # noqa: N801 - used as a verb
    """A worker that runs beside the test and is told to stop at its end."""

    def __init__(self, one):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=one.run, args=(self.stop,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


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


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_worker_process_delivers_to_the_console_and_stops_when_told(desk, sign):
    # By the real clock, as that process reads it: NOW may be so long ago that the ladder climbs.
    desk.report(P1, now=datetime.now(UTC))
    with run_python(desk, "from waylight.worker import run\nrun(settings)") as process:
        assert process.stdout is not None
        lines = {process.stdout.readline() for _ in range(2)}
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
    with process:
        process.send_signal(signal.SIGTERM)
        assert hears(process, "leases_given_back")["count"] == 1
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    row = delivery(desk)
    assert (row["status"], row["leased_by"], row["attempts"]) == ("queued", None, 0)
    assert row["next_attempt_at"] <= datetime.now(UTC)
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


def register(desk, settings, receiver, *event_types):
    return webhooks.create_webhook(
        desk.database,
        desk.vault,
        desk.control,
        values={
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "event_types": list(event_types),
            "description": "",
            "state": "active",
        },
        channels=settings.channels,
        loopback_ports=settings.allowed_loopback_ports,
        now=datetime.now(UTC),
    )


def sending_to(desk, *receivers):
    return replace(
        desk.settings,
        worker_poll_s=0.01,
        channels=("console", "webhook"),
        allowed_loopback_ports=tuple(one.port for one in receivers),
    )


@contextmanager
def working(desk, settings, *, workers):
    """That many workers at work, which have ended when this is left."""
    stop = threading.Event()
    context = Waylight(settings, desk.database, desk.vault)
    channels = open_channels(replace(settings, channels=("webhook",)))
    threads = [
        threading.Thread(
            target=worker.Worker(context, channels={"console": Recorder(), **channels}).run,
            args=(stop,),
        )
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


NOT_TAKEN = """
select from events e where e.kind = 'alert.created' and not exists (
    select from deliveries d where d.event_id = e.id and d.status = 'delivered')
"""


def test_events_reach_an_endpoint_once_however_many_workers_number_and_send(desk):
    now = datetime.now(UTC)
    with receiving(answer(204), forever=True) as receiver:
        settings = sending_to(desk, receiver)
        register(desk, settings, receiver, "alert.created")
        with working(desk, settings, workers=2):
            for n in range(10):
                desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=now)
            soon(lambda: desk.rows("select from alerts") and not desk.rows(NOT_TAKEN))
    sent = [one.headers["webhook-id"] for one in receiver.received]
    created = desk.rows("select from events where kind = 'alert.created'")
    assert len(sent) == len(set(sent)) == len(created) >= 10


def test_endpoint_that_does_not_answer_holds_two_senders_and_keeps_no_other_waiting(desk):
    with receiving(answer(204), forever=True) as well:
        with receiving(silent, forever=True) as hole:
            settings = sending_to(desk, hole, well)
            deaf, hears = (register(desk, settings, one, "hub.*") for one in (hole, well))
            for webhook in [deaf] * 12 + [hears] * 12:
                webhooks.ping_webhook(
                    desk.database, desk.control, webhook_id=webhook.id, now=datetime.now(UTC)
                )
            with working(desk, settings, workers=1):
                soon(lambda: len(well.received) == 12 and hole.connections == IN_FLIGHT)
                hole.closing.set()  # the worker need not wait for its time to be over
        assert hole.connections <= 2 * IN_FLIGHT
    assert len({one.headers["webhook-id"] for one in well.received}) == 12
