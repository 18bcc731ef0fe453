"""How the front door is served: `waylight serve` runs gunicorn with this file."""

import logging
import os
from pathlib import Path

from flask import Flask
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

wsgi_app = "api.app:create_app()"

_host = os.environ.get("WAYLIGHT_HOST", "127.0.0.1")
_port = os.environ.get("WAYLIGHT_PORT", "8000")
bind = [f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"]

# Waiting for PostgreSQL and holding streams open is nearly all that a request does.
worker_class = "gevent"
workers = int(os.environ.get("WAYLIGHT_WORKERS", "2"))
worker_connections = 2000
# The heartbeat file on a slow disk can stall a worker long enough to be taken for dead.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- gunicorn makes it private

timeout = 30
graceful_timeout = 10  # open streams never end by themselves; their clients reconnect
keepalive = 5

# A request line carries no report and a header no story; nothing honest is near these.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# gunicorn 27 opens one by default, and whoever reaches it can stop the service.
control_socket_disable = True

# Rule 2 of the design: who called from where is not kept, so there is no access log.
accesslog = None
errorlog = "-"


class _Anonymous(logging.Filter):
    """Take the caller out of gunicorn's own messages: address, raw request, query string."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        if text.startswith("Invalid request"):
            record.msg, record.args = "Invalid request", ()
        elif text.startswith("Error handling request") and record.args:
            # Positions travel in the query of GET /v1/hubs/nearest.
            record.args = tuple(str(word).partition("?")[0] for word in record.args)
        return True


class AnonymousLogger(Logger):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's logger, with nothing in it about who called."""

    def setup(self, cfg: Config) -> None:
        """Set up as gunicorn does, then filter."""
        super().setup(cfg)
        self.error_log.addFilter(_Anonymous())


logger_class = AnonymousLogger


def post_worker_init(worker: Worker) -> None:
    """From SIGTERM on `/readyz` says so, while what is under way is finished."""
    worker.wsgi.extensions["waylight.readiness"].stopping = lambda: not worker.alive


def worker_exit(_server: object, worker: Worker) -> None:
    """Close the pools while gevent still runs: later, their own farewell fails into the log."""
    app = getattr(worker, "wsgi", None)  # one that never booted has none
    if isinstance(app, Flask) and "waylight" in app.extensions:
        app.extensions["waylight"].database.close()
