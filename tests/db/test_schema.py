"""What the migrations leave behind: partitions, functions, ids."""

from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest

PARTITIONED = {
    "reports",
    "report_secrets",
    "alerts",
    "deliveries",
    "delivery_attempts",
    "events",
    "grants",
}
FUNCTIONS = {
    "acting_organisation",
    "alert_was_sent",
    "end_devices",
    "end_keys",
    "end_keys_of",
    "end_provider_sessions",
    "forget_sessions",
    "forget_sign_in_turns",
    "forget_with_reports",
    "give_up_addresses",
    "keep_engagement",
    "make_partitions",
    "move_team",
    "open_incident",
    "open_provider_session",
    "open_session",
    "organisation_acts_on",
    "organisation_is_told",
    "organisation_may_read",
    "organisation_may_read_story",
    "organisation_may_redact",
    "organisation_may_say",
    "organisation_oversees",
    "organisation_runs_team",
    "organisation_watches_city",
    "renew_city",
    "organisation_works_on",
    "person_of_address",
    "place_of_team",
    "queue_messages",
    "refuse_change",
    "rotate_client",
    "route",
    "route_to_fallback",
    "submit_report",
    "submit_reports",
    "take_device",
    "take_sign_in_turn",
    "tell",
    "tell_of_all",
    "tell_more",
    "uuid_v7",
    "uuid_v7_floor",
    "last_event_number",
    "destroy_support",
    "grants_of",
    "is_colleague",
    "organisation_is_shut_out",
    "organisation_supports",
    "keep_grants",
    "keep_job_names",
    "reads_as",
    "rounded_to_50_m",
    "tell_of_consent",
    "tell_of_revocation",
    "told_of_analysis",
}
NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


def test_tables_that_grow_are_partitioned_by_month_with_a_default(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select p.relname, array_agg(c.relname::text), bool_and(c.relrowsecurity)"
            " from pg_partitioned_table t join pg_class p on p.oid = t.partrelid"
            " join pg_inherits i on i.inhparent = p.oid join pg_class c on c.oid = i.inhrelid"
            " group by p.relname"
        ).fetchall()
    assert {table for table, _, _ in rows} == PARTITIONED
    month = f"{datetime.now(UTC):%Y_%m}"
    for table, children, secured in rows:
        assert {f"{table}_default", f"{table}_{month}"} <= set(children)
        assert len(children) == 5
        assert secured


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/London", "Pacific/Kiritimati"])
def test_partitions_meet_without_a_gap_whatever_the_zone_of_the_session(database, zone):
    with database.intake() as conn:
        conn.execute("select set_config('timezone', %s, true)", [zone])
        made = conn.execute("select make_partitions('events', 40)").fetchone()
        assert made == (37,)
        bounds = conn.execute(
            "select pg_get_expr(c.relpartbound, c.oid) from pg_class c"
            " join pg_inherits on inhrelid = c.oid where inhparent = 'events'::regclass"
            " and relname <> 'events_default' order by relname"
        ).fetchall()
    edges = [bound.split("'")[1::2] for (bound,) in bounds]
    assert len(edges) == 41
    for (_, upper), (lower, _) in pairwise(edges):
        assert upper == lower
    for lower, _ in edges:
        instant = datetime.fromtimestamp(int(UUID(lower).hex[:12], 16) / 1000, UTC)
        assert (instant.day, instant.hour, instant.minute) == (1, 0, 0)


def test_only_growing_tables_can_be_partitioned_and_only_by_the_worker(database):
    with pytest.raises(psycopg.errors.RaiseException), database.intake() as conn:
        conn.execute("select make_partitions('cities', 1)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.staff(uuid4()) as conn:
        conn.execute("select make_partitions('events', 1)")


def test_every_function_is_there_and_none_runs_for_strangers_as_its_owner(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select proname, prosecdef, proconfig, exists (select from aclexplode(proacl) a"
            " where a.grantee = 0 and a.privilege_type = 'EXECUTE') or proacl is null"
            " from pg_proc where pg_get_userbyid(proowner) = 'waylight_owner'"
        ).fetchall()
    assert {name for name, *_ in rows} == FUNCTIONS
    for name, runs_as_owner, config, for_everybody in rows:
        if runs_as_owner:
            assert "search_path=public, pg_temp" in config, name
            assert not for_everybody, name


def test_ids_are_uuids_of_version_7_in_the_order_of_their_time(database):
    with database.intake() as conn:
        early, late, floor = conn.execute(
            "select uuid_v7(%(at)s), uuid_v7(%(at)s + interval '1 ms'), uuid_v7_floor(%(at)s)",
            {"at": NOW},
        ).fetchone()
        now_ms = conn.execute("select uuid_v7()").fetchone()[0].int >> 80
    assert floor < early < late
    assert early.version == 7
    assert early.variant == "specified in RFC 4122"
    assert early.int >> 80 == floor.int >> 80 == int(NOW.timestamp() * 1000)
    assert abs(now_ms - datetime.now(UTC).timestamp() * 1000) < 600_000


def test_a_row_of_a_far_month_goes_to_the_default_partition(database):
    with database.owner() as conn:
        conn.execute(
            "insert into events (id, kind, at) select uuid_v7('1999-12-31'), 'x', '1999-12-31'"
        )
        assert conn.execute("select count(*) from events_default").fetchone() == (1,)


def test_what_a_submit_calls_keeps_its_plans(database):
    with database.owner() as conn:
        anew = conn.execute(
            "select proname from pg_proc p join pg_language l on l.oid = prolang"
            " where lanname = 'sql' and proname in ('uuid_v7', 'open_incident', 'route', 'tell',"
            " 'tell_more', 'tell_of_all', 'route_to_fallback', 'submit_report', 'submit_reports')"
        ).fetchall()
        (kept,) = conn.execute(
            "select proconfig from pg_proc where proname = 'submit_reports'"
        ).fetchone()
    # Before PostgreSQL 18 an SQL function is planned anew in each statement that calls it.
    assert anew == []
    assert kept == ["plan_cache_mode=force_generic_plan"]
