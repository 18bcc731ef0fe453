"""How fast alerts leave: the outbox drained, a killed worker followed, and what a hint costs."""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg

from bench.contenders import ROOT, ContenderFailed, Served, Work, run_waylight, served
from bench.numbers import Measure
from bench.world import settle

STARTED_WITHIN_S = 120
DRAINED_WITHIN_S = 600
HANDFUL = 50
"""Messages queued at once until the worker that is to die has some."""

HINT_ROUNDS = 5
HINT_CONNECTIONS = 8

FILL = """
with told as (
    insert into alerts (incident_id, report_id, city_id, organisation_id, team_id, role, rank,
                        priority, reasons, exercise, created_at)
    select a.incident_id, a.report_id, a.city_id, a.organisation_id, a.team_id, a.role, a.rank, 3,
           a.reasons, false, clock_timestamp()
    from (select * from alerts where team_id is not null order by id limit 1) a,
         generate_series(1, %s)
    returning *)
insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                        next_attempt_at, created_at)
select id, report_id, 'console', 'alert.created', 3, false, now(), now() from told
"""

STUCK = """
import os, threading
from waylight import worker
from waylight.config import Settings

class Stuck:
    def send(self, message):
        threading.Event().wait()

worker.open_channels = lambda settings: {"console": Stuck()}
worker.run(Settings.from_environment(os.environ))
"""


def measures(
    url: str, environment: Mapping[str, str], *, messages: int, folder: Path
) -> Iterator[Measure]:
    """The drain rates with 1 and with 4 workers, and the recovery after one is killed."""
    with psycopg.connect(url, autocommit=True) as admin:
        # The works before left messages that nobody sent.
        admin.execute(
            "update deliveries set status = 'dropped', next_attempt_at = null"
            " where status = 'queued'"
        )
        # A ladder that climbs meanwhile would be work of another kind.
        admin.execute("update incidents set escalate_at = null where escalate_at is not null")
        for workers in (1, 4):
            rate = _drain(admin, environment, workers=workers, messages=messages, folder=folder)
            yield Measure(
                f"outbox drained by {workers} worker{'s' if workers > 1 else ''}",
                round(rate, 1),
                "messages/s",
                f"{messages:,} messages over the console",
            )
        yield _recover(admin, environment, folder)


def hint_cost(
    server: Served,
    environment: Mapping[str, str],
    url: str,
    work: Work,
    *,
    seconds: float,
    settle_since: Any,  # noqa: ANN401 - a datetime
    folder: Path,
) -> Measure:
    """Submits with hints by submits without, in turns within one run; 1 is no cost at all.

    Somebody listens, as a worker would, and nobody delivers: what is compared is the hint alone.
    """
    silent = ["--config", str(ROOT / "bench/without_hints.conf.py")]
    ratios = []
    with (
        served(environment, folder / "without-hints.log", server.postmaster, *silent) as other,
        psycopg.connect(url, autocommit=True) as listener,
        psycopg.connect(url, autocommit=True) as admin,
    ):
        listener.execute("listen waylight_work")
        for one in (server, other):  # fills pools and caches
            run_waylight(one, work, connections=HINT_CONNECTIONS, seconds=1, start_at=0)
        for number in range(HINT_ROUNDS):
            rps = {}
            turn = (server, other) if number % 2 == 0 else (other, server)
            for one in turn:
                settle(admin, settle_since)
                sample, _ = run_waylight(
                    one,
                    work,
                    connections=HINT_CONNECTIONS,
                    seconds=seconds,
                    start_at=number * work.script.rows // HINT_ROUNDS,
                )
                rps[one.pid] = sample.rps
            ratios.append(rps[server.pid] / rps[other.pid])
    return Measure(
        "submits with hints by submits without",
        round(statistics.median(ratios), 3),
        "ratio",
        f"{min(ratios):.3f} to {max(ratios):.3f} in {HINT_ROUNDS} rounds of {seconds:g} s",
    )


def _drain(
    admin: psycopg.Connection[Any],
    environment: Mapping[str, str],
    *,
    workers: int,
    messages: int,
    folder: Path,
) -> float:
    with contextlib.ExitStack() as running:
        for n in range(workers):
            log = folder / f"drain-{workers}-{n}.log"
            running.enter_context(_worker(environment, log, "-m", "waylight.cli", "worker"))
        _wait(lambda: _beating(admin) >= workers, STARTED_WITHIN_S, "workers did not start")
        admin.execute(FILL, [messages])
        began = _one(admin, "select clock_timestamp()")
        _wait(lambda: not _queued(admin), DRAINED_WITHIN_S, "the outbox was not drained")
        took_s = _one(
            admin,
            "select extract(epoch from max(sent_at) - %s)::float8 from deliveries"
            " where sent_at > %s",
            began,
            began,
        )
    return float(messages / max(took_s, 0.001))


def _recover(
    admin: psycopg.Connection[Any], environment: Mapping[str, str], folder: Path
) -> Measure:
    with _worker(environment, folder / "killed.log", "-c", STUCK) as doomed:
        _wait(lambda: _beating(admin) >= 1, STARTED_WITHIN_S, "the worker did not start")
        with _worker(environment, folder / "heir.log", "-m", "waylight.cli", "worker"):
            _wait(lambda: _beating(admin) >= 2, STARTED_WITHIN_S, "the second did not start")

            def has_some() -> bool:
                if _held(admin, doomed):
                    return True
                admin.execute(FILL, [HANDFUL])
                return False

            _wait(has_some, STARTED_WITHIN_S, "the worker took nothing")
            held = _held(admin, doomed)
            os.kill(doomed, signal.SIGKILL)
            killed = _one(admin, "select clock_timestamp()")
            _wait(lambda: not _queued(admin), DRAINED_WITHIN_S, "nobody took over")
            took_s = _one(
                admin,
                "select extract(epoch from max(sent_at) - %s)::float8 from deliveries",
                killed,
            )
    lease_s = environment.get("WAYLIGHT_LEASE_S", "30")
    return Measure(
        "recovery after a killed worker",
        round(took_s, 2),
        "s",
        f"to the last of the {held} messages it held; the lease is {lease_s} s",
    )


@contextlib.contextmanager
def _worker(environment: Mapping[str, str], log: Path, *command: str) -> Iterator[int]:
    """A worker in a process of its own, which ends with us; yields its id."""
    tied = ["setpriv", "--pdeathsig", "SIGTERM", "--"] if shutil.which("setpriv") else []
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own program
            [*tied, sys.executable, *command],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _beating(admin: psycopg.Connection[Any]) -> int:
    return int(
        _one(
            admin,
            "select count(*) from worker_heartbeats where host <> 'bench'"
            " and beat_at > now() - interval '10 s'",
        )
    )


def _queued(admin: psycopg.Connection[Any]) -> int:
    return int(_one(admin, "select count(*) from deliveries where status = 'queued'"))


def _held(admin: psycopg.Connection[Any], pid: int) -> int:
    """How many messages the worker with this process id holds."""
    return int(
        _one(
            admin,
            "select count(*) from deliveries where status = 'queued'"
            " and split_part(leased_by, ':', 2) = %s",
            str(pid),
        )
    )


def _one(admin: psycopg.Connection[Any], question: Any, *values: Any) -> Any:  # noqa: ANN401 - a literal, and what it finds
    row = admin.execute(question, values).fetchone()
    return row[0] if row else None


def _wait(happens: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            raise ContenderFailed(otherwise)
        time.sleep(0.1)
