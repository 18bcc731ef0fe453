"""What Prometheus scrapes: the counts of the processes, and the facts in the database."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from waylight import metrics
from waylight.db import audit
from waylight.db.operations import metrics as db
from waylight.db.operations import reach
from waylight.db.session import Database
from waylight.domain.alerts import LADDER_S
from waylight.domain.errors import Unavailable
from waylight.services.operations.health import WORKER_SILENCE

KEPT_S = 5.0
"""How long facts are told again: scraping more often costs the database nothing."""

SAMPLE_S = 1.0
PRIORITIES = tuple(str(priority) for priority in LADDER_S)
WITH_LADDER = tuple(str(priority) for priority, step in LADDER_S.items() if step is not None)
"""At priority 4 nobody is expected to answer; the inbox entry is all."""


class Scrape:
    """Answers Prometheus. One for each process."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._state: Mapping[str, Any] | None = None
        self._read_at = float("-inf")

    def text(self, database: Database, *, now: datetime) -> bytes:
        """Everything that is counted, in Prometheus' text format.

        Three statements, and none within five seconds of the last. A database that is away is told
        as `waylight_database_up 0`: the rest of the scrape is there.
        """
        with self._lock:
            if self._clock() - self._read_at >= KEPT_S:
                self._state = _read(database, now)
                self._read_at = self._clock()
            state = self._state
        note_pools(database)
        registry = CollectorRegistry()
        registry.register(Facts(state))
        return metrics.exposition(registry)


class Facts(Collector):
    """The row of `db.operations.metrics` as gauges; None is a database that is away."""

    def __init__(self, state: Mapping[str, Any] | None) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """One family for each fact."""
        state = self._state
        yield GaugeMetricFamily(
            "waylight_database_up",
            "Whether the database answered; 0 leaves out every gauge that is read from it.",
            value=int(state is not None),
        )
        if state is None:
            return
        yield _by_priority(
            "waylight_oldest_unanswered_alert_seconds",
            "Age of the oldest incident of the last seven days that nobody has taken on, by"
            " priority; 0 is none. Priority 4 waits for nobody.",
            state["oldest_unanswered"],
            WITH_LADDER,
        )
        yield _by_priority(
            "waylight_unanswered_incidents",
            "Open incidents of the last seven days whose ladder is exhausted: all have been told,"
            " and nobody answered.",
            state["unanswered"],
            WITH_LADDER,
        )
        yield _by_priority(
            "waylight_undeliverable_alerts",
            "Alerts of the last day that no channel could deliver, or that had no address, and"
            " nobody has seen; counted up to 10,000.",
            state["reach"]["dead"],
            WITH_LADDER,
        )
        yield _by_priority(
            "waylight_queued_deliveries",
            "Messages that are waiting or being sent, by priority; counted up to 10,000.",
            state["queued"],
            PRIORITIES,
        )
        for name, help_text, value in (
            (
                "waylight_oldest_overdue_delivery_seconds",
                "How long the oldest message has been due without being taken; 0 is none.",
                state["overdue_s"] or 0.0,
            ),
            (
                "waylight_unnumbered_events",
                "Events that have no public sequence yet; counted up to 10,000.",
                state["unnumbered"],
            ),
            (
                "waylight_unrouted_reports",
                "Reports that nobody could be told of yet; counted up to 10,000.",
                state["unrouted"],
            ),
            (
                "waylight_workers_alive",
                "Workers heard of in the last 15 seconds; with 0 nobody is alerted.",
                state["workers"],
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)
        yield GaugeMetricFamily(
            "waylight_unsealed_audit_entries",
            "Entries of the audit log of the last hour that no seal covers yet; counted up to"
            " 10,000.",
            value=state["audit"]["unsealed"],
        )
        yield GaugeMetricFamily(
            "waylight_oldest_unsealed_audit_entry_seconds",
            "How long the oldest of these has waited for a worker; 0 is none.",
            value=max(state["audit"]["oldest_s"], 0.0),
        )
        drill = state["reach"]["last_drill"]
        if drill is not None:
            yield GaugeMetricFamily(
                "waylight_last_drill_timestamp_seconds",
                "When the last drill that is over began.",
                value=drill["at"],
            )
            teams = GaugeMetricFamily(
                "waylight_last_drill_teams",
                "Teams in the last drill that is over, by outcome: told (on duty), and of these"
                " reached.",
                labels=["outcome"],
            )
            for outcome in ("told", "reached"):
                teams.add_metric([outcome], drill[outcome] or 0)
            yield teams
        if state["horizon_s"] is not None:
            yield GaugeMetricFamily(
                "waylight_schedule_horizon_seconds",
                "How far ahead all opening hours and shifts are known; a worker keeps it at weeks.",
                value=state["horizon_s"],
            )


def note_pools(database: Database) -> None:
    """Takes down how the pools of this process are used at this moment."""
    for role, use in database.pool_use().items():
        metrics.note(metrics.POOL_CONNECTIONS, role, "in_use", value=use.in_use)
        metrics.note(metrics.POOL_CONNECTIONS, role, "idle", value=use.idle)
        metrics.note(metrics.POOL_WAITING, role, value=use.waiting)


def _read(database: Database, now: datetime) -> Mapping[str, Any] | None:
    try:
        with database.intake(autocommit=True) as conn:
            found = db.state(conn, now=now, alive=now - WORKER_SILENCE)
            return found | {
                "reach": reach.metrics(conn, now=now),
                "audit": audit.state(conn, since=now - audit.A_WHILE, most=db.MOST, now=now),
            }
    except (Unavailable, psycopg.Error):
        # A schema that is too old, among others: the scrape must not break where `/readyz` tells.
        return None


def _by_priority(
    name: str, help_text: str, values: Mapping[str, float], priorities: tuple[str, ...]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=["priority"])
    for priority in priorities:
        family.add_metric([priority], values.get(priority, 0.0))
    return family
