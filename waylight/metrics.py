"""What this process counts and times, for Prometheus: no person, address, path or exercise.

With `PROMETHEUS_MULTIPROC_DIR`, which gunicorn.conf.py sets, the processes of one server keep their
numbers in that folder, and any of them answers for all. Without it each process has its own.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

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
    WORKER_TURNS,
    WORKER_FAILURES,
)


def exposition(*others: CollectorRegistry) -> bytes:
    """Everything counted, by every process of this server, in Prometheus' text format 0.0.4."""
    own = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        own = CollectorRegistry()
        MultiProcessCollector(own)  # type: ignore[no-untyped-call] # the library's
    return b"".join(generate_latest(registry) for registry in (own, *others))
