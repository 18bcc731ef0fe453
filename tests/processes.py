"""The front door as it is served: gunicorn with its real configuration, in processes of its own."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.databases import ROOT, environment_for
from tests.proxy import soon
from waylight.db.session import Database

PATIENCE_S = 60
"""How long a test waits for what must happen; it takes as long only when it fails."""


@dataclass
class Server:
    """A running gunicorn, what it listens to, and where its log goes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One request over a connection of its own: status and body."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def raw(self, sent: bytes) -> bytes:
        """What comes back for bytes that are no request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as line:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65_536), b""))

    def told(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    def ends(self) -> int:
        """The exit code, when it has ended."""
        return self.process.wait(timeout=PATIENCE_S)


@contextlib.contextmanager
def serving(
    database: Database, folder: Path, *options: str, workers: int = 1, **settings: str
) -> Iterator[Server]:
    """`waylight serve` on a free port over the database of a test, answering."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / f"gunicorn-{port}.log"
    own: dict[str, str] = {
        "WAYLIGHT_PORT": str(port),
        "WAYLIGHT_WORKERS": str(workers),
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    url = database._settings.database_url or ""
    with log.open("wb") as output:
        process = _start(options, {**os.environ, **environment_for(url), **own}, output)
        server = Server(process, port, log)
        try:
            soon(lambda: _answers(server))
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)
            if process.poll() is None:
                process.kill()
                process.wait()


def _start(
    options: tuple[str, ...], environment: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "waylight.cli", "serve", *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def _answers(server: Server) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(server.told())
    try:
        return server.ask("GET", "/healthz")[0] == 200
    except OSError:
        time.sleep(0.05)
        return False
