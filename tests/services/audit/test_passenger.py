"""What passengers are told of who read their report: organisation and role, never which person."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from tests.desk import NOW
from tests.staff import enter, person
from waylight import texts
from waylight.db import events
from waylight.domain import roles
from waylight.domain.principals import Kind
from waylight.domain.roles import Role
from waylight.services import alerts, incidents, keys
from waylight.services.alerts import list_alerts
from waylight.services.reports import my_report, redactions

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def report(desk):
    return desk.report()


def readers(desk, report):
    """Who has read, as the passenger's timeline says it."""
    told = my_report(desk.database, desk.vault, report.receipt).timeline
    return [
        (entry.code, entry.params["organisation"], entry.params["role"])
        for entry in told
        if entry.code in ("seen", "read")
    ]


def test_the_first_reading_by_each_role_of_each_organisation_is_told_once(desk, report):
    alert = desk.alert_of(desk.first)
    for minute in range(2):
        for who in (desk.police, replace(desk.police, role="dispatcher"), desk.control):
            desk.read(who, alert, now=NOW + timedelta(minutes=minute))
    assert readers(desk, report) == [
        ("seen", "Police", "officer"),
        ("read", "Police", "dispatcher"),
        ("read", "Control", "controller"),
    ]


def test_passenger_reads_a_word_of_ours_and_the_log_the_roles_whatever_somebody_calls_their_job(
    desk, report
):
    robin = person(desk, roles=(Role.RESPONDER, Role.DISPATCHER))
    desk.do("update staff set role = 'Kim of flat 4, support_worker' where id = %s", robin.id)
    session = enter(desk, robin)
    who = keys.authenticate(desk.database, desk.vault, session.token, now=NOW)
    assert who is not None
    desk.read(who, desk.alert_of(desk.first))
    assert readers(desk, report) == [("seen", "Police", "responder")]
    desk.acknowledge(who, desk.alert_of(desk.first))
    told = my_report(desk.database, desk.vault, report.receipt).timeline
    assert not any("Kim" in str(entry.params) for entry in told)
    said = desk.rows("select distinct role from audit_entries where staff_id = %s", robin.id)
    assert [row["role"] for row in said] == ["dispatcher,responder"]


def test_job_that_was_written_into_an_event_before_is_told_to_nobody(desk, report):
    desk.read(replace(desk.police, role="Kim of flat 4"), desk.alert_of(desk.first))
    told = my_report(desk.database, desk.vault, report.receipt).timeline
    assert not any("Kim" in str(entry.params) for entry in told)


@pytest.mark.parametrize(
    ("job", "has", "scopes", "word"),
    [
        ("officer", ["responder"], [], "officer"),
        ("dispatcher", ["responder", "dispatcher"], [], "dispatcher"),
        ("support_worker", ["responder"], [], "responder"),
        ("Head of everything", ["administrator", "analyst"], [], "analyst"),
        ("analyst", [], [], "analyst"),
        ("night desk", [], ["alerts:read", "incidents:manage"], "dispatcher"),
        ("night desk", [], [], "responder"),
    ],
)
def test_word_is_one_of_ours_and_theirs(job, has, scopes, word):
    assert roles.word_of(job, roles=has, scopes=scopes) == word
    assert word in roles.WORDS
    assert word in texts.section("roles", "en")


def test_a_reader_is_told_by_whatever_way_they_read(desk, report):
    incident = desk.incident()["id"]
    looking = {"principal": desk.control, "now": LATER}
    ways = (
        lambda: incidents.read_incident(desk.database, desk.vault, **looking, incident_id=incident),
        lambda: incidents.read_timeline(desk.database, desk.vault, **looking, incident_id=incident),
        lambda: redactions.read_original(desk.database, desk.vault, **looking, report_id=report.id),
    )
    for way in ways:
        desk.do("delete from events where kind = 'report.read'")
        assert readers(desk, report) == []
        way()
        assert readers(desk, report) == [("read", "Control", "controller")]


@pytest.mark.parametrize("step", [alerts.acknowledge, alerts.decline])
def test_answer_to_a_step_shows_the_report_too_and_is_told_as_it_is_audited(desk, report, step):
    others = {"channels": ("console",)} if step is alerts.decline else {}
    step(
        desk.database,
        desk.vault,
        principal=desk.police,
        alert_id=desk.alert_of(desk.first),
        now=LATER,
        **others,
    )
    entries = desk.rows("select action, staff_id from audit_entries")
    assert entries == [{"action": "report.read", "staff_id": desk.police.staff_id}]
    assert readers(desk, report) == [("read", "Police", "officer")]
    desk.read(desk.police, desk.alert_of(desk.first), now=LATER)
    assert {one for one in readers(desk, report) if one[0] == "read"} == {
        ("read", "Police", "officer")
    }


def test_answer_by_text_shows_nothing_and_nobody_is_told_to_have_read(desk, report):
    by_text = replace(desk.police, kind=Kind.PROVIDER)
    desk.acknowledge(by_text, desk.alert_of(desk.first))
    assert desk.rows("select from audit_entries") == []
    assert readers(desk, report) == []


def test_no_name_of_a_person_is_told(desk, report):
    desk.read(desk.police, desk.alert_of(desk.first))
    desk.read(desk.control, desk.alert_of(desk.first))
    told = repr(my_report(desk.database, desk.vault, report.receipt).timeline)
    assert "Police" in told
    assert "Robin" not in told
    assert "Casey" not in told


def test_a_look_at_the_list_is_no_reading(desk, report):
    list_alerts(desk.database, desk.vault, desk.police, now=NOW)
    assert readers(desk, report) == []


def test_another_passenger_of_the_incident_is_not_told_who_read_this_one(desk, report):
    other = desk.report(now=LATER)
    assert other.joined
    desk.do("delete from events where kind = 'report.read'")
    redactions.read_original(
        desk.database, desk.vault, principal=desk.control, report_id=report.id, now=LATER
    )
    assert readers(desk, report) == [("read", "Control", "controller")]
    assert readers(desk, other) == []


def test_nobody_says_by_hand_that_they_read_what_they_were_not_granted(desk, report):
    def say(who, **others):
        with desk.database.staff(who.organisation_id) as conn:
            events.write(
                conn,
                events.Event(
                    "report.read",
                    NOW,
                    report_id=report.id,
                    **{"organisation_id": who.organisation_id, "staff_id": who.staff_id} | others,
                ),
            )

    say(desk.police)
    for who, others in (
        (desk.operator, {}),
        (desk.police, {"organisation_id": desk.control.organisation_id}),
        (desk.police, {"staff_id": desk.control.staff_id}),
        (desk.police, {"alert_id": desk.alert_of(desk.first)}),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            say(who, **others)
