"""What staff read of an incident: everything that happened, as far as they were granted it."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.desk import NOW, P1, P2
from tests.services.incidents.conftest import LATER, MINUTE
from waylight.db.incidents import reading
from waylight.domain.alerts import DeclineCause, Ending, Outcome, Result
from waylight.domain.errors import NotAllowed, NotFound
from waylight.domain.principals import Kind
from waylight.domain.reports import Want
from waylight.services import alerts, audit, incidents
from waylight.services.reports import shared

STORY = replace(P2, narrative="He got on at King's Cross.")


def kinds(entries):
    return [entry.kind for entry in entries]


@pytest.fixture
def evening(desk, room, claim, record):
    """A report, declined by one team and closed by the next; its incident."""
    report = desk.report(STORY)
    record(claim()[0], Outcome(Result.FAILED, detail="no line"))
    incident = room.of(report)
    desk.read(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=2))
    desk.decline(
        desk.police,
        desk.alert_of(desk.first),
        cause=DeclineCause.BUSY,
        note="Both of us are at Euston.",
        now=NOW + timedelta(seconds=3),
    )
    alert = desk.alert_of(desk.second)
    desk.acknowledge(desk.operator, alert, now=NOW + timedelta(seconds=9))
    room.note(desk.operator, incident, now=NOW + timedelta(seconds=10))
    room.close(desk.operator, alert, ending=Ending.NO_TRACE, note="Nobody there.", now=LATER)
    return incident


def test_timeline_is_everything_in_order_as_one_list(desk, room, evening):
    entries = room.timeline(desk.control, evening)
    assert kinds(entries) == [
        "report.received",
        "alert.created",
        "delivery.attempted",
        "alert.seen",
        "incident.note_added",
        "alert.declined",
        "alert.created",
        "alert.escalated",
        "alert.acknowledged",
        "incident.note_added",
        "incident.note_added",
        "alert.closed",
        "incident.closed",
    ]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    received = entries[0]
    assert [choice.name for choice in received.choices] == ["First", "Second", "Third", "Room"]
    assert received.choices[0].reasons
    (attempt,) = [entry for entry in entries if entry.kind == "delivery.attempted"]
    assert attempt.data["channel"] == "console"
    assert (attempt.data["outcome"], attempt.data["attempt"]) == ("failed", 1)
    assert attempt.told.team.name == "First"
    closed = next(entry for entry in entries if entry.kind == "alert.closed")
    assert closed.data["outcome"] == "no_trace"
    assert [entry.note for entry in entries if entry.note] == [
        "Both of us are at Euston.",
        "He left at Euston.",
        "Nobody there.",
    ]


def test_people_have_names_within_their_own_organisation_only(desk, room, evening):
    for who, known in ((desk.police, {"Robin"}), (desk.operator, {"Ali"}), (desk.control, set())):
        entries = room.timeline(who, evening)
        assert {entry.by.person for entry in entries if entry.by and entry.by.person} == known
        acted = {(e.by.organisation, e.by.role) for e in entries if e.by}
        assert acted == {("Police", "officer"), ("Operator", "officer")}


def test_timeline_goes_on_page_by_page_without_gap_or_repeat(desk, room, evening):
    whole = [(e.at, e.rank, e.id) for e in room.timeline(desk.control, evening)]
    found, after = [], None
    while True:
        page = room.timeline(desk.control, evening, limit=3, after=after)
        if not page:
            break
        found += [(e.at, e.rank, e.id) for e in page]
        after = found[-1]
        assert len(found) <= len(whole)
    assert found == whole


def test_reading_is_audited_report_by_report(desk, room, evening):
    desk.do("alter table audit_entries disable trigger all")
    desk.do("delete from audit_entries")
    room.timeline(desk.control, evening, request_id="r-1")
    rows = desk.rows("select action, report_id, request_id, staff_id from audit_entries")
    assert {row["action"] for row in rows} == {"report.read", "notes.read"}
    assert {row["request_id"] for row in rows} == {"r-1"}
    room.read(desk.police, evening)
    (row,) = desk.rows("select * from audit_entries where staff_id = %s", desk.police.staff_id)
    assert (row["action"], row["incident_id"]) == ("report.read", evening)


def test_page_that_begins_behind_a_report_is_a_reading_of_it_all_the_same(desk, room, evening):
    first, *_ = room.timeline(desk.control, evening)
    desk.do("alter table audit_entries disable trigger all")
    desk.do("delete from audit_entries")
    after = (first.at, first.rank, first.id)
    entries = room.timeline(desk.control, evening, limit=2, after=after)
    assert "report.received" not in kinds(entries)
    assert desk.rows("select action, report_id, staff_id from audit_entries") == [
        {
            "action": "report.read",
            "report_id": first.report_id,
            "staff_id": desk.control.staff_id,
        }
    ]


def test_report_that_was_not_granted_is_not_in_the_timeline(desk, room, evening):
    desk.do(
        "update grants set revoked_at = now() where organisation_id = %s",
        desk.operator.organisation_id,
    )
    entries = room.timeline(desk.operator, evening)
    assert not {"report.received", "alert.created", "alert.seen", "delivery.attempted"} & set(
        kinds(entries)
    )
    assert all(entry.report_id is None for entry in entries)
    assert room.read(desk.operator, evening).reports == ()


def test_incident_is_there_for_those_who_act_on_it_or_oversee_it_alone(desk, room):
    report = desk.report(replace(STORY, wants=(Want.HELP, Want.POLICE, Want.HUB)))
    incident = room.of(report)
    for who in (desk.police, desk.control):
        assert room.read(who, incident).incident.id == incident
        assert [one.id for one in listed(desk, who)] == [incident]
    # The operator was not told; the hub was, to expect somebody, and has no part in it.
    assert desk.alert_of(desk.hub)
    for who in (desk.operator, desk.hub_host):
        for look in (room.read, room.timeline, room.note):
            with pytest.raises(NotFound):
                look(who, incident)
        assert listed(desk, who) == []
    assert desk.rows("select from incident_notes") == []


def listed(desk, who, **filters):
    return incidents.list_incidents(desk.database, desk.vault, who, now=LATER, **filters)


def test_list_is_filtered_by_state_and_priority_newest_first(desk, room, west):
    lesser, graver = desk.report(P2), desk.report(P1, at=west, now=LATER)
    for who in (desk.control, desk.police):
        found = listed(desk, who)
        assert [one.id for one in found] == [room.of(graver), room.of(lesser)]
        assert [one.id for one in listed(desk, who, priorities=(1,))] == [room.of(graver)]
        assert listed(desk, who, states=("closed",)) == []
        assert [one.id for one in listed(desk, who, after=room.of(graver))] == [room.of(lesser)]
    desk.acknowledge(desk.police, room.alert(room.of(graver), desk.first), now=LATER)
    (newest, _) = listed(desk, desk.control)
    assert (newest.held_by.team.name, newest.held_by.organisation) == ("First", "Police")


def looks(desk, who):
    """The reports that a person has an entry of a list about, as often as they have."""
    return Counter(
        row["report_id"]
        for row in desk.rows(
            "select report_id from audit_entries where action = 'report.listed'"
            " and staff_id = %s and organisation_id = %s",
            who.staff_id,
            who.organisation_id,
        )
    )


def test_first_look_at_the_list_is_audited_for_each_report_of_its_incidents(desk, room, west):
    first, joined = desk.report(P2), desk.report(P2, now=NOW + timedelta(seconds=5))
    far = desk.report(P1, at=west, now=LATER)
    assert joined.joined
    for _ in range(2):
        listed(desk, desk.control, limit=1, request_id="r-1")
        assert looks(desk, desk.control) == Counter([far.id])
    listed(desk, desk.control, after=room.of(far))
    assert looks(desk, desk.control) == Counter([far.id, first.id, joined.id])
    (entry,) = desk.rows("select * from audit_entries where report_id = %s", far.id)
    assert (entry["incident_id"], entry["alert_id"]) == (room.of(far), None)
    assert (entry["request_id"], entry["key_id"]) == ("r-1", desk.control.key_id)
    # A report that came since, and a colleague who has not looked yet.
    more = desk.report(P2, now=NOW + timedelta(seconds=9))
    listed(desk, desk.control)
    assert looks(desk, desk.control)[more.id] == 1
    assert looks(desk, desk.police) == Counter()


def test_list_audits_no_report_that_the_caller_does_not_read(desk, room):
    report = desk.report(P2)
    desk.do(
        "update grants set revoked_at = now() where organisation_id = %s and report_id = %s",
        desk.police.organisation_id,
        report.id,
    )
    assert [one.id for one in listed(desk, desk.police)] == [room.of(report)]
    assert looks(desk, desk.police) == Counter()
    assert listed(desk, desk.operator) == []
    assert looks(desk, desk.operator) == Counter()


def test_what_was_read_before_is_not_listed_once_more_by_another_key_of_its_reader(desk, room):
    report = desk.report(P2)
    room.read(desk.control, room.of(report))
    for key in (desk.control.key_id, uuid4()):
        listed(desk, replace(desk.control, key_id=key))
    assert looks(desk, desk.control) == Counter()
    for _ in range(2):
        listed(desk, replace(desk.police, key_id=None, is_session=True))
        listed(desk, desk.police)
    assert looks(desk, desk.police) == Counter([report.id])


def test_caller_who_is_no_person_sees_no_list_and_writes_no_entry(desk):
    desk.report(P2)
    program = replace(desk.police, kind=Kind.CLIENT, staff_id=None)
    for look in (incidents.list_incidents, alerts.list_alerts, shared.list_shared):
        with pytest.raises(NotAllowed):
            look(desk.database, desk.vault, program, now=NOW)
    with desk.database.staff(desk.police.organisation_id) as conn, pytest.raises(NotAllowed):
        audit.write_first_looks(conn, desk.vault, [], principal=program, now=NOW)
    assert desk.rows("select from audit_entries") == []


def test_list_takes_as_many_statements_for_many_reports_as_for_one(desk, west, monkeypatch):
    sent = []
    execute, execute_many = psycopg.Cursor.execute, psycopg.Cursor.executemany

    def noted(self, query, *args, **kwargs):
        sent.append(query)
        return execute(self, query, *args, **kwargs)

    def noted_many(self, query, *args, **kwargs):
        sent.append(query)
        return execute_many(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    monkeypatch.setattr(psycopg.Cursor, "executemany", noted_many)

    def statements():
        sent.clear()
        found = listed(desk, desk.control)
        return len(found), len([one for one in sent if not one.lstrip().startswith("set ")])

    desk.report(P2)
    (one, first), (_, again) = statements(), statements()
    for seconds in range(5, 9):
        desk.report(P2, now=NOW + timedelta(seconds=seconds))
        desk.report(P1, at=west, now=NOW + timedelta(seconds=seconds))
    (more, first_of_many), (_, again_of_many) = statements(), statements()
    assert (one, more) == (1, 2)
    assert sum(looks(desk, desk.control).values()) == 9
    assert first == first_of_many == again + 1
    assert again == again_of_many


# --- notes


def test_note_is_sealed_and_never_changed(desk, room):
    incident = room.of(desk.report())
    room.note(desk.police, incident, "Zmark red coat")
    (row,) = desk.rows("select * from incident_notes")
    assert b"Zmark" not in row["note"]
    assert "Zmark" not in str(desk.events())
    assert (row["organisation_id"], row["staff_id"]) == (
        desk.police.organisation_id,
        desk.police.staff_id,
    )
    sealed = row["id"], row["key_version"], row["wrapped_key"]
    assert desk.vault.open(*sealed, "note", row["note"]) == "Zmark red coat"
    for statement in (
        "update incident_notes set note = null",
        "delete from incident_notes",
        "update report_redactions set redacted = ''",
    ):
        with (
            pytest.raises(Exception, match="permission denied"),
            desk.database.staff(desk.police.organisation_id) as conn,
        ):
            conn.execute(statement)


def test_note_sent_twice_with_one_key_is_one_note(desk, room):
    incident = room.of(desk.report())
    once = room.note(desk.police, incident, idempotency_key="k")
    twice = room.note(desk.police, incident, idempotency_key="k", now=LATER + MINUTE)
    assert (once.id, once.at) == (twice.id, twice.at)
    room.note(desk.control, incident, idempotency_key="k")
    room.note(desk.police, incident, idempotency_key="other")
    assert len(desk.rows("select from incident_notes")) == 3
    assert len(desk.events("incident.note_added")) == 3


def test_database_shows_a_note_to_nobody_who_has_no_part_in_the_incident(desk, room):
    incident = room.of(desk.report(replace(STORY, wants=(Want.HELP, Want.POLICE, Want.HUB))))
    room.note(desk.police, incident)
    for who, seen in (
        (desk.police, 1),
        (desk.control, 1),
        (desk.operator, 0),
        (desk.hub_host, 0),
    ):
        with desk.database.staff(who.organisation_id) as conn:
            assert len(conn.execute("select from incident_notes").fetchall()) == seen
    with (
        pytest.raises(Exception, match="row-level security"),
        desk.database.staff(desk.operator.organisation_id) as conn,
    ):
        conn.execute(
            "insert into incident_notes (id, incident_id, organisation_id, staff_id, kind, at,"
            " key_version) values (uuid_v7(), %s, %s, %s, 'note', now(), 1)",
            [incident, desk.operator.organisation_id, desk.operator.staff_id],
        )


def test_passenger_never_reads_a_note(desk, room):
    report = desk.report()
    before = room.told(report)
    room.note(desk.police, room.of(report))
    assert room.told(report) == before


def test_note_whose_key_is_gone_is_an_entry_without_words(desk, room):
    incident = room.of(desk.report())
    room.note(desk.police, incident)
    desk.do("update incident_notes set wrapped_key = null")
    (entry,) = [e for e in room.timeline(desk.police, incident) if e.kind == "incident.note_added"]
    assert entry.note is None


def test_page_for_a_control_room_reads_the_grants_of_that_page_alone(desk, monkeypatch):
    """A hash table of all that it ever oversaw takes longer with every report there is."""
    for hour in range(60):
        desk.report(P2, now=NOW + timedelta(hours=hour))
    desk.do("analyze")
    plans = []

    def explained(conn, statement, values):
        plans.append("\n".join(row[0] for row in conn.execute(f"explain {statement}", values)))
        return []

    monkeypatch.setattr(reading, "fetch_all", explained)
    control = desk.control.organisation_id
    with desk.database.staff(control) as conn:
        reading.page(conn, control, states=None, priorities=None, after=None, limit=51)
    assert len(plans) == 1
    assert "hashed" not in plans[0]
