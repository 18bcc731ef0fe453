"""What this process counts and times, for Prometheus: no person, address, path or exercise.

With `PROMETHEUS_MULTIPROC_DIR`, which gunicorn.conf.py sets, the processes of one server keep their
numbers in that folder, and any of them answers for all. Without it each process has its own.

Nobody's report is lost to a number: `count`, `time` and `note` never raise, whatever became of the
folder, and `reserve` sees to it that a full one does not kill a process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from waylight.log import get_logger

log = get_logger(__name__)

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4

REGISTRY = CollectorRegistry()
"""Every instrument of this file; the library's own numbers of the process are another matter."""

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

DELIVERY_S = (0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 900)
"""A message of priority 1 should be out within two seconds; the retries of one take minutes."""

ANSWER_S = (10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 14_400)
"""Around the steps of the ladder: 60 s at priority 1, 180 s at 2, 900 s at 3."""

REPORTS = Counter(
    "waylight_reports",
    "Reports taken, by what became of each: routed, joined (to an open incident), recorded (nobody"
    " was to be told), unrouted (nobody could be told yet), replayed (a retry; nothing was stored)."
    " Exercises are not counted.",
    ["priority", "outcome"],
    registry=REGISTRY,
)
REPORTS_DEGRADED = Counter(
    "waylight_reports_degraded",
    "Reports taken although something broke on the way: lookup_failed, lookup_too_slow,"
    " decision_failed, fallback (the control room was told instead), bare (where and on what"
    " journey was only put aside).",
    ["how"],
    registry=REGISTRY,
)
FIRST_DELIVERY = Histogram(
    "waylight_first_delivery_seconds",
    "From the moment it was decided to tell a recipient until a channel first took the message."
    " Counted by the worker.",
    ["priority"],
    buckets=DELIVERY_S,
    registry=REGISTRY,
)
ANSWER = Histogram(
    "waylight_acknowledgement_seconds",
    "From an incident's first report, or the graver one that restarted its ladder, until a team or"
    " control room first said: we have it.",
    ["priority"],
    buckets=ANSWER_S,
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "waylight_deliveries",
    "Attempts to deliver a message: sent, delivered, queued (to be tried again), failed (given up),"
    " dropped (no longer wanted), lost (the lease had passed to another worker). Counted by the"
    " worker.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
REQUESTS = Counter(
    "waylight_http_requests",
    "Requests answered, by the template of the route, never the path itself.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_S = Histogram(
    "waylight_http_request_seconds",
    "Time from the first byte understood to the answer ready.",
    ["method", "route"],
    buckets=LATENCY_S,
    registry=REGISTRY,
)
POOL_CONNECTIONS = Gauge(
    "waylight_pool_connections",
    "Connections to the database, by role and state (in_use, idle), as of the last request.",
    ["role", "state"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
POOL_WAITING = Gauge(
    "waylight_pool_waiting",
    "Requests waiting for a connection, as of the last request.",
    ["role"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
POOL_TIMEOUTS = Counter(
    "waylight_pool_timeouts",
    "Requests that got no connection in time, and answered 503.",
    ["role"],
    registry=REGISTRY,
)
# Without a label the library would open its file here, while this is imported: a process whose
# folder is gone would not even start.
STREAMS_OPEN = Gauge(
    "waylight_streams_open",
    "Clients of the live stream, by what they follow.",
    ["follows"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
STREAMS_ENDED = Counter(
    "waylight_streams_ended",
    "Streams that ended on our side: too_slow (dropped: it did not read), database_lost, key_ended"
    " (revoked or over), stopping.",
    ["why"],
    registry=REGISTRY,
)
WORKER_TURNS = Counter(
    "waylight_worker_turns",
    "Turns of the worker's loop: done, or unavailable (the database was away).",
    ["outcome"],
    registry=REGISTRY,
)
WORKER_FAILURES = Counter(
    "waylight_worker_failures",
    "Parts of a turn and chores that broke; the log says how.",
    ["part"],
    registry=REGISTRY,
)

INSTRUMENTS = (
    REPORTS,
    REPORTS_DEGRADED,
    FIRST_DELIVERY,
    ANSWER,
    DELIVERIES,
    REQUESTS,
    REQUEST_S,
    POOL_CONNECTIONS,
    POOL_WAITING,
    POOL_TIMEOUTS,
    STREAMS_OPEN,
    STREAMS_ENDED,
    WORKER_TURNS,
    WORKER_FAILURES,
)


FOLDER = "PROMETHEUS_MULTIPROC_DIR"
FILES = ("counter", "histogram", "gauge_livesum")
"""What the library names the files of a process by: these instruments have no other kind."""

ROOM = 1 << 20
"""Bytes for each; every route, method and status together take less."""

_full = False
_said = False


def reserve() -> None:
    """Takes this process's room in the folder before anything is counted.

    The library maps its files without any: a page that a full file system has no room for is a
    SIGBUS at the first number in it, and the end of every request under way. Without room nothing
    is counted here.
    """
    global _full  # noqa: PLW0603 - one for each process, as the instruments
    for name in FILES:
        path = Path(os.environ[FOLDER], f"{name}_{os.getpid()}.db")
        try:
            with path.open("xb") as file:
                file.write(bytes(ROOM))
        except FileExistsError:
            continue  # of a process of the same number before: it goes on where that ended
        except OSError:
            _full = True
            log.exception("nothing_is_counted")
            with suppress(OSError):
                path.unlink()  # half a file, which no other process could read


def count(counter: Counter, *labels: str, by: float = 1) -> None:
    """Adds to a counter. Never raises."""
    if _full:
        return
    with _at_no_price():
        counter.labels(*labels).inc(by)


def time(histogram: Histogram, *labels: str, took_s: float) -> None:
    """Takes down how long something took. Never raises."""
    if _full:
        return
    with _at_no_price():
        histogram.labels(*labels).observe(took_s)


def note(gauge: Gauge, *labels: str, value: float) -> None:
    """Takes down how much there is of something. Never raises."""
    if _full:
        return
    with _at_no_price():
        (gauge.labels(*labels) if labels else gauge).set(value)


@contextmanager
def _at_no_price() -> Iterator[None]:
    global _said  # noqa: PLW0603 - see reserve
    try:
        yield
    except Exception:
        if not _said:
            _said = True  # once: it would be three lines for each request
            log.exception("not_counted")


def exposition(*others: CollectorRegistry) -> bytes:
    """Everything counted, by every process of this server, in Prometheus' text format 0.0.4."""
    own = REGISTRY
    if FOLDER in os.environ:
        own = CollectorRegistry()
        MultiProcessCollector(own)  # type: ignore[no-untyped-call] # the library's
    return b"".join(generate_latest(registry) for registry in (own, *others))
