"""What must be there before the first migration: roles, extensions, logins. Safe to run again."""

from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from waylight.config import Settings
from waylight.db.session import Connection
from waylight.domain.errors import WaylightError

OWNER = "waylight_owner"
LOGINS = ("waylight_intake", "waylight_staff")
EXTENSIONS = ("postgis", "pg_trgm")

MIGRATION_LOCK = 7_310_579_424_881  # any number that nothing else in this database locks
"""The advisory lock under which the schema changes, by a migration or a restore."""

# PostGIS tells anybody where the rows of a table lie, from statistics that no policy binds.
STATISTICS = """
select format('revoke execute on function %s from public', p.oid::regprocedure)
from pg_proc p
join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
join pg_extension e on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid
where e.extname = 'postgis' and pg_has_role(p.proowner, 'usage')
  and p.proname = any ('{_postgis_stats,_postgis_selectivity,_postgis_join_selectivity,
                         st_estimatedextent,st_estimated_extent}')
  and has_function_privilege('waylight_staff', p.oid, 'execute')
"""
"""Nothing where the extension is another administrator's: a provider's, say."""

ATTEMPTS = 5
"""Roles belong to the whole server: another database being set up at this moment may collide."""


class SetupRefused(WaylightError):
    """The login of WAYLIGHT_DATABASE_URL may not set the database up."""

    code = "setup_refused"


def prepare(conn: Connection, settings: Settings, *, logins: bool = True) -> None:
    """Creates roles and extensions, lets the two unprivileged roles log in, hands over the schema.

    `conn` is the administrator's, outside a transaction. Does nothing twice. Without `logins` the
    passwords stay as they are: they are the whole server's, also of another database on it. Raises
    SetupRefused, with the statements that an administrator can run instead.
    """
    conn.autocommit = True
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("create the roles", lambda: _roles(conn)),
        ("create the extensions", lambda: _extensions(conn)),
        ("hide the statistics of positions", lambda: _statistics(conn)),
        ("let the roles use the schema", lambda: _schema(conn)),
        ("act as waylight_owner", lambda: _act_as_owner(conn)),
        ("set the logins of the roles", lambda: _logins(conn, settings)),
    )
    for what, step in steps if logins else steps[:-1]:
        try:
            _patiently(step)
        except psycopg.errors.InsufficientPrivilege as error:
            raise SetupRefused(_refusal(conn, what, error)) from error
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
            raise SetupRefused(
                f"The server lacks an extension ({error}). Install PostGIS 3 and PostgreSQL's"
                " contrib modules on the machine of the server, and try again."
            ) from error


def _patiently(step: Callable[[], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return step()
        except (
            psycopg.errors.DuplicateObject,
            psycopg.errors.UniqueViolation,
            psycopg.errors.InternalError_,  # "tuple concurrently updated"
        ):
            if attempt == ATTEMPTS:
                raise
    return None


def _roles(conn: Connection) -> None:
    names = [OWNER, *LOGINS]
    have = conn.execute("select rolname from pg_roles where rolname = any (%s)", [names]).fetchall()
    for name in names:
        if (name,) not in have:
            conn.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))


def _extensions(conn: Connection) -> None:
    for name in EXTENSIONS:
        conn.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(name)))


def _statistics(conn: Connection) -> None:
    for (statement,) in conn.execute(STATISTICS).fetchall():
        conn.execute(statement)


def _schema(conn: Connection) -> None:
    owner_may = conn.execute(
        "select has_schema_privilege(%s, 'public', 'create')"
        " and has_schema_privilege(%s, 'public', 'usage')",
        [OWNER, OWNER],
    ).fetchone()
    if owner_may != (True,):
        conn.execute(sql.SQL("grant usage, create on schema public to {}").format(_OWNER))
    # Before PostgreSQL 15 every login may create tables and functions here, to shadow ours.
    strangers_may = conn.execute(
        "select exists (select from pg_namespace, aclexplode(nspacl) entry where nspname = 'public'"
        " and entry.grantee = 0 and entry.privilege_type = 'CREATE')"
    ).fetchone()
    if strangers_may == (True,):
        conn.execute("revoke create on schema public from public")


def _act_as_owner(conn: Connection) -> None:
    try:
        conn.execute(sql.SQL("set role {}").format(_OWNER))
    except psycopg.errors.InsufficientPrivilege:
        conn.execute(sql.SQL("grant {} to current_user").format(_OWNER))
        conn.execute(sql.SQL("set role {}").format(_OWNER))
    conn.execute("reset role")


def _logins(conn: Connection, settings: Settings) -> None:
    urls: Mapping[str, str] = dict(
        zip(LOGINS, (settings.intake_url, settings.staff_url), strict=True)
    )
    for role, url in urls.items():
        login = conninfo_to_dict(url)
        password = login.get("password")
        if login.get("user") != role or not password:
            continue  # an address of the operator's own choice, with a login of their own making
        if _logs_in(url):
            continue
        # Encrypted here, so that no log of the server ever holds the password.
        verifier = conn.pgconn.encrypt_password(
            str(password).encode(), role.encode(), b"scram-sha-256"
        )
        conn.execute(
            sql.SQL("alter role {} login password {}").format(
                sql.Identifier(role), sql.Literal(verifier.decode())
            )
        )


def _logs_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _refusal(conn: Connection, what: str, error: psycopg.Error) -> str:
    asked = conn.execute("select current_user, current_database()").fetchone()
    user, database = asked or ("?", "?")
    return (
        f"The login {user!r} of WAYLIGHT_DATABASE_URL may not {what} ({error.diag.message_primary})"
        f". Use the login of an administrator for `waylight migrate`, or let one run this in the"
        f" database {database!r}, and try again:\n"
        + "".join(f"  create role {name};\n" for name in (OWNER, *LOGINS))
        + "".join(f"  create extension if not exists {name};\n" for name in EXTENSIONS)
        + f"  grant usage, create on schema public to {OWNER};\n"
        f"  grant {OWNER} to {user};\n"
        "  alter role waylight_intake login password '...';  -- and WAYLIGHT_INTAKE_URL with it\n"
        "  alter role waylight_staff login password '...';   -- and WAYLIGHT_STAFF_URL with it"
    )


_OWNER = sql.Identifier(OWNER)
