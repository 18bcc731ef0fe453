"""A served Waylight for tests: the real gunicorn and a real worker over a London of their own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.databases import ROOT, environment_for
from tests.processes import running, serving
from tests.proxy import soon
from waylight.db.session import Database
from waylight.services.operations import demo
from waylight.vault import Vault

__all__ = ["ROOT", "Served", "served"]


@dataclass(frozen=True)
class Served:
    """What is running, and the environment in which `waylight` finds the same database."""

    url: str
    environment: Mapping[str, str]
    folder: Path


@contextmanager
def served(database: Database, folder: Path, **changes: str) -> Iterator[Served]:
    """API and worker over a committed database, in `folder`, which gets `.local/demo.json`.

    Both are up when this returns, and have ended when it is left. `changes` are settings.
    """
    url = database._settings.database_url
    assert url is not None
    local = folder / ".local"
    local.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"WAYLIGHT_PROFILE": "demo", **changes}
    with (
        serving(url, local, **settings) as server,
        running(url, local / "worker.log", "worker", **settings),
    ):
        address = f"http://127.0.0.1:{server.port}"
        demo.write_demo_keys(
            database,
            Vault(database._settings),
            local / "demo.json",
            base_url=address,
            city=None,
            now=datetime.now(UTC),
        )
        soon(lambda: _worker_lives(database))
        yield Served(address, _environment(url, server.port, settings), folder)


def _environment(url: str, port: int, settings: Mapping[str, str]) -> Mapping[str, str]:
    """That of a person beside the server: its settings, and nothing of this machine's own."""
    path = os.pathsep.join((str(ROOT / ".venv/bin"), str(ROOT / "bin"), os.environ["PATH"]))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("WAYLIGHT_")},
        **environment_for(url),
        **settings,
        "WAYLIGHT_PORT": str(port),
        "PATH": path,
    }


def _worker_lives(database: Database) -> bool:
    with database.intake() as conn:
        return conn.execute("select from worker_heartbeats").fetchone() is not None
