"""Notes that staff read and write who are at work, were stood down or have closed it."""

from datetime import timedelta

from schemas.common import WireId
from tests.api.rights_by_hand.stories import STORY, WEST, incident_of
from tests.by_hand import by_hand, refused
from tests.desk import NOW


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
