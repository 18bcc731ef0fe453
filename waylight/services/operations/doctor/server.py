"""What the server is asked: its clock, its version, roles, rights, schema and second lock."""

from datetime import datetime, timedelta

import psycopg

from waylight.db.session import Connection
from waylight.services.operations.doctor.finding import Finding, State

CLOCKS_AGREE_WITHIN = timedelta(seconds=2)
OLDEST_SERVER = 150_000


def clock(at: datetime, *, earliest: datetime, latest: datetime) -> Finding:
    """Whether the server's clock lay between this process's before and after it was asked."""
    if earliest - CLOCKS_AGREE_WITHIN <= at <= latest + CLOCKS_AGREE_WITHIN:
        return Finding("clock")
    apart_s = (earliest - at if at < earliest else at - latest).total_seconds()
    return Finding(
        "clock",
        f"this machine and the database differ by {apart_s:.0f} s: ages, leases and ladders go"
        " wrong",
        "let both keep their clocks by NTP (`timedatectl set-ntp true`)",
    )


def version(server: State) -> Finding:
    """Whether the server is new enough."""
    if server["server_version"] < OLDEST_SERVER:
        return Finding(
            "PostgreSQL",
            f"version {server['server_version'] // 10_000} is too old",
            "use PostgreSQL 15 or newer",
        )
    return Finding("PostgreSQL")


def extensions(server: State) -> Finding:
    """Whether PostGIS and trigrams are there."""
    missing = [name for name in ("postgis", "pg_trgm") if server[name] is None]
    if missing:
        return Finding(
            "extensions", f"{' and '.join(missing)} not installed", "run `waylight migrate`"
        )
    if int(server["postgis"].split(".")[0]) < 3:
        return Finding(
            "extensions",
            f"PostGIS {server['postgis']} is too old",
            "install PostGIS 3 and run `select postgis_extensions_upgrade()`",
        )
    return Finding("extensions")


def roles(logins: list[State]) -> Finding:
    """Whether row-level security binds the logins."""
    unbound = [login["login"] for login in logins if login["unbound"]]
    if unbound:
        return Finding(
            "roles",
            f"{' and '.join(unbound)} may see everything: row-level security does not bind them",
            "let WAYLIGHT_INTAKE_URL and WAYLIGHT_STAFF_URL name the roles waylight_intake and"
            " waylight_staff, or leave them out; if they do, as a superuser: "
            + "; ".join(f'alter role "{login}" nosuperuser nobypassrls' for login in unbound),
        )
    return Finding("roles")


def revision(conn: Connection) -> str | None:
    """The number that stands in the database; None when none can be read."""
    try:
        row = conn.execute("select max(version_num) from alembic_version").fetchone()
    except psycopg.Error:
        return None
    return row[0] if row else None


def schema(at: str | None, needed: str, built: str | None) -> Finding:
    """Whether the schema is the one that this code needs; `built` is the newest that is there."""
    if (at or "") < (built or ""):
        return Finding(
            "migrations",
            f"the schema says that it is at {at or 'nothing'}, but what {built} makes is there:"
            " somebody has changed the number, and `waylight migrate` would make it all again",
            "as the owner of the tables: delete from alembic_version; insert into alembic_version"  # noqa: S608 - to be read by a person
            f" values ('{built}')",
        )
    if (at or "") < needed:
        return Finding(
            "migrations",
            f"the schema is at {at or 'nothing'}, and this code needs {needed}",
            "run `waylight migrate`",
        )
    if at != needed:
        return Finding(
            "migrations",
            f"the schema is at {at}, ahead of this code, which knows {needed}",
            "run the release that made it; to go back instead, let that release run"
            f" `waylight migrate --down {needed}`, which loses what is newer",
        )
    return Finding("migrations")


def rights(lacking: list[str]) -> Finding:
    """Whether the roles may do their work."""
    if lacking:
        shown = lacking[:5]
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        return Finding(
            "rights",
            f"the roles lack {', '.join(shown)}{more}",
            "as the owner of the tables: "
            + "; ".join(f"grant {right.replace(' of ', ' to ')}" for right in lacking),
        )
    return Finding("rights")


def row_security(unlocked: list[str], lost: list[str]) -> Finding:
    """Whether the second lock is on every table of it."""
    if unlocked:
        return Finding(
            "row-level security",
            f"it is off on {len(unlocked)} tables: staff may see what is not theirs",
            f"as the owner of the tables: {'; '.join(unlocked)}",
        )
    if lost:
        return Finding(
            "row-level security",
            f"policies are gone: {', '.join(lost)}",
            "make each again as migrations/versions/0002_reports.py and 0001_foundations.py do, as"
            " the owner of the tables",
        )
    return Finding("row-level security")
