"""docs/metrics.md: what is counted, from the instruments themselves, and when to wake somebody."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from prometheus_client.core import Metric

ALERTS: Mapping[str, tuple[str, str, str]] = {
    "waylight_workers_alive": (
        "max(waylight_workers_alive) < 1",
        "30s",
        "Nobody is alerted. Start a worker; see `waylight doctor`.",
    ),
    "waylight_database_up": (
        "max(waylight_database_up) < 1",
        "30s",
        "No report can be stored. Phones keep theirs and try again.",
    ),
    "waylight_oldest_unanswered_alert_seconds": (
        'max(waylight_oldest_unanswered_alert_seconds{priority="1"}) > 180',
        "0s",
        (
            "Somebody asked for help and no person has answered. Call the control room. (600 at"
            " priority 2, 3600 at 3.)"
        ),
    ),
    "waylight_unanswered_incidents": (
        "max(waylight_unanswered_incidents) > 0",
        "2m",
        "All have been told, and nobody answered. Call the control room.",
    ),
    "waylight_oldest_overdue_delivery_seconds": (
        "max(waylight_oldest_overdue_delivery_seconds) > 30",
        "1m",
        "Messages lie in the queue. Look at the worker's log; run more workers.",
    ),
    "waylight_unrouted_reports": (
        "max(waylight_unrouted_reports) > 0",
        "2m",
        "Reports wait of which nobody knows. Has each city a control room?",
    ),
    "waylight_unnumbered_events": (
        "max(waylight_unnumbered_events) > 1000",
        "2m",
        "What readers of events see is behind. Look at the worker's log.",
    ),
    "waylight_schedule_horizon_seconds": (
        "min(waylight_schedule_horizon_seconds) < 604800",
        "10m",
        "Opening hours and shifts run out within a week. Look at the worker's log.",
    ),
    "waylight_reports_degraded": (
        "sum(rate(waylight_reports_degraded_total[5m])) > 0",
        "5m",
        "Reports are taken, but not as they should be. The log names the fault.",
    ),
    "waylight_deliveries": (
        'sum(rate(waylight_deliveries_total{outcome=~"failed|lost"}[5m])) > 0',
        "5m",
        "A channel gives up. The log names it.",
    ),
    "waylight_first_delivery_seconds": (
        (
            "histogram_quantile(0.95, sum by (le)"
            ' (rate(waylight_first_delivery_seconds_bucket{priority="1"}[10m]))) > 5'
        ),
        "5m",
        "Alerts go out late. More workers, or a slow channel.",
    ),
    "waylight_acknowledgement_seconds": (
        (
            "histogram_quantile(0.9, sum by (le)"
            ' (rate(waylight_acknowledgement_seconds_bucket{priority="1"}[1h]))) > 120'
        ),
        "10m",
        "Teams answer late: a matter of staffing, not of machines.",
    ),
    "waylight_http_requests": (
        (
            'sum(rate(waylight_http_requests_total{status=~"5.."}[5m]))'
            " / sum(rate(waylight_http_requests_total[5m])) > 0.01"
        ),
        "5m",
        "Requests fail. The log has each with its request id.",
    ),
    "waylight_pool_timeouts": (
        "sum(rate(waylight_pool_timeouts_total[5m])) > 0",
        "2m",
        "Requests get no connection. Raise WAYLIGHT_POOL_SIZE, or find the slow statement.",
    ),
    "waylight_worker_failures": (
        "sum by (part) (rate(waylight_worker_failures_total[5m])) > 0",
        "5m",
        "A part of the worker's work breaks. The log says how.",
    ),
}
"""For each metric that can mean danger: an expression, how long it must hold, what it means."""

HEAD = """\
`GET /metrics` of the API answers in Prometheus' text format. A count can say something of a single
person, so it needs a client key with the scope `metrics:read`:

```sh
waylight key create --client prometheus --scope metrics:read
```

```yaml
scrape_configs:
  - job_name: waylight
    scheme: https
    authorization: {credentials_file: /etc/prometheus/waylight.token}
    static_configs: [{targets: ["waylight.example"]}]
```

While the database is away, a key that was accepted within the last hour still opens, and the scrape
says `waylight_database_up 0`. The processes of one server add up what they count, and any of them
answers for all; a restart counts from nothing, which `rate()` understands. What is read from the
database is the same on every server: take its `max`, never its `sum`. It is read at most once in
five seconds.

A worker is a process of its own. With `WAYLIGHT_WORKER_METRICS_PORT` it tells what it counts on
127.0.0.1, without a key. Without it, the gauges read from the database still show all that is
dangerous.

Exercises are counted nowhere but among HTTP requests and in the gauges of the last drill. No label
holds an address, a path or an id.
"""

TRACES = """\
## Traces

With `OTEL_EXPORTER_OTLP_ENDPOINT` set and the packages of `requirements-telemetry.txt` installed,
API and worker send OpenTelemetry spans over HTTP; the other `OTEL_...` variables mean what that
project says. A span is a request by the template of its route, a use of the database by its role,
or a delivery by its channel. None holds a path, a query, a statement, an address, a user agent or
the message of an error. Without the packages both refuse to start.
"""


def metrics(made: str) -> str:
    """docs/metrics.md; `made` is the line that says who wrote it."""
    from waylight.metrics import INSTRUMENTS, REGISTRY
    from waylight.services.operations.metrics import Facts

    facts = {
        "oldest_unanswered": {},
        "unanswered": {},
        "queued": {},
        "overdue_s": 0,
        "unnumbered": 0,
        "unrouted": 0,
        "workers": 0,
        "horizon_s": 0,
        "reach": {"dead": {}, "last_drill": {"at": 0, "told": 0, "reached": 0}},
        "audit": {"unsealed": 0, "oldest_s": 0.0},
    }
    labels = {one._name: one._labelnames for one in INSTRUMENTS}  # noqa: SLF001 - told in no other way
    return "\n".join(
        (
            "# Metrics\n",
            made,
            HEAD,
            "## Counted by processes\n",
            *_table(sorted(REGISTRY.collect(), key=lambda one: one.name), labels),
            "",
            "## Read from the database\n",
            *_table(Facts(facts).collect(), {}),
            "",
            "## When to wake somebody\n",
            "Suggestions; the thresholds are yours.\n",
            *_rules(),
            TRACES,
        )
    )


def _table(families: "Iterable[Metric]", labels: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    yield "| name | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    for family in families:
        names = labels.get(family.name) or sorted({n for s in family.samples for n in s.labels})
        suffix = "_total" if family.type == "counter" else ""
        said = ", ".join(f"`{name}`" for name in names)
        yield f"| `{family.name}{suffix}` | {family.type} | {said} | {family.documentation} |"


def _rules() -> Iterator[str]:
    rules = [
        {
            "alert": "".join(part.title() for part in name.split("_")),
            "expr": expression,
            "for": holds,
            "annotations": {"summary": meaning},
        }
        for name, (expression, holds, meaning) in ALERTS.items()
    ]
    group = {"groups": [{"name": "waylight", "rules": rules}]}
    yield "```yaml"
    yield yaml.safe_dump(group, sort_keys=False, width=200).rstrip()
    yield "```\n"
