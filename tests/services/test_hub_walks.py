"""Somebody on their way to a hub that declines, closes or drives off hears of it at once."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.desk import NOW, P2, SPOT
from tests.services.hub_desk import codes, override, put_hub, said, set_hours
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import hubs
from waylight.services.reports import my_report

WANTS_HUB = replace(P2, wants=(Want.HELP, Want.HUB, Want.POLICE))
SOON = NOW + timedelta(minutes=1)
FAR = Point(SPOT.lon, SPOT.lat - 0.012)
"""1.4 km south of the spot: 24 minutes on foot from the desk's hub."""


def sweep(desk, now=SOON, **others):
    return hubs.redirect_walks(desk.database, channels=desk.settings.channels, now=now, **others)


def hub_alerts(desk):
    """The state of every hub's alert, by the hub's name, in the order of telling."""
    return [
        (row["name"], row["state"])
        for row in desk.rows(
            "select h.name, a.state from alerts a join hubs h on h.id = a.hub_id order by a.id"
        )
    ]


def move(desk, here, *, now=SOON):
    return hubs.move_hub(
        desk.database,
        desk.hub_host,
        hub_id=desk.hub,
        here=here,
        fixed_at=None,
        if_match=None,
        now=now,
        channels=desk.settings.channels,
    )


def test_nothing_happens_to_a_walk_to_a_hub_that_stays_open(desk):
    put_hub(desk, "Other", north=0.002)
    report = desk.report(WANTS_HUB)
    assert sweep(desk) == 0
    assert hub_alerts(desk) == [("Hub", "pending")]
    assert codes(desk, report.receipt) == ["received", "told", "told"]


def test_hub_that_declines_sends_the_passenger_to_the_next_open_one_in_the_same_call(desk):
    other = put_hub(desk, "Other", north=0.004)
    put_hub(desk, "Further", north=0.008)
    shut = put_hub(desk, "Shut", north=0.002)
    set_hours(desk, shut, "off")
    report = desk.report(WANTS_HUB)
    desk.decline(desk.hub_host, desk.alert_of(desk.hub), now=SOON)
    assert hub_alerts(desk) == [("Hub", "declined"), ("Other", "pending")]
    assert said(desk, report.receipt)[3:] == [
        ("hub_declined", "Hub"),
        ("told", "Other"),
        ("hub_instead", "Other"),
    ]
    (alert,) = desk.rows("select * from alerts where hub_id = %s", other)
    assert (alert["role"], alert["created_at"]) == ("hub", SOON)
    assert [reason["code"] for reason in alert["reasons"]] == ["hub_instead"]
    # The next one declines as well: never back to the first.
    desk.decline(desk.operator, desk.alert_of(other), now=SOON + timedelta(seconds=1))
    assert hub_alerts(desk)[2:] == [("Further", "pending")]
    assert sweep(desk) == 0


def test_hub_told_instead_of_another_sees_neither_place_nor_story(desk):
    put_hub(desk, "Other", north=0.004)
    desk.do(
        "update hubs set organisation_id = (select id from organisations where key = 'control')"
        " where name = 'Other'"
    )
    desk.do("delete from grants where cause = 'oversight'")
    desk.report(replace(WANTS_HUB, narrative="He follows me."))
    desk.do("delete from grants where cause = 'oversight'")
    desk.decline(desk.hub_host, desk.alert_of(desk.hub), now=SOON)
    (other,) = desk.rows(
        "select a.id from alerts a join hubs h on h.id = a.hub_id where h.name = 'Other'"
    )
    found = desk.read(desk.control, other["id"], now=SOON)
    (report,) = found.reports
    assert (report.level, report.location, report.story, report.journey) == (
        "heads_up",
        None,
        None,
        None,
    )
    assert found.alert.place is None


def test_without_another_open_hub_the_passenger_is_told_that_there_is_none(desk):
    report = desk.report(WANTS_HUB)
    desk.decline(desk.hub_host, desk.alert_of(desk.hub), now=SOON)
    assert codes(desk, report.receipt)[3:] == ["hub_declined", "no_hub_instead"]
    assert sweep(desk) == 0


def test_decline_whose_call_died_before_telling_is_made_good_by_the_worker(desk, monkeypatch):
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB)

    def dead(*_args, **_others):
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr("waylight.services.alerts.steps.redirect_walks", dead)
        desk.decline(desk.hub_host, desk.alert_of(desk.hub), now=SOON)
    assert codes(desk, report.receipt)[3:] == ["hub_declined"]
    assert sweep(desk) == 1
    assert said(desk, report.receipt)[-1] == ("hub_instead", "Other")


def test_hub_that_closes_early_tells_everybody_on_the_way_once(desk):
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB)
    desk.acknowledge(desk.hub_host, desk.alert_of(desk.hub), now=NOW)
    override(desk, "closed", now=SOON, until=SOON + timedelta(hours=1))
    assert said(desk, report.receipt)[3:] == [
        ("expecting", "Hub"),
        ("hub_closing", "Hub"),
        ("told", "Other"),
        ("hub_instead", "Other"),
    ]
    assert sweep(desk, SOON + timedelta(seconds=40)) == 0
    assert len(desk.events("alert.redirected")) == 1
    told = my_report(desk.database, desk.vault, report.receipt).told
    assert {one.name for one in told} == {"First", "Hub", "Other"}


def test_hub_whose_hours_end_before_the_passenger_is_there_is_noticed_by_the_worker(desk):
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB, at=FAR)
    assert sweep(desk) == 0
    # It closes 20 minutes from now; the walk takes 24.
    closes = (NOW + timedelta(minutes=20)).astimezone()
    desk.do(
        "update hubs set open_during = tstzmultirange(tstzrange(null, %s)) where id = %s",
        closes,
        desk.hub,
    )
    assert sweep(desk, NOW + timedelta(minutes=2)) == 1
    assert said(desk, report.receipt)[3:] == [
        ("hub_closing", "Hub"),
        ("told", "Other"),
        ("hub_instead", "Other"),
    ]


def test_hub_that_closes_after_the_walk_and_a_margin_disturbs_nobody(desk):
    put_hub(desk, "Other", north=0.004)
    desk.report(WANTS_HUB, at=FAR)
    desk.do(
        "update hubs set open_during = tstzmultirange(tstzrange(null, %s)) where id = %s",
        NOW + timedelta(minutes=40),
        desk.hub,
    )
    assert sweep(desk) == 0
    # Nor hours later, when nobody is on the way any more.
    assert sweep(desk, NOW + timedelta(hours=2)) == 0
    assert desk.events("alert.hub_closing") == []
    assert desk.rows("select walk_ended_at from alerts where hub_id is not null")[0][
        "walk_ended_at"
    ] == NOW + timedelta(hours=2)


def test_slow_walker_whose_hub_closes_meanwhile_is_told(desk):
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB, at=FAR)
    desk.do(
        "update hubs set open_during = tstzmultirange(tstzrange(null, %s)) where id = %s",
        NOW + timedelta(minutes=35),
        desk.hub,
    )
    assert sweep(desk, NOW + timedelta(minutes=34)) == 0
    assert sweep(desk, NOW + timedelta(minutes=36)) == 1
    assert codes(desk, report.receipt)[-1] == "hub_instead"


def test_somebody_who_is_nearly_there_is_sent_to_the_hub_nearest_to_where_they_are_now(desk):
    put_hub(desk, "Behind", north=-0.014)
    put_hub(desk, "Ahead", north=0.006)
    report = desk.report(WANTS_HUB, at=FAR)
    (alert,) = desk.rows("select hub_id from alerts where hub_id is not null")
    desk.do("update alerts set hub_id = %s, distance_m = 1446 where hub_id is not null", desk.hub)
    assert alert["hub_id"] != desk.hub
    override(desk, "closed", now=NOW + timedelta(minutes=22), until=NOW + timedelta(hours=2))
    assert said(desk, report.receipt)[-1] == ("hub_instead", "Ahead")


def test_withdrawn_report_is_told_of_nothing_more(desk):
    put_hub(desk, "Other", north=0.004)
    desk.report(WANTS_HUB)
    desk.do("update reports set withdrawn_at = now()")
    override(desk, "closed", now=SOON, until=SOON + timedelta(hours=1))
    assert hub_alerts(desk) == [("Hub", "pending")]


def test_hub_bus_that_drives_off_tells_those_who_walk_to_where_it_was(desk):
    desk.do("update hubs set mobile = true where id = %s", desk.hub)
    put_hub(desk, "Other", north=0.004)
    report = desk.report(WANTS_HUB)
    move(desk, Point(SPOT.lon, SPOT.lat + 0.0015))
    assert codes(desk, report.receipt)[3:] == []
    move(desk, Point(SPOT.lon, SPOT.lat + 0.03), now=SOON + timedelta(minutes=1))
    assert said(desk, report.receipt)[3:] == [
        ("hub_moved", "Hub"),
        ("told", "Other"),
        ("hub_instead", "Other"),
    ]
    assert sweep(desk, SOON + timedelta(minutes=3)) == 0


def test_hub_bus_that_creeps_off_in_small_steps_is_noticed_all_the_same(desk):
    desk.do("update hubs set mobile = true where id = %s", desk.hub)
    report = desk.report(WANTS_HUB)
    for step in range(1, 4):
        move(
            desk,
            Point(SPOT.lon, SPOT.lat + 0.001 * (1 + step)),
            now=SOON + timedelta(seconds=step),
        )
    # Still the nearest: the passenger hears that it moved, and nobody else is told.
    assert codes(desk, report.receipt)[3:] == ["hub_moved"]
    assert hub_alerts(desk) == [("Hub", "pending")]


def test_joined_passenger_and_the_first_are_each_told_in_their_own_timeline_alone(desk):
    put_hub(desk, "Other", north=0.004)
    first = desk.report(WANTS_HUB)
    second = desk.report(WANTS_HUB, now=SOON)
    assert second.joined
    later = SOON + timedelta(minutes=1)
    override(desk, "closed", now=later, until=later + timedelta(hours=1))
    for report in (first, second):
        assert [code for code in codes(desk, report.receipt) if code.startswith("hub_")] == [
            "hub_closing",
            "hub_instead",
        ]
    assert hub_alerts(desk) == [("Hub", "pending"), ("Other", "pending")]


def test_two_workers_tell_once(desk):
    put_hub(desk, "Other", north=0.004)
    desk.report(WANTS_HUB)
    desk.do("update hubs set open_during = '{}' where id = %s", desk.hub)
    assert [sweep(desk), sweep(desk)] == [1, 0]


def test_stale_horizon_closes_no_hub_for_those_on_the_way(desk):
    desk.report(WANTS_HUB)
    desk.do("update hubs set open_during = '{}', expanded_until = %s", NOW - timedelta(days=1))
    assert sweep(desk) == 0
    assert desk.events("alert.hub_closing") == []


def test_one_walk_that_cannot_be_redirected_keeps_no_other(desk, monkeypatch):
    put_hub(desk, "Other", north=0.004)
    first = desk.report(WANTS_HUB)
    second = desk.report(WANTS_HUB, at=Point(SPOT.lon + 0.01, SPOT.lat))
    real = hubs.walks._redirect

    def breaks_on_the_first(conn, walk, **others):
        if walk["report_id"] == first.id:
            raise RuntimeError("broken")
        return real(conn, walk, **others)

    desk.do("update hubs set open_during = '{}' where id = %s", desk.hub)
    with monkeypatch.context() as broken:
        broken.setattr(hubs.walks, "_redirect", breaks_on_the_first)
        assert sweep(desk) == 1
    assert codes(desk, first.receipt)[-1] == "told"
    assert codes(desk, second.receipt)[-1] == "hub_instead"
    assert sweep(desk) == 1


@pytest.mark.parametrize("at", [NOW - timedelta(hours=5)])
def test_walks_of_another_day_are_over(desk, at: datetime):
    desk.report(WANTS_HUB, now=at)
    desk.do("update hubs set open_during = '{}'")
    assert sweep(desk) == 0
