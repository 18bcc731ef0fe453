import os
import subprocess
import sys
from uuid import uuid4

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo

from tests.databases import environment_for, settings_for
from waylight.db.operations.setup import SetupRefused
from waylight.db.session import Database
from waylight.services.operations import migrations


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
    outputs = [process.communicate(timeout=120)[0] for process in processes]
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
    monkeypatch.setattr("waylight.db.operations.setup._logs_in", lambda _url: False)
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
