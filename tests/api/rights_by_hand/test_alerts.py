"""Answering, silencing and stopping by hand what another organisation was told."""

from datetime import timedelta

from tests.api.rights_by_hand.stories import STORY, WANTS_HUB, WEST, incident_of
from tests.by_hand import by_hand, refused
from tests.desk import NOW


def test_team_writes_nothing_on_the_alert_of_a_hub(desk, step):
    desk.report(WANTS_HUB)
    step("Robin", desk.first, "acknowledge")
    hub = desk.alert_of(desk.hub)
    for table, column in (("alerts", "id"), ("deliveries", "alert_id")):
        status = "state = 'withdrawn'" if table == "alerts" else "status = 'dropped'"
        changed = f"update {table} set {status} where {column} = %s"  # noqa: S608 - names of this file
        assert by_hand(desk, desk.police, changed, hub) == 0


def test_team_answers_for_no_other_organisation(desk, step):
    desk.report(STORY)
    desk.climb(NOW + timedelta(minutes=5))
    theirs = desk.alert_of(desk.second)
    for state in ("acknowledged", "on_scene", "pending", "declined"):
        refused(desk, desk.police, "update alerts set state = %s where id = %s", state, theirs)
    # Whoever is still to answer hears of it all the same.
    for status in ("dropped", "seen"):
        stopped = "update deliveries set status = %s where alert_id = %s"
        refused(desk, desk.police, stopped, status, theirs)
    step("Robin", desk.first, "acknowledge")
    assert desk.states()[desk.second] == "withdrawn"


def test_nobody_silences_an_incident_by_hand(desk, step):
    report = desk.report(STORY)
    incident = incident_of(desk, report)
    desk.climb(NOW + timedelta(minutes=5))
    step("Ali", desk.second, "decline")
    ours, theirs = desk.alert_of(desk.second), desk.alert_of(desk.first)
    # Older by its id: those of one millisecond have no order.
    other = desk.report(STORY, at=WEST, now=NOW - timedelta(minutes=1))
    elsewhere = desk.rows("select id from alerts where report_id = %s", other.id)[0]["id"]
    for change in (
        "state = 'closed'",
        "escalate_at = null",
        "escalate_at = null, held_by_alert_id = null",
        *(f"escalate_at = null, held_by_alert_id = '{one}'" for one in (ours, theirs, elsewhere)),
    ):
        refused(desk, desk.operator, f"update incidents set {change} where id = %s", incident)  # noqa: S608 - ours
    # Whoever takes it stops the ladder, and whoever closes it may say so.
    step("Robin", desk.first, "acknowledge")
    assert desk.rows("select escalate_at from incidents where id = %s", incident) == [
        {"escalate_at": None}
    ]
    step("Robin", desk.first, "close")
    refused(desk, desk.operator, "update incidents set state = 'closed' where id = %s", incident)
    assert (
        by_hand(desk, desk.police, "update incidents set state = 'closed' where id = %s", incident)
        == 1
    )
