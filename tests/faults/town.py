"""A whole Waylight for tests that break it: its own database server, API, stream and workers.

Everything runs in processes of its own and can be killed and started again on the same ports.
"""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.clusters import new_cluster
from tests.databases import ROOT, Cluster, empty_template, environment_for, settings_for
from tests.desk import Desk, keys_for, open_desk
from tests.ports import free_port
from waylight.config import Settings
from waylight.db.session import Database
from waylight.domain.principals import Principal
from waylight.vault import Vault

PATIENCE_S = 120
LEASE_S = 5

WORKER = """
import sys
from tests.faults.receiver import Line
from waylight import channels, worker
from waylight.config import Settings
import os
worker.open_channels = lambda settings: {"console": Line(int(sys.argv[1]))}
worker.run(Settings.from_environment(os.environ))
"""


@dataclass
class Process:
    """One process with its children, which can be started again as it was."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    running: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        assert self.running is None or self.running.poll() is not None, f"{self.name} still runs"
        self.starts += 1
        # Dies with the test, also with one that is killed.
        tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [*tied, *self.command],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """To all of it: a server and its children are one session."""
        assert self.running is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.running is not None:
            self.running.wait()

    def children(self) -> list[int]:
        assert self.running is not None
        path = Path(f"/proc/{self.running.pid}/task/{self.running.pid}/children")
        with contextlib.suppress(OSError):
            return [int(pid) for pid in path.read_text().split()]
        return []


@dataclass
class Town:
    """What runs, who is in it, and where."""

    folder: Path
    cluster: Cluster
    name: str
    desk: Desk
    tokens: dict[Principal, str]
    settings: Settings
    api: Process
    stream: Process
    workers: list[Process]
    port: int
    stream_port: int
    told: list[str] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """Keeps the story of a run: a failure without it could not be understood."""
        self.told.append(f"{time.monotonic() - self.began_at:6.1f} s  {what}")

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> tuple[int, bytes]:
        """One request over a connection of its own. Raises OSError when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return self.desk.rows(statement, *values)

    def database_lives(self) -> bool:
        try:
            with psycopg.connect(self.cluster.url(self.name), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def kill_database(self, how: int) -> None:
        """The whole server at once: SIGKILL, or SIGQUIT, which is an immediate shutdown."""
        file = self.folder / "server/.local/pg/data/postmaster.pid"
        os.kill(int(file.read_text().splitlines()[0]), how)

    def start_database(self) -> None:
        subprocess.run(
            [sys.executable, str(self.folder / "server/bin/cluster"), "start"],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        # The server is another as far as our own connections are concerned.
        self.desk.database.close()


def until(happens: Any, *, patience_s: float = PATIENCE_S, what: str = "it") -> None:
    """Waits for a condition; takes as long only when it fails."""
    give_up_at = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < give_up_at, f"{what} did not happen within {patience_s} s"
        threading.Event().wait(0.05)


@contextlib.contextmanager
def town(folder: Path, *, receiver_port: int, workers: int = 2) -> Iterator[Town]:
    """A town that runs. At the end everything in it is killed."""
    with new_cluster(folder / "server", test=False) as cluster:
        with cluster.connect() as admin:
            # A process that is killed loses nothing of what it wrote; only a machine would.
            admin.execute("alter system set fsync = off")
            admin.execute("select pg_reload_conf()")
        name = empty_template(cluster)  # the server is thrown away whole
        url = cluster.url(name)
        settings = settings_for(url)
        database = Database(settings)
        desk = open_desk(database, Vault(settings), settings)
        tokens = keys_for(desk, [desk.police, desk.operator, desk.control, desk.hub_host])
        port, stream_port = free_port(), free_port()
        environment = {
            **os.environ,
            **environment_for(url),
            "PYTHONPATH": str(ROOT),
            "WAYLIGHT_PORT": str(port),
            "WAYLIGHT_STREAM_PORT": str(stream_port),
            "WAYLIGHT_WORKERS": "2",
            "WAYLIGHT_POOL_SIZE": "5",
            "WAYLIGHT_DATABASE_TIMEOUT_S": "5",
            "WAYLIGHT_LEASE_S": str(LEASE_S),
        }

        def process(kind: str, *command: str) -> Process:
            return Process(kind, [sys.executable, *command], environment, folder / f"{kind}.log")

        found = Town(
            folder=folder,
            cluster=cluster,
            name=name,
            desk=desk,
            tokens=tokens,
            settings=settings,
            api=process("api", "-m", "waylight.cli", "serve"),
            stream=process("stream", "-m", "waylight.cli", "stream"),
            workers=[
                process(f"worker-{n}", "-c", WORKER, str(receiver_port)) for n in range(workers)
            ],
            port=port,
            stream_port=stream_port,
        )
        everything = [found.api, found.stream, *found.workers]
        try:
            for one in everything:
                one.start()
            until(found.answers, what="the API's first answer")
            until(
                lambda: len(found.rows("select from worker_heartbeats")) >= workers,
                what="the workers' first beat",
            )
            yield found
        finally:
            for one in everything:
                if one.running is not None:
                    one.signal(signal.SIGCONT)
                    one.kill()
            if not found.database_lives():
                found.start_database()
            database.close()
