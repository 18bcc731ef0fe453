"""From a report to the clients of the stream: 1, 100 and 1,000 of them, 200 reports a second.

The clients, those who report, and everything of Waylight are processes of their own. README.md
beside this file says what is measured and what is not.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import queue
import random
import select
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bench import machine, requests
from bench.contenders import ROOT, Served, served, started
from bench.numbers import percentile
from bench.world import CITY, Size, settle, world
from waylight.config import Settings
from waylight.vault import Vault

OVERSEERS = 5
"""Clients of the control room, who hear of everything. All others each follow one team."""

SENDERS = 24
WARM_UP_S = 2.0
BEHIND = 0.9
"""Of the reports that were due; a run's first half second and its end are in its time, too."""

SETTLE_S = 60.0
"""How long after the last report what it causes may still arrive."""


@dataclass(frozen=True)
class Row:
    """What one number of clients saw. Times are from when a report was due to be sent."""

    clients: int
    asked_per_s: float
    reports_per_s: float
    events_per_s: float
    arrivals: int
    missed: int
    repeated: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    last_p50_ms: float
    last_p95_ms: float
    kb_per_client: float
    stream_cpu_share: float
    clients_cpu_share: float

    @property
    def fell_behind(self) -> bool:
        """Fewer were taken than were sent: its times are those of a queue that grows."""
        return self.reports_per_s < BEHIND * self.asked_per_s


@dataclass(frozen=True)
class Plan:
    """Who follows: a token and a path for each client, and what it is to hear of."""

    tokens: tuple[str, ...]
    paths: tuple[str, ...]
    teams: tuple[str | None, ...]


def measure(
    url: str,
    ports: tuple[int, int],
    plan: Plan,
    options: Any,  # noqa: ANN401 - parsed arguments
    *,
    rate: float,
) -> Row:
    """One number of clients at one rate; `ports` are the stream's and the API's.

    The first seconds fill pools and caches, and do not count.
    """
    clients, (stream_port, api_port) = len(plan.paths), ports
    began_at = datetime.now(UTC)
    context = multiprocessing.get_context("fork")
    orders, answers = context.Queue(), context.Queue()
    listening = context.Process(target=listen, args=(stream_port, plan, orders, answers))
    before_kb = _memory_kb(options.stream_pid)
    listening.start()
    answers.get(timeout=120)
    grown_kb = _memory_kb(options.stream_pid) - before_kb
    with psycopg.connect(url, autocommit=True) as admin:
        began_number = first = _last_number(admin)
        began, stream_s, clients_s, sent = 0.0, 0.0, 0.0, dict[str, float]()
        for seconds in (WARM_UP_S, options.seconds):
            # A report that joins an incident raises no alert: each time begins without any.
            settle(admin, began_at - timedelta(days=1))
            _alerts(admin, 0, wait_only=True)
            first, began = _last_number(admin), time.monotonic()
            stream_s = machine.cpu_s(options.stream_pid)
            clients_s = machine.cpu_s(listening.pid or 0)
            sending = context.Process(target=report, args=(api_port, rate, seconds, answers))
            sending.start()
            sent = answers.get(timeout=seconds + 120)
            sending.join()
        over_s = time.monotonic() - began
        stream_s = machine.cpu_s(options.stream_pid) - stream_s
        clients_s = machine.cpu_s(listening.pid or 0) - clients_s
        alerts = _alerts(admin, first)
        every = _alerts(admin, began_number)
    expected = sum(_concerned(plan, team) for _, team in alerts.values())
    orders.put(sum(_concerned(plan, team) for _, team in every.values()))
    arrived: list[tuple[int, float, str]] = answers.get(timeout=SETTLE_S + 60)
    listening.join()
    return _row(
        alerts,
        sent,
        arrived,
        clients=clients,
        rate=rate,
        over_s=over_s,
        grown_kb=grown_kb,
        expected=expected,
        stream_s=stream_s,
        clients_s=clients_s,
    )


def _row(
    alerts: Mapping[str, tuple[str, str | None]],
    sent: Mapping[str, float],
    arrived: Sequence[tuple[int, float, str]],
    *,
    clients: int,
    rate: float,
    over_s: float,
    grown_kb: float,
    expected: int,
    stream_s: float,
    clients_s: float,
) -> Row:
    seen = Counter((client, alert) for client, _, alert in arrived if alert in alerts)
    late: dict[str, list[float]] = {}
    for _client, at, alert in arrived:
        about = alerts.get(alert)
        if about is not None and about[0] in sent:
            late.setdefault(alert, []).append((at - sent[about[0]]) * 1e3)
    every = [one for times in late.values() for one in times]
    last = [max(times) for times in late.values()]
    return Row(
        clients=clients,
        asked_per_s=rate,
        reports_per_s=round(len(sent) / over_s, 1),
        events_per_s=round(len(alerts) / over_s, 1),
        arrivals=len(every),
        missed=expected - len(seen),
        repeated=sum(seen.values()) - len(seen),
        p50_ms=round(percentile(every, 0.5), 1),
        p95_ms=round(percentile(every, 0.95), 1),
        p99_ms=round(percentile(every, 0.99), 1),
        last_p50_ms=round(percentile(last, 0.5), 1),
        last_p95_ms=round(percentile(last, 0.95), 1),
        kb_per_client=round(grown_kb / clients, 1),
        stream_cpu_share=round(stream_s / over_s, 3),
        clients_cpu_share=round(clients_s / over_s, 3),
    )


# --- the clients: one process, and nothing is understood before all has arrived


def listen(port: int, plan: Plan, orders: Any, answers: Any) -> None:  # noqa: ANN401 - queues
    """Opens every stream, notes the moment of each piece, and reads them in the end.

    Says when all are open. Told how many events to expect, it waits for them and says what came:
    client, moment, alert. Reading JSON meanwhile would be what is measured.
    """
    poller = select.epoll()
    lines, pieces = {}, []
    for client, (token, path) in enumerate(zip(plan.tokens, plan.paths, strict=True)):
        line = socket.create_connection(("127.0.0.1", port), timeout=60)
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        head = line.recv(4096)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode(errors="replace"))
        while b"event: stream.open" not in head:
            head += line.recv(4096)
        line.setblocking(False)  # noqa: FBT003 - the library's
        lines[line.fileno()] = (client, line)
        poller.register(line.fileno(), select.EPOLLIN)
    answers.put("open")
    expected, give_up_at, counted = None, float("inf"), 0
    while (expected is None or counted < expected) and time.monotonic() < give_up_at:
        for number, _ in poller.poll(0.2):
            client, line = lines[number]
            data = line.recv(1 << 18)
            pieces.append((client, time.monotonic(), data))
            counted += data.count(b"event: alert.created")
            if not data:
                poller.unregister(number)
        if expected is None:
            with contextlib.suppress(queue.Empty):
                expected = orders.get_nowait()
                give_up_at = time.monotonic() + SETTLE_S
    answers.put(list(_understood(pieces)))


def _understood(pieces: Sequence[tuple[int, float, bytes]]) -> Iterator[tuple[int, float, str]]:
    """Client, moment and alert of each `alert.created`; its moment is that of its last piece."""
    rest: dict[int, bytes] = {}
    for client, at, data in pieces:
        *blocks, rest[client] = (rest.get(client, b"") + data).split(b"\n\n")
        for block in blocks:
            if b"\nevent: alert.created\n" in block:
                told = block.partition(b"\ndata: ")[2]
                yield client, at, json.loads(told.partition(b"\r")[0])["data"]["alert_id"]


# --- those who report: so many a second, whatever the answers


def report(port: int, rate: float, seconds: float, answers: Any) -> None:  # noqa: ANN401 - a queue
    """Sends reports at fixed moments and says, for each that was stored, when it was due.

    From when it was due, not from when a thread got round to it: a server that is behind must not
    look fast because it is asked less.
    """
    bodies = requests.reports(CITY, round(rate * seconds))
    due = iter([n / rate for n in range(len(bodies))])
    lock, sent = threading.Lock(), dict[str, float]()
    began = time.monotonic() + 0.5
    jobs = iter(zip(bodies, due, strict=True))

    def send() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                job = next(jobs, None)
            if job is None:
                return
            body, after = job
            time.sleep(max(0.0, began + after - time.monotonic()))
            line.request("POST", "/v1/reports", body, {"Content-Type": "application/json"})
            answer = line.getresponse()
            text = answer.read()
            if answer.status == 201:
                sent[json.loads(text)["id"]] = began + after

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put(sent)


# --- what there is to hear of


def plan_for(url: str, clients: int) -> Plan:
    """Keys, and who follows what: a few the whole city, everybody else one team each."""
    tokens: list[str] = []
    paths: list[str] = []
    teams: list[str | None] = []
    with psycopg.connect(url) as admin:
        rooms = admin.execute(
            "select t.organisation_id from cities c join teams t on t.id = c.control_room_id"
        ).fetchall()
        fields = admin.execute(
            "select id, organisation_id from teams where kind = 'field' and not retired order by id"
        ).fetchall()
        random.Random(1).shuffle(fields)
        keys = {
            organisation: _key(admin, organisation)
            for organisation in {rooms[0][0], *(row[1] for row in fields)}
        }
    overseers = min(OVERSEERS, max(1, clients // 20))
    for n in range(clients):
        if n < overseers:
            tokens.append(keys[rooms[0][0]])
            paths.append("/v1/alerts/stream")
            teams.append(None)
        else:
            id, organisation = fields[n % len(fields)]
            team = _wire("team", id)
            tokens.append(keys[organisation])
            teams.append(team)
            paths.append(f"/v1/alerts/stream?team={team}")
    return Plan(tuple(tokens), tuple(paths), tuple(teams))


def _key(admin: psycopg.Connection[Any], organisation: Any) -> str:  # noqa: ANN401 - an id
    token = Vault.new_token("staff")
    admin.execute(
        """
        with person as (
            insert into staff (organisation_id, name, role) values (%s, 'Bench', 'officer')
            returning id, organisation_id)
        insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes)
        select 'staff', 'Bench', %s, id, organisation_id, '{alerts:read}' from person
        """,
        [organisation, Vault.hash_token(token)],
    )
    return token


def _wire(prefix: str, id: Any) -> str:  # noqa: ANN401 - an id
    from schemas.common import WireId  # noqa: PLC0415 - a second that the clients need not wait

    return WireId.of(prefix, id)


def _last_number(admin: psycopg.Connection[Any]) -> int:
    row = admin.execute("select last from event_sequencer").fetchone()
    return int(row[0]) if row else 0


def _alerts(
    admin: psycopg.Connection[Any], after: int, *, wait_only: bool = False
) -> dict[str, tuple[str, str | None]]:
    """The alerts raised since: their report and their team, all as they are on the wire.

    Waits until every event has its number; with `wait_only` that is all.
    """
    give_up_at = time.monotonic() + SETTLE_S
    while admin.execute("select from events where sequence is null limit 1").fetchone():
        if time.monotonic() > give_up_at:
            raise SystemExit("events wait for their numbers: is the worker alive?")
        time.sleep(0.1)
    if wait_only:
        return {}
    rows = admin.execute(
        "select a.id, a.report_id, a.team_id from events e join alerts a on a.id = e.alert_id"
        " where e.kind = 'alert.created' and e.sequence > %s",
        [after],
    ).fetchall()
    return {
        _wire("alert", alert): (_wire("report", report_id), team and _wire("team", team))
        for alert, report_id, team in rows
    }


def _concerned(plan: Plan, team: str | None) -> int:
    return sum(1 for followed in plan.teams if followed is None or followed == team)


def _memory_kb(pid: int) -> float:
    """What a gunicorn and its processes hold, shared pages by their share."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(
        int(line.split()[1])
        for each in (pid, *map(int, children))
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    )


# --- all of it


def table(rows: Sequence[Row]) -> str:
    """The rows as a table for people, in Markdown."""
    head = (
        "| clients | reports/s: due, taken | events/s | arrivals (missed, repeated) | p50 ms"
        " | p95 ms | p99 ms | last client p50, p95 ms | KB/client | CPU cores: stream, clients |"
    )
    lines = [
        f"| {row.clients:,} | {row.asked_per_s:g}, {row.reports_per_s} | {row.events_per_s}"
        f" | {row.arrivals:,} ({row.missed}, {row.repeated})"
        f" | {row.p50_ms} | {row.p95_ms} | {row.p99_ms} | {row.last_p50_ms}, {row.last_p95_ms}"
        f" | {row.kb_per_client}"
        f" | {row.stream_cpu_share:.2f}, {row.clients_cpu_share:.2f} |"
        for row in rows
    ]
    return "\n".join((head, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|", *lines))


def main() -> int:
    """Runs the command line; 0 when nothing was missed and nothing came twice."""
    from bench.__main__ import _cluster, _environment, _postmaster, _say  # noqa: PLC0415 - both ways

    options = _options()
    url, environment = _cluster("url", "waylight"), _environment()
    environment |= {"WAYLIGHT_STREAMS": "5000", "WAYLIGHT_LOG_LEVEL": "warning"}

    def settings_for(address: str) -> Settings:
        return Settings.from_environment({**environment, "WAYLIGHT_DATABASE_URL": address})

    logs = ROOT / ".local/log"
    logs.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        world(url, settings_for, Size(reports=options.reports), _say) as address,
        tempfile.TemporaryDirectory(prefix="waylight-bench-"),
    ):
        own = {**environment, "WAYLIGHT_DATABASE_URL": address}
        with (
            served(own, logs / "bench.log", _postmaster()) as api,
            served(own, logs / "bench-stream.log", _postmaster(), command="stream") as stream,
            started(
                [sys.executable, "-m", "waylight.cli", "worker"], own, logs / "bench-worker.log"
            ),
        ):
            options.stream_pid = stream.pid
            _wait_for_worker(api)
            for clients in options.clients:
                plan, ports = plan_for(address, clients), (stream.port, api.port)
                rows.append(measure(address, ports, plan, options, rate=options.rate))
                if rows[-1].fell_behind:
                    _say(table(rows[-1:]))
                    # What it can bear says how fast the way to the stream is, and not the queue.
                    rate = float(round(rows[-1].reports_per_s / 2))
                    plan = plan_for(address, clients)
                    rows.append(measure(address, ports, plan, options, rate=rate))
                _say(table(rows[-1:]))
    print(table(rows))
    print(f"\nmachine: {json.dumps(machine.describe(ROOT / '.local') | {'load': machine.load()})}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 1 if any(row.missed or row.repeated for row in rows) else 0


def _wait_for_worker(api: Served) -> None:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        line = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
        with contextlib.suppress(OSError):
            line.request("GET", "/readyz")
            if line.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise SystemExit("no worker came up: see .local/log/bench-worker.log")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench stream", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file as well")
    parser.add_argument(
        "--quick", action="store_true", help="1 and 50 clients, 50 reports a second"
    )
    parser.add_argument("--clients", type=_numbers, help="as 1,100,1000")
    parser.add_argument("--rate", type=float, help="reports a second")
    parser.add_argument("--seconds", type=float, help="of each")
    parser.add_argument("--reports", type=int, default=100_000, help="stored before the first one")
    parser.add_argument("--pgbench", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quick = options.quick
    options.clients = options.clients or ((1, 50) if quick else (1, 100, 1_000))
    options.rate = options.rate or (50.0 if quick else 200.0)
    options.seconds = options.seconds or (3.0 if quick else 15.0)
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if int(word) > 0)


if __name__ == "__main__":
    sys.exit(main())
