"""Moving incidents beside a responder's timer."""

import pytest

from tests.desk import NOW, P2
from tests.services.incidents.conftest import LATE, LATER, MINUTE
from waylight.domain.errors import (
    NotAllowed,
    NotFound,
    StateConflict,
)
from waylight.services import alerts
from waylight.services.alerts import check_ins


def overdue(desk, team, who):
    """A responder on the scene who was not heard of; returns the incident that is about them."""
    alert = desk.alert_of(team)
    desk.acknowledge(who, alert)
    alerts.on_scene(desk.database, desk.vault, principal=who, alert_id=alert, now=NOW)
    check_ins.check_in(desk.database, who, alert_id=alert, due_in_s=300, now=NOW)
    check_ins.watch(desk.database, channels=("console",), now=NOW + 6 * MINUTE)
    (row,) = desk.rows("select id from incidents where about_alert_id = %s", alert)
    return row["id"]


def test_timer_of_a_responder_goes_along_with_a_merge(desk, room, two):
    here, there = two
    source, into = room.of(here), room.of(there)
    desk.decline(desk.police, room.alert(source, desk.first))
    alert = room.alert(source, desk.second)
    desk.acknowledge(desk.operator, alert, now=LATER)
    alerts.on_scene(desk.database, desk.vault, principal=desk.operator, alert_id=alert, now=LATER)
    check_ins.check_in(desk.database, desk.operator, alert_id=alert, due_in_s=300, now=LATER)
    room.merge(desk.control, source, into, now=LATE)
    assert desk.rows("select incident_id from check_ins") == [{"incident_id": into}]


def test_incident_about_a_colleague_is_neither_moved_nor_given_away(desk, room, west):
    report = desk.report(P2)
    colleague = overdue(desk, desk.first, desk.police)
    for pair in ((colleague, room.of(report)), (room.of(report), colleague)):
        with pytest.raises((StateConflict, NotAllowed, NotFound)):
            room.merge(desk.control, *pair, now=LATE)
    alert = room.alert(colleague, desk.room)
    desk.acknowledge(desk.control, alert, now=NOW + 7 * MINUTE)
    with pytest.raises(StateConflict, match="colleague"):
        room.hand_over(desk.control, alert, desk.second, now=NOW + 8 * MINUTE)
    assert desk.events("incident.merged", "alert.hand_over_asked") == []
