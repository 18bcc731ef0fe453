"""A newcomer's first walk: what the README tells a person to type, typed."""

import base64
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from waylight.services.operations import chores, demo

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = README[README.index("## A first report") : README.index("## Where next")]
SHOWN = re.findall(r"```text\n(.*?)```", WALK, re.DOTALL)[0]


@pytest.fixture
def server(london, settings, vault, tmp_path):
    """The API in a process of its own over a London of its own, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "WAYLIGHT_INTAKE_URL": settings.intake_url,
        "WAYLIGHT_STAFF_URL": settings.staff_url,
        "WAYLIGHT_VAULT_KEYS": _keyring(settings.vault_keys),
        "WAYLIGHT_RECEIPT_KEYS": _keyring(settings.receipt_keys),
        "WAYLIGHT_PROFILE": "test",
        "WAYLIGHT_EXEMPT_LOOPBACK": "1",
        "WAYLIGHT_PORT": str(port),
        "WAYLIGHT_WORKERS": "1",
    }
    now = datetime.now(UTC)
    chores.beat(london, "test", host="here", pid=1, started_at=now, now=now)
    (tmp_path / ".local").mkdir()
    demo.write_demo_keys(
        london, vault, tmp_path / ".local/demo.json", base_url="", city=None, now=now
    )
    process = subprocess.Popen(
        [str(ROOT / "bin/waylight"), "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/v1/categories", process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _keyring(keys):
    return ",".join(f"{n}:{base64.b64encode(key).decode()}" for n, key in keys.items())


def _wait_for(url, process):
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        assert process.poll() is None, process.stdout.read()
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server did not come up")


@pytest.mark.slow
@pytest.mark.commits
def test_what_the_readme_tells_a_newcomer_to_type_works(server, tmp_path):
    script = "\n".join(re.findall(r"```sh\n(.*?)```", WALK, re.DOTALL))
    script = script.replace("http://127.0.0.1:8000", server)
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told, _, answers = done.stdout.partition("{")
    assert _shape(told) == _shape(SHOWN)
    mine, end = json.JSONDecoder().raw_decode("{" + answers)
    acknowledged, _ = json.JSONDecoder().raw_decode(("{" + answers)[end:].lstrip())
    assert [entry["code"] for entry in mine["timeline"]][:2] == ["received", "told"]
    assert acknowledged["status"] == "acknowledged"


def _shape(output):
    """The first words of each line: names, distances and receipts differ from night to night."""
    return {line.split(" - ")[0].split(" ")[0] for line in output.strip().splitlines()}
