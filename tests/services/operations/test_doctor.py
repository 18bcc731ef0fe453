from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.databases import settings_for
from waylight.db.session import Database
from waylight.services import packs
from waylight.services.operations import doctor, migrations

NOW = datetime.now(UTC)
TINYTOWN = Path(__file__).parents[2] / "data/tinytown"

pytestmark = pytest.mark.commits


@pytest.fixture
def well(database):
    """A deployment in which all is as it should be."""
    packs.load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    with database.owner() as conn:
        conn.execute("update cities set contacts_verified_at = %s", [NOW.date()])
        conn.execute("insert into worker_heartbeats values ('w', 'h', 1, %s, %s)", [NOW, NOW])
    return database


def findings(database, *, now=NOW):
    return {finding.what: finding for finding in doctor.examine(database, now=now)}


def ill(database, **when):
    return {what for what, finding in findings(database, **when).items() if finding.problem}


def change(database, statement, *parameters):
    with database.owner() as conn:
        conn.execute(statement, parameters)


def test_nothing_is_found_where_all_is_well(well):
    assert ill(well) == set()
    assert set(findings(well)) == {
        "database, as intake",
        "database, as staff",
        "PostgreSQL",
        "roles",
        "extensions",
        "migrations",
        "cities",
        "worker",
        "queues",
        "opening hours and shifts",
        "partitions",
        "emergency contacts",
    }


def test_every_problem_comes_with_its_fix(database):
    found = [finding for finding in findings(database).values() if finding.problem]
    assert {finding.what for finding in found} == {"cities", "worker"}
    assert all(finding.fix for finding in found)


def test_a_silent_worker_is_found(well):
    assert ill(well, now=NOW + timedelta(seconds=14)) == set()
    assert ill(well, now=NOW + timedelta(seconds=16)) == {"worker"}


def test_hours_that_end_soon_are_found(well):
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=6))
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=8))
    change(well, "update teams set expanded_until = null")
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update teams set retired = true")
    assert ill(well) == set()


def test_contacts_that_nobody_has_looked_at_for_half_a_year_are_found(well):
    change(well, "update cities set contacts_verified_at = %s", NOW.date() - timedelta(days=180))
    assert ill(well) == set()
    for stale in (date(2020, 1, 1), None):
        change(well, "update cities set contacts_verified_at = %s", stale)
        assert ill(well) == {"emergency contacts"}


def test_a_city_without_a_control_room_is_found(well):
    change(well, "update cities set control_room_id = null")
    assert ill(well) == {"cities"}


def test_missing_partitions_are_found(well):
    months = [NOW + timedelta(days=7), NOW]
    for month in {f"{month:%Y_%m}" for month in months}:
        change(well, f"drop table reports_{month}")
    assert ill(well) == {"partitions"}


def test_work_that_waits_is_found(well):
    change(
        well,
        "insert into events (kind, at) values ('x', %s)",
        NOW - timedelta(minutes=2),
    )
    assert ill(well) == {"queues"}
    assert "1 events" in (findings(well)["queues"].problem or "")


def test_an_old_schema_is_found_and_stops_the_search(well):
    migrations.downgrade(well, "base")
    found = findings(well)
    assert found["migrations"].problem
    assert "cities" not in found


@pytest.mark.usefixtures("_empty_template")  # which makes the roles
def test_an_empty_database_lacks_its_extensions(cluster):
    with cluster.clone(None) as name:
        database = Database(settings_for(cluster.url(name)))
        found = list(doctor.examine(database, now=NOW))
        assert found[-1].what == "extensions"
        assert "postgis" in (found[-1].problem or "")


@pytest.mark.usefixtures("_empty_template")
def test_a_database_that_is_not_there_is_named(cluster):
    database = Database(settings_for(cluster.url("waylight_nowhere")))
    (found,) = doctor.examine(database, now=NOW)
    assert "waylight_nowhere" in (found.problem or "")


def test_a_role_that_no_policy_binds_is_found(well):
    settings = well._settings
    unbound = Database(
        settings_for(settings.database_url, WAYLIGHT_STAFF_URL=settings.database_url)
    )
    assert ill(unbound) == {"roles"}
    unbound.close()
