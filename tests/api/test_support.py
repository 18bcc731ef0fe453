"""What support workers write: theirs alone, while consent holds, under keys of its own."""

from dataclasses import replace

import psycopg
import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, keys_for
from waylight.domain.reports import ShareWith, Want
from waylight.domain.roles import SCOPES, Role
from waylight.services import support
from waylight.services.context import Waylight
from waylight.services.keys import SCOPES as ALL
from waylight.services.operations import rotation
from waylight.vault import Vault, VaultError

STORY = replace(P2, narrative="He got on at King's Cross.", wants=(Want.HELP, Want.POLICE))
WORDS = "Would like to be called after 18:00."
SUPPORT = frozenset(SCOPES[Role.SUPPORT_WORKER])


@pytest.fixture
def people(desk):
    """A support worker, one of another support service, and all others, with every scope."""

    def works_for(key, kind):
        (row,) = desk.rows(
            "insert into organisations (city_id, key, name, kind)"
            " select id, %s, %s, %s from cities returning id",
            key,
            key.title(),
            kind,
        )
        (staff,) = desk.rows(
            "insert into staff (organisation_id, name, role) values (%s, %s, 'support_worker')"
            " returning id",
            row["id"],
            f"{key.title()} worker",
        )
        return replace(
            desk.police,
            organisation_id=row["id"],
            staff_id=staff["id"],
            name=f"{key.title()} worker",
            role="support_worker",
            scopes=SUPPORT,
        )

    return {
        "noor": works_for("harbour", "support_service"),
        "robin": replace(desk.police, scopes=frozenset(ALL)),
        "ali": replace(desk.operator, scopes=frozenset(ALL)),
        "casey": replace(desk.control, scopes=frozenset(ALL)),
        "jo": replace(desk.hub_host, scopes=frozenset(ALL)),
    }


@pytest.fixture
def call(desk, client, people):
    tokens = {name: keys_for(desk, [person])[person] for name, person in people.items()}

    def call(who, report, text=None):
        path = f"/v1/shared-reports/{WireId.of('report', report.id)}/support-notes"
        headers = {"Authorization": f"Bearer {tokens[who]}"}
        if text is None:
            return client.get(path, headers=headers)
        return client.post(path, json={"text": text}, headers=headers)

    return call


@pytest.fixture
def mine(client):
    def mine(report, method, path):
        headers = {"Authorization": f"Receipt {report.receipt}"}
        answer = client.open(f"/v1/reports/mine{path}", method=method, headers=headers)
        assert answer.status_code in (200, 204), answer.text
        return answer.json if answer.status_code == 200 else None

    return mine


def consents(report, mine):
    return mine(report, "PUT", "/consents/support")


def rows(desk, who, statement, *values, reads_as="support"):
    with desk.database.staff(who.organisation_id, reads_as=reads_as) as conn:
        return conn.execute(statement, values).fetchall()


def test_support_worker_reads_and_writes_while_consent_holds(desk, call, mine, people):
    report = desk.report(STORY)
    assert call("noor", report).status_code == call("noor", report, WORDS).status_code == 404
    consents(report, mine)
    assert call("noor", report).json == {"items": []}
    written = call("noor", report, WORDS)
    assert (written.status_code, written.json["text"]) == (201, WORDS)
    call("noor", report, "And not before.")
    texts = [(one["by"], one["text"]) for one in call("noor", report).json["items"]]
    assert texts == [("Harbour worker", WORDS), ("Harbour worker", "And not before.")]
    assert len(desk.rows("select from support_cases")) == 1


def test_nobody_else_reads_a_row_or_learns_that_there_is_one(desk, call, mine, people):
    report = desk.report(replace(STORY, share_with=(ShareWith.POLICE, ShareWith.OPERATOR)))
    consents(report, mine)
    call("noor", report, WORDS)
    for who in ("robin", "ali", "casey", "jo"):
        with_notes = call(who, report)
        without = call(who, desk.report(STORY))
        assert (with_notes.status_code, with_notes.json["detail"]) == (
            without.status_code,
            without.json["detail"],
        )
        assert call(who, report, "x").status_code == 404
        for table in ("support_cases", "support_notes"):
            for reads_as in ("support", "analyst", None):
                query = f"select from {table}"
                assert rows(desk, people[who], query, reads_as=reads_as) == []
    for table in ("support_cases", "support_notes"):
        query = f"select from {table}"
        assert len(rows(desk, people["noor"], query)) == 1
        for reads_as in ("analyst", None):
            assert rows(desk, people["noor"], query, reads_as=reads_as) == []


def test_nobody_writes_into_the_case_of_another(desk, call, mine, people):
    report = desk.report(replace(STORY, share_with=(ShareWith.POLICE,)))
    consents(report, mine)
    call("noor", report, WORDS)
    (case,) = desk.rows("select id, organisation_id from support_cases")
    note = (
        "insert into support_notes (id, case_id, organisation_id, staff_id, at, note)"
        " values (uuid_v7(), %s, %s, %s, now(), '')"
    )
    for who in ("robin", "casey"):
        person = people[who]
        for organisation_id in (person.organisation_id, case["organisation_id"]):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rows(desk, person, note, case["id"], organisation_id, person.staff_id)
    opened = (
        "insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,"
        " key_version, wrapped_key) values (uuid_v7(), %s, acting_organisation(), now(), %s, 1, '')"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(desk, people["robin"], opened, report.id, people["robin"].staff_id)


def test_nobody_else_tells_the_passenger_of_notes(desk, mine, people):
    report = desk.report(replace(STORY, share_with=(ShareWith.POLICE,)))
    consents(report, mine)
    said = (
        "insert into events (kind, at, organisation_id, report_id, staff_id)"
        " values ('support.%s', now(), acting_organisation(), %%s, %%s)"
    )
    for who, kind in (("robin", "note_added"), ("casey", "erased"), ("noor", "erased")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(desk, people[who], said % kind, report.id, people[who].staff_id)


def test_intake_reads_no_note(desk, call, mine):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    for statement in (
        "select note from support_notes",
        "update support_notes set note = ''",
        "insert into support_notes (id) values (uuid_v7())",
        "insert into support_cases (id) values (uuid_v7())",
        "delete from support_cases",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            desk.database.intake() as conn,
        ):
            conn.execute(statement)


@pytest.mark.parametrize("way", ["consent", "asked"])
def test_it_is_destroyed_with_its_key_when_consent_is_taken_back_and_when_asked(
    desk, call, mine, way
):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    (before,) = desk.rows("select * from support_cases")
    assert before["wrapped_key"] is not None
    if way == "consent":
        mine(report, "DELETE", "/consents/support")
        assert call("noor", report).status_code == 404
    else:
        mine(report, "DELETE", "/support-notes")
        mine(report, "DELETE", "/support-notes")
        assert call("noor", report).json == {"items": []}
    (after,) = desk.rows("select * from support_cases")
    assert (after["wrapped_key"], after["destroyed_at"] is None) == (None, False)
    assert desk.rows("select from support_notes") == []
    consents(report, mine)
    assert call("noor", report).json == {"items": []}
    call("noor", report, "Anew.")
    assert len(desk.rows("select from support_cases")) == 2
    codes = [one["code"] for one in mine(report, "GET", "")["timeline"]]
    assert codes.count("support_erased") == 1
    assert codes.count("support_noted") == 2


def test_it_is_sealed_by_keys_of_its_own(desk, call, mine, vault):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    (case,) = desk.rows("select * from support_cases")
    (note,) = desk.rows("select * from support_notes")
    name = f"note {note['id']}"
    sealed = (case["id"], case["key_version"], case["wrapped_key"], name, note["note"])
    assert vault.support is not None
    assert vault.support.open(*sealed) == WORDS
    with pytest.raises(VaultError):
        vault.open(*sealed)
    assert WORDS.encode() not in bytes(note["note"])


def test_without_a_support_key_the_store_is_shut_and_the_rest_works(app, desk, call, mine):
    report = desk.report(STORY)
    consents(report, mine)
    without = replace(desk.settings, support_keys={})
    app.extensions["waylight"] = Waylight(without, desk.database, Vault(without))
    answer = call("noor", report, WORDS)
    assert (answer.status_code, answer.json["code"]) == (409, "state_conflict")
    assert mine(report, "DELETE", "/consents/support")["items"]


def test_case_whose_key_is_lost_takes_no_note_and_says_whose_matter_it_is(app, desk, call, mine):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    for keys in ({1: bytes(range(32))}, {9: bytes(range(32))}):
        other = replace(desk.settings, support_keys=keys)
        app.extensions["waylight"] = Waylight(other, desk.database, Vault(other))
        answer = call("noor", report, "More.")
        assert (answer.status_code, answer.json["code"]) == (409, "state_conflict")
        assert "WAYLIGHT_SUPPORT_KEYS" in answer.json["detail"]
        assert [one["text"] for one in call("noor", report).json["items"]] == [None]
    assert len(desk.rows("select from support_notes")) == 1


def test_its_keys_are_wrapped_anew_by_a_new_support_key_and_counted_apart(desk, call, mine, people):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    newer = replace(desk.settings, support_keys={**desk.settings.support_keys, 2: bytes(range(32))})
    vault = Vault(newer)
    done = rotation.rewrap(desk.database, vault, progress=lambda _: None)
    assert done.failed == ()
    needed = {
        state.version: state.needed_by
        for state in rotation.states(desk.database, vault)
        if state.purpose == "support"
    }
    assert needed == {1: 0, 2: 1}
    alone = Vault(replace(newer, support_keys={2: bytes(range(32))}))
    (note,) = support.list_notes(desk.database, alone, people["noor"], report.id, now=NOW)
    assert note.text == WORDS


def test_reading_and_writing_are_in_the_audit_log_of_the_support_service_alone(
    desk, call, mine, people
):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    call("noor", report)
    entries = desk.rows(
        "select action, organisation_id from audit_entries where action like 'support%%'"
    )
    assert [row["action"] for row in entries] == ["support.written", "support.read"]
    assert {row["organisation_id"] for row in entries} == {people["noor"].organisation_id}
    told = desk.rows("select * from events where kind = 'support.note_added'")
    assert WORDS not in str(told)


@pytest.mark.parametrize("way", ["/consents/support", "/support-notes"])
def test_what_is_destroyed_is_in_the_audit_log_once_whatever_destroys_it(
    desk, call, mine, people, way
):
    report = desk.report(STORY)
    consents(report, mine)
    call("noor", report, WORDS)
    for _ in range(2):
        mine(report, "DELETE", way)
    entries = desk.rows(
        "select report_id, organisation_id from audit_entries where action = 'support.erased'"
    )
    assert [(row["report_id"], row["organisation_id"]) for row in entries] == [
        (report.id, people["noor"].organisation_id)
    ]


def test_of_two_support_services_none_is_chosen_by_a_tick(desk, mine, people):
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'other', 'Other', 'support_service' from cities"
    )
    report = desk.report(replace(STORY, share_with=(ShareWith.SUPPORT,)))
    (item,) = (
        one for one in mine(report, "GET", "/consents")["items"] if one["recipient"] == "support"
    )
    assert (item["given_at"], item["unavailable"]["code"]) == (None, "nobody_there")


def test_support_ticked_with_the_report_gives_consent(desk, call, mine, people):
    report = desk.report(replace(STORY, share_with=(ShareWith.SUPPORT,)))
    assert "shared_support" in [reason.code for reason in report.safety_card.who_sees_this]
    assert call("noor", report).status_code == 200
    items = mine(report, "GET", "/consents")["items"]
    assert [one["given_at"] is not None for one in items] == [False, False, True]


def test_whoever_wants_support_only_and_ticks_it_is_read_by_support_alone(
    desk, call, people, client
):
    only = replace(STORY, wants=(Want.SUPPORT_ONLY,), share_with=(ShareWith.SUPPORT,))
    report = desk.report(only)
    assert call("noor", report).status_code == 200
    assert desk.rows("select from alerts") == []
    assert len(desk.rows("select from grants")) == 1
