"""A responder's timer by hand."""

from datetime import timedelta
from uuid import uuid4

from tests.api.rights_by_hand.stories import STORY
from tests.by_hand import by_hand, refused
from tests.desk import NOW


def timer(desk, **changes):
    (alert,) = desk.rows("select * from alerts where id = %s", desk.alert_of(desk.first))
    row = {
        "alert_id": alert["id"],
        "incident_id": alert["incident_id"],
        "team_id": alert["team_id"],
        "organisation_id": alert["organisation_id"],
        "city_id": alert["city_id"],
        "staff_id": desk.police.staff_id,
        "exercise": False,
        "due_in_s": 60,
        "started_at": NOW,
        "checked_in_at": NOW,
        "due_at": NOW,
        "next_at": NOW,
        **changes,
    }
    return (
        f"insert into check_ins ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",  # noqa: S608 - names of this file
        *row.values(),
    )


def test_timer_is_bound_to_the_alert_team_and_incident_that_it_is_about(desk, step, elsewhere):
    desk.report(STORY)
    step("Robin", desk.first, "acknowledge")
    for changes in (
        {"alert_id": elsewhere["alert"]},
        {"alert_id": uuid4()},
        {"incident_id": elsewhere["incident"]},
        {"team_id": desk.second},
        {"organisation_id": desk.operator.organisation_id},
        {"staff_id": desk.operator.staff_id},
        {"city_id": uuid4()},
        {"exercise": True},
    ):
        refused(desk, desk.police, *timer(desk, **changes))
    refused(desk, desk.operator, *timer(desk))
    assert by_hand(desk, desk.police, *timer(desk)) == 1
    # How a colleague of another organisation is doing is not theirs to know, who was told as well.
    desk.climb(NOW + timedelta(minutes=5))
    assert by_hand(desk, desk.operator, "select alert_id from check_ins") == []
    assert len(by_hand(desk, desk.control, "select alert_id from check_ins")) == 1
    # The worker closes the incident that is named there.
    for change in ("overdue_incident_id = %s", "incident_id = %s", "alert_id = %s"):
        refused(desk, desk.police, f"update check_ins set {change}", elsewhere["incident"])  # noqa: S608 - names of this file
    refused(desk, desk.police, "update check_ins set raised = 0")
    refused(desk, desk.police, *timer(desk, overdue_incident_id=elsewhere["incident"]))
