"""Opening again: who may, and who is told."""

from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from tests.services.incidents.conftest import LATE, LATER, MINUTE
from waylight.domain.alerts import Ending
from waylight.domain.errors import (
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)


@pytest.fixture
def closed(desk, room):
    """A report whose incident the police have closed."""
    report = desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert)
    room.close(desk.police, alert, now=LATER, ending=Ending.NO_TRACE)
    assert room.row(room.of(report))["state"] == "closed"
    return report


def test_reopened_incident_is_told_afresh_and_ended_alerts_stay_ended(desk, room, closed):
    incident = room.of(closed)
    old = room.alert(incident, desk.first)
    found = room.reopen(desk.police, incident, now=LATE)
    assert found.incident.state == "open"
    row = room.row(incident)
    assert (row["held_by_alert_id"], row["closed_at"]) == (None, None)
    assert row["escalate_at"] == LATE + 3 * MINUTE
    new = room.alert(incident, desk.first)
    assert new != old
    states = {r["id"]: r["state"] for r in desk.rows("select id, state from alerts")}
    assert (states[old], states[new]) == ("closed", "pending")
    assert room.codes(closed)[-2:] == ["reopened", "told"]
    desk.acknowledge(desk.police, new, now=LATE)
    assert room.row(incident)["held_by_alert_id"] == new


def test_reopening_again_changes_nothing(desk, room, closed):
    incident = room.of(closed)
    room.reopen(desk.control, incident, now=LATE)
    kinds = desk.kinds()
    again = room.reopen(desk.control, incident, now=LATE + MINUTE)
    assert again.incident.state == "open"
    assert desk.kinds() == kinds


def test_only_whoever_closed_it_or_the_control_room_opens_it_again(desk, room, closed):
    incident = room.of(closed)
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            room.reopen(stranger, incident)
    with pytest.raises(StaleVersion):
        room.reopen(desk.police, incident, if_match=1)
    desk.do("update alerts set state = 'declined' where incident_id = %s", incident)
    with pytest.raises(NotAllowed):
        room.reopen(desk.police, incident)
    room.reopen(desk.control, incident)


def test_incident_whose_first_team_cannot_be_chosen_again_reaches_the_control_room(
    desk, room, closed
):
    desk.do("update teams set duty_status = 'off' where kind = 'field'")
    room.reopen(desk.police, room.of(closed), now=LATE)
    assert room.alerts(room.of(closed))[desk.room] == "pending"


def test_merged_incident_is_not_opened_again(desk, room, two):
    source, into = map(room.of, two)
    room.merge(desk.control, source, into)
    with pytest.raises(StateConflict, match="merged"):
        room.reopen(desk.control, source)


def test_report_that_comes_after_the_closing_is_an_incident_of_its_own(desk, room, closed):
    again = desk.report(P2, now=LATE)
    assert not again.joined
    assert room.of(again) != room.of(closed)


def test_control_room_that_came_along_by_a_merge_is_not_told_a_second_time(desk, room, west):
    early, late = desk.report(P1, at=west), desk.report(P1, now=NOW + timedelta(seconds=5))
    source, into = room.of(early), room.of(late)
    # The newer alert of the room has ended, the older one lives and comes along.
    desk.acknowledge(desk.control, room.alert(into, desk.room))
    desk.decline(desk.control, room.alert(into, desk.room), now=LATER)
    room.merge(desk.control, source, into, now=LATER)
    for minutes in range(5, 35, 5):
        desk.climb(LATER + minutes * MINUTE)
    live = desk.rows(
        "select team_id from alerts where incident_id = %s and team_id = %s and state in"
        " ('pending', 'delivered', 'acknowledged')",
        into,
        desk.room,
    )
    assert len(live) == 1
