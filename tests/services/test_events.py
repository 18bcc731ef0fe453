from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from schemas.events import envelope
from tests.desk import NOW, P1, P2
from waylight.db import events as db
from waylight.domain.events import PublicEvent
from waylight.domain.reports import Want
from waylight.services import events
from waylight.services.operations import chores

LATER = NOW + timedelta(minutes=5)
STORY = replace(P1, narrative="He got on at King's Cross.", description_of_person="a red hat")


@pytest.fixture
def told(desk):
    """Reads what has been told outside since the last call."""
    position = [events.last_number(desk.database)]

    def read():
        while chores.number_events(desk.database):
            pass
        batch = events.read_after(desk.database, position[0])
        assert not batch.is_full
        position[0] = batch.last
        return list(batch.events)

    return read


def names(found, who=None):
    return [one.type for one in found if who is None or one.concerns(who.organisation_id)]


def test_report_is_told_to_the_team_and_to_whoever_oversees(desk, told):
    desk.report(P1)
    found = told()
    assert names(found) == ["alert.created", "alert.created"]
    first, room = found
    assert (first.team.id, first.team.name) == (desk.first, "First")
    assert first.alert_id == desk.alert_of(desk.first)
    assert first.incident_id == desk.incident()["id"]
    assert first.organisation_id == desk.police.organisation_id
    assert (first.status, first.reason, first.priority) == ("pending", None, 1)
    assert first.category_groups == ("pursuit",)
    both = {desk.police.organisation_id, desk.control.organisation_id}
    assert first.audience == both
    assert room.audience == {desk.control.organisation_id}


def test_steps_of_one_organisation_are_no_business_of_another(desk, told):
    desk.report(P1)
    desk.climb(LATER)
    told()
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    found = told()
    mine = [one for one in found if one.concerns(desk.police.organisation_id)]
    assert [(one.type, one.reason) for one in mine] == [("alert.updated", "acknowledged")]
    assert mine[0].status == "acknowledged"
    # The police withdrew it, and it is the operator's alert: told to the operator, not to them.
    (gone,) = [one for one in found if one.concerns(desk.operator.organisation_id)]
    assert (gone.type, gone.reason) == ("alert.withdrawn", "acknowledged_elsewhere")
    assert gone.organisation_id == desk.operator.organisation_id
    assert gone.status == "withdrawn"
    assert not gone.concerns(desk.police.organisation_id)
    assert gone.concerns(desk.control.organisation_id)


def test_escalation_is_told_to_whom_it_reaches(desk, told):
    desk.report(P2)
    told()
    desk.climb(LATER)
    assert names(told(), desk.operator) == ["alert.created", "alert.escalated"]


def test_what_becomes_of_an_incident_is_told_to_the_teams_at_work_and_not_to_its_hub(desk, told):
    desk.report(replace(P1, wants=(Want.HELP, Want.HUB)))
    told()
    for minutes in range(1, 8):
        desk.climb(NOW + timedelta(minutes=minutes))
    found = [one for one in told() if one.type == "incident.updated"]
    assert [one.reason for one in found] == ["unanswered"]
    (unanswered,) = found
    rungs = desk.rows("select organisation_id, hub_id from alerts")
    at_work = {rung["organisation_id"] for rung in rungs if rung["hub_id"] is None}
    assert unanswered.audience == at_work
    assert at_work >= {desk.operator.organisation_id, desk.control.organisation_id}
    assert desk.hub_host.organisation_id in {rung["organisation_id"] for rung in rungs} - at_work
    assert (unanswered.alert_id, unanswered.organisation_id) == (None, None)
    assert unanswered.status == "open"


def test_revoked_oversight_ends_what_is_told_also_of_the_past(desk, told):
    desk.report(P2)
    desk.do("update grants set revoked_at = now() where cause = 'oversight'")
    assert names(told(), desk.control) == ["grant.revoked"]


def test_drill_never_has_the_name_of_something_real(desk, told):
    desk.report(replace(P1, exercise=True))
    desk.climb(LATER)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    found = told()
    assert len(found) > 3
    assert all(one.type.startswith("exercise.") and one.exercise for one in found)


def test_hub_that_changes_is_told_to_its_host_and_the_control_room(desk, told):
    with desk.database.intake() as conn:
        db.write(
            conn,
            db.Event("hub.closed_early", NOW, data={"hub_id": str(desk.hub)}),
            db.Event("hub.closed_early", NOW, data={"hub_id": "nonsense"}),
            db.Event("hub.closed_early", NOW, data={"hub_id": str(uuid4())}),
            db.Event("hub.closed_early", NOW),
        )
    (found,) = told()
    assert (found.type, found.reason, found.hub.id) == ("hub.updated", "closed_early", desk.hub)
    assert found.audience == {desk.hub_host.organisation_id, desk.control.organisation_id}


def test_no_word_of_the_story_and_no_place_leaves(desk, told):
    desk.report(STORY)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    sent = str([envelope(one, base_url="https://w.example") for one in told()])
    assert "alert_" in sent
    for secret in ("King", "red hat", "51.5", "-0.14", "lat", "being_followed", "report_0"):
        assert secret not in sent


def test_batches_neither_leave_out_nor_repeat(desk, told):
    for n in range(5):
        desk.report(P1, now=NOW + timedelta(minutes=20 * n))
    whole = told()
    position = 0
    parts: list[PublicEvent] = []
    while True:
        batch = events.read_after(desk.database, position, limit=3)
        assert batch.last >= position
        parts += batch.events
        position = batch.last
        if not batch.is_full:
            break
    assert [one.id for one in parts] == [one.id for one in whole]
    assert len({one.id for one in parts}) == len(parts)
    assert position == events.last_number(desk.database)


def test_event_without_a_number_is_not_there_yet(desk):
    desk.report(P1)
    assert events.read_after(desk.database, 0) == events.Batch((), 0, is_full=False)
