"""Databases for tests: templates built once, clones for what commits, one rolled back for the rest.

Everything happens on the cluster of WAYLIGHT_TEST_DATABASE_URL, which belongs to the tests.
"""

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from waylight.config import Settings
from waylight.db import session
from waylight.db.session import Connection, Database, Role, _open_databases, _translated
from waylight.services.operations import migrations

ROOT = Path(__file__).resolve().parent.parent
LOCK = 5_228_001  # of the maintenance database: one process at a time builds a template
_numbers = count()

# A pool opens its connections while somebody waits for one, on a busy machine for longer than these
# are in production: that is no dead server either. The settings say how long anybody waits in all.
session.POOL_WAIT_S = 60.0
session.CONNECT_S = 10

TODAY = os.environ.setdefault("WAYLIGHT_TEST_DAY", str(datetime.now(UTC).date()))
"""On which this run of the tests began, in all of its processes: after midnight one of them would
drop the templates that another goes on cloning."""


def environment_for(url: str, **changes: str) -> dict[str, str]:
    """The environment of a test process: fixed keys, so that the roles keep their passwords."""
    key = {name: base64.b64encode(bytes([n]) * 32).decode() for n, name in enumerate("abcd", 1)}
    return {
        "WAYLIGHT_DATABASE_URL": url,
        "WAYLIGHT_VAULT_KEYS": f"1:{key['a']},2:{key['b']}",
        "WAYLIGHT_RECEIPT_KEYS": f"1:{key['c']}",
        "WAYLIGHT_SUPPORT_KEYS": f"1:{key['d']}",
        "WAYLIGHT_PROFILE": "test",
        "WAYLIGHT_EXEMPT_LOOPBACK": "1",
        "WAYLIGHT_POOL_SIZE": "10",
        "WAYLIGHT_NOTIFY_CALLBACK_TOKEN": "notify-callback-token",
        "WAYLIGHT_TWILIO_AUTH_TOKEN": "twilio-auth-token",
        # A busy machine is no dead server; the tests of dead servers choose their own.
        "WAYLIGHT_DATABASE_TIMEOUT_S": "10",
    } | changes


def settings_for(url: str, **changes: str) -> Settings:
    """The settings that go with it."""
    return Settings.from_environment(environment_for(url, **changes))


class Cluster:
    """The server of the tests, as its superuser."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str) -> str:
        return make_conninfo(self._url, dbname=database)

    def version(self) -> str:
        with self.connect() as conn:
            row = conn.execute("show server_version").fetchone()
            assert row is not None
            return str(row[0])

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=60)

    def template(
        self,
        name: str,
        *,
        depends_on: Iterable[Path],
        build: Callable[[str], None],
        base: str | None = None,
    ) -> str:
        """The name of a database made by `build`, and made again when a file has changed.

        It is built under another name, so that one whose building failed is never taken for whole.
        """
        prefix = f"waylight_{name}_"
        whole = f"{prefix}{_digest(depends_on, base)}"
        with self.connect() as conn:
            conn.execute("select pg_advisory_lock(%s)", [LOCK])
            have = conn.execute("select from pg_database where datname = %s", [whole]).fetchone()
            if have is None:
                self._drop_orphans(conn, prefix)
                unfinished = f"{prefix}unfinished"
                _drop(conn, unfinished)
                _create(conn, unfinished, base)
                build(unfinished)
                conn.execute(
                    sql.SQL("alter database {} rename to {}").format(
                        sql.Identifier(unfinished), sql.Identifier(whole)
                    )
                )
        return whole

    @contextmanager
    def clone(self, template: str | None) -> Iterator[str]:
        """A database of one's own, dropped at the end; an empty one without a template."""
        name = f"waylight_test_{os.getpid()}_{next(_numbers)}"
        with self.connect() as conn:
            _create(conn, name, template)
            try:
                yield name
            finally:
                _close_pools(name)
                _drop(conn, name)

    def _drop_orphans(self, conn: psycopg.Connection[Any], prefix: str) -> None:
        """Drops older templates of this name, and the clones of test runs that were killed."""
        names = [row[0] for row in conn.execute("select datname from pg_database").fetchall()]
        for name in names:
            if name.startswith(prefix) or (
                name.startswith("waylight_test_") and not _is_alive(int(name.split("_")[2]))
            ):
                with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
                    conn.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def _close_pools(name: str) -> None:
    """Closes what a test left open: its pool would try to come back in the middle of others.

    It jitters with the `random` module, which hypothesis takes for the test that is running.
    """
    for database in list(_open_databases):
        if conninfo_to_dict(database._settings.database_url or "").get("dbname") == name:
            database.close()


def empty_template(cluster: Cluster) -> str:
    """A migrated database with nothing in it."""

    def build(name: str) -> None:
        settings = settings_for(cluster.url(name))
        database = Database(settings)
        migrations.migrate(database, settings)
        database.close()

    return cluster.template(
        "empty",
        depends_on=[
            *ROOT.glob("migrations/**/*.py"),
            ROOT / "waylight/db/operations/setup.py",
            ROOT / "waylight/config.py",
        ],
        build=build,
    )


def london_template(cluster: Cluster) -> str:
    """A migrated database with the London pack in it, its opening hours expanded from today."""

    def build(name: str) -> None:
        from waylight.services.packs import load_pack  # noqa: PLC0415 - most tests need no pack

        database = Database(settings_for(cluster.url(name)))
        load_pack(database, ROOT / "data/london", now=datetime.now(UTC), progress=lambda *_: None)
        database.close()

    return cluster.template(
        "london",
        base=empty_template(cluster),
        depends_on=[
            *(path for path in ROOT.glob("data/london/*") if path.is_file()),
            *ROOT.glob("waylight/**/packs/*.py"),
            *ROOT.glob("waylight/**/packs.py"),
            ROOT / "waylight/domain/schedules.py",
        ],
        build=build,
    )


class Kept(Connection):
    """A connection whose transaction only the fixture ends."""

    def commit(self) -> None:
        """Nothing: what a test commits is seen by the same test and gone after it."""

    def rollback(self) -> None:
        """Nothing: savepoints do it."""

    def close(self) -> None:
        """Nothing: the next test goes on with it."""

    def end(self) -> None:
        super().rollback()
        self.autocommit = False

    def hang_up(self) -> None:
        super().close()


class RolledBack(Database):
    """A Database whose transactions are savepoints of one that is rolled back after the test.

    One connection takes each role in turn, so privileges and row-level security hold. What it
    cannot do: two transactions at once, and `now()` moving on. Such tests are marked `commits`.
    """

    def __init__(self, settings: Settings, conn: Kept, sqlalchemy: Engine) -> None:
        super().__init__(settings)
        self._conn = conn
        self._sqlalchemy = sqlalchemy
        self._acting = ["none"]
        conn.execute("select")  # opens the transaction that all others are savepoints of

    @contextmanager
    def _transaction(
        self,
        role: Role,
        *,
        then: str = "",
        autocommit: bool = False,  # noqa: ARG002 - a savepoint knows no such thing
        within_s: float | None = None,  # noqa: ARG002 - nor this
    ) -> Iterator[Connection]:
        with _translated(), self._savepoint(f"waylight_{role}", then):
            yield self._conn

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        with _translated(), self._savepoint("waylight_owner"):
            yield self._conn

    @contextmanager
    def session(
        self, role: Role | Literal["owner"], *, organisation_id: UUID | None = None
    ) -> Iterator[Session]:
        then = f"; set local waylight.organisation_id = '{organisation_id or ''}'"
        with (
            _translated(),
            self._savepoint(f"waylight_{role}", then),
            self._sqlalchemy.connect() as bound,
            Session(bound, join_transaction_mode="create_savepoint") as session,
            session.begin(),
        ):
            yield session

    def connect(self, role: Role | Literal["owner", "admin"]) -> Connection:
        raise NotImplementedError("a rolled-back database has one connection: mark it `commits`")

    def engine(self, role: Role | Literal["owner"]) -> Engine:
        raise NotImplementedError("a rolled-back database has one connection: mark it `commits`")

    @contextmanager
    def _savepoint(self, role: str, then: str = "") -> Iterator[None]:
        self._acting.append(role)
        try:
            with self._conn.transaction():
                self._conn.execute(f"set local role {role}{then}", prepare=False)
                yield
                self._conn.execute(
                    # What a real commit would check, and what it would forget.
                    "set constraints all immediate; set constraints all deferred;"
                    f" set local role {self._acting[-2]}; set local waylight.organisation_id = '';"
                    " set local waylight.reads_as = ''",
                    prepare=False,
                )
        finally:
            self._acting.pop()


@contextmanager
def rolled_back(url: str) -> Iterator[Callable[[Settings], RolledBack]]:
    """Makes RolledBack databases, one after the other, over one connection to `url`."""
    conn = Kept.connect(url, prepare_threshold=1, context=_adapters(url), connect_timeout=60)
    conn.execute("set timezone = 'UTC'; set jit = off", prepare=False)
    Connection.commit(conn)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: conn,
        poolclass=NullPool,
        pool_reset_on_return=None,
    )
    with engine.connect() as first:  # SQLAlchemy asks the server about itself once
        first.execute(text("select 1"))
    conn.end()
    try:
        yield lambda settings: RolledBack(settings, conn, engine)
    finally:
        conn.hang_up()


def _adapters(url: str) -> psycopg.abc.AdaptContext:
    """The adapters of a real connection of ours."""
    conn = Database(settings_for(url)).connect("admin")
    conn.close()
    return conn


def _digest(paths: Iterable[Path], base: str | None) -> str:
    # Partitions and opening hours start from the day of building.
    digest = hashlib.sha256(f"{base} {TODAY}".encode())
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _create(conn: psycopg.Connection[Any], name: str, template: str | None) -> None:
    conn.execute(
        sql.SQL("create database {} template {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
    )


def _drop(conn: psycopg.Connection[Any], name: str) -> None:
    conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
