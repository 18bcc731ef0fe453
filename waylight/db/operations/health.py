"""Facts about the server and the state of the data, for the doctor and for `/readyz`."""

from collections.abc import Mapping, Sequence
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
       (select count(*) from organisations where kind = 'support_service') as support_services,
       (select min(contacts_verified_at) from cities) as contacts_verified_at,
       (select bool_or(contacts_verified_at is null) from cities) as contacts_unverified,
       (select count(*) from cities where control_room_id is null) as without_control_room,
       (select count(*) from hubs where not retired and coalesce(expanded_until < %(soon)s, true))
           as hubs_unexpanded,
       (select count(*) from teams where not retired and coalesce(expanded_until < %(soon)s, true))
           as teams_unexpanded,
       (select count(*) from deliveries d where status = 'queued' and next_attempt_at < %(late)s
          and (channel <> 'webhook'  -- those of one that is paused or fails wait for its owner
               or exists (select from webhooks w where w.id = d.target_id and w.state = 'active'
                          and w.failures = 0)))
           as deliveries_late,
       (select count(*) from events where sequence is null and at < %(late)s) as events_late,
       (select count(*) from reports where status = 'unrouted') as unrouted,
       (select count(*) from incidents where escalate_at < %(late)s and state = 'open'
           and not exercise) as climbs_late,
       (select count(*) from incidents where unanswered_at is not null and state = 'open'
           and not exercise) as unanswered,
       (select array_agg(host || ' (process ' || pid || ')' order by host, pid)
        from worker_heartbeats gone where beat_at between %(missed)s and %(silent)s
          and not exists (  -- one that was started again in its place
              select from worker_heartbeats next
              where next.host = gone.host and next.started_at >= gone.beat_at
                and next.beat_at > %(silent)s)) as silent_workers,
       (select array_agg(t.name order by t.kind, t.name) from teams t
        where not t.retired and cardinality(%(channels)s::text[]) > 0 and not exists (
            select from addresses a
            where a.team_id = t.id and a.channel = any (%(channels)s) and a.state = 'active'
              and coalesce(a.expires_at > %(now)s, true))) as teams_unreached,
       (select count(*) from delivery_attempts
        where id >= uuid_v7_floor(%(missed)s) and detail like 'vapid%%') as pushes_unsigned,
       to_regclass('reports_' || to_char(%(soon)s at time zone 'UTC', 'YYYY_MM')) is not null
           as partition_soon
"""

# Rights on whole tables and on functions; those on columns are the migrations' own matter.
LACKING = """
with lacking (role, it) as (
select need.role, format('%s on %s of %s', need.privilege, need.relation, need.role)
from (
    select 'waylight_intake' as role, relation, privilege
    from unnest('{reports,report_secrets,incidents,alerts,deliveries,events,grants,
                  event_sequencer,addresses,delivery_attempts}'::text[]) relation,
        unnest('{select,insert,update}'::text[]) privilege
    union all select 'waylight_intake', relation, privilege
    from unnest('{receipts,idempotency_keys,worker_heartbeats}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select 'waylight_intake', 'drills', privilege
    from unnest('{select,insert,update}'::text[]) privilege
    union all select 'waylight_intake', 'provider_notices', privilege
    from unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_intake', relation, 'select'
    from unnest('{cities,areas,area_parts,places,teams,coverages,hubs,api_keys,staff}'::text[])
        relation
    union all select 'waylight_intake', 'access_tokens', privilege
    from unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_intake', 'stream_tickets', privilege
    from unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_staff', relation, 'select'
    from unnest('{reports,report_secrets,alerts,deliveries,events,grants,audit_entries,addresses,
                  delivery_attempts}'::text[]) relation
    union all select 'waylight_staff', relation, 'insert'
    from unnest('{events,audit_entries,addresses,deliveries}'::text[]) relation
    union all select 'waylight_intake', relation, 'select'
    from unnest('{shifts,check_in_defaults,check_ins,engagements}'::text[]) relation
    union all select 'waylight_intake', 'check_ins', 'update'
    union all select 'waylight_intake', relation, privilege
    from unnest('{hub_overrides,hub_arrivals,shifts}'::text[]) relation,
        unnest('{select,delete}'::text[]) privilege
    union all select 'waylight_staff', relation, privilege
    from unnest('{hub_overrides,hub_arrivals}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select 'waylight_staff', 'shifts', privilege
    from unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_staff', 'check_in_defaults', privilege
    from unnest('{select,insert,update}'::text[]) privilege
    union all select 'waylight_staff', 'check_ins', 'select'
    union all select 'waylight_intake', relation, privilege
    from unnest('{incident_notes,report_redactions,incident_parties}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select 'waylight_staff', relation, privilege
    from unnest('{incident_notes,report_redactions}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select role, 'webhooks', privilege
    from unnest('{waylight_intake,waylight_staff}'::text[]) role,
        unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_intake', 'accounts', privilege
    from unnest('{select,update}'::text[]) privilege
    union all select 'waylight_intake', relation, 'select'
    from unnest('{sessions,sign_in_policies}'::text[]) relation
    union all select 'waylight_intake', relation, privilege
    from unnest('{sign_in_attempts,sign_in_salt}'::text[]) relation,
        unnest('{select,insert,update}'::text[]) privilege
    union all select 'waylight_staff', 'sessions', 'select'
    union all select 'waylight_staff', 'sign_in_policies', privilege
    from unnest('{select,insert,update}'::text[]) privilege
    union all select 'waylight_staff', relation, privilege
    from unnest('{areas,area_parts,coverages}'::text[]) relation,
        unnest('{select,insert,delete}'::text[]) privilege
    union all select role, 'organisations', 'select'
    from unnest('{waylight_intake,waylight_staff}'::text[]) role
    union all select 'waylight_staff', 'identity_providers', 'delete'
    union all select 'waylight_staff', 'identities', privilege
    from unnest('{select,insert,delete}'::text[]) privilege
    union all select 'waylight_intake', 'identity_providers', 'select'
    union all select 'waylight_intake', 'spent_sign_ins', privilege
    from unnest('{select,insert,update,delete}'::text[]) privilege
    union all select 'waylight_staff', 'analysed_reports', 'select'
    union all select 'waylight_staff', relation, privilege
    from unnest('{support_cases,support_notes}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege
    union all select 'waylight_intake', 'support_cases', 'select'
    union all select 'waylight_intake', 'support_notes', 'delete'
    union all select 'waylight_intake', 'webhook_cursor', privilege
    from unnest('{select,update}'::text[]) privilege
    union all select 'waylight_intake', relation, privilege
    from unnest('{audit_entries,audit_positions,audit_seals,past_grants}'::text[]) relation,
        unnest('{select,insert}'::text[]) privilege) need
join pg_roles r on r.rolname = need.role
where to_regclass(need.relation) is not null
  and not has_table_privilege(need.role, to_regclass(need.relation), need.privilege)
union all
select need.role, format('execute on function %s of %s', f.oid::regprocedure, need.role)
from (
    select 'waylight_intake' as role, unnest('{uuid_v7,uuid_v7_floor,make_partitions,open_incident,
        destroy_support,end_devices,end_keys,forget_sessions,forget_sign_in_turns,forget_with_reports,give_up_addresses,open_session,person_of_address,
        queue_messages,route,route_to_fallback,
        submit_report,submit_reports,take_sign_in_turn,tell,tell_more,tell_of_all}'::text[])
        as name
    union all select 'waylight_staff', unnest('{acting_organisation,alert_was_sent,
        grants_of,is_colleague,last_event_number,move_team,rotate_client,organisation_acts_on,
        organisation_is_shut_out,organisation_is_told,organisation_may_read,
        organisation_may_read_story,organisation_may_redact,organisation_may_say,
        organisation_oversees,organisation_supports,organisation_runs_team,organisation_watches_city,
        organisation_works_on,place_of_team,reads_as,renew_city,
        rounded_to_50_m,told_of_analysis,end_devices,end_keys_of,
        end_provider_sessions,open_provider_session,
        give_up_addresses,take_device,uuid_v7}'::text[])) need
join pg_roles r on r.rolname = need.role
join pg_proc f on f.proname = need.name and f.pronamespace = 'public'::regnamespace
where not has_function_privilege(need.role, f.oid, 'execute')
)
select it from lacking order by role, it
"""

# The second lock on the door (design, D11): what row-level security has to be on every table of it.
UNLOCKED = """
select format('alter table %%s enable row level security', name)
from unnest(%(tables)s::text[]) name join pg_class c on c.oid = to_regclass(name)
where not c.relrowsecurity
order by 1
"""

LOCKED: Mapping[str, tuple[str, ...]] = {
    "access_tokens": ("intake_all",),
    "accounts": ("intake_all", "no_analyst", "staff_own"),
    "addresses": ("intake_all", "no_analyst", "staff_own"),
    "area_parts": ("intake_all", "staff_cuts_own", "staff_reads", "staff_rubs_out_own"),
    "areas": ("intake_all", "staff_draws_own", "staff_reads", "staff_rubs_out_own"),
    "api_keys": ("intake_all", "staff_own_clients"),
    "alerts": ("intake_all", "no_analyst", "staff_acts", "staff_told"),
    "audit_entries": ("intake_reads", "intake_writes", "staff_own", "staff_writes"),
    "audit_positions": ("intake_all",),
    "audit_seals": ("intake_all",),
    "deliveries": (
        "intake_all",
        "no_analyst",
        "staff_acts",
        "staff_own_webhooks",
        "staff_tells",
        "staff_told",
    ),
    "delivery_attempts": ("intake_all", "no_analyst", "staff_told"),
    "check_in_defaults": ("intake_all", "staff_own"),
    "check_ins": ("intake_all", "no_analyst", "staff_runs_own", "staff_told"),
    "coverages": ("intake_all", "staff_reads", "staff_runs_own"),
    "drills": ("intake_all",),
    "engagements": ("intake_all", "staff_reads"),
    "events": ("intake_all", "no_analyst", "staff_acts", "staff_tells_of_reading", "staff_told"),
    "grants": ("intake_all", "staff_own"),
    "hub_arrivals": ("intake_all", "no_analyst", "staff_logs_own", "staff_own"),
    "hub_overrides": ("intake_all", "staff_ends_own", "staff_own", "staff_sets_own"),
    "hubs": ("intake_all", "staff_founds", "staff_reads", "staff_runs_own"),
    "idempotency_keys": ("intake_all",),
    "identities": ("staff_own",),
    "identity_providers": ("intake_all", "staff_own"),
    "incident_notes": ("intake_all", "no_analyst", "staff_works", "staff_writes"),
    "incident_parties": ("intake_all",),
    "incidents": ("intake_all", "no_analyst", "staff_acts", "staff_told"),
    "organisations": ("intake_all", "staff_reads", "staff_runs_own"),
    "past_grants": ("intake_all",),
    "provider_notices": ("intake_all",),
    "receipts": ("intake_all",),
    "report_redactions": ("intake_all", "no_analyst", "staff_granted", "staff_writes"),
    "report_secrets": ("intake_all", "no_analyst", "staff_granted"),
    "reports": ("intake_all", "no_analyst", "staff_granted"),
    "sessions": ("intake_all", "staff_own"),
    "shifts": ("intake_all", "staff_reads", "staff_runs_own"),
    "sign_in_attempts": ("intake_all",),
    "sign_in_policies": ("intake_all", "staff_own"),
    "sign_in_salt": ("intake_all",),
    "spent_sign_ins": ("intake_all",),
    "staff": ("intake_all", "no_analyst", "staff_hires", "staff_own", "staff_renames"),
    "stream_tickets": ("intake_all",),
    "support_cases": ("intake_all", "staff_supports"),
    "support_notes": ("intake_all", "staff_supports"),
    "teams": ("intake_all", "no_analyst", "staff_founds", "staff_reads", "staff_runs_own"),
    "webhook_cursor": ("intake_all",),
    "webhooks": ("intake_all", "staff_own"),
}
"""The tables under row-level security, and the policies that say who sees which row."""

LOST_POLICIES = """
select format('%%s on %%s', policy, name)
from unnest(%(tables)s::text[], %(policies)s::text[]) expected (name, policy)
where to_regclass(name) is not null
  and not exists (select from pg_policies p
                  where p.schemaname = 'public' and p.tablename = name and p.policyname = policy)
order by 1
"""

MARKS: Mapping[str, str] = {
    "0001": "to_regclass('cities') is not null",
    "0002": "to_regclass('reports') is not null",
    "0003": "to_regproc('submit_reports') is not null",
    "0004": "exists (select from pg_proc where proname = 'submit_reports'"
    " and 'plan_cache_mode=force_generic_plan' = any (proconfig))",
    "0005": "to_regclass('addresses') is not null",
    "0006": "to_regclass('stream_tickets') is not null",
    "0007": "to_regclass('webhooks') is not null",
    "0008": "to_regproc('take_device') is not null",
    "0009": "to_regclass('provider_notices') is not null",
    "0010": "to_regclass('check_ins') is not null",
    "0011": "to_regclass('hub_overrides') is not null",
    "0012": "to_regclass('incident_notes') is not null",
    "0013": "to_regclass('drills') is not null",
    "0014": "to_regclass('accounts') is not null",
    "0015": "to_regclass('audit_seals') is not null",
    "0016": "to_regclass('access_tokens') is not null",
    "0017": "to_regclass('identity_providers') is not null",
    "0018": "to_regclass('past_grants') is not null",
    "0019": "to_regproc('organisation_runs_team') is not null",
    "0020": "to_regproc('forget_sessions') is not null",
    "0021": "to_regproc('forget_with_reports') is not null",
    "0022": "to_regproc('grants_of') is not null",
    "0023": "exists (select from pg_attribute where attrelid = to_regclass('accounts')"
    " and attname = 'totp_goes')",
}
"""How each migration is recognised in a database, whatever number stands in it."""

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

SUPPORT = """
with sample as (
    (select * from support_cases where wrapped_key is not null order by id desc limit %(most)s)
    union
    (select * from support_cases where wrapped_key is not null order by id limit %(most)s))
select id, key_version, wrapped_key from sample
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


def unlocked_tables(conn: Connection[Any]) -> list[str]:
    """What turns row-level security on again, for each table where it is off."""
    return [row[0] for row in conn.execute(UNLOCKED, {"tables": list(LOCKED)}).fetchall()]


def lost_policies(conn: Connection[Any]) -> list[str]:
    """Each policy that is gone, as `staff_granted on reports`."""
    expected = [(table, policy) for table, names in LOCKED.items() for policy in names]
    tables, policies = map(list, zip(*expected, strict=True))
    found = conn.execute(LOST_POLICIES, {"tables": tables, "policies": policies})
    return [row[0] for row in found.fetchall()]


def built(conn: Connection[Any]) -> str | None:
    """The newest revision whose work is there; None in an empty database."""
    marks = ", ".join(f"('{revision}', {mark})" for revision, mark in MARKS.items())
    row = conn.execute(f"select max(r) from (values {marks}) marks (r, is_there) where is_there")  # noqa: S608 - constants of this file
    found = row.fetchone()
    return found[0] if found else None


def secrets(conn: Connection[Any], number: int) -> list[dict[str, Any]]:
    """The newest and the oldest secrets that are not erased, each with one of its texts."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SECRETS, [number, number]).fetchall()


def support_cases(conn: Connection[Any], number: int) -> list[dict[str, Any]]:
    """The newest and the oldest cases of support services that are not destroyed."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SUPPORT, {"most": number}).fetchall()


def receipts(conn: Connection[Any], number: int) -> list[dict[str, Any]]:
    """The receipts of the newest and of the oldest reports: {hash, report_id, key_version}."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(RECEIPTS, [number, number]).fetchall()


def webhooks(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Every webhook with the name of its organisation and what is sealed of it."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select w.*, o.name as organisation from webhooks w"
            " join organisations o on o.id = w.organisation_id order by o.name, w.id"
        ).fetchall()


def state(
    conn: Connection[Any],
    *,
    soon: datetime,
    late: datetime,
    silent: datetime,
    missed: datetime,
    channels: Sequence[str],
    now: datetime,
) -> dict[str, Any]:
    """The row of STATE: counts of what ends before `soon`, and of what waits since `late`.

    Workers are silent that were last heard of between `missed` and `silent`; messages are counted
    since `missed`. Teams are unreached that have no address on any of the `channels`.
    """
    values = {
        "soon": soon,
        "late": late,
        "silent": silent,
        "missed": missed,
        "channels": list(channels),
        "now": now,
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(STATE, values).fetchone()
        assert row is not None  # noqa: S101 - the same
        return row
