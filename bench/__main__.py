"""How much of PostgreSQL's own speed Waylight passes on: submit and nearest hubs against pgbench.

Both send the same statements to the same database, in turns. README.md beside this file says what
is measured and what is not.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from bench import alerts, machine, requests, statements
from bench.contenders import (
    ROOT,
    ContenderFailed,
    Served,
    Work,
    run_pgbench,
    run_waylight,
    served,
)
from bench.numbers import (
    FOREIGN_CORES,
    PGBENCH,
    WAYLIGHT,
    Measure,
    Row,
    Sample,
    cpu_ratios,
    document,
    measure_table,
    missed,
    ratios,
    row_of,
    table,
)
from bench.world import CITY, BenchRuns, Size, settle, world
from waylight.config import Settings
from waylight.db.session import Database

HTTP = ("submit", "nearest")
WORKS = (*HTTP, "alerts")
FILLING_S = 4
CLUSTER = [sys.executable, str(ROOT / "bin/cluster")]


@dataclass
class Bench:
    """One run of the bench over one database."""

    options: argparse.Namespace
    url: str
    settings: Settings
    environment: dict[str, str]
    postmaster: int
    folder: Path
    began: datetime
    joined: dict[str, list[float]]
    made: dict[str, Work] = field(default_factory=dict)

    def works(self, names: Sequence[str]) -> dict[str, Work]:
        """The works of these names, their lines written and their statements recorded once."""
        missing = [name for name in names if name not in self.made]
        if missing:
            self._make(missing)
        return {name: self.made[name] for name in names}

    def _make(self, names: Iterable[str]) -> None:
        database = Database(self.settings)
        for name in names:
            lines = getattr(requests, "reports" if name == "submit" else name)(
                CITY, self.options.requests
            )
            record = getattr(statements, "record_submits" if name == "submit" else "record_nearest")
            with database.owner() as conn:
                script = statements.store(conn, name, record(self.settings, lines))
            path = self.folder / f"{name}.lines"
            path.write_text("\n".join(lines))
            self.made[name] = Work(name, "POST" if name == "submit" else "GET", path, script)
        database.close()

    def tidy(self) -> None:
        """What one work left for autovacuum and the checkpointer would be measured in the next."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute("vacuum (analyze)")
            admin.execute("checkpoint")

    def rows(self, server: Served) -> Iterator[Row]:
        """Every row, as soon as its rounds are over."""
        for name, work in self.works(self._asked_over_http()).items():
            self.tidy()
            # Fills the pools of every process of the server, and the caches behind them.
            fill = max(self.options.connections)
            run_waylight(server, work, connections=fill, seconds=FILLING_S, start_at=0)
            for connections in self.options.connections:
                samples: dict[str, list[Sample]] = {WAYLIGHT: [], PGBENCH: []}
                for number in range(self.options.rounds):
                    turn = list(samples) if number % 2 == 0 else list(samples)[::-1]
                    for contender in turn:
                        samples[contender].append(
                            self.measure(server, contender, work, connections, number)
                        )
                for contender, found in samples.items():
                    yield row_of(name, contender, connections, found)

    def _asked_over_http(self) -> list[str]:
        return [name for name in HTTP if name in self.options.works]

    def of_alerts(self, server: Served) -> Iterator[Measure]:
        """What is measured of alerts, when it is asked for."""
        if "alerts" not in self.options.works:
            return
        work = self.works(["submit"])["submit"]
        self.tidy()
        yield alerts.hint_cost(
            server,
            self.environment,
            self.url,
            work,
            seconds=self.options.seconds,
            settle_since=self.began,
            folder=self.folder,
        )
        yield from alerts.measures(
            self.url, self.environment, messages=self.options.messages, folder=self.folder
        )

    def measure(
        self, server: Served, contender: str, work: Work, connections: int, number: int
    ) -> Sample:
        """One round of one contender; a report that is answered and not stored is an error."""
        options = self.options
        start_at = number * work.script.rows // options.rounds
        with psycopg.connect(self.url, autocommit=True) as admin:
            settle(admin, self.began)
            moment = datetime.now(UTC)
            before = _count(admin, "select count(*) from reports")
            if contender == PGBENCH:
                sample, done = run_pgbench(
                    self.settings.intake_url,
                    self.postmaster,
                    work,
                    connections=connections,
                    seconds=options.seconds,
                    start_at=start_at,
                    folder=self.folder,
                    program=options.pgbench,
                )
            else:
                sample, done = run_waylight(
                    server,
                    work,
                    connections=connections,
                    seconds=options.seconds,
                    start_at=start_at,
                )
            if work.name != "submit":
                return sample
            lost = done - (_count(admin, "select count(*) from reports") - before)
            self.note_joined(admin, contender, moment)
        return replace(sample, errors=sample.errors + max(0, lost))

    def note_joined(self, admin: psycopg.Connection[Any], contender: str, since: datetime) -> None:
        """Keeps which share of the reports since then joined an incident."""
        row = admin.execute(
            "select coalesce(avg(joined::int), 0)::float8,"
            " count(*) filter (where status <> 'routed') from reports"
            " where id >= uuid_v7_floor(%s)",
            [since],
        ).fetchone()
        if row is not None:
            self.joined.setdefault(contender, []).append(row[0])


def _count(admin: psycopg.Connection[Any], question: Any) -> int:  # noqa: ANN401 - a literal
    row = admin.execute(question).fetchone()
    return int(row[0]) if row else 0


def main() -> int:
    """Runs the command line; 0 when every floor that was measured holds."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    options = _options()
    try:
        return _run(options)
    except BenchRuns:
        _say("bin/bench: another bench is at work on this cluster.")
    except ContenderFailed as error:
        _say(f"bin/bench: {error}")
    except KeyboardInterrupt:
        _say("bin/bench: stopped.")
    return 2


def _run(options: argparse.Namespace) -> int:
    url = _cluster("url", "waylight")
    environment = _environment()

    def settings_for(address: str) -> Settings:
        return Settings.from_environment({**environment, "WAYLIGHT_DATABASE_URL": address})

    about = machine.describe(ROOT / ".local") | {"load_before": machine.load()}
    began_s, own, all_of_it = time.monotonic(), 0.0, machine.busy_s()
    rows, measures = [], []
    with (
        world(url, settings_for, Size(reports=options.reports), _say) as address,
        tempfile.TemporaryDirectory(prefix="waylight-bench-") as folder,
    ):
        with psycopg.connect(address) as conn:
            about |= _versions(conn)
        postmaster = _postmaster()
        bench = Bench(
            options=options,
            url=address,
            settings=settings_for(address),
            environment={**environment, "WAYLIGHT_DATABASE_URL": address},
            postmaster=postmaster,
            folder=Path(folder),
            began=datetime.now(UTC),
            joined={},
        )
        log = ROOT / ".local/log/bench.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        own = -machine.cpu_s(os.getpid()) - machine.cpu_s(postmaster)
        began_s, all_of_it = time.monotonic(), machine.busy_s()
        with served(bench.environment, log, postmaster) as server:
            for row in bench.rows(server):
                rows.append(row)
                _say(
                    f"{row.work}, {row.connections} connections, {row.contender}:"
                    f" {row.rps:,.0f}/s, {row.cpu_ms:.2f} ms CPU each"
                )
            for measure in bench.of_alerts(server):
                measures.append(measure)
                _say(f"{measure.name}: {measure.value:,g} {measure.unit} ({measure.note})")
        own += machine.cpu_s(os.getpid()) + machine.cpu_s(postmaster)
        foreign = (machine.busy_s() - all_of_it - own) / (time.monotonic() - began_s)
        about |= {
            "load_after": machine.load(),
            "foreign_cores": round(max(0.0, foreign), 2),
            "joined_share": {
                name: round(sum(found) / len(found), 3) for name, found in bench.joined.items()
            },
            "reports_before": options.reports,
            "seconds": options.seconds,
            "rounds": options.rounds,
            "measured_at": bench.began.isoformat(timespec="seconds"),
        }
    return _tell(options, rows, measures, about)


def _tell(
    options: argparse.Namespace,
    rows: list[Row],
    measures: list[Measure],
    about: Mapping[str, Any],
) -> int:
    if rows:
        print(table(rows))
    if measures:
        print(measure_table(measures))
    print(f"\nmachine: {json.dumps(about)}")
    if about["foreign_cores"] > FOREIGN_CORES:
        print(
            f"\nNot a quiet machine: others used {about['foreign_cores']} cores meanwhile. Only the"
            " ratios and the CPU times mean something, and less than on a quiet one. By CPU times:"
            f" {json.dumps(cpu_ratios(rows))}"
        )
    if options.json:
        options.json.write_text(json.dumps(document(rows, about, measures), indent=2) + "\n")
    failed = [] if options.no_floors else missed(ratios(rows))
    failed += [
        f"{row.work}, {row.connections} connections, {row.contender}: {row.errors} errors"
        for row in rows
        if row.errors
    ]
    for sentence in failed:
        print(f"FAILED  {sentence}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file as well")
    parser.add_argument("--quick", action="store_true", help="8 connections, one round, a second")
    parser.add_argument("--connections", type=_numbers, help="as 1,8,32")
    parser.add_argument("--works", type=_works, default=WORKS, help="as submit,nearest,alerts")
    parser.add_argument("--rounds", type=int, help="of each contender; medians are shown")
    parser.add_argument("--seconds", type=int, help="of each round")
    parser.add_argument("--requests", type=int, default=None, help="how many different ones")
    parser.add_argument("--reports", type=int, default=100_000, help="stored before the first one")
    parser.add_argument("--messages", type=int, default=None, help="in the outbox to be drained")
    parser.add_argument("--no-floors", action="store_true", help="succeed below the floors, too")
    parser.add_argument("--pgbench", default="pgbench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quick = options.quick
    options.connections = options.connections or ((8,) if quick else (1, 8, 32))
    options.rounds = max(1, options.rounds or (1 if quick else 3))
    options.seconds = max(1, options.seconds or (1 if quick else 4))
    options.requests = max(100, options.requests or (300 if quick else 4_000))
    options.messages = max(100, options.messages or (2_000 if quick else 20_000))
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if int(word) > 0)


def _works(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    if not set(words) <= set(WORKS):
        raise argparse.ArgumentTypeError(f"must be of {', '.join(WORKS)}")
    return words


def _environment() -> dict[str, str]:
    """The keys of this checkout, for the roles' passwords, and production's settings but one.

    All calls come from this machine, so the limiter must not count it as one caller.
    """
    secrets = (ROOT / ".local/secrets.env").read_text().splitlines()
    kept = dict(line.split("=", 1) for line in secrets if line.startswith("WAYLIGHT_"))
    kept.pop("WAYLIGHT_CLUSTER_PASSWORD", None)
    others = {name: value for name, value in os.environ.items() if not name.startswith("WAYLIGHT_")}
    return {**others, **kept, "WAYLIGHT_PROFILE": "demo", "WAYLIGHT_EXEMPT_LOOPBACK": "1"}


def _cluster(*words: str) -> str:
    return subprocess.run(  # noqa: S603 - our own program
        [*CLUSTER, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def _postmaster() -> int:
    return int((ROOT / ".local/pg/data/postmaster.pid").read_text().splitlines()[0])


def _versions(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    row = conn.execute(
        "select current_setting('server_version'), postgis_lib_version(),"
        " current_setting('fsync'), current_setting('synchronous_commit')"
    ).fetchone()
    names = ("postgresql", "postgis", "fsync", "synchronous_commit")
    return dict(zip(names, row or (), strict=True))


def _end(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
