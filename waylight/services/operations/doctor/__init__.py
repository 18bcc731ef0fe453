"""What stands between this deployment and its work: every finding with its fix."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Literal

import psycopg

from waylight.config import ConfigurationError, Settings
from waylight.db import identity_providers
from waylight.db.operations import health
from waylight.db.operations import reach as db_reach
from waylight.db.session import Connection, Database, Role
from waylight.domain.errors import Unavailable
from waylight.services.operations import migrations
from waylight.services.operations.doctor import audit as of_audit
from waylight.services.operations.doctor import reach as of_reach
from waylight.services.operations.doctor import server as of_server
from waylight.services.operations.doctor import tables
from waylight.services.operations.doctor.finding import Finding, State, first_line
from waylight.services.operations.health import WORKER_SILENCE
from waylight.vault import Vault

__all__ = ["Finding", "examine", "usable_settings"]

LATE = timedelta(minutes=1)

PATIENCE_S = 20.0
"""For one look: a table that somebody has locked must not keep the rest from being told."""

MISSED_FOR = timedelta(hours=1)
"""How long a worker that fell silent while others live is asked after."""

SAMPLE = 25
"""Stories and receipts that are tried, of the newest and of the oldest."""
ROLES: tuple[Role, ...] = ("intake", "staff")


def usable_settings(environ: Mapping[str, str]) -> tuple[list[Finding], Settings | None]:
    """What is wrong with the settings, and those settings with the wrong ones left out.

    None when a setting without which nothing can be looked at is missing or wrong.
    """
    try:
        return [Finding("settings")], Settings.from_environment(environ)
    except ConfigurationError as error:
        found = [
            Finding("settings", problem, "set it as docs/config.md says, and start again")
            for problem in error.problems
        ]
        wrong = {problem.split()[0] for problem in error.problems}
    try:
        rest = {name: value for name, value in environ.items() if name not in wrong}
        return found, Settings.from_environment(rest)
    except ConfigurationError:
        return found, None


def examine(
    database: Database,
    vault: Vault,
    *,
    now: datetime,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    settings: Settings | None = None,
) -> Iterator[Finding]:
    """Looks at one thing after the other, and past a problem at whatever can still be seen.

    Whether alerts get through is asked by the channels of `settings`.
    """
    logins: list[State] = []
    for role in ROLES:
        finding, login = _login(database, role)
        yield finding
        if login is not None:
            logins.append(login)
    conn = _somebody(database)
    if conn is None:
        return
    with closing(conn):
        asked = clock()
        server = health.server(conn)
        yield of_server.clock(server["clock"], earliest=asked, latest=clock())
        yield of_server.version(server)
        if logins:
            yield of_server.roles(logins)
        yield of_server.extensions(server)
        at, needed = of_server.revision(conn), migrations.head()
        yield of_server.schema(at, needed, health.built(conn))
        yield of_server.rights(health.lacking_rights(conn))
        yield of_server.row_security(health.unlocked_tables(conn), health.lost_policies(conn))
        yield from _data(conn, vault, now=now, is_behind=(at or "") < needed, settings=settings)
        if (at or "") >= needed:
            yield from of_audit.look(conn, vault, now=now)
        if settings is not None and (at or "") >= needed:
            yield from _reach(conn, settings, now=now)


def _reach(conn: Connection, settings: Settings, *, now: datetime) -> Iterator[Finding]:
    try:
        state = db_reach.state(conn, channels=settings.channels, now=now)
    except psycopg.Error as error:
        yield Finding(
            "alerts that reached nobody",
            f"cannot be looked for: {first_line(error)}",
            "mend what is told above; then ask again",
        )
        return
    for look in of_reach.LOOKS:
        yield look(state, now)
    yield of_reach.drills(state, now, settings.exercise_schedule)


def _login(database: Database, role: Role) -> tuple[Finding, State | None]:
    what = f"database, as {role}"
    try:
        # Past the pool, which says only that it got no connection, and not why.
        with closing(database.connect(role)) as conn:
            return Finding(what), health.server(conn)
    except Unavailable as error:
        why = first_line(error.__cause__)
        return Finding(what, f"cannot be used: {why}", _way_in(why)), None


def _way_in(why: str) -> str:
    """What lets a login in that was refused for this reason."""
    if "password authentication failed" in why:
        return (
            "run `waylight migrate`, which sets the passwords of the two roles; they come from the"
            " lowest key of WAYLIGHT_VAULT_KEYS: when that was lost, put it back first"
        )
    if "does not exist" in why and "database" in why and "role" not in why:
        return "create the database, or correct its name in WAYLIGHT_DATABASE_URL"
    if "permission denied for database" in why:
        return (
            "as its owner: grant connect on database ... to waylight_intake, waylight_staff (the"
            " name is in WAYLIGHT_DATABASE_URL)"
        )
    if "role" in why:
        return "run `waylight migrate`, which makes the roles and lets them log in"
    return "start PostgreSQL, and check host and port in WAYLIGHT_DATABASE_URL"


def _somebody(database: Database) -> Connection | None:
    """A connection of whoever gets in, the least privileged first."""
    logins: tuple[Role | Literal["owner", "admin"], ...] = ("intake", "owner", "admin")
    for login in logins:
        try:
            conn = database.connect(login)
        except (Unavailable, ConfigurationError, psycopg.Error):
            continue
        conn.autocommit = True  # one look that fails must not spoil the next
        conn.execute(f"set statement_timeout = {round(PATIENCE_S * 1000)}")
        return conn
    return None


def _data(
    conn: Connection,
    vault: Vault,
    *,
    now: datetime,
    is_behind: bool,
    settings: Settings | None,
) -> Iterator[Finding]:
    """What the tables say; an old schema may lack some, which is told already."""
    try:
        state = health.state(
            conn,
            soon=now + tables.HORIZON,
            late=now - LATE,
            silent=now - WORKER_SILENCE,
            missed=now - MISSED_FOR,
            # The console needs no address, and is a log that nobody has to read.
            channels=[name for name in settings.channels if name != "console"] if settings else [],
            now=now,
        )
        secrets, receipts = health.secrets(conn, SAMPLE), health.receipts(conn, SAMPLE)
        cases = health.support_cases(conn, SAMPLE)
        webhooks, providers = health.webhooks(conn), identity_providers.everyone(conn)
    except psycopg.Error as error:
        if not is_behind:
            yield Finding(
                "tables",
                f"cannot be read: {first_line(error)}",
                "mend what is told above; then ask again",
            )
        return
    for look in tables.LOOKS:
        yield look(state, now)
    yield tables.vault_keys(secrets, vault)
    yield tables.receipt_keys(receipts, vault)
    yield tables.support_keys(cases, vault, services=state["support_services"])
    yield tables.webhooks(webhooks, vault, now=now)
    yield tables.identity_providers(providers, vault)
