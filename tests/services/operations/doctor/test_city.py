"""A city whose hours end, whose contacts are old, or that has no control room."""

from datetime import date, timedelta

import pytest

from tests.services.operations.doctor.deployment import NOW, change, ill, problem

pytestmark = pytest.mark.commits


def test_hours_that_end_soon_are_found(well):
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=6))
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update hubs set expanded_until = %s", NOW + timedelta(days=8))
    change(well, "update teams set expanded_until = null")
    assert ill(well) == {"opening hours and shifts"}
    change(well, "update teams set retired = true")
    assert ill(well) == set()


def test_contacts_that_nobody_has_looked_at_for_90_days_are_found(well):
    change(well, "update cities set contacts_verified_at = %s", NOW.date() - timedelta(days=90))
    assert ill(well) == set()
    for stale in (NOW.date() - timedelta(days=91), date(2020, 1, 1), None):
        change(well, "update cities set contacts_verified_at = %s", stale)
        assert ill(well) == {"emergency contacts"}
    _, fix = problem(well, "emergency contacts")
    assert "verified_at" in fix


def test_a_city_without_a_control_room_is_found(well):
    change(well, "update cities set control_room_id = null")
    assert ill(well) == {"cities"}
