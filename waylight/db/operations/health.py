"""Facts about the server and the state of the data, for the doctor and for `/readyz`."""

from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

SERVER = """
select current_setting('server_version_num')::int as server_version,
       (select extversion from pg_extension where extname = 'postgis') as postgis,
       (select extversion from pg_extension where extname = 'pg_trgm') as pg_trgm,
       current_user as login, clock_timestamp() as clock,
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
       (select count(*) from incidents where escalate_at < %(late)s and state = 'open')
           as climbs_late,
       (select count(*) from incidents where unanswered_at is not null and state = 'open'
           and not exercise) as unanswered,
       (select array_agg(host || ' (process ' || pid || ')' order by host, pid)
        from worker_heartbeats where beat_at between %(missed)s and %(silent)s) as silent_workers,
       to_regclass('reports_' || to_char(%(soon)s at time zone 'UTC', 'YYYY_MM')) is not null
           as partition_soon
"""

# Rights on whole tables; those on columns, and the policies, are the migrations' own matter.
LACKING = """
select format('%s on %s of %s', need.privilege, need.relation, need.role)
from (
    select 'waylight_intake' as role, relation, privilege
    from unnest('{reports,report_secrets,incidents,alerts,deliveries,events,grants,
                  event_sequencer}'::text[]) relation, unnest('{select,insert,update}'::text[])
        privilege
    union all select 'waylight_intake', relation, privilege
    from unnest('{receipts,idempotency_keys,worker_heartbeats}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select 'waylight_intake', relation, 'select'
    from unnest('{cities,areas,area_parts,places,teams,coverages,hubs,api_keys,staff}'::text[])
        relation
    union all select 'waylight_staff', relation, 'select'
    from unnest('{reports,report_secrets,incidents,alerts,deliveries,events,grants,
                  audit_entries}'::text[]) relation
    union all select 'waylight_staff', relation, 'insert'
    from unnest('{events,audit_entries}'::text[]) relation) need
join pg_roles r on r.rolname = need.role
where to_regclass(need.relation) is not null
  and not has_table_privilege(need.role, to_regclass(need.relation), need.privilege)
order by need.role, need.relation, need.privilege
"""

SECRETS = """
with sample as (
    (select * from report_secrets where wrapped_key is not null order by report_id desc limit %s)
    union
    (select * from report_secrets where wrapped_key is not null order by report_id limit %s))
select report_id, key_version, wrapped_key, field, ciphertext
from sample left join lateral (
    select field, ciphertext
    from (values ('narrative', narrative), ('description_of_person', description_of_person),
                 ('contact', contact), ('location_description', location_description),
                 ('rejected', rejected)) texts (field, ciphertext)
    where ciphertext is not null limit 1) one on true
"""

RECEIPTS = """
(select hash, report_id, key_version from receipts order by report_id desc limit %s)
union
(select hash, report_id, key_version from receipts order by report_id limit %s)
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
    """{server_version, postgis, pg_trgm, login, clock, unbound}; a missing extension is None."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SERVER).fetchone()
        assert row is not None  # noqa: S101 - the same
        return row


def lacking_rights(conn: Connection[Any]) -> list[str]:
    """Each right that the two roles need and lack, as `insert on reports of waylight_intake`."""
    return [row[0] for row in conn.execute(LACKING).fetchall()]


def secrets(conn: Connection[Any], number: int) -> list[dict[str, Any]]:
    """The newest and the oldest secrets that are not erased, each with one of its texts."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SECRETS, [number, number]).fetchall()


def receipts(conn: Connection[Any], number: int) -> list[dict[str, Any]]:
    """The receipts of the newest and of the oldest reports: {hash, report_id, key_version}."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(RECEIPTS, [number, number]).fetchall()


def state(
    conn: Connection[Any], *, soon: datetime, late: datetime, silent: datetime, missed: datetime
) -> dict[str, Any]:
    """The row of STATE: counts of what ends before `soon`, and of what waits since `late`.

    Workers are silent that were last heard of between `missed` and `silent`.
    """
    values = {"soon": soon, "late": late, "silent": silent, "missed": missed}
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(STATE, values).fetchone()
        assert row is not None  # noqa: S101 - the same
        return row
