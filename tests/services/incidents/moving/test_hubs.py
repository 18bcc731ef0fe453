"""Moving incidents while their passengers are on the way to a hub."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P2
from tests.services.hub_desk import override, put_hub
from tests.services.incidents.conftest import LATE, LATER
from waylight.domain.alerts import State
from waylight.domain.arrivals import Arrival
from waylight.domain.reports import Want
from waylight.services import alerts

WANTS_HUB = replace(P2, wants=(Want.HELP, Want.POLICE, Want.HUB))


def hub_alerts(desk, hub=None):
    """The alerts of a hub, in the order of their first reports."""
    return desk.rows("select * from alerts where hub_id = %s order by report_id", hub or desk.hub)


def expected(desk, alert):
    found = desk.read(desk.hub_host, alert["id"], now=LATER)
    return {one.report_id for one in found.expects}


def arrive(desk, alert, report=None, *, now=LATER, status=Arrival.ARRIVED):
    return alerts.log_arrival(
        desk.database,
        desk.vault,
        principal=desk.hub_host,
        alert_id=alert["id"],
        status=status,
        report_id=report and report.id,
        at=None,
        now=now,
    )


@pytest.fixture
def both_expected(desk, room, west):
    """Two passengers of two incidents, whom one hub was told to expect."""
    here = desk.report(WANTS_HUB)
    there = desk.report(WANTS_HUB, at=west, now=NOW + timedelta(seconds=1))
    desk.do("update alerts set hub_id = %s where hub_id is not null", desk.hub)
    assert room.of(here) != room.of(there)
    assert len(hub_alerts(desk)) == 2
    return here, there


def test_hub_expects_both_passengers_after_a_merge_and_logs_each(desk, room, both_expected):
    here, there = both_expected
    room.merge(desk.control, room.of(here), room.of(there))
    ours, theirs = hub_alerts(desk)
    assert (expected(desk, ours), expected(desk, theirs)) == ({here.id}, {there.id})
    for alert, report in ((ours, here), (theirs, there)):
        assert arrive(desk, alert).alert.state is State.ON_SCENE
        done = arrive(desk, alert, now=LATE, status=Arrival.LEFT_SAFELY)
        assert done.alert.state is State.CLOSED
        assert room.codes(report)[-2:] == ["arrived_at_hub", "left_hub_safely"]


def test_hub_that_closes_after_a_merge_tells_both_passengers(desk, room, both_expected):
    here, there = both_expected
    put_hub(desk, "Other", north=0.004)
    room.merge(desk.control, room.of(here), room.of(there))
    override(desk, "closed", now=LATER, until=LATER + timedelta(hours=1))
    for report in both_expected:
        assert room.codes(report).count("hub_closing") == 1
        assert room.codes(report)[-1] == "hub_instead"


def test_hub_waits_on_for_a_second_passenger_after_a_merge(desk, room, west):
    """Who has arrived elsewhere was told there with somebody who is still on the way."""
    other = put_hub(desk, "Other", north=0.004)
    first = desk.report(WANTS_HUB)
    second = desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1))
    assert second.joined
    mine, *_ = hub_alerts(desk)
    desk.decline(desk.hub_host, mine["id"], now=NOW + timedelta(seconds=2))
    (instead,) = hub_alerts(desk, other)
    room.merge(desk.control, room.of(first), room.of(desk.report(P2, at=west)))
    arrive(desk, mine, first)
    assert hub_alerts(desk, other) == [{**instead, "incident_id": room.of(first), "version": 3}]
    assert "hub_stood_down" not in room.codes(second)


@pytest.mark.parametrize("leaving", [0, 1])
def test_hub_goes_on_expecting_everybody_when_their_reports_part(desk, room, leaving):
    both = (desk.report(WANTS_HUB), desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1)))
    (alert,) = hub_alerts(desk)
    put_hub(desk, "Other", north=0.004)
    room.split(desk.control, room.of(both[0]), both[leaving])
    assert expected(desk, alert) == {one.id for one in both}
    arrive(desk, alert, both[0])
    override(desk, "closed", now=LATE, until=LATE + timedelta(hours=1))
    assert room.codes(both[0])[-1] == "arrived_at_hub"
    assert room.codes(both[1])[-1] == "hub_instead"
    (instead,) = desk.rows(
        "select a.incident_id from alerts a join hubs h on h.id = a.hub_id where h.name = 'Other'"
    )
    assert instead["incident_id"] == room.of(both[1])


def test_hub_that_declined_before_the_reports_parted_is_not_asked_again(desk, room):
    other = put_hub(desk, "Other", north=0.004)
    both = (desk.report(WANTS_HUB), desk.report(WANTS_HUB, now=NOW + timedelta(seconds=1)))
    (alert,) = hub_alerts(desk)
    desk.decline(desk.hub_host, alert["id"], now=LATER)
    room.split(desk.control, room.of(both[0]), both[1])
    (instead,) = hub_alerts(desk, other)
    desk.decline(desk.operator, instead["id"], now=LATE)
    assert [room.codes(one)[-1] for one in both] == ["no_hub_instead"] * 2
    assert len(hub_alerts(desk)) == 1
