"""Connections to PostgreSQL, one pool for each unprivileged role, and never a long wait.

A statement is given `database_timeout_s` from the moment its caller asked for a connection. When
the server is gone, restarting or hanging, the caller hears `Unavailable` within that time and the
connection is thrown away: nothing blocks on a server that says nothing, not even to cancel.
"""

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, get_args
from uuid import UUID
from weakref import WeakSet

import orjson
import psycopg
from psycopg.abc import RV, PQGen
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from waylight import metrics, telemetry
from waylight.config import ConfigurationError, Settings
from waylight.domain.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

Role = Literal["intake", "staff"]

ReadsAs = Literal["analyst", "support"]
"""What a staff transaction reads as, when it is less, or other, than what its organisation may."""

GONE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""What psycopg raises when the server is away, too slow, out of something, or a standby: one that
is read only takes nothing down until it is another's turn, and callers come again as well."""

POOL_WAIT_S = 1.0
"""The longest wait for a pooled connection, if that is less than the whole patience."""

RECONNECT_S = 0.4
"""A pool that cannot connect tries once more after this time and then at the next request, so that
it is back with the server; psycopg's backoff would leave it away for minutes."""

IDLE_IN_TRANSACTION_S = 15
LIFETIME_S = 1800.0
CONNECT_S = 2
"""psycopg's least; pools connect in the background, so that no caller waits for it."""

# The first geography statement of a session loads PostGIS and PROJ for 9 ms: not in a report.
WARM_UP = """
select st_dwithin(here, there, 100.0), st_distance(here, there), here <-> there
from (select 'SRID=4326;POINT(-0.1 51.5)'::geography as here,
             'SRID=4326;POINT(0.1 51.6)'::geography as there) points
"""


class Connection(psycopg.Connection[Any]):
    """A connection that gives up on a silent server instead of waiting for it.

    A statement left unfinished, by the clock or by an exception thrown into its caller, leaves the
    socket in the middle of an answer. It is closed then: asking the server to cancel would wait on
    the very server that does not answer.
    """

    patience_s: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Runs one exchange with the server. Raises psycopg.OperationalError when it takes long."""
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except BaseException:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise

    def close(self) -> None:
        """Closes the connection, or gives it back to its pool, also when it is broken.

        psycopg leaves a broken one with its last user, and the pool would shrink by one each time.
        """
        pool = getattr(self, "_pool", None)
        if pool is not None and self.closed:
            pool.putconn(self)
            self._pool = None
        else:
            super().close()


@dataclass(frozen=True)
class PoolUse:
    """Connections of one pool, and callers who wait for one."""

    in_use: int
    idle: int
    waiting: int


_SPANS: Mapping[Role, Mapping[telemetry.Attribute, str]] = {
    role: {"db.system.name": "postgresql", "waylight.role": role} for role in get_args(Role)
}

_open_databases: "WeakSet[Database]" = WeakSet()


@atexit.register
def _close_all() -> None:
    # Later the interpreter has begun to fall apart, and a pool's own farewell fails loudly.
    for database in list(_open_databases):
        database.close()


class Database:
    """The database as one process sees it. Connects when first used, so after any fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pools: dict[Role, ConnectionPool[Connection]] = {}
        self._engines: dict[str, Engine] = {}
        self._pid = os.getpid()

    def intake(
        self, *, autocommit: bool = False, within_s: float | None = None
    ) -> AbstractContextManager[Connection]:
        """A transaction as `waylight_intake`: committed at the end, rolled back by an exception.

        With `autocommit` each statement is a transaction of its own, for callers with one
        statement: one round trip instead of three. `within_s` replaces the usual patience, for
        work that nobody is waiting for. Raises Unavailable.
        """
        return self._transaction("intake", autocommit=autocommit, within_s=within_s)

    def staff(
        self,
        organisation_id: UUID,
        *,
        reads_as: ReadsAs | None = None,
        within_s: float | None = None,
    ) -> AbstractContextManager[Connection]:
        """A transaction as `waylight_staff` that sees what this organisation may see.

        With `reads_as`, the database shows an analyst their own view and no report, and only
        somebody of `support` what is kept for them. Raises Unavailable.
        """
        # `.hex` exists on a UUID alone: no text of a caller can get into the statement.
        acting = f"; set local waylight.organisation_id = '{organisation_id.hex}'"
        if reads_as in get_args(ReadsAs):
            acting += f"; set local waylight.reads_as = '{reads_as}'"
        return self._transaction("staff", then=acting, within_s=within_s)

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """A transaction as `waylight_owner`, over a connection of its own and without limits.

        Raises Unavailable when there is no connection, ConfigurationError without
        WAYLIGHT_DATABASE_URL.
        """
        with _translated(), self.connect("owner") as conn:
            yield conn

    def connect(self, role: Role | Literal["owner", "admin"]) -> Connection:
        """A connection outside the pools, for the caller to close; statements may take forever.

        `admin` is the login of WAYLIGHT_DATABASE_URL as it is, `owner` the same as the role that
        owns every table. Raises Unavailable, and ConfigurationError without that address.
        """
        with _translated():
            conn = Connection.connect(
                self._url(role),
                context=_JSON,
                connect_timeout=5,
                application_name=f"waylight {role}",
            )
        try:
            conn.execute("set timezone = 'UTC'")
            if role == "owner":
                conn.execute("set role waylight_owner")
            conn.commit()
        except BaseException:
            conn.close()
            raise
        return conn

    @contextmanager
    def alone(self, role: Role) -> Iterator[Connection]:
        """A connection outside the pools, in autocommit, closed at the end. Raises Unavailable."""
        with _translated(), closing(self.connect(role)) as conn:
            conn.autocommit = True
            yield conn

    def engine(self, role: Role | Literal["owner"]) -> "Engine":
        """A SQLAlchemy engine over the pool of the role; over fresh connections for `owner`."""
        from sqlalchemy import NullPool, create_engine  # noqa: PLC0415 - see session()

        with self._lock:
            if role not in self._engines:
                self._engines[role] = create_engine(
                    "postgresql+psycopg://",
                    creator=lambda: self._for_sqlalchemy(role),
                    poolclass=NullPool,
                )
            return self._engines[role]

    @contextmanager
    def session(
        self, role: Role | Literal["owner"], *, organisation_id: UUID | None = None
    ) -> Iterator["Session"]:
        """A SQLAlchemy session in one transaction, committed at the end. For the cold paths.

        A staff session needs `organisation_id` to see anything. Raises Unavailable.
        """
        # A second of start-up that servers, workers and most commands never need.
        from sqlalchemy import text  # noqa: PLC0415
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
        from sqlalchemy.orm import Session  # noqa: PLC0415

        try:
            with _translated(), Session(self.engine(role)) as session, session.begin():
                if organisation_id is not None:
                    session.execute(
                        text("select set_config('waylight.organisation_id', :id, true)"),
                        {"id": str(organisation_id)},
                    )
                yield session
        except DBAPIError as error:
            if isinstance(error.orig, GONE):
                raise Unavailable from error
            raise

    def pool_use(self) -> Mapping[Role, PoolUse]:
        """How the pools of this process are used at this moment; none before their first use."""
        if self._pid != os.getpid():
            return {}
        found = {role: pool.get_stats() for role, pool in list(self._pools.items())}
        return {
            role: PoolUse(
                in_use=max(stats["pool_size"] - stats["pool_available"], 0),
                idle=stats["pool_available"],
                waiting=stats["requests_waiting"],
            )
            for role, stats in found.items()
        }

    def close(self) -> None:
        """Closes every pooled connection; a later use opens new ones."""
        with self._lock:
            pools = list(self._pools.values()) if self._pid == os.getpid() else []
            self._pools, self._engines = {}, {}
        for pool in pools:
            pool.close(timeout=CONNECT_S)

    @contextmanager
    def _transaction(
        self,
        role: Role,
        *,
        then: str = "",
        autocommit: bool = False,
        within_s: float | None = None,
    ) -> Iterator[Connection]:
        with _translated(), telemetry.span("database", "client", _SPANS[role]):
            pool = self._pool(role)
            limit = ""
            if within_s is not None:
                limit = f"; set local statement_timeout = {round(within_s * 1000)}"
            begin = None if autocommit and not limit else f"begin{limit}{then}"
            conn = self._acquire(pool, begin, within_s or self._settings.database_timeout_s)
            try:
                yield conn
                _commit(conn)
            except BaseException:
                _roll_back(conn)
                raise
            finally:
                pool.putconn(conn)

    def _acquire(
        self, pool: ConnectionPool[Connection], begin: str | None, patience_s: float
    ) -> Connection:
        """A working connection on which `begin` has run.

        Connections that died while they lay in the pool, as all do when the server restarts, are
        thrown away and the next one is tried, as long as there is time.
        """
        give_up_at = monotonic() + patience_s
        while True:
            try:
                conn = pool.getconn(min(POOL_WAIT_S, give_up_at - monotonic()))
            except PoolTimeout:
                metrics.count(metrics.POOL_TIMEOUTS, pool.name.removeprefix("waylight "))
                raise
            try:
                conn.patience_s = max(give_up_at - monotonic(), 0.05)
                # Reads without waiting: a hang-up that has arrived already shows here. A server
                # that stops says goodbye first: the first read finds words, the second the end.
                conn.pgconn.consume_input()
                conn.pgconn.consume_input()
                if not conn.autocommit:
                    conn.autocommit = True
                if begin is not None:
                    conn.execute(begin, prepare=False)
            except GONE:
                conn.pgconn.finish()
                pool.putconn(conn)
                if monotonic() >= give_up_at:
                    raise
            except BaseException:
                pool.putconn(conn)
                raise
            else:
                return conn

    def _for_sqlalchemy(self, role: Role | Literal["owner"]) -> Connection:
        if role == "owner":
            return self.connect("owner")
        conn = self._acquire(self._pool(role), None, self._settings.database_timeout_s)
        conn.autocommit = False
        return conn

    def _pool(self, role: Role) -> ConnectionPool[Connection]:
        if self._pid != os.getpid():
            # A forked child must not talk over its parent's sockets, nor wait for its locks.
            self._lock = threading.Lock()
            self._pools, self._engines, self._pid = {}, {}, os.getpid()
        pool = self._pools.get(role)
        if pool is None:
            with self._lock:
                pool = self._pools.get(role) or self._open(role)
                self._pools[role] = pool
            _open_databases.add(self)
        return pool

    def _open(self, role: Role) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self._url(role),
            connection_class=Connection,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 1,
                "context": _JSON,
                "connect_timeout": CONNECT_S,
                "application_name": f"waylight {role}",
                "keepalives_idle": 30,
            },
            configure=self._configure,
            min_size=1,
            max_size=self._settings.pool_size,
            max_lifetime=LIFETIME_S,
            reconnect_timeout=RECONNECT_S,
            num_workers=2,
            close_returns=True,
            name=f"waylight {role}",
            open=True,
        )

    def _configure(self, conn: Connection) -> None:
        """Settings and warm-up of a new pooled connection, in one round trip."""
        conn.patience_s = self._settings.database_timeout_s
        statement_ms = round(self._settings.database_timeout_s * 800)
        conn.execute(
            f"set timezone = 'UTC'; set statement_timeout = {statement_ms}; "
            f"set idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'; "
            # Spatial functions look so dear to the planner that it would compile every statement.
            f"set jit = off; {WARM_UP}",
            prepare=False,
        )

    def _url(self, role: str) -> str:
        if role == "intake":
            return self._settings.intake_url
        if role == "staff":
            return self._settings.staff_url
        if self._settings.database_url is None:
            raise ConfigurationError(["WAYLIGHT_DATABASE_URL is not set, and this needs it."])
        return self._settings.database_url


@contextmanager
def _translated() -> Iterator[None]:
    """Tells callers that the server is away, however psycopg puts it."""
    try:
        yield
    except GONE as error:
        raise Unavailable from error


def _commit(conn: Connection) -> None:
    # PostgreSQL answers a COMMIT after a swallowed error with a rollback, and psycopg says nothing.
    if conn.pgconn.transaction_status == TransactionStatus.INERROR:
        raise psycopg.errors.InFailedSqlTransaction("a failed statement cannot be committed")
    conn.commit()


def _roll_back(conn: Connection) -> None:
    """Rolls back if that is possible; the exception on its way out is the one that matters."""
    try:
        conn.rollback()
    except psycopg.Error:
        conn.pgconn.finish()


def _json_adapters() -> psycopg.abc.AdaptContext:
    class Context:
        adapters = AdaptersMap(psycopg.adapters)
        connection = None

    context = Context()
    set_json_dumps(orjson.dumps, context)
    set_json_loads(orjson.loads, context)
    for layout in (PyFormat.BINARY, PyFormat.TEXT):
        context.adapters.register_dumper(dict, context.adapters.get_dumper(Jsonb, layout))
    return context


_JSON = _json_adapters()
