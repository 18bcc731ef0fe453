"""Facts about the server and the state of the data, for the doctor and for `/readyz`."""

from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

SERVER = """
select current_setting('server_version_num')::int as server_version,
       (select extversion from pg_extension where extname = 'postgis') as postgis,
       (select extversion from pg_extension where extname = 'pg_trgm') as pg_trgm,
       current_user as login,
       (select rolsuper or rolbypassrls from pg_roles where rolname = current_user) as unbound
"""

# Only tables that the migrations make: to be asked at head.
STATE = """
select (select max(beat_at) from worker_heartbeats) as last_beat,
       (select count(*) from cities) as cities,
       (select min(contacts_verified_at) from cities) as contacts_verified_at,
       (select bool_or(contacts_verified_at is null) from cities) as contacts_unverified,
       (select count(*) from cities where control_room_id is null) as without_control_room,
       (select count(*) from hubs where not retired and coalesce(expanded_until < %(soon)s, true))
           as hubs_unexpanded,
       (select count(*) from teams where not retired and coalesce(expanded_until < %(soon)s, true))
           as teams_unexpanded,
       (select count(*) from deliveries where status = 'queued' and next_attempt_at < %(late)s)
           as deliveries_late,
       (select count(*) from events where sequence is null and at < %(late)s) as events_late,
       (select count(*) from reports where status = 'unrouted') as unrouted,
       to_regclass('reports_' || to_char(%(soon)s at time zone 'UTC', 'YYYY_MM')) is not null
           as partition_soon
"""

# Both tables are there since the first migration, and small.
READY = """
select (select max(version_num) from alembic_version) as revision,
       (select max(beat_at) from worker_heartbeats) as last_beat
"""


def ready(conn: Connection[Any]) -> dict[str, Any]:
    """{revision, last_beat}. Raises psycopg.errors.UndefinedTable before the first migration."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(READY).fetchone()
        assert row is not None  # noqa: S101 - a select without FROM has one row
        return row


def server(conn: Connection[Any]) -> dict[str, Any]:
    """{server_version, postgis, pg_trgm, login, unbound}; a missing extension is None."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SERVER).fetchone()
        assert row is not None  # noqa: S101 - the same
        return row


def state(conn: Connection[Any], *, soon: datetime, late: datetime) -> dict[str, Any]:
    """The row of STATE: counts of what ends before `soon`, and of what waits since `late`."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(STATE, {"soon": soon, "late": late}).fetchone()
        assert row is not None  # noqa: S101 - the same
        return row
