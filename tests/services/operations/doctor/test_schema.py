"""A schema that is old, ahead, changed by hand or in part gone."""

from datetime import timedelta

import pytest

from tests.databases import settings_for
from tests.services.operations.doctor.deployment import NOW, change, findings, ill, problem
from waylight.db.operations import health
from waylight.db.session import Database
from waylight.services.operations import migrations

pytestmark = pytest.mark.commits


def test_missing_partitions_are_found(well):
    months = [NOW + timedelta(days=7), NOW]
    for month in {f"{month:%Y_%m}" for month in months}:
        change(well, f"drop table reports_{month}")
    assert ill(well) == {"partitions"}


def test_an_old_schema_is_found_and_mended(well):
    migrations.downgrade(well, "base")
    found = findings(well)
    assert found["migrations"].problem
    assert "cities" not in found
    assert found["migrations"].fix == "run `waylight migrate`"
    migrations.migrate(well, well._settings)
    assert findings(well)["migrations"].problem is None


def test_behind_an_old_schema_everything_else_is_still_looked_at(well):
    change(well, "update alembic_version set version_num = '0001'")
    change(well, "delete from worker_heartbeats")
    assert ill(well) == {"migrations", "worker"}


def test_a_schema_ahead_of_the_code_is_found(well):
    change(well, "update alembic_version set version_num = '9999'")
    told, fix = problem(well, "migrations")
    assert "ahead" in told
    assert "run the release that made it" in fix
    assert ill(well) == {"migrations"}


@pytest.mark.usefixtures("_empty_template")  # which makes the roles
def test_an_empty_database_lacks_extensions_and_schema_until_it_is_migrated(cluster):
    with cluster.clone(None) as name:
        database = Database(settings_for(cluster.url(name)))
        told, fix = problem(database, "extensions")
        assert "postgis" in told
        assert fix == "run `waylight migrate`"
        assert ill(database) >= {"extensions", "migrations"}
        migrations.migrate(database, database._settings)
        assert not ill(database) & {"extensions", "migrations", "rights"}
        database.close()


def test_a_dropped_extension_is_found_and_mended(well):
    with well.connect("admin") as conn:
        conn.execute("drop extension pg_trgm cascade")
    told, fix = problem(well, "extensions")
    assert (told, fix) == ("pg_trgm not installed", "run `waylight migrate`")
    assert ill(well) == {"extensions"}
    migrations.migrate(well, well._settings)
    assert ill(well) == set()


def test_a_function_that_nobody_may_call_is_found_and_mended_by_what_is_said(well):
    change(well, "revoke execute on function submit_reports from waylight_intake, public")
    what, fix = problem(well, "rights")
    assert what == "the roles lack execute on function submit_reports(jsonb) of waylight_intake"
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_row_level_security_that_is_off_is_found_and_mended_by_what_is_said(well):
    change(well, "alter table reports disable row level security")
    _, fix = problem(well, "row-level security")
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_a_policy_that_is_gone_is_named(well):
    change(well, "drop policy staff_granted on report_secrets")
    what, _ = problem(well, "row-level security")
    assert what == "policies are gone: staff_granted on report_secrets"


def test_every_policy_of_the_migrations_is_asked_about(database):
    with database.owner() as conn:
        rows = conn.execute(
            "select tablename, policyname from pg_policies where schemaname = 'public'"
        ).fetchall()
    known = {(table, policy) for table, names in health.LOCKED.items() for policy in names}
    assert set(rows) == known


@pytest.mark.parametrize("set_to", ["0001", "0002", "0003", None])
def test_a_schema_whose_number_was_changed_is_told_and_mended_by_what_is_said(well, set_to):
    change(well, "delete from alembic_version")
    if set_to:
        change(well, "insert into alembic_version values (%s)", set_to)
    what, fix = problem(well, "migrations")
    assert "somebody has changed the number" in what
    for statement in fix.removeprefix("as the owner of the tables: ").split("; "):
        change(well, statement)
    assert ill(well) == set()


def test_every_migration_has_a_mark_to_know_it_by(database):
    assert set(health.MARKS) == migrations.revisions()
    with database.owner() as conn:
        for revision, mark in health.MARKS.items():
            assert conn.execute(f"select {mark} as there").fetchone() == (True,), revision
