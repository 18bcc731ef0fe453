"""PostgreSQL's own pg_dump and pg_restore: where they are, and how they are told a password."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from waylight.domain.errors import WaylightError

FOLDERS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu, PostgreSQL's own packages for them
    "usr/pgsql-*/bin",  # Fedora and its kin
    "opt/homebrew/opt/libpq/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
SECRET = ("password", "sslpassword")
LAST_WORDS = 2_000


class ProgramMissing(WaylightError):
    """A program of PostgreSQL's client package is missing or too old."""

    code = "program_missing"


@dataclass(frozen=True)
class Program:
    """One installed program of PostgreSQL, and the major version it belongs to."""

    path: Path
    major: int
    version: str


def find(name: str, *, at_least: int, why: str) -> Program:
    """The program of this major version, or of the next newer one that is installed.

    The oldest that will do: a newer pg_dump writes what an older pg_restore cannot read. Raises
    ProgramMissing, saying what was found instead.
    """
    found = sorted(_installed(name), key=lambda program: program.major)
    for program in found:
        if program.major >= at_least:
            return program
    have = ", ".join(f"{p.version} ({p.path})" for p in found) or "none"
    raise ProgramMissing(
        f"{name} {at_least} or newer is needed, {why}, and was not found (there is: {have})."
        f" Install PostgreSQL's client programs of version {at_least}, such as Debian's package"
        f" postgresql-client-{at_least}, or put their folder on PATH."
    )


def connected(url: str) -> tuple[list[str], Mapping[str, str]]:
    """How a program reaches a database: its arguments, without any secret, and its environment.

    A command line can be read by everybody on the machine; the environment only by ourselves.
    """
    login = conninfo_to_dict(url)
    if login.get("sslpassword"):
        raise ProgramMissing(
            "WAYLIGHT_DATABASE_URL has an sslpassword, which pg_dump takes only where everybody"
            " could read it: use a client key without one, in a file that only we can read."
        )
    public = {name: value for name, value in login.items() if name not in SECRET}
    environment = without_keys()
    if login.get("password"):
        environment["PGPASSWORD"] = str(login["password"])
    return ["--no-password", f"--dbname={make_conninfo('', **public)}"], environment


def without_keys() -> dict[str, str]:
    """The environment for a program that has no business with our keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYLIGHT_")}
    return kept | {"LC_ALL": "C"}


def last_words(said: bytes) -> str:
    """The end of what a program said on its standard error."""
    return said.decode(errors="replace").strip()[-LAST_WORDS:]


def _installed(name: str) -> Iterator[Program]:
    places: Sequence[Path] = [
        *(Path(folder) / name for folder in os.get_exec_path()),
        *(path / name for folder in FOLDERS for path in Path("/").glob(folder)),
    ]
    for path in dict.fromkeys(places):
        # Debian's wrapper on PATH chooses a version by the address, and may choose another for a
        # dump than it names when it is asked; those behind it are in the folders.
        if shutil.which(path) is None or path.resolve().name == "pg_wrapper":
            continue
        asked = subprocess.run(  # noqa: S603 - a program of PostgreSQL's, by its full path
            [path, "--version"], capture_output=True, check=False, env=without_keys()
        )
        said = re.search(rb"\(PostgreSQL\) ((\d+)\S*)", asked.stdout)
        if said:
            yield Program(path, int(said[2]), said[1].decode())
