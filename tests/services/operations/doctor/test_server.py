"""A server, roles, rights or a clock that are not as they should be."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.databases import settings_for
from tests.services.operations.doctor.deployment import change, findings, ill, problem
from waylight.db.session import Database
from waylight.services.operations import doctor
from waylight.services.operations.doctor import server

pytestmark = pytest.mark.commits


@pytest.mark.usefixtures("_empty_template")
def test_a_database_that_is_not_there_is_named(cluster):
    database = Database(settings_for(cluster.url("waylight_nowhere")))
    found = findings(database)
    assert set(found) == {"database, as intake", "database, as staff"}
    assert all("waylight_nowhere" in (one.problem or "") for one in found.values())
    assert all((one.fix or "").startswith("create the database") for one in found.values())


def test_a_server_that_is_not_there_is_named():
    database = Database(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    told, fix = problem(database, "database, as intake")
    assert "refused" in told
    assert fix.startswith("start PostgreSQL")


@pytest.mark.parametrize(
    ("why", "fix"),
    [
        ('FATAL:  password authentication failed for user "waylight_staff"', "lowest key"),
        ('FATAL:  role "waylight_intake" does not exist', "waylight migrate"),
        ('FATAL:  role "waylight_intake" is not permitted to log in', "waylight migrate"),
        ('FATAL:  database "waylight" does not exist', "create the database"),
        ("connection timeout expired", "start PostgreSQL"),
    ],
)
def test_a_refused_login_is_told_its_own_way_in(why, fix):
    """Roles belong to the whole server: breaking one would break the tests beside this one."""
    assert fix in doctor._way_in(why)


def test_a_role_that_may_not_connect_is_found_and_mended(well):
    name = well._settings.intake_url.partition("dbname=")[2].split()[0].strip("'")
    with well.connect("admin") as conn:
        conn.execute(f"revoke connect on database {name} from public")
    told, fix = problem(well, "database, as intake")
    assert "permission denied" in told
    assert "grant connect" in fix
    with well.connect("admin") as conn:
        conn.execute(f"grant connect on database {name} to waylight_intake, waylight_staff")
    assert ill(well) == set()


def test_a_revoked_right_is_found_and_mended_by_what_is_said(well):
    change(well, "revoke insert, update on reports from waylight_intake")
    change(well, "revoke select on alerts from waylight_staff")
    told, fix = problem(well, "rights")
    assert told == (
        "the roles lack insert on reports of waylight_intake, update on reports of waylight_intake,"
        " select on alerts of waylight_staff"
    )
    change(well, fix.removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


def test_a_table_that_the_role_may_not_read_does_not_end_the_search(well):
    change(well, "revoke select on hubs from waylight_intake")
    found = findings(well)
    assert {what for what, one in found.items() if one.problem} == {"rights", "tables"}
    change(well, (found["rights"].fix or "").removeprefix("as the owner of the tables: "))
    assert ill(well) == set()


@pytest.mark.parametrize("apart_s", [-600, 600])
def test_a_clock_that_is_wrong_is_found(well, apart_s):
    def clock():
        return datetime.now(UTC) + timedelta(seconds=apart_s)

    told, fix = problem(well, "clock", clock=clock)
    # Less what went by while the server was asked: that may be its own.
    differ_by = re.search(r"differ by ([0-9]+) s", told)
    assert differ_by
    assert 500 < int(differ_by[1]) <= 600
    assert "NTP" in fix


def test_a_role_that_no_policy_binds_is_found(well):
    settings = well._settings
    unbound = Database(
        settings_for(settings.database_url, WAYLIGHT_STAFF_URL=settings.database_url)
    )
    assert ill(unbound) == {"roles"}
    unbound.close()


def test_a_locked_table_does_not_keep_the_rest_from_being_told(well, monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE_S", 1.0)
    with well.owner() as conn:
        conn.execute("lock table deliveries in access exclusive mode")
        found = findings(well)
    assert "statement timeout" in found["tables"].problem
    assert found["database, as intake"].problem is None


def test_a_role_that_is_too_powerful_is_told_how_to_lose_it(well):
    found = server.roles([{"login": "waylight_staff", "unbound": True}])
    assert found.fix
    assert found.fix.endswith('alter role "waylight_staff" nosuperuser nobypassrls')
