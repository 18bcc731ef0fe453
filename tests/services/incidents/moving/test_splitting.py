"""Splitting: a report gets an incident and a ladder of its own."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from tests.services.incidents.conftest import LATE, LATER, MINUTE
from waylight.domain.errors import (
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)


@pytest.fixture
def three(desk):
    """One incident of three reports."""
    return [
        desk.report(replace(P2, narrative=f"Story {n}."), now=NOW + timedelta(seconds=n))
        for n in range(3)
    ]


def test_split_off_report_has_an_incident_and_a_ladder_of_its_own_at_once(desk, room, three):
    old = room.of(three[0])
    alert = room.alert(old, desk.first)
    desk.acknowledge(desk.police, alert)
    found = room.split(desk.control, old, three[2])
    new = found.incident.id
    assert (found.incident.split_from, found.incident.report_count) == (old, 1)
    assert room.of(three[2]) == new
    assert [report.id for report in found.reports] == [three[2].id]
    row = room.row(new)
    assert row["escalate_at"] == LATER + 3 * MINUTE
    (told,) = desk.rows("select * from alerts where incident_id = %s", new)
    assert (told["team_id"], told["state"], told["role"]) == (desk.first, "pending", "primary")
    assert desk.rows("select from deliveries where alert_id = %s", told["id"])
    assert (room.row(old)["report_count"], room.row(old)["held_by_alert_id"]) == (2, alert)


def test_first_report_leaves_the_alert_that_it_raised_to_the_others(desk, room, three):
    old = room.of(three[0])
    alert = room.alert(old, desk.first)
    desk.acknowledge(desk.police, alert)
    room.split(desk.control, old, three[0])
    (row,) = desk.rows("select report_id, version from alerts where id = %s", alert)
    assert row["report_id"] == three[1].id
    room.close(desk.police, alert, now=LATE, if_match=row["version"])
    assert "closed" in room.codes(three[1])
    assert "closed" not in room.codes(three[0])
    assert room.codes(three[0])[-2:] == ["parted", "told"]
    assert room.told(three[0]).held_by is None


def test_splitting_off_the_gravest_lets_the_holder_s_ladder_rest(desk, room):
    first = desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    graver = desk.report(P1, now=LATER)
    old = room.of(first)
    assert room.row(old)["escalate_at"] is not None
    room.split(desk.control, old, graver, now=LATE)
    row = room.row(old)
    assert (row["priority"], row["escalate_at"]) == (2, None)
    new = room.row(room.of(graver))
    assert (new["priority"], new["escalate_at"]) == (1, LATE + MINUTE)
    # Priority 1: the control room is told with the first team.
    assert room.alerts(new["id"]) == {desk.first: "pending", desk.room: "pending"}


def test_splitting_again_changes_nothing(desk, room, three):
    old = room.of(three[0])
    once = room.split(desk.control, old, three[1], three[2])
    kinds = desk.kinds()
    again = room.split(desk.control, old, three[2], three[1], now=LATE)
    assert again.incident.id == once.incident.id
    assert desk.kinds() == kinds


def test_split_that_leaves_nothing_or_names_another_s_report_is_refused(desk, room, three, west):
    old, elsewhere = room.of(three[0]), desk.report(P2, at=west)
    with pytest.raises(StateConflict, match="Nothing would be left"):
        room.split(desk.control, old, *three)
    with pytest.raises(NotFound) as caught:
        room.split(desk.control, old, three[0], elsewhere)
    assert [p.pointer for p in caught.value.problems] == ["/reports/1"]
    with pytest.raises(StaleVersion):
        room.split(desk.control, old, three[0], if_match=99)
    with pytest.raises(NotAllowed):
        room.split(desk.police, old, three[0])
    for stranger in (desk.operator, desk.hub_host):
        with pytest.raises(NotFound):
            room.split(stranger, old, three[0])
    assert room.row(old)["report_count"] == 3


def test_split_and_merged_back_is_one_incident_again(desk, room, three):
    old = room.of(three[0])
    new = room.split(desk.control, old, three[2]).incident.id
    room.merge(desk.control, new, old, now=LATE)
    assert {room.of(report) for report in three} == {old}
    assert room.row(old)["report_count"] == 3
    assert room.alerts(old) == {desk.first: "pending"}
