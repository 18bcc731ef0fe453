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

from tests.databases import ROOT, environment_for
from tests.ports import free_port
from tests.proxy import soon

PATIENCE_S = 120
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
def serving(url: str, folder: Path, *, workers: int = 1, **settings: str) -> Iterator[Server]:
    """`waylight serve` on a free port over the database at `url`, answering."""
    port = free_port()
    own = {"WAYLIGHT_PORT": str(port), "WAYLIGHT_WORKERS": str(workers), **settings}
    log = folder / f"serve-{port}.log"
    with running(url, log, "serve", **own) as process:
        server = Server(process, port, log)
        soon(lambda: _answers(server))
        # Its first connection to the database may take longer than a caller waits for one.
        soon(lambda: b'"unreachable"' not in server.ask("GET", "/readyz")[1])
        yield server


@contextlib.contextmanager
def running(
    url: str, log: Path, *command: str, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `waylight`, all of whose words go to `log`; ended with the test."""
    environment = {**os.environ, **environment_for(url), "PYTHONPATH": str(ROOT), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "waylight.cli", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=30)
            if process.poll() is None:
                process.kill()
                process.wait()


def _answers(server: Server) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(server.told())
    try:
        return server.ask("GET", "/healthz")[0] == 200
    except OSError:
        time.sleep(0.05)
        return False
