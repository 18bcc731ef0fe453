"""Machines whose clocks are minutes wrong, in both directions, and clocks that jump."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.app import create_app
from tests.api.reports.sending import report, submit
from tests.desk import P1, P2
from tests.proxy import soon
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import Unavailable
from waylight.services.clock import ASK_EVERY_S, Clock
from waylight.services.context import Waylight
from waylight.worker import Worker

pytestmark = pytest.mark.commits

AHEAD, BEHIND = timedelta(minutes=7), timedelta(minutes=-7)
MINUTE = timedelta(minutes=1)
BOTH = pytest.mark.parametrize("wrong", [AHEAD, BEHIND], ids=["ahead", "behind"])


class Recorder:
    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)
        return Outcome(Result.SENT)


def clock(desk, wrong):
    return Clock(desk.database, own=lambda: datetime.now(UTC) + wrong)


@pytest.fixture
def work(desk):
    """A turn of a worker whose machine's clock is wrong; returns what it sent."""

    def work(wrong):
        channel = Recorder()
        context = Waylight(replace(desk.settings, worker_poll_s=0.01), desk.database, desk.vault)
        one = Worker(context, channels={"console": channel}, clock=clock(desk, wrong))
        one.turn()
        assert one._senders.wait(120)
        return channel.sent

    return work


@pytest.fixture
def sent(work):
    """What turns of such a worker send, the first that sends anything and one after it.

    What is due by one clock may be due by another a moment later.
    """

    def sent(wrong):
        found = []

        def look():
            found.extend(work(wrong))
            return found

        soon(look)
        look()
        return found

    return sent


def server_now(desk):
    return desk.rows("select clock_timestamp() as now")[0]["now"]


@BOTH
def test_worker_takes_from_nobody_what_is_leased_and_takes_what_is_due(desk, sent, wrong):
    desk.report(P2, now=server_now(desk))
    desk.report(P1, now=server_now(desk))
    desk.do(
        "update deliveries set leased_by = 'another', leased_until = now() + interval '5 min',"
        " next_attempt_at = now() + interval '5 min' where priority = 2"
    )
    assert {message.priority for message in sent(wrong)} == {1}
    leased = desk.rows("select leased_by from deliveries where priority = 2")
    assert {row["leased_by"] for row in leased} == {"another"}


@BOTH
def test_no_ladder_climbs_early_or_late(desk, work, wrong):
    desk.report(P2, now=server_now(desk))
    work(wrong)
    assert len(desk.rows("select from alerts")) == 1
    desk.do("update incidents set escalate_at = now() - interval '20 s'")
    work(wrong)
    assert len(desk.rows("select from alerts")) == 2
    (next_at,) = desk.rows("select escalate_at - now() as left_over from incidents")
    assert timedelta(minutes=2) < next_at["left_over"] <= timedelta(minutes=3)


@BOTH
def test_worker_lives_and_its_beat_has_the_time_of_the_database(desk, work, wrong):
    work(wrong)
    (beat,) = desk.rows("select beat_at - now() as off from worker_heartbeats")
    assert abs(beat["off"]) < timedelta(minutes=1)


@BOTH
def test_report_taken_by_a_machine_with_a_wrong_clock_is_told_at_once_and_not_twice(
    desk, work, sent, wrong
):
    app = create_app(desk.settings, context=Waylight(desk.settings, desk.database, desk.vault))
    app.extensions["waylight.clock"] = clock(desk, wrong)
    app.extensions["waylight.clock"].ask()
    work(timedelta(0))
    before = server_now(desk)
    answer = submit(app.test_client(), report(sent_at=before.isoformat()))
    assert answer.status_code == 201
    assert answer.json["alerting"] == "live"
    received = datetime.fromisoformat(answer.json["received_at"])
    # As exact as the question was quick.
    assert before - MINUTE <= received <= server_now(desk) + MINUTE
    assert len(sent(timedelta(0))) == 1
    (incident,) = desk.rows("select escalate_at - opened_at as step from incidents")
    assert incident["step"] == timedelta(minutes=3)


def test_clock_that_jumps_between_two_questions_moves_nothing(desk):
    own = [datetime.now(UTC)]
    counted = [100.0]
    one = Clock(desk.database, own=lambda: own[0], counted=lambda: counted[0])
    one.ask()
    at = one()
    own[0] += timedelta(days=3)
    counted[0] += 1.5
    assert one() - at == timedelta(seconds=1.5)


def test_waiting_for_a_connection_puts_no_clock_forward(desk, monkeypatch):
    counted = [100.0]
    intake = desk.database.intake

    @contextmanager
    def slow(**how):
        counted[0] += 600  # far too long, so that no busy machine makes the difference
        with intake(**how) as conn:
            yield conn

    monkeypatch.setattr(desk.database, "intake", slow)
    one = Clock(desk.database, counted=lambda: counted[0])
    one.ask()
    assert abs(one() - server_now(desk)) < MINUTE


def test_clock_goes_on_while_the_database_is_away_and_is_set_again_after(desk, monkeypatch):
    counted = [100.0]
    one = Clock(desk.database, counted=lambda: counted[0])
    one.ask()
    at = one()

    def away(*_, **__):
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(desk.database, "intake", away)
        counted[0] += ASK_EVERY_S + 600  # far too fast, as after a sleep of the machine
        with pytest.raises(Unavailable):
            one.ask()
        assert one() - at == timedelta(seconds=ASK_EVERY_S + 600)
    one.ask()
    assert abs(one() - server_now(desk)) < timedelta(minutes=1)


def test_wrong_clock_is_said_once(desk, capsys, caplog):
    counted = [0.0]
    one = Clock(desk.database, own=lambda: datetime.now(UTC) + AHEAD, counted=lambda: counted[0])
    for _ in range(3):
        one.ask()
        counted[0] += ASK_EVERY_S
    # Where lines go depends on whether another test has set the log up.
    said = capsys.readouterr().out + caplog.text
    assert said.count("clock_differs") == 1
