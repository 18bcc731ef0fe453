"""What can be known of the image without building it; bin/image-check builds and runs it."""

import re
import runpy
import shutil
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tests.databases import ROOT, environment_for
from waylight import worker
from waylight.cli import cli, health
from waylight.config import Settings
from waylight.services.operations import chores

DOCKERFILE = (ROOT / "Dockerfile").read_text()
SH, BASH = "/bin/sh", shutil.which("bash") or "bash"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
ROLES = ("migrate", "load", "api", "worker")
SECRETS = ("VAULT_KEYS", "RECEIPT_KEYS", "POSTGRES_PASSWORD", "INTAKE_PASSWORD", "STAFF_PASSWORD")


def instructions(stage=None):
    """The instructions of the Dockerfile, or of one stage, as (word, rest); lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
    if stage is None:
        return found
    starts = [n for n, (word, _) in enumerate(found) if word == "FROM"] + [len(found)]
    return next(found[a:b] for a, b in pairwise(starts) if found[a][1].endswith(f" AS {stage}"))


def seconds(duration):
    assert duration[-1] in "sm"
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


# --- Dockerfile


def test_the_image_runs_as_a_number_that_is_not_root():
    users = [rest for word, rest in instructions("image") if word == "USER"]
    assert users == ["10001:10001"]


def test_the_last_stage_is_the_image_and_starts_waylight_without_a_shell():
    last = [rest for word, rest in instructions() if word == "FROM"][-1]
    assert last == "system AS image"
    words = dict(instructions("image"))
    assert words["ENTRYPOINT"] == '["waylight"]'
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert words["HEALTHCHECK"].endswith('CMD ["waylight", "healthy"]')
    assert "WAYLIGHT_HOST=0.0.0.0" in words["ENV"]


def test_the_base_is_an_argument_and_every_stage_stands_on_it():
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert stages == ["${BASE_IMAGE} AS system", "system AS build", "system AS image"]
    assert instructions()[0][0] == "ARG"


def test_packages_are_installed_with_their_hashes_and_none_is_built():
    (install,) = [rest for word, rest in instructions("build") if "pip --python" in rest]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install


@pytest.mark.parametrize("stage", ["system", "build", "image"])
def test_what_a_stage_runs_is_a_shell_script_that_parses(stage):
    for word, rest in instructions(stage):
        if word == "RUN":
            script = re.sub(r"--mount=\S+", "", rest)
            subprocess.run([SH, "-n"], input=script, text=True, check=True)


def test_no_file_of_the_image_names_an_address_to_fetch_from():
    files = [ROOT / name for name in ("Dockerfile", "compose.yaml", ".dockerignore")]
    for path in [*files, ROOT / "bin/image-check", *(ROOT / "bin/image_checks").glob("*.py")]:
        text = path.read_text().replace("http://127.0.0.1:", "")
        found = re.search(r"(https?|ftp)://|--(extra-)?index-url|\w\.\w+/\w+/\w+:", text)
        assert found is None, path


def test_every_bash_script_parses():
    scripts = [p for p in (ROOT / "bin").iterdir() if p.is_file()]
    bash = [
        p for p in [*scripts, ROOT / ".ci/run"] if p.read_text().startswith("#!/usr/bin/env bash")
    ]
    assert len(bash) > 5
    for path in bash:
        subprocess.run([BASH, "-n", path], check=True)


# --- .dockerignore


def lets_in(name):
    """Whether .dockerignore lets a file of the checkout into the build: the last rule decides."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!"))
            pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            pattern = pattern.replace(r"\[co\]", "[co]")
            if re.fullmatch(rf"{pattern}(/.*)?", name):
                inside = line.startswith("!")
    return inside


def tracked():
    listed = subprocess.run(
        [shutil.which("git") or "git", "-C", str(ROOT), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name]


def test_the_build_gets_every_file_that_runs():
    rooms = re.compile(r"(api|schemas|waylight|migrations|data)/|(gunicorn.conf.py|openapi.yaml)$")
    making = re.compile(r"data/\w+/(build\.py|building/|demo/)")
    running = [name for name in tracked() if rooms.match(name) and not making.match(name)]
    assert len(running) > 100
    assert [name for name in running if not lets_in(name)] == []


def test_the_build_gets_no_test_no_script_and_no_document():
    wanted = re.compile(
        r"(api|schemas|waylight|migrations|data)/"
        r"|(LICENSE|gunicorn.conf.py|openapi.yaml|requirements.txt)$"
    )
    assert [name for name in tracked() if lets_in(name) and not wanted.match(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".git/config",
        ".local/secrets.env",
        ".local/pg/data/PG_VERSION",
        ".venv/bin/python",
        "secrets.yaml",
        "waylight/.env",
        "data/london/.netrc",
        "api/__pycache__/app.cpython-311.pyc",
        "tests/conftest.py",
    ],
)
def test_a_secret_cannot_get_into_the_build(name):
    assert not lets_in(name)


def test_everything_that_the_dockerfile_copies_is_let_in():
    copied = [
        name for word, rest in instructions("build") if word == "COPY" for name in rest.split()[:-1]
    ]
    assert "waylight" in copied
    assert [name for name in copied if not lets_in(name)] == []


# --- compose.yaml


def test_every_role_in_compose_is_a_command():
    for name in ROLES:
        assert COMPOSE["services"][name]["command"][0] in cli.commands, name


def test_every_service_has_a_read_only_root_and_no_privilege():
    assert set(COMPOSE["services"]) == {"db", *ROLES}
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name  # noqa: S108 -- the one of the container
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        assert "privileged" not in service, name


def test_services_wait_for_what_they_need():
    healthy, done = "service_healthy", "service_completed_successfully"
    waits = {
        name: {on: how["condition"] for on, how in service.get("depends_on", {}).items()}
        for name, service in COMPOSE["services"].items()
    }
    assert waits == {
        "db": {},
        "migrate": {"db": healthy},
        "load": {"migrate": done},
        "api": {"db": healthy, "load": done},
        "worker": {"db": healthy, "load": done},
    }


def test_what_runs_for_long_is_asked_for_its_health_and_started_again():
    for name in ("db", "api", "worker"):
        service = COMPOSE["services"][name]
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
    for name, role in (("api", "serve"), ("worker", "worker")):
        asked = COMPOSE["services"][name]["healthcheck"]["test"]
        assert asked[1:] == ["waylight", "healthy", role]
        assert COMPOSE["services"][name]["command"] == [role]


def test_stopping_gives_each_process_longer_than_it_takes_itself():
    api, back = COMPOSE["services"]["api"], COMPOSE["services"]["worker"]
    given = re.search(
        r"^graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text(), re.MULTILINE
    )
    assert given is not None
    assert seconds(api["stop_grace_period"]) > int(given[1])
    assert seconds(back["stop_grace_period"]) > worker.GRACE_S


def test_no_name_is_given_twice_in_one_mapping():
    """Compose refuses it; the YAML reader of these tests takes the last."""

    def names(node):
        if isinstance(node, yaml.MappingNode):
            yield [key.value for key, _ in node.value if key.value != "<<"]
        for child in node.value if isinstance(node.value, list) else ():
            for part in child if isinstance(child, tuple) else (child,):
                yield from names(part)

    for given in names(yaml.compose((ROOT / "compose.yaml").read_text())):
        assert len(given) == len(set(given)), given


def test_no_secret_has_a_default():
    text = (ROOT / "compose.yaml").read_text()
    for name in SECRETS:
        uses = re.findall(rf"\$\{{WAYLIGHT_{name}(.*?)\}}", text)
        assert uses, name
        assert all(use.startswith(":?set it to ") for use in uses), name
    assert set(re.findall(r"WAYLIGHT_(\w+):\?", text)) == set(SECRETS)


def test_what_serves_cannot_log_in_as_the_owner():
    for name in ROLES:
        has = "WAYLIGHT_DATABASE_URL" in COMPOSE["services"][name]["environment"]
        assert has == (name in ("migrate", "load")), name


def test_only_the_api_is_published_and_on_loopback_unless_told():
    published = {n: s["ports"] for n, s in COMPOSE["services"].items() if "ports" in s}
    assert published == {"api": ["${WAYLIGHT_PUBLISH:-127.0.0.1:8000}:8000"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert COMPOSE["services"]["db"]["networks"] == ["inside"]


def test_the_database_is_set_as_in_development():
    ours = runpy.run_path(str(ROOT / "bin/cluster"))["SETTINGS"]
    command = COMPOSE["services"]["db"]["command"]
    given = dict(word.split("=", 1) for word in command if "=" in word)
    assert given.items() <= ours.items()
    assert {"jit", "random_page_cost", "log_error_verbosity"} <= set(given)


def test_compose_and_the_dockerfile_name_the_same_base():
    base = instructions()[0][1].removeprefix("BASE_IMAGE=")
    built = COMPOSE["services"]["api"]["build"]["args"]["BASE_IMAGE"]
    assert built == f"${{BASE_IMAGE:-{base}}}"


def test_the_documented_command_makes_secrets_that_waylight_takes(tmp_path):
    (script,) = re.findall(
        r"```sh\n(\(umask 077.*?)```", (ROOT / "docs/image.md").read_text(), flags=re.DOTALL
    )
    subprocess.run([BASH, "-ec", script], cwd=tmp_path, check=True)
    made = tmp_path / ".env"
    assert made.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in made.read_text().splitlines())
    assert set(values) == {f"WAYLIGHT_{name}" for name in SECRETS}
    for name in SECRETS:
        if name.endswith("PASSWORD"):
            assert re.fullmatch(r"\w{32,}", values[f"WAYLIGHT_{name}"])

    def fill(use):
        return str(values.get(use[1], use[3] or ""))

    filled = {
        name: re.sub(r"\$\{(\w+)(:[-?](.*?))?\}", fill, str(value))
        for name, value in COMPOSE["services"]["load"]["environment"].items()
    }
    settings = Settings.from_environment(filled)
    assert settings.profile == "production"
    # Keys that are lost take every report with them.
    again = subprocess.run(
        [BASH, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert again.returncode
    assert dict(line.split("=", 1) for line in made.read_text().splitlines()) == values


# --- waylight healthy


@pytest.fixture
def healthy(monkeypatch):
    def run(url="postgresql://nobody@127.0.0.1:1/none", *words, **changes):
        environ = environment_for(url, **changes)
        return CliRunner(env=environ).invoke(cli, ["healthy", *words], prog_name="waylight")

    return run


@pytest.fixture
def answering():
    """A server that answers every request with a status, and the port of it."""
    servers = []

    def start(status):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                assert self.path == "/healthz"
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_answers_is_healthy(healthy, answering):
    port = str(answering(HTTPStatus.OK))
    done = healthy("postgresql://n@127.0.0.1:1/n", "serve", WAYLIGHT_PORT=port)
    assert (done.exit_code, done.output) == (0, "")
    everywhere = {"WAYLIGHT_PORT": port, "WAYLIGHT_HOST": "0.0.0.0"}  # noqa: S104 -- asked, not bound
    assert healthy("postgresql://n@127.0.0.1:1/n", "serve", **everywhere).exit_code == 0


def test_a_server_that_is_ill_or_gone_is_not_healthy(healthy, answering):
    port = str(answering(HTTPStatus.INTERNAL_SERVER_ERROR))
    ill = healthy("postgresql://n@127.0.0.1:1/n", "serve", WAYLIGHT_PORT=port)
    assert (ill.exit_code, "/healthz answers 500" in ill.output) == (1, True)
    gone = healthy("postgresql://n@127.0.0.1:1/n", "serve", WAYLIGHT_PORT="1")
    assert (gone.exit_code, "does not answer" in gone.output) == (1, True)


@pytest.mark.commits
def test_a_worker_is_healthy_while_it_beats(healthy, database):
    url, now, here = database._settings.database_url, datetime.now(UTC), socket.gethostname()

    def beat(worker_id, host, at):
        chores.beat(database, worker_id, host=host, pid=1, started_at=at, now=at)

    assert healthy(url, "worker").exit_code == 1
    beat("elsewhere", f"not-{here}", now)
    beat("before", here, now - timedelta(minutes=1))
    silent = healthy(url, "worker")
    assert (silent.exit_code, "not been heard of" in silent.output) == (1, True)
    beat("now", here, datetime.now(UTC))
    assert healthy(url, "worker").exit_code == 0


def test_a_worker_without_its_database_is_not_healthy(healthy):
    done = healthy("postgresql://nobody@127.0.0.1:1/none", "worker")
    assert (done.exit_code, "cannot be used" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/venv/bin/python -m gunicorn --config /opt/waylight/gunicorn.conf.py", "serve"),
        ("/opt/venv/bin/python -m waylight.cli worker", "worker"),
        ("/sbin/docker-init -- waylight worker", "worker"),
        ("/bin/sh /opt/venv/bin/waylight serve", "serve"),
        ("/opt/venv/bin/python -m waylight.cli load data/worker", None),
        ("/opt/venv/bin/python -m waylight.cli migrate", None),
        ("/sbin/init", None),
    ],
)
def test_the_role_of_a_container_is_that_of_process_1(
    monkeypatch, tmp_path, healthy, command, role
):
    path = tmp_path / "cmdline"
    path.write_bytes("\0".join([*command.split(), ""]).encode())
    monkeypatch.setattr(health, "PROCESS_1", path)
    assert health._role_of(command.split()) == role
    # Nothing answers here and no database: only what ends by itself is well.
    assert healthy("postgresql://n@127.0.0.1:1/n", WAYLIGHT_PORT="1").exit_code == (
        role is not None
    )


def test_sigterm_ends_a_command_that_waits(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        command = subprocess.Popen(
            [sys.executable, "-m", "waylight.cli", "doctor"],
            cwd=ROOT,
            env=environment_for(url, PATH=str(Path(sys.executable).parent)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        line, _ = silent.accept()
        with line:
            command.terminate()
            assert command.wait(timeout=120) == 143
