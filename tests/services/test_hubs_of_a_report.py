"""Which hub a report's passenger is sent to, and what is said with it."""

from dataclasses import replace
from datetime import timedelta

from tests.desk import NOW, P2, SPOT
from tests.services.hub_desk import put_hub
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import hubs

WANTS_HUB = replace(P2, wants=(Want.HELP, Want.HUB, Want.POLICE))


def closes_in(desk, minutes, hub_id=None):
    desk.do(
        "update hubs set open_during = tstzmultirange(tstzrange(null, %s)) where id = %s",
        NOW + timedelta(minutes=minutes),
        hub_id or desk.hub,
    )


def asked(report):
    """The hub that is told, and why."""
    (hub,) = [one for one in report.routed_to if one.role == "hub"]
    return hub.name, [reason.code for reason in hub.reasons]


def shortfalls(report):
    return [reason.code for reason in report.shortfalls]


def test_hub_that_closes_before_the_passenger_is_there_comes_after_one_that_does_not(desk):
    put_hub(desk, "Other", north=0.006)
    closes_in(desk, 5)
    report = desk.report(WANTS_HUB)
    assert [(hub.name, hub.open_on_arrival) for hub in report.hubs] == [
        ("Other", True),
        ("Hub", False),
    ]
    assert asked(report) == ("Other", ["hub_asked_for"])
    assert "hub_may_close" not in shortfalls(report)


def test_hub_that_closes_soon_and_is_the_only_one_is_told_and_that_is_said(desk):
    closes_in(desk, 5)
    report = desk.report(WANTS_HUB)
    assert [hub.open_on_arrival for hub in report.hubs] == [False]
    assert asked(report) == ("Hub", ["hub_asked_for", "hub_may_close"])
    assert "hub_may_close" in shortfalls(report)
    # They know: it is no news until it has really closed.
    later = NOW + timedelta(minutes=4)
    assert hubs.redirect_walks(desk.database, channels=(), now=later) == 0
    later = NOW + timedelta(minutes=6)
    assert hubs.redirect_walks(desk.database, channels=(), now=later) == 1


def test_hub_that_stays_open_for_the_walk_and_ten_minutes_is_the_nearest(desk):
    put_hub(desk, "Other", north=0.006)
    closes_in(desk, 12)
    report = desk.report(WANTS_HUB)
    assert asked(report)[0] == "Hub"
    assert report.hubs[0].open_on_arrival


def test_hub_bus_that_fell_silent_comes_after_a_hub_that_is_surely_there(desk):
    put_hub(desk, "Other", north=0.006)
    desk.do("update hubs set mobile = true where id = %s", desk.hub)
    hubs.move_hub(
        desk.database,
        desk.hub_host,
        hub_id=desk.hub,
        here=Point(SPOT.lon, SPOT.lat + 0.001),
        fixed_at=NOW - timedelta(minutes=25),
        if_match=None,
        now=NOW,
        channels=(),
    )
    assert asked(desk.report(WANTS_HUB))[0] == "Hub"
    report = desk.report(
        WANTS_HUB, at=Point(SPOT.lon + 0.004, SPOT.lat), now=NOW + timedelta(minutes=20)
    )
    assert [(hub.name, hub.silent_min) for hub in report.hubs] == [("Other", None), ("Hub", 45)]
    assert asked(report)[0] == "Other"
    desk.do("update hubs set retired = true where name = 'Other'")
    alone = desk.report(
        WANTS_HUB, at=Point(SPOT.lon - 0.004, SPOT.lat), now=NOW + timedelta(minutes=21)
    )
    assert asked(alone) == ("Hub", ["hub_asked_for", "hub_may_have_moved"])


def test_hub_whose_horizon_ran_out_says_when_its_hours_end(desk):
    desk.do(
        "update hubs set opening_hours = 'Mo-Su 00:00-23:00', expanded_until = %s",
        NOW - timedelta(days=1),
    )
    night = NOW.replace(hour=20, minute=0, second=0)
    report = desk.report(WANTS_HUB, now=night)
    (hub,) = report.hubs
    assert hub.open_until is not None
    assert hub.open_until > night
