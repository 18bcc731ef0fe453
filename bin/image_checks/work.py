"""The image at work: its roles in boxes, a report from the phone to the control room, the end."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from image_checks.terminal import HOME, LOG, ROOT, Problem, die_with_us, run, wait_for

if TYPE_CHECKING:
    from image_checks.rest import Image
    from image_checks.terminal import Report


def need_postgres() -> None:
    """Let bin/setup install PostgreSQL and PostGIS when there are none."""
    try:
        run(sys.executable, ROOT / "bin/cluster", "binaries")
    except Problem:
        own = {name: value for name, value in os.environ.items() if name != "WAYLIGHT_DATABASE_URL"}
        run(ROOT / "bin/setup", env=own)


def start_cluster() -> str:
    """Start a cluster of our own and return its superuser's URL, by TCP: boxes see no socket of it.

    Not that of the tests: passwords of roles belong to a whole server, and theirs are others.
    """
    folder = HOME / "cluster"
    (folder / "bin").mkdir(parents=True)
    for name in ("cluster", "setup"):
        shutil.copy(ROOT / "bin" / name, folder / "bin" / name)
    run(sys.executable, folder / "bin/cluster", "start", "--test")
    port = run(sys.executable, folder / "bin/cluster", "status", "--test").split()[-1]
    secret = dict(
        line.split("=", 1) for line in (folder / ".local/secrets.env").read_text().splitlines()
    )
    password = quote(secret["WAYLIGHT_CLUSTER_PASSWORD"], safe="")
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/waylight"


class Roles:
    """Runs roles of the image in boxes, with the settings of one deployment."""

    def __init__(self, image: Image, database_url: str) -> None:
        self.image = image
        self.port = free_port()
        key = [f"1:{b64encode(secrets.token_bytes(32)).decode()}" for _ in range(2)]
        host = database_url.rpartition("@")[2]
        self.serving = image.environment | {
            "WAYLIGHT_INTAKE_URL": f"postgresql://waylight_intake:{secrets.token_hex(16)}@{host}",
            "WAYLIGHT_STAFF_URL": f"postgresql://waylight_staff:{secrets.token_hex(16)}@{host}",
            "WAYLIGHT_VAULT_KEYS": key[0],
            "WAYLIGHT_RECEIPT_KEYS": key[1],
            "WAYLIGHT_PORT": str(self.port),
        }
        self.owning = self.serving | {"WAYLIGHT_DATABASE_URL": database_url}
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *words: str, join: int | None = None, entry: bool = True) -> tuple[int, str]:
        """Run a command of the image to its end: exit code and what it said."""
        done = subprocess.run(
            self.image.command(*words, join=join, entry=entry),
            env=self.serving if join else self.owning,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        with LOG.open("a") as log:
            log.write(f"$ waylight {' '.join(words)}\n{done.stdout}")
        return done.returncode, done.stdout

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        """Start a role; what it says goes to a file."""
        with self.said(words[0]).open("w") as output:
            started = subprocess.Popen(
                self.image.command(*words),
                env=self.serving | changes,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=die_with_us,  # noqa: PLW1509 -- this program has one thread
            )
        self.started.append(started)
        return started

    def said(self, role: str) -> Path:
        """Return the file with what a role said."""
        return HOME / f"{role}.log"

    def last(self, role: str) -> str:
        """Return what a role has said so far."""
        return self.said(role).read_text(errors="replace")

    def stop(self, role: subprocess.Popen[str]) -> tuple[int, float]:
        """Tell process 1 of a box to stop, as an engine does: exit code, and seconds it took."""
        begun = time.monotonic()
        os.kill(process_1(role), signal.SIGTERM)
        return role.wait(timeout=60), time.monotonic() - begun

    def end(self) -> None:
        """End whatever still runs."""
        for role in self.started:
            if role.poll() is None:
                role.kill()
                role.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_1(box: subprocess.Popen[str]) -> int:
    """Return what this machine calls process 1 of a box, once there is one."""
    children = Path(f"/proc/{box.pid}/task/{box.pid}/children")
    wait_for(lambda: box.poll() is not None or children.read_text().strip(), seconds=10)
    if box.poll() is not None:
        raise Problem("A role of the image ended at once.")
    return int(children.read_text().split()[0])


def ask(port: int, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 -- the client's own
    """Send one request and return the status and the JSON of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, **options)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


REPORT = json.dumps({"in_danger": True, "location": {"stop_id": "940GZZLUCTN"}}).encode()


def prepare(roles: Roles, report: Report) -> str:
    """Run the roles that end by themselves; return the token of the control room."""
    probe = "touch /opt/waylight/x /x; touch /tmp/x && touch /dev/shm/x && id -u"
    code, said = roles.run("sh", "-c", probe, entry=False)
    fixed = said.count("Read-only file system") == 2 and said.strip().endswith(
        str(roles.image.user)
    )
    report.expect("in a box the root is read-only, /tmp and /dev/shm are not", fixed, said)
    code, said = roles.run("doctor")
    report.expect("doctor, before migrate, says what to do", code == 1 and "migrate" in said, said)
    for words in (["migrate"], ["migrate", "--check"], ["load", "data/london"]):
        code, said = roles.run(*words)
        report.expect(" ".join(words), code == 0, said)
    end_in_the_middle(roles, report)
    code, said = roles.run(
        "key", "create", "--organisation", "control-room", "--person", "Image check",
        "--role", "controller", "--scope", "alerts:read", "--scope", "alerts:act",
    )  # fmt: skip
    report.expect("key create", code == 0, said)
    code, dump = roles.run(
        "sh", "-c", 'pg_dump --schema-only --dbname="$WAYLIGHT_DATABASE_URL" | wc -l', entry=False
    )
    report.expect("pg_dump of the image reads this server", int(dump.split()[-1]) > 1000, dump)
    return said.split()[-1]


def end_in_the_middle(roles: Roles, report: Report) -> None:
    """Stop a command that ends by itself while it waits for a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nowhere = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        waiting = roles.start("doctor", WAYLIGHT_INTAKE_URL=nowhere)
        silent.settimeout(30)
        line, _ = silent.accept()
        with line:
            code, seconds = roles.stop(waiting)
    what = f"SIGTERM ends a command that waits, as process 1 ({code}, {seconds:.1f} s)"
    report.expect(what, code == 143, roles.last("doctor"))


def serve(roles: Roles, report: Report, token: str) -> None:
    """Run the API and a worker; follow a report to those who are told; stop both."""
    api, worker = roles.start("serve"), roles.start("worker")
    boxes = {"serve": process_1(api), "worker": process_1(worker)}
    check = roles.image.config["Healthcheck"]["Test"][1:]
    for role, pid in boxes.items():

        def is_healthy(pid: int = pid) -> bool:
            return roles.run(*check, join=pid, entry=False)[0] == 0

        well = wait_for(is_healthy, seconds=60)
        report.expect(f"the image's healthcheck finds {role} well", well, roles.last(role))
    status, answer = ask(roles.port, "POST", "/v1/reports", body=REPORT)
    told = [t["role"] for t in answer.get("routed_to", []) if t.get("told") == "now"]
    report.expect(
        f"a report gets {status}, alerting is {answer.get('alerting')}", status == 201, answer
    )
    report.expect(f"told now: {', '.join(told)}", "control_room" in told, answer)
    staff = {"Authorization": f"Bearer {token}"}
    alerts: list[dict[str, Any]] = []

    def heard() -> bool:
        alerts[:] = ask(roles.port, "GET", "/v1/alerts", headers=staff)[1].get("items", [])
        return roles.last("worker").count("ALERT | ") >= len(told)

    report.expect("the worker has told them", wait_for(heard, seconds=30), alerts)
    report.expect("the control room has the alert in its inbox", alerts, alerts)
    if alerts:
        path = f"/v1/alerts/{alerts[0]['id']}/acknowledge"
        status, answer = ask(roles.port, "POST", path, headers=staff)
        report.expect("and acknowledges it", status == 200, answer)
    code, said = roles.run("doctor")
    report.expect("doctor", code == 0, said)
    stop_in_the_middle(roles, report, api)
    code, seconds = roles.stop(worker)
    words = roles.last("worker")
    report.expect(
        f"SIGTERM stops the worker cleanly ({code}, {seconds:.1f} s)",
        code == 0 and "worker_stopped" in words,
        words,
    )
    with_errors = [n for n in boxes if "Traceback" in roles.last(n)]
    report.expect("neither said a traceback", not with_errors, with_errors)


def stop_in_the_middle(roles: Roles, report: Report, api: subprocess.Popen[str]) -> None:
    """Stop the API while a report is on its way: it is taken, and the API ends."""
    with socket.create_connection(("127.0.0.1", roles.port), timeout=30) as line:
        head = f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: {len(REPORT)}\r\n\r\n"
        line.sendall(head.encode() + REPORT[:20])
        time.sleep(0.5)  # until a process of the server has it in hand
        begun = time.monotonic()
        os.kill(process_1(api), signal.SIGTERM)
        time.sleep(0.5)
        line.sendall(REPORT[20:])
        answer = line.recv(64)
    report.expect("SIGTERM: a report under way is still taken", b" 201 " in answer, answer)
    code = api.wait(timeout=60)
    seconds = time.monotonic() - begun
    words = roles.last("serve")
    report.expect(f"and the API ends cleanly ({code}, {seconds:.1f} s)", code == 0, words)
