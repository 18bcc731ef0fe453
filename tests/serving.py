"""A served Waylight for tests: the real gunicorn and a real worker over a London of their own."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.databases import environment_for
from waylight.db.session import Database
from waylight.services.operations import demo
from waylight.vault import Vault

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 120
STOP_LIMIT_S = 30


@dataclass(frozen=True)
class Served:
    """What is running, and the environment in which `waylight` finds the same database."""

    url: str
    environment: Mapping[str, str]
    folder: Path


@contextmanager
def served(database: Database, folder: Path, **changes: str) -> Iterator[Served]:
    """API and worker over a committed database, in `folder`, which gets `.local/demo.json`.

    Both are up when this returns, and have ended when it is left. `changes` are settings.
    """
    url = database._settings.database_url
    assert url is not None
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WAYLIGHT_")},
        **environment_for(url),
        "WAYLIGHT_PORT": str(port),
        "WAYLIGHT_WORKERS": "1",
        "WAYLIGHT_PROFILE": "demo",
        **changes,
        "PATH": os.pathsep.join((str(ROOT / ".venv/bin"), str(ROOT / "bin"), os.environ["PATH"])),
    }
    address = f"http://127.0.0.1:{port}"
    (folder / ".local").mkdir(parents=True, exist_ok=True)
    demo.write_demo_keys(
        database,
        Vault(database._settings),
        folder / ".local/demo.json",
        base_url=address,
        city=None,
        now=datetime.now(UTC),
    )
    with ExitStack() as stack:
        for command in ("serve", "worker"):
            stack.enter_context(running(command, environment, log=folder / f".local/{command}.log"))
        wait_until(
            "the API answers", lambda: _answers(f"{address}/v1/categories"), log=folder / ".local"
        )
        wait_until("the worker lives", lambda: _worker_lives(database), log=folder / ".local")
        yield Served(url=address, environment=environment, folder=folder)


@contextmanager
def running(
    command: str, environment: Mapping[str, str], *, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """One `waylight` command in a process of its own, told to stop and waited for at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(ROOT / "bin/waylight"), command],
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(what: str, true: Callable[[], bool], *, log: Path | None = None) -> None:
    """Returns once `true()`; fails the test, with the ends of the logs in a folder, when never."""
    give_up_at = time.monotonic() + START_LIMIT_S
    while not true():
        if time.monotonic() > give_up_at:
            ends = [
                f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
                for path in sorted(log.glob("*.log") if log else ())
            ]
            pytest.fail("\n".join([f"not in {START_LIMIT_S} s: {what}", *ends]))
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            return True
    except OSError:
        return False


def _worker_lives(database: Database) -> bool:
    with database.intake() as conn:
        return conn.execute("select from worker_heartbeats").fetchone() is not None
