import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo

from tests.databases import environment_for, settings_for
from waylight.db.session import Database
from waylight.db.setup import SetupRefused
from waylight.services import migrations

PARTITIONED = {"reports", "report_secrets", "alerts", "deliveries", "events", "grants"}
PRIVATE = PARTITIONED | {
    "incidents",
    "receipts",
    "idempotency_keys",
    "audit_entries",
    "staff",
    "teams",
}
FUNCTIONS = {
    "acting_organisation",
    "make_partitions",
    "open_incident",
    "organisation_is_told",
    "organisation_may_read",
    "refuse_change",
    "route",
    "route_to_fallback",
    "submit_report",
    "submit_reports",
    "tell",
    "tell_again",
    "uuid_v7",
    "uuid_v7_floor",
}
NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


@pytest.fixture
def empty(cluster):
    """A database in which nothing has been made yet."""
    with cluster.clone(None) as name:
        database = Database(settings_for(cluster.url(name)))
        yield database
        database.close()


def names(database, statement, *parameters):
    with database.owner() as conn:
        return {row[0] for row in conn.execute(statement, parameters)}


def our_tables(database):
    return names(
        database,
        "select relname from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where nspname = 'public' and relkind in ('r', 'p') and not relispartition"
        " and pg_get_userbyid(relowner) = 'waylight_owner'",
    )


# --- up, down, up


def test_migrations_run_up_down_and_up_again(empty):
    told: list[str] = []
    migrations.migrate(empty, empty._settings, progress=told.append)
    assert migrations.current(empty) == migrations.head()
    tables = our_tables(empty)
    migrations.downgrade(empty, "base", progress=told.append)
    assert migrations.current(empty) is None
    assert our_tables(empty) == {"alembic_version"}
    assert not names(
        empty,
        "select proname from pg_proc where pg_get_userbyid(proowner) = 'waylight_owner'",
    )
    migrations.migrate(empty, empty._settings)
    assert our_tables(empty) == tables
    assert told[0] == "schema up to 0001"
    assert told[-1] == "schema down to nothing"


def test_each_migration_alone_goes_down_and_up(empty):
    migrations.migrate(empty, empty._settings)
    scripts = ScriptDirectory(str(migrations.FOLDER)).walk_revisions()
    for script in list(scripts)[:-1]:
        migrations.downgrade(empty, str(script.down_revision))
        assert migrations.current(empty) == script.down_revision
    migrations.migrate(empty, empty._settings)
    assert migrations.current(empty) == migrations.head()


def test_the_head_is_the_one_that_alembic_finds():
    assert migrations.head() == ScriptDirectory(str(migrations.FOLDER)).get_current_head()


def test_a_revision_that_there_is_not_is_refused_in_words(empty):
    migrations.migrate(empty, empty._settings)
    with pytest.raises(migrations.MigrationFailed, match="9999"):
        migrations.downgrade(empty, "9999")


def test_models_are_what_the_migrations_make(empty):
    migrations.migrate(empty, empty._settings)
    # Raises when Alembic would write another migration.
    command.check(migrations._config(empty, print))


def test_a_column_that_a_model_lacks_is_noticed(empty):
    migrations.migrate(empty, empty._settings)
    with empty.owner() as conn:
        conn.execute("alter table hubs add column forgotten integer")
    with pytest.raises(Exception, match=r"New upgrade operations detected.*forgotten"):
        command.check(migrations._config(empty, print))


def test_migrating_again_changes_nothing(empty):
    migrations.migrate(empty, empty._settings)
    told: list[str] = []
    migrations.migrate(empty, empty._settings, progress=told.append)
    assert told == []


@pytest.mark.slow
def test_two_processes_that_migrate_at_once_do_not_collide(empty):
    environ = os.environ | environment_for(empty._settings.database_url)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "waylight.cli", "migrate"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    # Each step was taken once, by whichever came first.
    assert "".join(outputs).count("schema up to 0001") == 1
    assert migrations.current(empty) == migrations.head()


@pytest.mark.slow
def test_a_migration_that_cannot_get_its_lock_gives_up_and_leaves_no_trace(empty, monkeypatch):
    migrations.migrate(empty, empty._settings)
    with empty.connect("admin") as conn:
        conn.execute("begin")
        conn.execute("lock table cities in access share mode")
        with pytest.raises(migrations.MigrationFailed, match="lock timeout"):
            migrations.downgrade(empty, "base")
        conn.rollback()
    assert "cities" in our_tables(empty)


# --- setting up


def test_an_administrator_without_the_rights_is_told_what_to_run(cluster, empty):
    with limited_login(cluster, empty) as login:
        refused = Database(login)
        with pytest.raises(SetupRefused) as caught:
            migrations.migrate(refused, login)
    assert "create extension if not exists postgis" in caught.value.detail
    assert "may not" in caught.value.detail


def test_an_administrator_without_rights_can_migrate_what_another_has_set_up(cluster, empty):
    migrations.migrate(empty, empty._settings)
    migrations.downgrade(empty, "base")
    with limited_login(cluster, empty, "grant waylight_owner to {}") as login:
        database = Database(login)
        migrations.migrate(database, login)
        assert migrations.current(database) == migrations.head()


def test_a_password_that_no_longer_fits_is_set_anew(cluster, empty, monkeypatch):
    migrations.migrate(empty, empty._settings)
    # The roles are shared with every other test, so the misfit is only pretended.
    monkeypatch.setattr("waylight.db.setup._logs_in", lambda _url: False)
    before = stored_passwords(cluster)
    migrations.migrate(empty, empty._settings)
    after = stored_passwords(cluster)
    assert set(after) == {"waylight_intake", "waylight_staff"}
    assert all(stored.startswith("SCRAM-SHA-256$") for stored in after.values())
    assert all(after[role] != before[role] for role in after)
    empty.connect("staff").close()


def stored_passwords(cluster):
    with cluster.connect() as conn:
        return dict(
            conn.execute(
                "select rolname, rolpassword from pg_authid"
                " where rolname in ('waylight_intake', 'waylight_staff')"
            ).fetchall()
        )


class limited_login:  # noqa: N801 - used as a function
    """The settings of a login that is no superuser, on the database of another."""

    def __init__(self, cluster, database, *grants):
        self.name = f"waylight_limited_{uuid4().hex[:8]}"
        self.cluster = cluster
        self.url = database._settings.database_url
        self.grants = grants

    def __enter__(self):
        with self.cluster.connect() as conn:
            conn.execute(f"create role {self.name} login password 'limited'")
            for grant in self.grants:
                conn.execute(grant.format(self.name))
        return settings_for(make_conninfo(self.url, user=self.name, password="limited"))

    def __exit__(self, *_):
        with self.cluster.connect() as conn:
            conn.execute(f"drop role {self.name}")


# --- what stands after the migrations


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


def test_the_unprivileged_roles_are_just_that(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select rolname, rolcanlogin, rolsuper or rolbypassrls or rolcreatedb or rolcreaterole"
            " from pg_roles where rolname like 'waylight\\_%' and rolname not like '%limited%'"
        ).fetchall()
    assert set(rows) == {
        ("waylight_owner", False, False),
        ("waylight_intake", True, False),
        ("waylight_staff", True, False),
    }


def test_every_private_table_has_row_level_security(database):
    secured = names(
        database,
        "select relname from pg_class where relrowsecurity and not relispartition",
    )
    assert secured == PRIVATE


def test_staff_can_read_no_table_without_security_but_city_data(database):
    open_to_staff = names(
        database,
        "select table_name::text from information_schema.role_table_grants"
        " join pg_class on oid = table_name::regclass"
        " where grantee = 'waylight_staff' and not relrowsecurity",
    )
    assert open_to_staff == {
        "alembic_version",
        "area_parts",
        "areas",
        "cities",
        "coverages",
        "hubs",
        "line_stops",
        "lines",
        "organisations",
        "places",
        "worker_heartbeats",
    }


@pytest.mark.parametrize("role", ["waylight_intake", "waylight_staff"])
def test_the_unprivileged_roles_own_and_create_nothing(database, role):
    assert not names(
        database, "select relname from pg_class where pg_get_userbyid(relowner) = %s", role
    )
    connect = database.intake() if role == "waylight_intake" else database.staff(uuid4())
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connect as conn:
        conn.execute("create table mine (id integer)")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into api_keys (kind, name, token_hash, scopes) values ('client', '', '', '{}')",
        "update api_keys set scopes = '{exercise}'",
        "insert into staff (organisation_id, name, role) values (uuid_v7(), '', '')",
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        """insert into audit_entries (at, staff_id, organisation_id, action)
           values (now(), uuid_v7(), uuid_v7(), 'forged')""",
        "delete from reports",
        "delete from events",
        "truncate receipts",
        "update receipts set report_id = uuid_v7()",
        "update cities set name = ''",
        "drop table reports",
        "alter table reports disable row level security",
    ],
)
def test_intake_may_not(database, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.intake() as conn:
        conn.execute(statement)


@pytest.mark.commits
@pytest.mark.parametrize("role", ["intake", "staff"])
@pytest.mark.parametrize("other", ["waylight_owner", "waylight_intake", "waylight_staff"])
def test_the_unprivileged_roles_cannot_become_another(database, role, other):
    with database.connect(role) as conn:
        if other == f"waylight_{role}":
            conn.execute(f"set role {other}")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"set role {other}")


@pytest.mark.parametrize(
    "statement",
    [
        "select from receipts",
        "select from idempotency_keys",
        "select from api_keys",
        "select from event_sequencer",
        """insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
           values (uuid_v7(), uuid_v7(), 'hand_over', 'full', now(), 'me')""",
        "update grants set revoked_at = null",
        "update reports set hoax = true",
        "update teams set name = ''",
        "update alerts set organisation_id = uuid_v7()",
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        "delete from alerts",
        "select submit_reports('[]')",
        "select from reports_default",
    ],
)
def test_staff_may_not(database, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.staff(uuid4()) as conn:
        conn.execute(statement)


def test_not_even_the_owner_changes_the_audit_log(database):
    with database.owner() as conn:
        conn.execute(
            "insert into audit_entries (at, staff_id, organisation_id, action)"
            " values (now(), uuid_v7(), uuid_v7(), 'report.read')"
        )
    for statement in (
        "update audit_entries set action = 'nothing'",
        "delete from audit_entries",
        "truncate audit_entries",
    ):
        with pytest.raises(psycopg.errors.RaiseException), database.owner() as conn:
            conn.execute(statement)


# --- whose rows are seen by whom


@dataclass(frozen=True)
class Rows:
    """One report told to an organisation, with a row about it in every private table."""

    report: UUID
    incident: UUID
    alert: UUID

    @classmethod
    def insert(cls, conn, *, organisation, oversight=None):
        self = cls(*conn.execute("select uuid_v7(), uuid_v7(), uuid_v7()").fetchone())
        conn.execute(
            "insert into reports (id, received_at, happened_estimated, happening, age_s,"
            " categories, category_groups, perspective, wants, needs, share_with,"
            " location_source, priority, urgency, severity, certainty, reasons, routing,"
            " warnings, status, incident_id, exercise) values (%s, %s, false, 'now', 0, '{}',"
            " '{}', 'experienced', '{}', '{}', '{}', 'none', 1, 'Immediate', 'Extreme',"
            " 'Observed', '[]', '[]', '[]', 'routed', %s, false)",
            [self.report, NOW, self.incident],
        )
        conn.execute(
            "insert into report_secrets (report_id, key_version) values (%s, 1)", [self.report]
        )
        conn.execute(
            "insert into incidents (id, category_groups, audience, exercise, opened_at, last_at,"
            " priority) values (%s, '{}', 'open', false, %s, %s, 1)",
            [self.incident, NOW, NOW],
        )
        conn.execute(
            "insert into alerts (id, incident_id, report_id, organisation_id, team_id, role, rank,"
            " priority, reasons, exercise, created_at)"
            " values (%s, %s, %s, %s, uuid_v7(), 'primary', 1, 1, '[]', false, %s)",
            [self.alert, self.incident, self.report, organisation, NOW],
        )
        conn.execute(
            "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
            " created_at) values (%s, %s, 'console', 'alert.created', 1, false, %s)",
            [self.alert, self.report, NOW],
        )
        conn.execute(
            "insert into events (kind, at, organisation_id, report_id, incident_id, alert_id)"
            " values ('alert.created', %s, %s, %s, %s, %s)",
            [NOW, organisation, self.report, self.incident, self.alert],
        )
        conn.execute(
            "insert into audit_entries (at, staff_id, organisation_id, action, report_id)"
            " values (%s, %s, %s, 'report.read', %s)",
            [NOW, uuid4(), organisation, self.report],
        )
        for who, cause in ((organisation, "routing"), (oversight, "oversight")):
            if who:
                conn.execute(
                    "insert into grants (report_id, organisation_id, cause, level, created_at,"
                    " created_by) values (%s, %s, %s, 'full', %s, 'routing')",
                    [self.report, who, cause, NOW],
                )
        return self


SEEN = ("reports", "report_secrets", "incidents", "alerts", "deliveries", "events")
THEIRS = ("grants", "audit_entries")


def seen(database, organisation, tables):
    with database.staff(organisation) as conn:
        return {
            table: conn.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
            for table in tables
        }


def test_an_organisation_sees_what_it_was_told_and_nothing_else(database):
    told, other, room = uuid4(), uuid4(), uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=told, oversight=room)
        Rows.insert(conn, organisation=other, oversight=room)
    everything = SEEN + THEIRS
    assert seen(database, told, everything) == dict.fromkeys(everything, 1)
    assert seen(database, other, everything) == dict.fromkeys(everything, 1)
    assert seen(database, uuid4(), everything) == dict.fromkeys(everything, 0)


def test_oversight_sees_every_report_and_alert_but_not_the_logs_of_others(database):
    room = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=uuid4(), oversight=room)
        Rows.insert(conn, organisation=uuid4(), oversight=room)
    assert seen(database, room, SEEN) == dict.fromkeys(SEEN, 2)
    assert seen(database, room, THEIRS) == {"grants": 2, "audit_entries": 0}


def test_staff_without_an_organisation_see_nothing(database):
    with database.owner() as conn:
        Rows.insert(conn, organisation=uuid4(), oversight=uuid4())
    with database.staff(uuid4()) as conn:
        conn.execute("set local waylight.organisation_id = ''")
        for table in SEEN + THEIRS:
            assert conn.execute(f"select count(*) from {table}").fetchone() == (0,)  # noqa: S608 - ours


def test_a_revoked_grant_shows_no_report(database):
    told = uuid4()
    with database.owner() as conn:
        Rows.insert(conn, organisation=told)
        conn.execute("update grants set revoked_at = now()")
    assert seen(database, told, ("reports", "report_secrets")) == {
        "reports": 0,
        "report_secrets": 0,
    }


def test_staff_change_no_alert_of_others_and_write_nothing_in_their_name(database):
    told, other = uuid4(), uuid4()
    with database.owner() as conn:
        rows = Rows.insert(conn, organisation=told)
    with database.staff(other) as conn:
        changed = conn.execute("update alerts set state = 'closed'").rowcount
        assert changed == 0
        assert conn.execute("update incidents set state = 'closed'").rowcount == 0
        assert conn.execute("update deliveries set status = 'seen'").rowcount == 0
    for statement in (
        "insert into events (kind, at, organisation_id, incident_id) values ('x', now(), %s, %s)",
        """insert into audit_entries (at, staff_id, organisation_id, action)
           values (now(), uuid_v7(), %s, %s::text)""",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            database.staff(other) as conn,
        ):
            conn.execute(statement, [told, rows.incident])
    with database.staff(told) as conn:
        assert conn.execute("update alerts set state = 'acknowledged'").rowcount == 1


# --- ids


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
