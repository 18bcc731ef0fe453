"""A PostgreSQL server of a test's own, where it must not share roles with the others."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.databases import ROOT, Cluster


@contextmanager
def new_cluster(folder: Path, *, test: bool = True) -> Iterator[Cluster]:
    """A PostgreSQL of its own, made by initdb: no role and no database of ours is in it.

    One that is not a `test` keeps what it has when it is killed: a test's forgets the last commits,
    and is made anew when it does not start.
    """
    (folder / "bin").mkdir(parents=True)
    (folder / ".local").mkdir()
    (folder / "bin/cluster").write_text((ROOT / "bin/cluster").read_text())
    (folder / ".local/secrets.env").write_text("WAYLIGHT_CLUSTER_PASSWORD=only-here\n")
    command = [sys.executable, str(folder / "bin/cluster")]

    def run(*words: str) -> str:
        return subprocess.run(
            [*command, *words, *(["--test"] if test else [])],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    try:
        run("start")
        yield Cluster(run("url"))
    finally:
        run("stop")
