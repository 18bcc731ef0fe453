"""Events by hand, about what is another's."""

from datetime import timedelta

from tests.api.rights_by_hand.stories import STORY, incident_of
from tests.by_hand import cannot_say, say
from tests.desk import NOW


def test_nobody_gives_an_event_its_number_by_hand(desk):
    """Whoever follows the stream would go on from there, and miss all that comes before it."""
    desk.report(STORY)
    own = {"data": {"team_id": str(desk.first)}, "staff_id": desk.police.staff_id}
    cannot_say(desk, desk.police, "team.duty_changed", sequence=10**9, **own)
    assert say(desk, desk.police, "team.duty_changed", **own) == 1


def test_event_about_the_alert_report_or_incident_of_another_is_refused(desk, elsewhere):
    desk.report(STORY)
    own = desk.alert_of(desk.first)
    mine = {
        "alert_id": own,
        "incident_id": desk.rows("select * from alerts where id = %s", own)[0]["incident_id"],
    }
    for columns in (
        {"alert_id": elsewhere["alert"]},
        {"alert_id": elsewhere["alert"], "incident_id": elsewhere["incident"]},
        {**mine, "alert_id": elsewhere["alert"]},
        {**mine, "report_id": elsewhere["report"]},
        {**mine, "incident_id": elsewhere["incident"]},
        {},
    ):
        for kind in ("alert.closed", "alert.withdrawn", "alert.handed_over"):
            cannot_say(desk, desk.police, kind, **columns)
    for columns in (
        {"report_id": elsewhere["report"]},
        {"incident_id": elsewhere["incident"]},
        {"incident_id": mine["incident_id"], "report_id": elsewhere["report"]},
        {"incident_id": mine["incident_id"], "alert_id": elsewhere["alert"]},
    ):
        for kind in ("incident.closed", "incident.note_added", "responder.checked_in", "x"):
            cannot_say(desk, desk.police, kind, **columns)
        # Watching over both is no leave to speak of what another did.
        if "alert_id" in columns:
            cannot_say(desk, desk.control, "alert.closed", **columns)
    assert say(desk, desk.police, "alert.closed", **mine) == 1


def test_event_about_the_hub_team_or_person_of_another_is_refused(desk):
    for who, data in (
        (desk.police, {"hub_id": str(desk.hub)}),
        (desk.control, {"hub_id": str(desk.hub)}),
        (desk.police, {"team_id": str(desk.second)}),
        (desk.control, {"team_id": str(desk.second)}),
    ):
        kind = "hub.updated" if "hub_id" in data else "team.duty_changed"
        cannot_say(desk, who, kind, data=data)
    cannot_say(desk, desk.police, "team.duty_changed", staff_id=desk.operator.staff_id)
    own = {"staff_id": desk.hub_host.staff_id, "data": {"hub_id": str(desk.hub)}}
    assert say(desk, desk.hub_host, "hub.updated", **own) == 1


def test_staff_say_neither_who_was_told_nor_what_was_sent_or_reported(desk):
    report = desk.report(STORY)
    own = {
        "alert_id": desk.alert_of(desk.first),
        "report_id": report.id,
        "incident_id": incident_of(desk, report),
    }
    for kind in (
        "alert.created",
        "alert.updated",
        "alert.escalated",
        "delivery.sent",
        "routing.failed",
        "report.received",
        "report.moved",
    ):
        cannot_say(desk, desk.police, kind, **own)


def test_nobody_is_said_to_be_stood_down_who_is_not(desk, step):
    report = desk.report(STORY)
    desk.climb(NOW + timedelta(minutes=5))
    theirs = {
        "alert_id": desk.alert_of(desk.second),
        "incident_id": incident_of(desk, report),
        "report_id": report.id,
    }
    cannot_say(desk, desk.police, "alert.withdrawn", **theirs)
    step("Robin", desk.first, "acknowledge")
    (said,) = [e for e in desk.events("alert.withdrawn") if e["alert_id"] == theirs["alert_id"]]
    assert said["organisation_id"] == desk.police.organisation_id
    for kind in ("alert.closed", "alert.handed_over", "alert.acknowledged"):
        cannot_say(desk, desk.police, kind, **theirs)
