"""What one organisation tries to read and write of another: over the wire, and by SQL in its role.

The service and row-level security are two locks on one door (design, D11): each holds by itself.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, SCOPES, SPOT, headers_for
from waylight.domain.geo import Point
from waylight.domain.reports import Want

MANAGING = SCOPES | {
    "incidents:manage",
    "reports:redact",
    "reports:original",
    "organisation:manage",
}
STORY = replace(P2, narrative="He got on at King's Cross.")
WANTS_HUB = replace(STORY, wants=(Want.HELP, Want.POLICE, Want.HUB))
WEST = Point(SPOT.lon - 0.05, SPOT.lat)
HIDE = {"field": "narrative", "ranges": [[0, 2]], "reason": "A bystander."}
REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def signed_in(desk):
    """Each person with every scope there is: what they may see is then their organisation's."""
    return headers_for(desk, MANAGING)


@pytest.fixture
def step(desk, client, signed_in):
    """A person's step on a recipient's newest alert, over the wire."""

    def step(who: str, recipient: UUID, name: str, body: Any = None):
        address = f"/v1/alerts/{WireId.of('alert', desk.alert_of(recipient))}/{name}"
        answer = client.post(address, json=body, headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return answer

    return step


@pytest.fixture
def note(desk, client, signed_in):
    """The status that a person gets who writes a note in the incident of a report."""

    def note(who: str, report, text: str) -> int:
        address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}/notes"
        status: int = client.post(address, json={"text": text}, headers=signed_in[who]).status_code
        return status

    return note


@pytest.fixture
def timeline(desk, client, signed_in):
    """What a person reads of the incident of a report."""

    def timeline(who: str, report):
        address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}/timeline"
        answer = client.get(f"{address}?limit=200", headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return answer.json["items"]

    return timeline


def incident_of(desk, report):
    (row,) = desk.rows("select incident_id from reports where id = %s", report.id)
    return row["incident_id"]


def by_hand(desk, who, statement, *values):
    """A statement in the staff role, acting for somebody's organisation; the rows it touched."""
    with desk.database.staff(who.organisation_id) as conn:
        done = conn.execute(statement, values)
        return done.rowcount if done.description is None else done.fetchall()


def refused(desk, who, statement, *values):
    with pytest.raises(REFUSED):
        by_hand(desk, who, statement, *values)


def say(desk, who, kind, **columns):
    """An event by hand, in the name of somebody's own organisation."""
    row = {"kind": kind, "at": NOW, "organisation_id": who.organisation_id, **columns}
    return by_hand(
        desk,
        who,
        f"insert into events ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",  # noqa: S608 - names of this file
        *row.values(),
    )


def cannot_say(desk, who, kind, **columns):
    with pytest.raises(REFUSED, match="row-level security"):
        say(desk, who, kind, **columns)


# --- redactions


def redaction(desk, who, report):
    return (
        (
            "insert into report_redactions (id, report_id, field, organisation_id, staff_id, at,"
            " redacted, reason) values (uuid_v7(), %s, 'narrative', %s, %s, %s, '', '')"
        ),
        report.id,
        who.organisation_id,
        who.staff_id,
        NOW,
    )


def test_whoever_was_only_told_hides_nothing_of_a_report(desk, client, signed_in, step):
    report = desk.report(STORY)
    address = f"/v1/reports/{WireId.of('report', report.id)}/redactions"
    told = client.post(address, json=HIDE, headers=signed_in["Robin"])
    assert (told.status_code, told.json["code"]) == (403, "not_allowed")
    refused(desk, desk.police, *redaction(desk, desk.police, report))
    cannot_say(desk, desk.police, "report.redacted", report_id=report.id)
    assert desk.rows("select from report_redactions") == []

    desk.climb(NOW + timedelta(minutes=5))
    step("Robin", desk.first, "acknowledge")
    for who, status in (("Ali", 403), ("Robin", 201)):
        assert client.post(address, json=HIDE, headers=signed_in[who]).status_code == status, who
    over = {**HIDE, "ranges": [[3, 6]]}
    assert client.post(address, json=over, headers=signed_in["Casey"]).status_code == 201
    refused(desk, desk.operator, *redaction(desk, desk.operator, report))
    assert by_hand(desk, desk.police, *redaction(desk, desk.police, report)) == 1


def test_nobody_hides_a_part_of_a_report_in_the_name_of_another(desk, step):
    report = desk.report(STORY)
    step("Robin", desk.first, "acknowledge")
    for organisation, person in ((desk.control, desk.control), (desk.police, desk.control)):
        forged = replace(organisation, staff_id=person.staff_id)
        refused(desk, desk.police, *redaction(desk, forged, report))


# --- notes


def note_row(desk, who, incident, *, kind="note", alert=None):
    return (
        (
            "insert into incident_notes (id, incident_id, alert_id, organisation_id, staff_id,"
            " kind, at, key_version) values (uuid_v7(), %s, %s, %s, %s, %s, %s, 1)"
        ),
        incident,
        alert,
        who.organisation_id,
        who.staff_id,
        kind,
        NOW,
    )


def notes_of(entries):
    return [entry["note"] for entry in entries if entry["kind"] == "incident.note_added"]


def test_team_that_was_stood_down_reads_and_writes_no_note(desk, step, note, timeline):
    report = desk.report(STORY)
    incident = incident_of(desk, report)
    desk.climb(NOW + timedelta(minutes=5))
    assert note("Ali", report, "We hear of it.") == 201  # told, and not stood down yet
    step("Robin", desk.first, "acknowledge")
    assert note("Robin", report, "Zmark is with her.") == 201
    assert note("Casey", report, "Zmark again.") == 201

    assert note("Ali", report, "x") == 403
    assert notes_of(timeline("Ali", report)) == ["We hear of it."]  # what it wrote itself
    assert len(by_hand(desk, desk.operator, "select id from incident_notes")) == 1
    refused(desk, desk.operator, *note_row(desk, desk.operator, incident))
    for kind in ("note", "decline"):
        alert = desk.alert_of(desk.first)  # that of another organisation
        refused(
            desk, desk.operator, *note_row(desk, desk.operator, incident, kind=kind, alert=alert)
        )
    for who in ("Robin", "Casey"):
        assert len(notes_of(timeline(who, report))) == 3

    step("Ali", desk.second, "acknowledge")
    assert len(notes_of(timeline("Ali", report))) == 3
    assert note("Ali", report, "We come after all.") == 201


def test_team_that_declines_says_why_and_reads_what_it_wrote_alone(desk, step, note, timeline):
    report = desk.report(STORY)
    assert note("Casey", report, "Zmark.") == 201
    desk.climb(NOW + timedelta(minutes=5))
    step("Ali", desk.second, "decline", {"note": "Both of us are at Euston."})
    assert notes_of(timeline("Ali", report)) == ["Both of us are at Euston."]
    assert notes_of(timeline("Robin", report)) == ["Zmark.", "Both of us are at Euston."]
    assert note("Ali", report, "x") == 403
    assert len(by_hand(desk, desk.operator, "select id from incident_notes")) == 1


def test_team_that_closed_it_still_reads_and_writes_notes(desk, step, note, timeline):
    report = desk.report(STORY)
    step("Robin", desk.first, "acknowledge")
    step("Robin", desk.first, "close", {"note": "She is home."})
    assert notes_of(timeline("Robin", report)) == ["She is home."]
    assert note("Robin", report, "He was seen again.") == 201
    assert len(by_hand(desk, desk.police, "select id from incident_notes")) == 2


def test_notes_of_an_incident_that_was_merged_stay_with_those_at_work_on_it(
    desk, client, signed_in, note, timeline
):
    gone, stays = desk.report(STORY), desk.report(STORY, at=WEST, now=NOW + timedelta(seconds=1))
    source, target = incident_of(desk, gone), incident_of(desk, stays)
    (first, second) = (
        desk.rows("select id from alerts where incident_id = %s and team_id is not null", one)[0][
            "id"
        ]
        for one in (source, target)
    )
    desk.climb(NOW + timedelta(minutes=5))
    desk.acknowledge(desk.police, first, now=NOW + timedelta(minutes=6))
    desk.acknowledge(desk.police, second, now=NOW + timedelta(minutes=6))
    assert note("Robin", gone, "Zmark.") == 201
    merged = client.post(
        f"/v1/incidents/{WireId.of('incident', source)}/merge",
        json={"into": WireId.of("incident", target)},
        headers=signed_in["Casey"],
    )
    assert merged.status_code == 200, merged.text
    assert notes_of(timeline("Robin", stays)) == ["Zmark."]
    assert notes_of(timeline("Casey", stays)) == ["Zmark."]
    # The operator was told of both, and stood down from both.
    assert notes_of(timeline("Ali", stays)) == []
    assert by_hand(desk, desk.operator, "select id from incident_notes") == []


# --- what happens at hubs

AT_THE_HUB = "select from events where kind in ('alert.arrived', 'alert.acknowledged')"


def test_hub_s_doings_are_hidden_from_whoever_was_not_granted_its_passenger_s_report(
    desk, client, signed_in, step, timeline
):
    report = desk.report(WANTS_HUB)
    step("Jo", desk.hub, "acknowledge")
    step("Jo", desk.hub, "arrival", {"status": "arrived"})
    step("Robin", desk.first, "acknowledge")
    address = f"/v1/incidents/{WireId.of('incident', incident_of(desk, report))}"
    hub, done = WireId.of("hub", desk.hub), ["alert.acknowledged", "alert.arrived"]

    def hubs(who):
        shown = client.get(address, headers=signed_in[who]).json
        return [one["hub"]["id"] for one in shown["rungs"] if one["hub"] is not None]

    def doings(who):
        told = [e for e in timeline(who, report) if e["told"] and e["told"]["hub"]]
        return [e["kind"] for e in told if e["kind"] in done]

    assert (hubs("Robin"), doings("Robin")) == ([hub], done)
    assert len(by_hand(desk, desk.police, AT_THE_HUB)) == 3
    desk.do(
        "update grants set revoked_at = now() where organisation_id = %s",
        desk.police.organisation_id,
    )
    assert (hubs("Robin"), doings("Robin")) == ([], [])
    assert "alert.acknowledged" in [e["kind"] for e in timeline("Robin", report)]  # its own
    assert len(by_hand(desk, desk.police, AT_THE_HUB)) == 1
    assert by_hand(desk, desk.police, "select from alerts where hub_id is not null") == []
    assert (hubs("Casey"), doings("Casey")) == ([hub], done)


def test_team_writes_nothing_on_the_alert_of_a_hub(desk, step):
    desk.report(WANTS_HUB)
    step("Robin", desk.first, "acknowledge")
    hub = desk.alert_of(desk.hub)
    for table, column in (("alerts", "id"), ("deliveries", "alert_id")):
        status = "state = 'withdrawn'" if table == "alerts" else "status = 'dropped'"
        changed = f"update {table} set {status} where {column} = %s"  # noqa: S608 - names of this file
        assert by_hand(desk, desk.police, changed, hub) == 0


def test_hub_reads_nowhere_where_its_incident_is(desk):
    desk.report(WANTS_HUB)
    assert len(by_hand(desk, desk.hub_host, "select id from incidents")) == 1
    for column in ("position", "vehicle", "*"):
        for who in (desk.hub_host, desk.police):
            refused(desk, who, f"select {column} from incidents")  # noqa: S608 - names of this file


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


def test_nobody_gives_an_event_its_number_by_hand(desk):
    """Whoever follows the stream would go on from there, and miss all that comes before it."""
    desk.report(STORY)
    own = {"data": {"team_id": str(desk.first)}, "staff_id": desk.police.staff_id}
    cannot_say(desk, desk.police, "team.duty_changed", sequence=10**9, **own)
    assert say(desk, desk.police, "team.duty_changed", **own) == 1


def arrival(desk, report_id, *, person=None):
    return (
        (
            "insert into hub_arrivals (alert_id, report_id, hub_id, organisation_id, status, at,"
            " logged_at, logged_by) values (%s, %s, %s, %s, 'arrived', %s, %s, %s)"
        ),
        desk.alert_of(desk.hub),
        report_id,
        desk.hub,
        desk.hub_host.organisation_id,
        NOW,
        NOW,
        (person or desk.hub_host).staff_id,
    )


def test_hub_logs_nobody_whom_it_was_not_told_to_expect(desk):
    expected, other = desk.report(WANTS_HUB), desk.report(STORY, at=WEST)
    refused(desk, desk.hub_host, *arrival(desk, other.id))
    refused(desk, desk.hub_host, *arrival(desk, expected.id, person=desk.police))
    # Nor does it say itself whom it was told to expect.
    for kind in ("alert.created", "alert.updated"):
        cannot_say(
            desk, desk.hub_host, kind, alert_id=desk.alert_of(desk.hub), report_id=expected.id
        )
    assert by_hand(desk, desk.hub_host, *arrival(desk, expected.id)) == 1


def test_override_is_set_by_nobody_of_another_organisation(desk):
    def override(person):
        return (
            (
                "insert into hub_overrides (hub_id, organisation_id, status, starts_at, ends_at,"
                " reason, set_by) values (%s, %s, 'closed', %s, %s, '', %s)"
            ),
            desk.hub,
            desk.hub_host.organisation_id,
            NOW,
            NOW,
            person.staff_id,
        )

    refused(desk, desk.hub_host, *override(desk.police))
    refused(desk, desk.police, *override(desk.police))
    assert by_hand(desk, desk.hub_host, *override(desk.hub_host)) == 1


# --- events


@pytest.fixture
def elsewhere(desk):
    """A report that the operator alone was told of, by climbing: its incident and its alert."""
    report = desk.report(replace(STORY, wants=(Want.HELP,)), at=WEST)
    (alert,) = desk.rows(
        "select id from alerts where team_id = %s and report_id = %s", desk.second, report.id
    )
    assert not desk.rows(
        "select from alerts where report_id = %s and organisation_id = %s",
        report.id,
        desk.police.organisation_id,
    )
    return {"report": report.id, "incident": incident_of(desk, report), "alert": alert["id"]}


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


# --- lone workers


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


# --- messages and addresses


def message(desk, alert, report, *, message="alert.withdrawn", channel="sms", target=None):
    return (
        (
            "insert into deliveries (alert_id, report_id, channel, target_id, message, priority,"
            " exercise, created_at) values (%s, %s, %s, %s, %s, 2, false, %s)"
        ),
        alert,
        report,
        channel,
        target,
        message,
        NOW,
    )


def test_message_goes_to_no_address_that_was_not_told_of_the_alert(desk, step):
    theirs = uuid4()
    desk.do(
        "insert into addresses (id, organisation_id, team_id, channel, name, key_version, address,"
        " fingerprint, created_at) values (%s, %s, %s, 'sms', '', 1, '', '', %s)",
        theirs,
        desk.operator.organisation_id,
        desk.second,
        NOW,
    )
    report = desk.report(STORY)
    desk.climb(NOW + timedelta(minutes=5))
    step("Robin", desk.first, "acknowledge")
    mine, over = desk.alert_of(desk.first), desk.alert_of(desk.second)
    for row in (
        message(desk, mine, report.id, target=theirs),
        message(desk, over, report.id, target=theirs),
        message(desk, over, report.id, target=uuid4()),
        message(desk, over, report.id, channel="console", message="alert.created"),
        message(desk, over, uuid4(), channel="console"),
        message(desk, mine, report.id, channel="console"),  # it is at work, and not stood down
    ):
        refused(desk, desk.police, *row)
    assert by_hand(desk, desk.police, *message(desk, over, report.id, channel="console")) == 1


def test_endpoint_of_an_organisation_carries_no_alert_by_hand(desk):
    report = desk.report(STORY)
    webhook = uuid4()
    desk.do(
        "insert into webhooks (id, organisation_id, key_version, wrapped_key, url, secret,"
        " event_types, description, starts_after, created_at, updated_at)"
        " values (%s, %s, 1, '', '', '', '{}', '', 0, %s, %s)",
        webhook,
        desk.operator.organisation_id,
        NOW,
        NOW,
    )
    alert = desk.alert_of(desk.first)
    to_it = {"channel": "webhook", "target": webhook, "message": "ping"}
    refused(desk, desk.operator, *message(desk, alert, report.id, **to_it))
    refused(desk, desk.police, *message(desk, None, None, **to_it))
    assert by_hand(desk, desk.operator, *message(desk, None, None, **to_it)) == 1


def test_address_is_that_of_nobody_in_another_organisation(desk):
    def address(person):
        return (
            (
                "insert into addresses (id, organisation_id, team_id, staff_id, channel, name,"
                " key_version, address, fingerprint, created_at)"
                " values (uuid_v7(), %s, %s, %s, 'sms', '', 1, '', '', %s)"
            ),
            desk.police.organisation_id,
            desk.first,
            person.staff_id,
            NOW,
        )

    refused(desk, desk.police, *address(desk.operator))
    assert by_hand(desk, desk.police, *address(desk.police)) == 1


# --- where teams are


def test_where_a_team_is_is_read_by_its_organisation_and_its_control_room_alone(
    desk, client, signed_in
):
    put = client.put(
        f"/v1/teams/{WireId.of('team', desk.first)}/position",
        json={
            "position": {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]},
            "fixed_at": NOW.isoformat(),
        },
        headers=signed_in["Robin"],
    )
    assert put.status_code == 200, put.text
    address = f"/v1/teams/{WireId.of('team', desk.first)}"
    for who, status in (("Robin", 200), ("Casey", 200), ("Ali", 404), ("Jo", 404)):
        assert client.get(address, headers=signed_in[who]).status_code == status, who
    for column in ("position", "position_at", "position_accuracy_m", "*"):
        for who in (desk.operator, desk.police):
            refused(desk, who, f"select {column} from teams")  # noqa: S608 - names of this file
    refused(desk, desk.operator, "select t from teams t")
    refused(desk, desk.operator, "update teams set name = name where position_at > now()")
    asked = "select place.fixed_at is not null from place_of_team(%s) place"
    for who, shown in (
        (desk.police, True),
        (desk.control, True),
        (desk.operator, False),
        (desk.hub_host, False),
    ):
        assert by_hand(desk, who, asked, desk.first) == [(shown,)], who.name
    moved = "select move_team(%s, 'POINT(0 51)'::geography, %s, 1, %s)"
    later = NOW + timedelta(minutes=1)
    for who in (desk.operator, desk.control):
        assert by_hand(desk, who, moved, desk.first, later, later) == [(False,)], who.name


# --- everything that there is


@pytest.fixture
def busy(desk, client, signed_in, step, note):
    """A night with a row in every table that staff write."""
    report = desk.report(WANTS_HUB)
    step("Jo", desk.hub, "acknowledge")
    step("Jo", desk.hub, "arrival", {"status": "arrived"})
    for name in ("acknowledge", "en-route", "on-scene"):
        step("Robin", desk.first, name)
    assert note("Robin", report, "Zmark.") == 201
    shift = {"kind": "recurring", "rule": "24/7"}
    team = f"/v1/teams/{WireId.of('team', desk.first)}/shifts"
    assert client.post(team, json=shift, headers=signed_in["Robin"]).status_code == 201
    square = [[[-0.2, 51.5], [-0.1, 51.5], [-0.1, 51.6], [-0.2, 51.6], [-0.2, 51.5]]]
    shape = {"type": "Polygon", "coordinates": square}
    drawn = client.post(
        team.replace("/shifts", "/coverages"),
        json={"name": "Ours", "shape": shape},
        headers=signed_in["Robin"],
    )
    assert drawn.status_code == 201


def test_stranger_reads_no_row_of_anything_that_belongs_to_somebody(desk, busy):
    readable = desk.rows(
        "select relname from pg_class where relrowsecurity and not relispartition"
        " and has_any_column_privilege('waylight_staff', oid, 'select')"
    )
    found = {}
    for row in readable:
        table = row["relname"]
        with desk.database.staff(uuid4()) as conn:
            found[table] = conn.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
    # Which organisations, teams and hubs there are is for everybody to know, and the city's areas.
    public = {"organisations", "teams", "hubs", "areas", "area_parts"}
    assert {table for table, rows in found.items() if rows} == public
    with desk.database.staff(uuid4()) as conn:
        assert conn.execute("select code from areas").fetchall() == [("all",)]
        assert conn.execute("select count(*) from area_parts").fetchone() == (1,)
    assert {"incident_notes", "check_ins", "engagements", "shifts", "hub_arrivals"} <= set(found)


def test_stranger_changes_no_row_and_takes_none_away(desk, busy):
    columns = desk.rows(
        "select relname, attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where relkind in ('r', 'p') and not relispartition and attnum > 0 and not attisdropped"
        " and has_column_privilege('waylight_staff', c.oid, attnum, 'update')"
    )
    tables = desk.rows(
        "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
        " and has_table_privilege('waylight_staff', oid, 'delete')"
    )
    tried = [f"update {row['relname']} set {row['attname']} = default" for row in columns]  # noqa: S608 - names of the catalogue
    tried += [f"delete from {row['relname']}" for row in tables]  # noqa: S608 - the same
    assert len(tried) > 40
    for statement in tried:
        with desk.database.staff(uuid4()) as conn:
            assert conn.execute(statement).rowcount == 0, statement
