"""The database that is measured: the city pack, grown by `world.sql`, made once and then copied.

Everything happens in databases whose names begin with waylight_bench; no other is touched.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import ClientCursor, sql
from psycopg.conninfo import make_conninfo

from waylight.config import Settings
from waylight.db.session import Database
from waylight.services.operations.migrations import migrate
from waylight.services.packs import load_pack

ROOT = Path(__file__).resolve().parent.parent
CITY = ROOT / "data/london"
PREFIX = "waylight_bench"
LOCK = 5_228_002
"""An advisory lock of the maintenance database: one bench at a time."""


@dataclass(frozen=True)
class Size:
    """How much there is before the first request."""

    teams: int = 120
    hubs: int = 1_000
    reports: int = 100_000


class BenchRuns(Exception):
    """Another bench holds this cluster: wait for its end, or stop it."""


@contextmanager
def world(
    url: str, settings_for: Callable[[str], Settings], size: Size, say: Callable[[str], None]
) -> Iterator[str]:
    """The URL of a fresh copy of the seeded database, dropped at the end.

    `url` is a superuser's; the seeded one is kept for the next time, and made anew when migrations,
    pack, seed or day have changed. Raises BenchRuns when another bench is at work.
    """
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
        free = admin.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if free != (True,):
            raise BenchRuns
        seed = f"{PREFIX}_seed_{_digest(size)}"
        have = admin.execute("select from pg_database where datname = %s", [seed]).fetchone()
        if have is None:
            _drop_all(admin)
            say(f"Making the world of the bench ({size.reports:,} reports; once a day) ...")
            _make(admin, url, seed, settings_for, size)
        name = f"{PREFIX}_run"
        _drop(admin, name)
        _create(admin, name, seed)
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            _drop(admin, name)


def fill(database: Database, size: Size) -> None:
    """Grows a database that has a city pack and nothing else to this size, in one transaction."""
    with database.owner() as conn:
        ClientCursor(conn).execute(
            (ROOT / "bench/world.sql").read_text(),
            {"teams": size.teams, "hubs": size.hubs, "reports": size.reports},
        )


def settle(admin: psycopg.Connection[Any], since: datetime) -> None:
    """Closes the incidents that earlier rounds opened: reports join only those of their own."""
    admin.execute(
        "update incidents set state = 'closed', closed_at = now()"
        " where state = 'open' and opened_at >= %s",
        [since],
    )


def _make(
    admin: psycopg.Connection[Any],
    url: str,
    seed: str,
    settings_for: Callable[[str], Settings],
    size: Size,
) -> None:
    # Under another name until it is whole: one that was interrupted is never taken for it.
    unfinished = f"{PREFIX}_unfinished"
    _create(admin, unfinished, "template0")
    settings = settings_for(make_conninfo(url, dbname=unfinished))
    database = Database(settings)
    try:
        migrate(database, settings)
        load_pack(database, CITY, now=datetime.now(UTC), progress=lambda *_: None)
        fill(database, size)
        with database.connect("admin") as conn:
            conn.autocommit = True
            conn.execute("vacuum (analyze)")
    finally:
        database.close()
    admin.execute(
        sql.SQL("alter database {} rename to {}").format(
            sql.Identifier(unfinished), sql.Identifier(seed)
        )
    )


def _digest(size: Size) -> str:
    today = datetime.now(UTC).date()  # opening hours and partitions begin on the day of making
    digest = hashlib.sha256(f"{size} {today}".encode())
    for path in sorted(
        [
            *ROOT.glob("migrations/**/*.py"),
            *(path for path in CITY.glob("*") if path.is_file()),
            *ROOT.glob("waylight/services/packs/*.py"),
            ROOT / "waylight/db/packs.py",
            ROOT / "waylight/config.py",
            ROOT / "bench/world.sql",
        ]
    ):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _drop_all(admin: psycopg.Connection[Any]) -> None:
    for (name,) in admin.execute("select datname from pg_database").fetchall():
        if name.startswith(f"{PREFIX}_"):
            _drop(admin, name)


def _create(admin: psycopg.Connection[Any], name: str, template: str) -> None:
    # Copying files is faster than logging half a gigabyte page by page.
    admin.execute(
        sql.SQL("create database {} template {} strategy file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )


def _drop(admin: psycopg.Connection[Any], name: str) -> None:
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
