"""What a backup asks a database: a snapshot that others can join, its rows, its keys; and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waylight.db.operations.chores import CHORE_LOCK, PARTITIONED
from waylight.db.operations.rotation import SEALED
from waylight.db.operations.setup import MIGRATION_LOCK, OWNER

EPHEMERAL = ("worker_heartbeats",)
"""Tables whose rows are no part of a backup: a restored heartbeat would claim a living worker."""

# Tables of extensions, such as spatial_ref_sys, come with the extension.
TABLES = """
select c.relname from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                  and d.objid = c.oid and d.deptype = 'e')
order by 1
"""

ABOUT = """
select current_setting('server_version_num')::int as server_version,
       current_setting('server_version') as postgresql,
       (select extversion from pg_extension where extname = 'postgis') as postgis,
       (select version_num from alembic_version) as revision,
       (select count(*) from incidents where state = 'open') as incidents_open,
       (select count(*) from incidents where state = 'open' and escalate_at is not null)
           as incidents_climbing,
       (select min(opened_at) from incidents where state = 'open' and escalate_at is not null)
           as climbing_since,
       (select count(*) from deliveries where status = 'queued') as messages_waiting,
       (select last from event_sequencer) as last_sequence
"""

# A receipt's hash is as good as a random number.
RECEIPTS = """
select report_id, key_version, hash from receipts where key_version = %s order by hash limit %s
"""

STORIES = """
select report_id, key_version, wrapped_key, narrative, description_of_person, contact,
       location_description, rejected
from report_secrets
where key_version = %s and wrapped_key is not null
order by md5(report_id::text) limit %s
"""

QUIET = """
with stopped as (
    update incidents set escalate_at = null, version = version + 1,
        unanswered_at = case when held_by_alert_id is null
                             then coalesce(unanswered_at, %(now)s) else unanswered_at end
    where state = 'open' and escalate_at is not null
    returning id, city_id, exercise)
insert into events (kind, at, city_id, incident_id, exercise)
select 'incident.quieted', %(now)s, city_id, id, exercise from stopped
"""

DROP_MESSAGES = """
update deliveries set status = 'dropped', detail = 'restored', next_attempt_at = null,
    leased_by = null, leased_until = null
where status = 'queued'
"""


@contextmanager
def snapshot(conn: Connection[Any]) -> Iterator[str]:
    """One moment of the whole database; yields its name, for pg_dump to join it.

    Reads as the owner, whom no row-level security binds. While it lasts, migrations and the making
    of partitions wait: they would stand in the queue for a lock behind the dump, and every report
    behind them. `conn` is the administrator's.
    """
    conn.commit()
    conn.autocommit = True
    conn.execute("set lock_timeout = 0; set statement_timeout = 0")
    conn.execute("set idle_in_transaction_session_timeout = 0")
    conn.execute("select pg_advisory_lock_shared(%s)", [MIGRATION_LOCK])
    conn.execute("select pg_advisory_lock(%s, hashtext('partitions'))", [CHORE_LOCK])
    conn.execute("begin isolation level repeatable read read only")
    conn.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
    (name,) = conn.execute("select pg_export_snapshot()").fetchone() or ("",)
    yield name
    conn.execute("rollback")


def about(conn: Connection[Any]) -> dict[str, Any]:
    """The row of ABOUT. Only of a migrated database."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(ABOUT).fetchone()
        assert row is not None  # noqa: S101 - a select without FROM has one row
        return row


def server_version(conn: Connection[Any]) -> int:
    """The server's version as a number: 150018 is 15.18."""
    (version,) = conn.execute("select current_setting('server_version_num')::int").fetchone() or (
        0,
    )
    return int(version)


def tables(conn: Connection[Any]) -> list[str]:
    """Every table that holds rows, partitions one by one, without those of extensions."""
    return [name for (name,) in conn.execute(TABLES).fetchall()]


def counts(conn: Connection[Any]) -> dict[str, int]:
    """How many rows each table has; those that no backup keeps count as empty."""
    found = {}
    for name in tables(conn):
        found[name] = 0
        if name not in EPHEMERAL:
            count = sql.SQL("select count(*) from public.{}").format(sql.Identifier(name))
            (found[name],) = conn.execute(count).fetchone() or (0,)
    return found


def occupied_by(conn: Connection[Any]) -> list[str]:
    """What makes a database no empty one: tables, views and functions of nobody's extension."""
    rows = conn.execute(
        """
        select relname::text from pg_class c
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
          and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                          and d.objid = c.oid and d.deptype in ('e', 'i'))
        union all
        select proname || '()' from pg_proc p
        where pronamespace = 'public'::regnamespace
          and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                          and d.objid = p.oid and d.deptype = 'e')
        order by 1
        """
    ).fetchall()
    return [name for (name,) in rows]


def database_exists(conn: Connection[Any], name: str) -> bool:
    """Whether the server has a database of this name."""
    return conn.execute("select from pg_database where datname = %s", [name]).fetchone() is not None


def create_database(conn: Connection[Any], name: str) -> None:
    """Makes an empty database, in UTF-8. Ends the transaction of `conn`."""
    conn.commit()
    conn.autocommit = True
    conn.execute(
        sql.SQL("create database {} template template0 encoding 'UTF8'").format(
            sql.Identifier(name)
        )
    )


def drop_database(conn: Connection[Any], name: str) -> None:
    """Drops a database that nobody is connected to, if there is one. Ends the transaction."""
    conn.commit()
    conn.autocommit = True
    conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))


@contextmanager
def whole_or_nothing(conn: Connection[Any]) -> Iterator[None]:
    """One transaction as the owner: all of it is there at its end, or nothing of it.

    No migration and no other restore runs meanwhile.
    """
    with conn.transaction():
        conn.execute("set local statement_timeout = 0; set local lock_timeout = 0")
        conn.execute("set local idle_in_transaction_session_timeout = 0")
        conn.execute("select pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        conn.execute(sql.SQL("set local role {}").format(sql.Identifier(OWNER)))
        yield


def after_script(conn: Connection[Any]) -> None:
    """Takes back what the script of pg_restore sets for its session."""
    conn.execute("reset search_path; reset check_function_bodies; reset client_min_messages")


def receipts(conn: Connection[Any], version: int, *, limit: int) -> list[dict[str, Any]]:
    """Some receipts of a key's version: {report_id, key_version, hash}."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(RECEIPTS, [version, limit]).fetchall()


def stories(conn: Connection[Any], version: int, *, limit: int) -> list[dict[str, Any]]:
    """Some rows of report_secrets whose key is wrapped by this version."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(STORIES, [version, limit]).fetchall()


def sealed(conn: Connection[Any], table: str, version: int, *, limit: int) -> list[dict[str, Any]]:
    """Some rows of a table with sealed columns whose key is wrapped by this version.

    Empty where the backup is older than the table.
    """
    id_column, fields = SEALED[table]
    statement = sql.SQL(
        "select {id} as id, wrapped_key, {fields} from {table}"
        " where key_version = %s and wrapped_key is not null order by md5({id}::text) limit %s"
    ).format(
        id=sql.Identifier(id_column),
        fields=sql.SQL(", ").join(map(sql.Identifier, fields)),
        table=sql.Identifier(table),
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        there = cursor.execute("select to_regclass(%s) is not null as it", [table]).fetchone()
        if there is None or not there["it"]:
            return []
        return cursor.execute(statement, [version, limit]).fetchall()


def redactions(conn: Connection[Any], report_id: UUID) -> list[dict[str, Any]]:
    """What is sealed by a report's key beside its story: {id, redacted, reason}."""
    with conn.cursor(row_factory=dict_row) as cursor:
        there = cursor.execute(
            "select to_regclass('report_redactions') is not null as it"
        ).fetchone()
        if there is None or not there["it"]:
            return []
        return cursor.execute(
            "select id, redacted, reason from report_redactions where report_id = %s", [report_id]
        ).fetchall()


def quiet(conn: Connection[Any], *, now: datetime) -> tuple[int, int]:
    """Stops every ladder and drops every waiting message; returns how many of each."""
    ladders = conn.execute(QUIET, {"now": now}).rowcount
    return ladders, conn.execute(DROP_MESSAGES).rowcount


def make_partitions(conn: Connection[Any], *, months_ahead: int) -> None:
    """Makes the partitions from this month on: those in the backup may all be of the past."""
    for table in PARTITIONED:
        conn.execute("select make_partitions(%s, %s)", [table, months_ahead])


def analyse(conn: Connection[Any]) -> None:
    """Counts what the planner plans by: right after a restore it knows nothing of any table."""
    for name in tables(conn):
        conn.execute(sql.SQL("analyze public.{}").format(sql.Identifier(name)))
