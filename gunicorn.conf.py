"""How the front door is served: `waylight serve` runs gunicorn with this file."""

import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from types import FrameType, TracebackType

import gevent  # type: ignore[import-untyped] # it publishes none
from flask import Flask
from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from waylight.log import configure_logging, get_logger

wsgi_app = "api.app:create_app()"

_host = os.environ.get("WAYLIGHT_HOST", "127.0.0.1")
_port = os.environ.get("WAYLIGHT_PORT", "8000")
bind = [f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"]

# Waiting for PostgreSQL and holding streams open is nearly all that a request does.
worker_class = "gevent"
workers = int(os.environ.get("WAYLIGHT_WORKERS", "2"))
# Streams stay; whatever their number, there is room beside them for those who report.
worker_connections = int(os.environ.get("WAYLIGHT_STREAMS", "").strip() or "2000") + 1000
# The heartbeat file on a slow disk can stall a worker long enough to be taken for dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- gunicorn makes it private

timeout = 30
graceful_timeout = 10  # open streams never end by themselves; their clients reconnect
keepalive = 5

# Each connection is a file, and many systems begin with 1,024.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))

# A request line carries no report and a header no story; nothing honest is near these.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# gunicorn 27 opens one by default, and whoever reaches it can stop the service.
control_socket_disable = True

# Rule 2 of the design: who called from where is not kept, so there is no access log.
accesslog = None
errorlog = "-"
loglevel = os.environ.get("WAYLIGHT_LOG_LEVEL", "").strip().lower() or "info"

# Here the processes keep what they count, so that each can answer for all. A folder from an earlier
# start would go on counting what is long over. SIGHUP reads this file again, in the same process.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_prefix = f"waylight-metrics-{os.getpid()}-"
if not Path(os.environ.get(_FOLDER, "")).name.startswith(_prefix):
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix=_prefix, dir=worker_tmp_dir)


class _Anonymous(logging.Filter):
    """Take the caller out of gunicorn's own messages: address, path, query string, raw request."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        for start in ("Invalid request", "Error handling request"):
            if text.startswith(start):
                record.msg, record.args = start, ()
        if record.levelno <= logging.DEBUG and record.args:
            # What came over the line before it broke is quoted here.
            record.msg, record.args = text.partition("%")[0].rstrip(" .:"), ()
        return True


class AnonymousLogger(Logger):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's logger, in the form of all others, with nothing in it about who called."""

    def setup(self, cfg: Config) -> None:
        """Set up as gunicorn does, then filter, and hand over to the log of the product."""
        super().setup(cfg)
        self.error_log.addFilter(_Anonymous())
        if cfg.errorlog == "-":
            configure_logging(cfg.loglevel)
            self.error_log.handlers.clear()
            self.error_log.propagate = True


logger_class = AnonymousLogger


def _write_problem(sock: socket.socket, status_int: int, reason: str, _mesg: str) -> None:
    """Answer what gunicorn refuses before the app is asked, as the app would (docs/errors.md)."""
    from api.wire.errors import refusal  # noqa: PLC0415 - the app is not there yet at the start

    body, media_type = refusal(status_int, reason)
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: {media_type}\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


# Its own is a page in HTML with what was sent in it; the workers call it by this name.
util.write_error = _write_problem


def when_ready(server: Arbiter) -> None:
    """Let a second SIGTERM end at once what the first has begun to end; gunicorn ignores it."""
    asked = 0

    def on_term(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        server.signal(signal.SIGQUIT if asked > 1 else number, frame)

    signal.signal(signal.SIGTERM, on_term)


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Forget the gauges of a process that is no more; what it has counted stays counted."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - after the folder has its name

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # the library's


def on_exit(_server: Arbiter) -> None:
    """Remove what was counted: the next start counts from nothing."""
    shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


def post_worker_init(worker: Worker) -> None:
    """Take the room for what is counted, and say so on `/readyz` from SIGTERM on."""
    from waylight import metrics  # noqa: PLC0415 - after the folder has its name

    metrics.reserve()
    worker.wsgi.extensions["waylight.readiness"].stopping = lambda: not worker.alive
    worker.wsgi.extensions["waylight.hints"].start()
    worker.wsgi.extensions["waylight.clock"].start()
    # gevent prints the failure of a greenlet with the address it was talking to.
    gevent.get_hub().print_exception = _log_failure


def _log_failure(
    _context: object,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None = None,
) -> None:
    get_logger("gevent").error("greenlet_failed", exc_info=(kind, error, traceback))


def worker_exit(_server: object, worker: Worker) -> None:
    """Close the pools while gevent still runs: later, their own farewell fails into the log."""
    app = getattr(worker, "wsgi", None)  # one that never booted has none
    if isinstance(app, Flask) and "waylight" in app.extensions:
        app.extensions["waylight"].database.close()
