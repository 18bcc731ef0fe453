"""compose.yaml, read by Compose itself, as far as there is one."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from image_checks.terminal import ROOT, install, run

if TYPE_CHECKING:
    from image_checks.terminal import Report

VARIABLES = ("VAULT_KEYS", "RECEIPT_KEYS", "POSTGRES_PASSWORD", "INTAKE_PASSWORD", "STAFF_PASSWORD")


def look_at(report: Report) -> str:
    """Let Compose itself read compose.yaml, as far as there is one; return what read it."""
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    compose = ["docker", "compose"] if found.returncode == 0 else ["docker-compose"]
    if compose == ["docker-compose"]:
        install("docker-compose")
    version = run(*compose, "version", "--short")
    plain = {name: value for name, value in os.environ.items() if "WAYLIGHT" not in name}
    given = plain | {f"WAYLIGHT_{name}": "1" for name in VARIABLES}
    read = [*compose, "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
    whole = subprocess.run(read, env=given, capture_output=True, text=True, check=False)
    report.expect(
        f"{' '.join(compose)} {version} reads compose.yaml", not whole.returncode, whole.stderr
    )
    for name in VARIABLES:
        some = {n: v for n, v in given.items() if n != f"WAYLIGHT_{name}"}
        without = subprocess.run(read, env=some, capture_output=True, text=True, check=False)
        refused = without.returncode and "docs/image.md" in without.stderr
        report.expect(f"and refuses it without WAYLIGHT_{name}", refused, without.stderr)
    return f"{' '.join(compose)} {version}"
