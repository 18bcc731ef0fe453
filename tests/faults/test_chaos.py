"""Everything is killed, stopped and blinded at random while people report and answer.

WAYLIGHT_FAULTS_SECONDS makes the run longer, WAYLIGHT_FAULTS_SEED repeats the choices of one that
failed (not its timing), WAYLIGHT_FAULTS_PHONES makes the crowd larger.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from schemas.common import WireId
from tests.faults import checks, receiver
from tests.faults.people import Crowd, Follower
from tests.faults.receiver import Receiver
from tests.faults.town import LEASE_S, Town, town, until
from waylight.domain.principals import Principal
from waylight.services import drills
from waylight.services.events import read_after

pytestmark = [pytest.mark.slow]

SECONDS = float(os.environ.get("WAYLIGHT_FAULTS_SECONDS", "25"))
"""Of chaos, at least; each kind of fault comes once in any case."""

PHONES = int(os.environ.get("WAYLIGHT_FAULTS_PHONES", "4"))


class Monkey:
    """Does one bad thing after the other. Each undoes itself before the next begins."""

    def __init__(self, one: Town, far: Receiver, rng: random.Random) -> None:
        self.town, self.far, self.rng = one, far, rng
        self.faults: tuple[Callable[[], None], ...] = (
            self.kill_a_process_of_the_api,
            self.kill_the_api,
            self.kill_the_stream,
            self.kill_a_worker,
            self.kill_all_workers,
            self.stop_a_worker_past_its_lease,
            self.kill_the_database,
            self.shut_the_database_down_at_once,
            self.kill_a_backend_of_the_database,
            self.blind_the_receiver,
            self.slow_the_receiver,
            self.break_the_receiver,
            self.let_the_receiver_forget_to_answer,
        )

    def run(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        faults = list(self.faults)
        self.rng.shuffle(faults)
        while faults or time.monotonic() < ends_at:
            fault = faults.pop() if faults else self.rng.choice(self.faults)
            self.town.say(fault.__name__.replace("_", " "))
            fault()
            self.wait(0.2, 1.0)
        self.town.say("the chaos is over")

    def wait(self, least: float, most: float) -> None:
        """Lets the town live with it for a while."""
        threading.Event().wait(self.rng.uniform(least, most))

    def kill_a_process_of_the_api(self) -> None:
        children = self.town.api.children()
        if children:
            os.kill(self.rng.choice(children), signal.SIGKILL)

    def kill_the_api(self) -> None:
        self.town.api.kill()
        self.wait(0.0, 1.0)
        self.town.api.start()

    def kill_the_stream(self) -> None:
        self.town.stream.kill()
        self.wait(0.0, 1.0)
        self.town.stream.start()

    def kill_a_worker(self) -> None:
        one = self.rng.choice(self.town.workers)
        one.kill()
        self.wait(0.5, 3.0)
        one.start()

    def kill_all_workers(self) -> None:
        for one in self.town.workers:
            one.kill()
        self.wait(0.0, 1.0)
        for one in self.town.workers:
            one.start()

    def stop_a_worker_past_its_lease(self) -> None:
        one = self.rng.choice(self.town.workers)
        one.signal(signal.SIGSTOP)
        self.wait(LEASE_S + 1, LEASE_S + 2)
        one.signal(signal.SIGCONT)

    def kill_the_database(self) -> None:
        self.town.kill_database(signal.SIGKILL)
        self.wait(0.0, 1.0)
        self.town.start_database()

    def shut_the_database_down_at_once(self) -> None:
        self.town.kill_database(signal.SIGQUIT)
        self.wait(0.0, 1.0)
        self.town.start_database()

    def kill_a_backend_of_the_database(self) -> None:
        """PostgreSQL then ends all others too and recovers by itself."""
        with psycopg.connect(self.town.cluster.url("postgres"), autocommit=True) as admin:
            pids = admin.execute(
                "select pid from pg_stat_activity where datname = %s", [self.town.name]
            ).fetchall()
        if pids:
            os.kill(self.rng.choice(sorted(pids))[0], signal.SIGKILL)
        until(self.town.database_lives, what="the recovery of the database")

    def blind_the_receiver(self) -> None:
        self._receiver(receiver.BLACK_HOLE)

    def slow_the_receiver(self) -> None:
        self._receiver(receiver.SLOW)

    def break_the_receiver(self) -> None:
        self._receiver(receiver.BROKEN)

    def let_the_receiver_forget_to_answer(self) -> None:
        self._receiver(receiver.CUT)

    def _receiver(self, mode: str) -> None:
        self.far.mode = mode
        self.wait(1.5, 3.0)
        self.far.mode = receiver.WELL


@pytest.fixture
def far() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def test_nothing_is_lost_and_nothing_moves_backwards_whatever_is_killed(tmp_path, far):
    seed = int(os.environ.get("WAYLIGHT_FAULTS_SEED", random.SystemRandom().randrange(10**6)))
    crowd = Crowd(seed)
    with town(tmp_path, receiver_port=far.port) as one:
        follower = Follower(one, one.tokens[one.desk.police])
        follower.begin()
        crowd.come(one, phones=PHONES, apart_s=0.25)
        until(lambda: len(crowd.answers) >= PHONES, what="the first reports")
        drill = drills.begin(
            one.desk.database,
            one.desk.vault,
            one.settings,
            lasts=timedelta(seconds=SECONDS / 2),
            now=datetime.now(UTC),
        )
        assert drill is not None
        Monkey(one, far, random.Random(seed)).run(SECONDS)
        # However slow the machine: somebody has answered while all this went on.
        until(lambda: crowd.steps, what="the first step")
        crowd.go(patience_s=120)
        drills.end(one.desk.database, drill.id, now=datetime.now(UTC))
        settle(one)
        unheard = follower.heard(told_to(one, one.desk.police), patience_s=120)
        twice = [id for id, times in Counter(follower.ids).items() if times > 1]
        wrong = [
            f"{check.__name__.replace('_', ' ')}: {sentence}"
            for check in checks.ALL
            for sentence in check(one, crowd.answers, far.taken)
        ]
    wrong += [f"the stream never told event {id}" for id in unheard]
    wrong += [f"the stream told event {id} twice" for id in twice]
    wrong += ["the stream forgot where its follower was"] * follower.resets
    story = "\n".join(
        [
            f"seed {seed}: {crowd.told()}, {sum(far.taken.values())} messages",
            f"{len(follower.ids)} events heard over {follower.opened} streams",
            *one.told,
        ]
    )
    print(story)  # noqa: T201 - pytest shows it with -s, and when the test fails
    assert not crowd.surprises, "\n".join([*crowd.surprises[:20], story])
    assert not crowd.unanswered, f"{crowd.unanswered}\n{story}"
    assert not far.unexpected
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:40], story])
    assert min(len(crowd.answers), crowd.steps, sum(far.taken.values())) > 0, story


def told_to(one: Town, who: Principal) -> set[str]:
    """The events about the alerts of somebody's organisation, as the stream names them."""
    found, after = set(), 0
    while True:
        batch = read_after(one.desk.database, after)
        found |= {
            WireId.of("event", event.id)
            for event in batch.events
            if event.alert_id is not None and event.organisation_id == who.organisation_id
        }
        after = batch.last
        if not batch.is_full:
            return found


def settle(one: Town) -> None:
    """The town is whole again: what waits for its next attempt may go now, and all of it goes."""
    until(one.answers, what="an answer of the API")

    def nothing_waits() -> bool:
        one.desk.do(
            "update deliveries set next_attempt_at = now()"
            " where status = 'queued' and leased_until is null and next_attempt_at > now()"
        )
        (row,) = one.rows(
            "select (select count(*) from deliveries where status = 'queued') as queued,"
            " (select count(*) from events where sequence is null) as unnumbered,"
            " (select count(*) from reports where status = 'unrouted') as unrouted"
        )
        return not any(row.values())

    until(nothing_waits, what="the end of the queue")
    for process in one.workers:
        process.signal(signal.SIGTERM)
        assert process.running is not None
        process.running.wait(120)
    # What a worker wrote while it stopped is numbered by nobody now.
    last = one.workers[0]
    last.start()

    def stands_still() -> bool:
        if not nothing_waits():
            return False
        # Ladders go on by themselves: what is looked at must be of one moment.
        last.signal(signal.SIGSTOP)
        if nothing_waits():
            return True
        last.signal(signal.SIGCONT)
        return False

    until(stands_still, what="the last numbers")
