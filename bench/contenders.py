"""Waylight under wrk, and pgbench sending the same statements: one measured run of either."""

import contextlib
import http.client
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict

from bench import machine
from bench.numbers import Sample, fetch_ms, read_pgbench_log, read_wrk, sample_of
from bench.statements import FETCH, Script

ROOT = Path(__file__).resolve().parent.parent
WARM_UP_S = 1.0
PLANNING_S = 0.06
"""What each further connection of pgbench takes of both cores until its statements are planned."""

FIRST_ANSWER_S = 120
STOP_LIMIT_S = 15


class ContenderFailed(Exception):
    """A contender could not be started, or broke off; the message holds what it said."""


@dataclass(frozen=True)
class Work:
    """One kind of request: its lines for wrk, its script for pgbench."""

    name: str
    method: str
    lines: Path
    script: Script


@dataclass(frozen=True)
class Served:
    """A gunicorn that serves, and the database server behind it."""

    port: int
    pid: int
    postmaster: int


@contextlib.contextmanager
def served(
    environment: Mapping[str, str],
    log: Path,
    postmaster: int,
    *options: str,
    command: str = "serve",
) -> Iterator[Served]:
    """`waylight serve`, or `stream`, as in production, on a free port, stopped at the end.

    `options` are gunicorn's.
    """
    port = _free_port()
    variable = {"serve": "WAYLIGHT_PORT", "stream": "WAYLIGHT_STREAM_PORT"}[command]
    own = {**environment, "WAYLIGHT_HOST": "127.0.0.1", variable: str(port)}
    with started([sys.executable, "-m", "waylight.cli", command, *options], own, log) as process:
        _wait_for_answer(process, port, log)
        yield Served(port, process.pid, postmaster)


@contextlib.contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours, all of whose words go to `log`; stopped at the end."""
    # Dies with us, also when we are killed.
    tied = ["setpriv", "--pdeathsig", "SIGTERM", "--"] if shutil.which("setpriv") else []
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own program
            [*tied, *command],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            _stop(process)


def run_waylight(
    server: Served, work: Work, *, connections: int, seconds: float, start_at: int
) -> tuple[Sample, int]:
    """Sends the load to Waylight: a warm-up that does not count, then the run.

    Returns the run, and how many requests were answered in both.
    """
    warm = read_wrk(_wrk(server, work, connections, WARM_UP_S, start_at))
    app, database = machine.cpu_s(server.pid), machine.cpu_s(server.postmaster)
    sample = read_wrk(_wrk(server, work, connections, seconds, start_at + warm.requests))
    app, database = machine.cpu_s(server.pid) - app, machine.cpu_s(server.postmaster) - database
    asked = max(sample.requests, 1)
    sample = replace(sample, app_cpu_ms=app / asked * 1e3, database_cpu_ms=database / asked * 1e3)
    return sample, sum(one.requests - one.errors for one in (warm, sample))


def _wrk(server: Served, work: Work, connections: int, seconds: float, start_at: int) -> str:
    return _output(
        [
            "wrk",
            *("--threads", "1", "--connections", str(connections), "--timeout", "10s"),
            # wrk takes whole seconds only
            *("--duration", f"{max(1, round(seconds))}s", "--script", str(ROOT / "bench/load.lua")),
            f"http://127.0.0.1:{server.port}",
        ],
        {
            **os.environ,
            "BENCH_FILE": str(work.lines),
            "BENCH_METHOD": work.method,
            "BENCH_FROM": str(start_at),
            "BENCH_RUN": str(uuid4())[:23],
        },
    )


def run_pgbench(
    url: str,
    postmaster: int,
    work: Work,
    *,
    connections: int,
    seconds: float,
    start_at: int,
    folder: Path,
    program: str,
) -> tuple[Sample, int]:
    """Runs pgbench with Waylight's statements in Waylight's role, one client a connection.

    Returns the run, and how many transactions there were in all: what lies before and after the
    measured time (connecting, planning, stopping) is not in the run.
    """
    warm_up_s = WARM_UP_S + PLANNING_S * connections
    script = folder / f"{work.name}.sql"
    script.write_text(work.script.text)
    logs = folder / f"pgbench-{uuid4().hex[:8]}"
    variables = {
        "from": start_at,
        "k": 0,
        "clients": connections,
        "rows": work.script.rows,
    }
    command = [
        *(program, "--no-vacuum", "--protocol", "prepared", "--report-per-command", "--log"),
        *("--log-prefix", str(logs), "--client", str(connections), "--jobs", "1"),
        *("--time", str(math.ceil(warm_up_s + seconds) + 1), "--file", str(script)),
        *(f"--define={name}={value}" for name, value in variables.items()),
    ]
    with subprocess.Popen(  # noqa: S603 - a program of PostgreSQL
        command,
        env=_login(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            time.sleep(warm_up_s)
            since, before = time.time(), machine.cpu_s(postmaster)
            time.sleep(seconds)
            until, after = time.time(), machine.cpu_s(postmaster)
            output, complaints = process.communicate()
        finally:
            process.kill()
    if process.returncode:
        raise ContenderFailed(f"pgbench: {complaints.strip()[-500:]}")
    lines = [
        line for path in folder.glob(f"{logs.name}*") for line in path.read_text().splitlines()
    ]
    transactions = read_pgbench_log(lines)
    sample = sample_of(transactions, since=since, until=until, fetching_ms=fetch_ms(output, FETCH))
    # `rps` is what it would be without the fetching; so is the CPU time of each.
    throughput = max(sample.rps * (until - since), 1.0)
    sample = replace(sample, database_cpu_ms=(after - before) / throughput * 1e3)
    return sample, sum(not one.failed for one in transactions)


def _login(url: str) -> dict[str, str]:
    """The environment of libpq: a password in the arguments could be read by others."""
    words = conninfo_to_dict(url)
    names = {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGPASSWORD": "password",
        "PGDATABASE": "dbname",
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        **{name: str(words[word]) for name, word in names.items() if word in words},
        "PGOPTIONS": "-c timezone=UTC",
    }


def _output(command: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - a load generator
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContenderFailed(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + FIRST_ANSWER_S
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/v1/categories")
            if connection.getresponse().status == 200:
                connection.close()
                return
        connection.close()
        time.sleep(0.1)
    raise ContenderFailed(f"Waylight does not answer: {log.read_text(errors='replace')[-800:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
