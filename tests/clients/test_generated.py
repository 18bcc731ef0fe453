"""Clients made from what a server says of itself send the README's first report to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import ROOT
from tests.serving import served

HERE = Path(__file__).resolve().parent
TOOLS = ROOT / "tools" / "openapi"
LIMIT_S = 300
FIRST_REPORT = json.loads(
    re.findall(r"-d '(\{.*?\})'", (ROOT / "README.md").read_text(encoding="utf-8"))[0]
)

pytestmark = [pytest.mark.slow, pytest.mark.commits]


def run(*command: str | Path, folder: Path, **changes: str) -> str:
    """What a command prints; fails the test with all that it said when it fails."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def check(told: str) -> None:
    said = json.loads(told)
    assert said["sent"] == FIRST_REPORT
    assert said["status"] == "routed"
    assert "control_room" in said["told"]
    assert said["same_report"]
    assert said["timeline"][:2] == ["received", "told"]
    assert len(said["nearest"]) == 3


def test_a_generated_python_client_sends_the_first_report(london, tmp_path):
    generator = Path(sys.executable).parent / "openapi-python-client"
    config = TOOLS / "python-client.yaml"
    client = tmp_path / "waylight_client"
    with served(london, tmp_path) as it:
        run(
            generator, "generate", "--url", f"{it.url}/openapi.json", "--output-path", client,
            "--meta", "none", "--config", config, "--fail-on-warning",
            folder=tmp_path,
        )  # fmt: skip
        shutil.copy(HERE / "first_report.py", tmp_path)
        program = ("-W", "error", "first_report.py", it.url)
        check(run(sys.executable, *program, folder=tmp_path, PYTHONPATH=str(tmp_path)))


@pytest.mark.skipif(
    shutil.which("node") is None and "CI" not in os.environ,
    reason="no Node.js: the TypeScript client is not made",
)
def test_generated_typescript_types_compile_and_send_the_first_report(london, tmp_path):
    run(ROOT / "bin" / "node-tools", folder=ROOT)
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name in ("first_report.ts", "tsconfig.json"):
        shutil.copy(HERE / name, tmp_path)
    tools = tmp_path / "node_modules" / ".bin"
    with served(london, tmp_path) as it:
        document = f"{it.url}/openapi.json"
        run(tools / "openapi-typescript", document, "-o", "waylight.ts", folder=tmp_path)
        run(tools / "tsc", "--project", ".", folder=tmp_path)
        check(run("node", "first_report.js", it.url, folder=tmp_path))
