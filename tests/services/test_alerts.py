from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.desk import NOW, P2, SPOT
from waylight.domain.alerts import Named, State
from waylight.domain.errors import NotAllowed, NotFound
from waylight.domain.geo import Point
from waylight.domain.principals import NOBODY
from waylight.domain.reports import Contact, Need, Want
from waylight.services import alerts

LATER = NOW + timedelta(minutes=1)
ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)

STORY = replace(
    P2,
    narrative="He got on at King's Cross.",
    description_of_person="A green coat.",
    contact=Contact(phone="+447700900123", voicemail_ok=False),
    rejected={"/contact/email": "not an address"},
    needs=(Need.STEP_FREE,),
)


# Reading


def test_alert_is_read_with_its_story_its_place_and_why_it_was_routed_so(desk):
    desk.report(STORY)
    found = desk.read(desk.police, desk.alert_of(desk.first))
    assert found.alert.state is State.PENDING
    assert found.alert.categories == ("being_followed",)
    (report,) = found.reports
    assert report.level == "full"
    assert report.story.narrative == "He got on at King's Cross."
    assert report.story.description_of_person == "A green coat."
    assert report.story.contact == Contact(phone="+447700900123", voicemail_ok=False)
    assert report.story.not_understood == {"/contact/email": "not an address"}
    assert report.story.readable
    assert (report.location.point.lon, report.location.point.lat) == (SPOT.lon, SPOT.lat)
    assert report.needs == ("step_free",)
    assert [choice.name for choice in report.choices] == ["First", "Second", "Third", "Room"]
    assert "covers_area" in [reason.code for reason in report.choices[0].reasons]
    assert [(rung.team and rung.team.name, rung.state) for rung in found.rungs] == [
        ("First", State.PENDING)
    ]


def test_every_report_that_is_read_is_in_the_audit_log(desk):
    first = desk.report()
    second = desk.report(now=LATER)
    assert second.joined
    alert = desk.alert_of(desk.first)
    alerts.read_alert(
        desk.database,
        desk.vault,
        principal=desk.police,
        alert_id=alert,
        now=LATER,
        request_id="request-1",
    )
    entries = desk.rows("select * from audit_entries")
    assert {entry["report_id"] for entry in entries} == {first.id, second.id}
    assert {
        (e["at"], e["staff_id"], e["organisation_id"], e["action"], e["alert_id"], e["request_id"])
        for e in entries
    } == {
        (
            LATER,
            desk.police.staff_id,
            desk.police.organisation_id,
            "report.read",
            alert,
            "request-1",
        )
    }


def test_passenger_learns_once_that_a_person_has_seen_it(desk):
    report = desk.report()
    alert = desk.alert_of(desk.first)
    desk.do("update deliveries set status = 'sent' where alert_id = %s", alert)
    desk.read(desk.police, alert, now=LATER)
    desk.read(desk.police, alert, now=LATER + timedelta(minutes=1))
    (seen,) = desk.events("alert.seen")
    assert (seen["report_id"], seen["alert_id"], seen["at"]) == (report.id, alert, LATER)
    assert (seen["staff_id"], seen["organisation_id"]) == (
        desk.police.staff_id,
        desk.police.organisation_id,
    )
    assert seen["data"] == {"role": "officer"}
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"seen"}


def test_passenger_of_a_later_report_learns_too_that_a_person_has_read_it(desk):
    first = desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.read(desk.police, alert)
    second = desk.report(P2, now=LATER)
    for n in range(2):
        desk.read(desk.police, alert, now=LATER + timedelta(seconds=n))
    seen = [(event["report_id"], event["at"]) for event in desk.events("alert.seen")]
    assert seen == [(first.id, NOW), (second.id, LATER)]
    (row,) = desk.rows("select seen_at from alerts")
    assert row["seen_at"] == NOW


def test_message_that_still_waits_is_not_called_seen(desk):
    desk.report()
    desk.read(desk.police, desk.alert_of(desk.first))
    assert [row["status"] for row in desk.rows("select status from deliveries")] == ["queued"]


def test_hub_is_told_to_expect_somebody_and_reads_no_story_and_no_place(desk):
    desk.report(replace(STORY, wants=(Want.HELP, Want.HUB)))
    found = desk.read(desk.hub_host, desk.alert_of(desk.hub))
    (report,) = found.reports
    assert report.level == "heads_up"
    assert report.needs == ("step_free",)
    assert (report.story, report.location, report.journey) == (None, None, None)
    assert report.choices == ()
    assert found.alert.place is None
    assert "+447700900123" not in repr(found)
    assert str(SPOT.lon) not in repr(found)


def test_story_whose_key_was_destroyed_leaves_the_facts_readable(desk):
    desk.report(STORY)
    desk.do("update report_secrets set wrapped_key = null")
    (report,) = desk.read(desk.police, desk.alert_of(desk.first)).reports
    assert not report.story.readable
    assert report.story.narrative is None
    assert report.categories == ("being_followed",)


def test_story_of_another_report_cannot_be_slipped_in(desk):
    desk.report(STORY)
    desk.report(replace(P2, narrative="Another."), at=ELSEWHERE)
    desk.do(
        "update report_secrets s set narrative = o.narrative from report_secrets o"
        " where o.report_id <> s.report_id"
    )
    (report,) = desk.read(desk.police, desk.alert_of(desk.first)).reports
    assert not report.story.readable


# Who sees what


def test_staff_of_an_organisation_that_was_not_told_find_nothing(desk):
    desk.report()
    alert = desk.alert_of(desk.first)
    assert alerts.list_alerts(desk.database, desk.vault, desk.operator, now=NOW) == []
    for act in (desk.read, desk.acknowledge, desk.decline):
        with pytest.raises(NotFound):
            act(desk.operator, alert)
    with pytest.raises(NotFound):
        desk.read(desk.police, uuid4())
    assert not desk.rows("select from audit_entries")


@pytest.mark.parametrize(
    "table",
    ["reports", "report_secrets", "incidents", "alerts", "deliveries", "events", "grants"],
)
def test_staff_of_another_organisation_see_nothing_by_hand_written_sql(desk, table):
    desk.report(STORY)
    desk.read(desk.police, desk.alert_of(desk.first))
    for who, sees in ((desk.police, True), (desk.operator, False)):
        with desk.database.staff(who.organisation_id) as conn:
            rows = conn.execute(f"select from {table}").fetchall()
        assert bool(rows) is sees


def test_staff_of_another_organisation_change_nothing_by_hand_written_sql(desk):
    desk.report()
    with desk.database.staff(desk.operator.organisation_id) as conn:
        for table in ("alerts", "incidents"):
            changed = conn.execute(
                f"update {table} set state = 'closed'"  # noqa: S608 - a constant
            )
            assert changed.rowcount == 0
        assert conn.execute("update deliveries set status = 'dropped'").rowcount == 0
        assert conn.execute("select from audit_entries").fetchall() == []


def test_team_that_was_told_sees_nothing_of_a_report_it_was_not_told_of(desk):
    desk.report()
    desk.report(STORY, at=ELSEWHERE)
    first, other = desk.rows("select id, report_id from alerts order by created_at, id")
    desk.do(
        "update alerts set organisation_id = %s, team_id = %s where id = %s",
        desk.operator.organisation_id,
        desk.second,
        other["id"],
    )
    desk.do("delete from grants where report_id = %s", other["report_id"])
    found = desk.read(desk.police, first["id"])
    assert [report.id for report in found.reports] == [first["report_id"]]
    # Told, and its grant revoked since: the alert stands, the report is gone.
    assert desk.read(desk.operator, other["id"]).reports == ()


def test_control_room_oversees_an_alert_but_cannot_answer_for_its_team(desk):
    report = desk.report()
    alert = desk.alert_of(desk.first)
    found = desk.read(desk.control, alert)
    assert [one.id for one in found.reports] == [report.id]
    assert desk.events("alert.seen") == []
    assert [row["organisation_id"] for row in desk.rows("select * from audit_entries")] == [
        desk.control.organisation_id
    ]
    for act in (desk.acknowledge, desk.decline):
        with pytest.raises(NotAllowed):
            act(desk.control, alert)


def test_caller_without_an_organisation_is_not_allowed(desk):
    desk.report()
    with pytest.raises(NotAllowed):
        desk.read(NOBODY, desk.alert_of(desk.first))


# The inbox


def test_inbox_is_newest_first_and_goes_on_where_it_stopped(desk):
    ids = []
    for n in range(5):
        desk.report(at=Point(SPOT.lon, SPOT.lat - 0.1 * n), now=NOW + timedelta(seconds=n))
        ids.append(desk.alert_of(desk.first))
    ids.reverse()
    page = alerts.list_alerts(desk.database, desk.vault, desk.police, limit=3, now=NOW)
    assert [alert.id for alert in page] == ids[:4]  # the last says that there is more
    listed = "select alert_id from audit_entries where action = 'report.listed' order by alert_id"
    assert [row["alert_id"] for row in desk.rows(listed)] == sorted(ids[:3])
    rest = alerts.list_alerts(
        desk.database, desk.vault, desk.police, limit=3, after=page[2].id, now=NOW
    )
    assert [alert.id for alert in rest] == ids[3:]
    assert [row["alert_id"] for row in desk.rows(listed)] == sorted(ids)


def test_inbox_is_filtered_by_state(desk):
    desk.report()
    desk.report(at=ELSEWHERE)
    taken = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, taken)
    found = alerts.list_alerts(
        desk.database, desk.vault, desk.police, states=[State.ACKNOWLEDGED], now=NOW
    )
    assert [alert.id for alert in found] == [taken]
    assert (
        alerts.list_alerts(desk.database, desk.vault, desk.police, states=[State.CLOSED], now=NOW)
        == []
    )


def test_inbox_of_one_team_holds_that_team_s_alerts(desk):
    desk.report()
    desk.decline(desk.police, desk.alert_of(desk.first))
    desk.decline(desk.operator, desk.alert_of(desk.second))
    found = alerts.list_alerts(desk.database, desk.vault, desk.police, team_id=desk.third, now=NOW)
    assert [alert.team for alert in found] == [Named(desk.third, "Third")]
    with pytest.raises(NotFound):
        alerts.list_alerts(desk.database, desk.vault, desk.police, team_id=desk.second, now=NOW)
    overseen = alerts.list_alerts(
        desk.database, desk.vault, desk.control, team_id=desk.second, now=NOW
    )
    assert [alert.team for alert in overseen] == [Named(desk.second, "Second")]


def test_inbox_of_a_hub_does_not_say_where(desk):
    desk.do(
        """
        insert into places (city_id, key, name, source_name, kind, position, modes, lines, codes)
        select id, 'stop', 'Camden Town', 'Camden Town', 'station', %s::geography, '{tube}', '{}',
               '{}' from cities
        """,
        SPOT.ewkt(),
    )
    desk.report(replace(P2, wants=(Want.HELP, Want.HUB, Want.POLICE)))
    (for_police,) = alerts.list_alerts(desk.database, desk.vault, desk.police, now=NOW)
    (for_hub,) = alerts.list_alerts(desk.database, desk.vault, desk.hub_host, now=NOW)
    assert for_police.place == "Camden Town"
    assert for_hub.place is None
    assert for_hub.hub == Named(desk.hub, "Hub")
