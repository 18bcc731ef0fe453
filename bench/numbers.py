"""What the load generators print, as numbers; medians of rounds, ratios, floors, the table."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

WAYLIGHT, PGBENCH = "waylight", "pgbench"

FLOOR_AT = 8
"""The connections at which the floors hold."""

FLOORS = {f"submit/pgbench@{FLOOR_AT}": 0.25, f"nearest/pgbench@{FLOOR_AT}": 0.08}
"""The least part of pgbench's throughput that Waylight must reach over HTTP."""

FOREIGN_CORES = 0.25
"""CPU used by others, in cores, from which a machine does not count as quiet."""


@dataclass(frozen=True)
class Sample:
    """One measured run of one contender. Milliseconds are of one request."""

    requests: int
    errors: int
    rps: float
    p50_ms: float
    p99_ms: float
    app_cpu_ms: float = 0.0
    database_cpu_ms: float = 0.0


@dataclass(frozen=True)
class Row:
    """The medians of all rounds of one contender; `cpu_ms` is application and database together."""

    work: str
    contender: str
    connections: int
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    errors: int
    app_cpu_ms: float
    database_cpu_ms: float
    requests: int
    lowest_rps: float
    highest_rps: float


@dataclass(frozen=True)
class Measure:
    """One number that is no contest with pgbench."""

    name: str
    value: float
    unit: str
    note: str = ""


def row_of(work: str, contender: str, connections: int, samples: Sequence[Sample]) -> Row:
    """One row from the rounds: medians, and sums of `errors` and `requests`."""

    def median(values: Iterable[float]) -> float:
        return round(statistics.median(values), 3)

    app, database = (
        median(s.app_cpu_ms for s in samples),
        median(s.database_cpu_ms for s in samples),
    )
    return Row(
        work=work,
        contender=contender,
        connections=connections,
        rps=median(s.rps for s in samples),
        p50_ms=median(s.p50_ms for s in samples),
        p99_ms=median(s.p99_ms for s in samples),
        cpu_ms=round(app + database, 3),
        errors=sum(s.errors for s in samples),
        app_cpu_ms=app,
        database_cpu_ms=database,
        requests=sum(s.requests for s in samples),
        lowest_rps=round(min(s.rps for s in samples), 3),
        highest_rps=round(max(s.rps for s in samples), 3),
    )


def percentile(values: Sequence[float], part: float) -> float:
    """The nearest-rank percentile, `part` from 0 to 1; 0.0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def read_wrk(text: str) -> Sample:
    """The JSON that `load.lua` prints when wrk is done. Raises ValueError without it."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            errors = sum(found[name] for name in ("connect", "read", "write", "status", "timeout"))
            return Sample(
                requests=found["requests"],
                errors=errors,
                rps=(found["requests"] - found["status"]) / (found["duration_us"] / 1e6),
                p50_ms=found["p50_us"] / 1e3,
                p99_ms=found["p99_us"] / 1e3,
            )
    raise ValueError("wrk printed no summary")


@dataclass(frozen=True)
class Transaction:
    """One line of pgbench's log."""

    ended_at: float
    latency_ms: float
    failed: bool


def read_pgbench_log(lines: Iterable[str]) -> list[Transaction]:
    """Every transaction: `client number time_us script epoch_s epoch_us ...` in each line.

    A line that a stopped pgbench left unfinished is not counted.
    """
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 6:
            continue
        failed = not words[2].isdigit()  # "failed" or "skipped" in the place of the time
        found.append(
            Transaction(
                ended_at=int(words[4]) + int(words[5]) / 1e6,
                latency_ms=0.0 if failed else int(words[2]) / 1e3,
                failed=failed,
            )
        )
    return found


def fetch_ms(report: str, marker: str) -> float:
    """The mean latency of the one statement with this marker in pgbench's `-r` report.

    Raises ValueError without it.
    """
    for line in report.splitlines():
        if marker in line:
            return float(line.split()[0])
    raise ValueError(f"pgbench reported no statement with {marker}")


def sample_of(
    transactions: Sequence[Transaction], *, since: float, until: float, fetching_ms: float
) -> Sample:
    """What pgbench did between two moments, less the statement that only fetches parameters.

    In a closed loop time and throughput are one: without a statement that takes `fetching_ms` of
    each transaction's mean time there would be that much more of them.
    """
    inside = [t for t in transactions if since <= t.ended_at < until]
    done = [t.latency_ms for t in inside if not t.failed]
    if not done:
        return Sample(0, len(inside), 0.0, 0.0, 0.0)
    mean = statistics.fmean(done)
    own = max(mean - fetching_ms, mean * 0.05)  # a fetch is never nearly all of it
    return Sample(
        requests=len(done),
        errors=len(inside) - len(done),
        rps=len(done) / (until - since) * mean / own,
        p50_ms=max(0.0, percentile(done, 0.5) - fetching_ms),
        p99_ms=max(0.0, percentile(done, 0.99) - fetching_ms),
    )


def ratios(rows: Iterable[Row]) -> dict[str, float]:
    """Waylight's throughput by pgbench's: `submit/pgbench@8`, for each pair that was measured."""
    rps = {(row.work, row.contender, row.connections): row.rps for row in rows}
    return {
        f"{work}/{PGBENCH}@{connections}": round(value / limit, 4)
        for (work, contender, connections), value in rps.items()
        if contender == WAYLIGHT and (limit := rps.get((work, PGBENCH, connections)))
    }


def cpu_ratios(rows: Iterable[Row]) -> dict[str, float]:
    """The database's CPU time of a request by all that Waylight spends on it.

    On a busy machine the more processes a contender has, the more of the cores it gets, and
    pgbench has most; what each request costs does not depend on that as much.
    """
    cost = {(row.work, row.contender, row.connections): row.cpu_ms for row in rows}
    return {
        f"{work}/{PGBENCH}@{connections}": round(cost[work, PGBENCH, connections] / value, 4)
        for (work, contender, connections), value in cost.items()
        if contender == WAYLIGHT and value and (work, PGBENCH, connections) in cost
    }


def missed(measured: Mapping[str, float]) -> list[str]:
    """A sentence for each floor that was measured and missed."""
    return [
        f"{name} is {measured[name]:.3f}, below its floor of {floor}"
        for name, floor in FLOORS.items()
        if name in measured and measured[name] < floor
    ]


def document(
    rows: Sequence[Row], machine: Mapping[str, Any], measures: Sequence[Measure] = ()
) -> dict[str, Any]:
    """All of it as plain values for a JSON file."""
    return {
        "measures": [asdict(measure) for measure in measures],
        "rows": [asdict(row) for row in rows],
        "ratios": ratios(rows),
        "cpu_ratios": cpu_ratios(rows),
        "floors": FLOORS,
        "machine": dict(machine),
    }


def table(rows: Sequence[Row]) -> str:
    """The rows as a table for people, in Markdown."""
    head = (
        (
            "| work | connections | contender | requests/s (lowest-highest) | p50 ms | p99 ms"
            " | CPU ms/request: app + database | errors | ratio |"
        ),
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    )
    found = ratios(rows)
    lines = [
        f"| {row.work} | {row.connections} | {row.contender}"
        f" | {row.rps:,.0f} ({row.lowest_rps:,.0f}-{row.highest_rps:,.0f})"
        f" | {row.p50_ms:.2f} | {row.p99_ms:.2f}"
        f" | {row.app_cpu_ms:.2f} + {row.database_cpu_ms:.2f} | {row.errors}"
        f" | {_ratio(found, row)} |"
        for row in rows
    ]
    return "\n".join((*head, *lines))


def measure_table(measures: Sequence[Measure]) -> str:
    """The measures as a table for people, in Markdown."""
    return "\n".join(
        [
            "| what | | | |",
            "|---|--:|---|---|",
            *(f"| {one.name} | {one.value:,g} | {one.unit} | {one.note} |" for one in measures),
        ]
    )


def _ratio(found: Mapping[str, float], row: Row) -> str:
    value = found.get(f"{row.work}/{PGBENCH}@{row.connections}")
    return f"{value:.3f}" if value is not None and row.contender == WAYLIGHT else ""
