"""The measures of alerts, small, on a database of the tests: that they measure what they say."""

import os

import pytest

from bench import alerts
from bench.numbers import Measure, measure_table
from tests.databases import environment_for
from tests.desk import P2

pytestmark = [pytest.mark.commits, pytest.mark.slow]


def test_drain_and_recovery_are_measured_to_the_last_message(desk, tmp_path):
    desk.report(P2)
    # No ladder goes on with a message of its own while nobody is left to send it.
    desk.do("update incidents set escalate_at = null")
    url = desk.settings.database_url
    environment = environment_for(url, WAYLIGHT_LEASE_S="5")
    found = list(alerts.measures(url, {**os.environ, **environment}, messages=50, folder=tmp_path))
    assert [one.unit for one in found] == ["messages/s", "messages/s", "s"]
    assert all(one.value > 0 for one in found)
    assert "the lease is 5 s" in found[-1].note
    assert desk.rows("select from deliveries where status not in ('sent', 'dropped')") == []


def test_measures_are_a_table_for_people():
    table = measure_table([Measure("drained", 1234.5, "messages/s", "20,000 messages")])
    assert table.splitlines()[-1] == "| drained | 1,234.5 | messages/s | 20,000 messages |"
