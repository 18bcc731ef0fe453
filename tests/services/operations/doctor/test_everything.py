"""All that is looked at, and settings that are wrong."""

import pytest

from tests.databases import environment_for
from tests.services.operations.doctor.deployment import findings, ill
from waylight.services.operations import doctor

pytestmark = pytest.mark.commits


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
        "clock",
        "rights",
        "row-level security",
        "unanswered alerts",
        "vault keys",
        "receipt keys",
        "support keys",
        "addresses",
        "web push",
        "webhooks",
        "identity providers",
        "sealing of the audit log",
        "chain of the audit log",
    }


def test_every_problem_comes_with_its_fix(database):
    found = [finding for finding in findings(database).values() if finding.problem]
    assert {finding.what for finding in found} == {"cities", "worker"}
    assert all(finding.fix for finding in found)


def test_reports_in_good_order_are_nothing_to_tell(reported):
    assert not ill(reported) - {"queues"}


def test_wrong_settings_are_told_one_by_one_and_the_rest_is_used():
    environ = environment_for("postgresql://nobody@127.0.0.1:1/none")
    told, settings = doctor.usable_settings(
        {**environ, "WAYLIGHT_PORT": "99999", "WAYLIGHT_LEASE_S": "soon"}
    )
    assert [found.what for found in told] == ["settings", "settings"]
    assert "WAYLIGHT_PORT" in (told[0].problem or "")
    assert settings is not None
    assert settings.port == 8000
    assert doctor.usable_settings(environ)[0] == [doctor.Finding("settings")]
    told, settings = doctor.usable_settings({**environ, "WAYLIGHT_VAULT_KEYS": "1:short"})
    assert settings is None
    assert "short" not in str(told)
