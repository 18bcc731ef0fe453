"""The audit log over the wire: an auditor reads all of the own organisation's, and nothing else."""

import ast
import csv
import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from schemas import audit as schemas
from schemas.common import WireId
from tests.desk import NOW, P2, SCOPES, keys_for
from waylight.domain.audit import ACTIONS, Entry
from waylight.services import audit

AUDITING = SCOPES | {"audit:read"}
STORY = replace(P2, narrative="He wore a zebrafinch coat.")


@pytest.fixture
def signed_in(desk):
    people = [
        replace(person, scopes=AUDITING) for person in (desk.police, desk.operator, desk.control)
    ]
    return {
        person.name: {"Authorization": f"Bearer {token}"}
        for person, token in keys_for(desk, people).items()
    }


@pytest.fixture
def report(desk):
    """One report that Robin of the police and Casey of the control room have read."""
    report = desk.report(STORY)
    alert = desk.alert_of(desk.first)
    for minute, who in enumerate((desk.police, desk.control)):
        desk.read(who, alert, now=NOW + timedelta(minutes=minute))
    return report


def test_an_auditor_reads_who_read_which_report(desk, client, signed_in, report):
    (entry,) = client.get("/v1/audit", headers=signed_in["Robin"]).json["items"]
    assert entry["action"] == "report.read"
    assert entry["actor"] == {"id": WireId.of("staff", desk.police.staff_id), "name": "Robin"}
    assert entry["role"] == "officer"
    assert entry["report"] == WireId.of("report", report.id)
    assert entry["alert"] == WireId.of("alert", desk.alert_of(desk.first))
    assert "zebrafinch" not in json.dumps(entry)


def test_an_auditor_sees_nothing_of_another_organisation(desk, client, signed_in, report):
    assert client.get("/v1/audit", headers=signed_in["Ali"]).json["items"] == []
    theirs = {
        "actor": WireId.of("staff", desk.police.staff_id),
        "report": WireId.of("report", report.id),
    }
    for name, value in theirs.items():
        for path in ("/v1/audit", "/v1/audit/export"):
            answer = client.get(f"{path}?{name}={value}", headers=signed_in["Ali"])
            assert answer.status_code == 200
            assert desk.police.staff_id.hex not in answer.text
            assert value not in answer.text
    assert "audit.exported" in {
        row["action"] for row in client.get("/v1/audit", headers=signed_in["Ali"]).json["items"]
    }


def test_a_cursor_of_another_organisation_opens_nothing(desk, client, signed_in, report):
    for _ in range(3):
        desk.read(desk.police, desk.alert_of(desk.first))
    cursor = client.get("/v1/audit?limit=1", headers=signed_in["Robin"]).json["next_cursor"]
    answer = client.get(f"/v1/audit?limit=1&cursor={cursor}", headers=signed_in["Ali"])
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_cursor")


def test_action_that_there_is_none_of_is_refused_with_those_that_there_are(client, signed_in):
    answer = client.get("/v1/audit?action=report.reed", headers=signed_in["Robin"])
    assert answer.status_code == 422
    assert "report.read, report.original_read" in answer.json["errors"][0]["detail"]


WRITERS = ("audit.write", "audit.tell", "_audit")


def test_every_action_that_is_written_or_documented_is_known():
    root = Path(audit.__file__).parents[3]
    page = (root / "docs/audit.md").read_text("utf-8").partition("## The chain")[0]
    documented, noun = set(), ""
    for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE):
        for word in re.findall(r"`([a-z_.]+)`", row):
            full = f"{noun}{word}" if word.startswith(".") else word
            noun = full.partition(".")[0]
            documented.add(full)
    assert documented == set(ACTIONS)
    written = set()
    for path in (root / "waylight/services").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in WRITERS:
                written |= {
                    one.value
                    for one in call.args
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    assert len(written) > 20
    assert written <= documented


@pytest.mark.parametrize(
    ("action", "prefix"),
    [
        ("account.changed", "staff"),
        ("session.ended", "staff"),
        ("identity_provider.changed", "provider"),
        ("grant.revoked", "organisation"),
        ("webhook.created", "webhook"),
    ],
)
def test_subject_of_an_entry_has_the_id_that_it_has_everywhere_else(action, prefix):
    subject = uuid4()
    (line,) = schemas.ndjson([Entry(id=uuid4(), at=NOW, action=action, subject_id=subject)])
    assert json.loads(line)["subject"] == WireId.of(prefix, subject)


def test_the_second_lock_holds_where_a_statement_forgets_the_organisation(desk, report):
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select from audit_entries").fetchall() == []
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        desk.database.staff(desk.operator.organisation_id) as conn,
    ):
        conn.execute(
            "insert into audit_entries (at, organisation_id, action)"
            " values (now(), %s, 'report.read')",
            [desk.police.organisation_id],
        )
    for table in ("audit_positions", "audit_seals"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            desk.database.staff(desk.police.organisation_id) as conn,
        ):
            conn.execute(f"select from {table}")


def test_without_the_scope_nobody_reads_it(desk, client, report):
    person = replace(desk.police, scopes=SCOPES)
    headers = {"Authorization": f"Bearer {keys_for(desk, [person])[person]}"}
    for path in ("/v1/audit", "/v1/audit/export"):
        assert client.get(path, headers=headers).status_code == 403
        assert client.get(path).status_code == 401


def test_pages_go_on_where_the_last_one_ended(desk, client, signed_in, report):
    for _ in range(4):
        desk.read(desk.police, desk.alert_of(desk.first))
    seen, path = [], "/v1/audit?limit=2"
    while path:
        answer = client.get(path, headers=signed_in["Robin"]).json
        seen += [entry["id"] for entry in answer["items"]]
        cursor = answer["next_cursor"]
        path = cursor and f"/v1/audit?limit=2&cursor={cursor}"
    assert len(seen) == len(set(seen)) == 5


def test_filters_find_by_person_report_action_and_time(desk, client, signed_in, report):
    desk.read(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(hours=1))
    client.get("/v1/alerts", headers=signed_in["Robin"])

    def found(filters):
        answer = client.get(f"/v1/audit?{filters}", headers=signed_in["Robin"])
        assert answer.status_code == 200, answer.text
        return len(answer.json["items"])

    later = (NOW + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert found(f"actor={WireId.of('staff', desk.police.staff_id)}") == 2
    assert found(f"actor={WireId.of('staff', desk.control.staff_id)}") == 0
    assert found(f"report={WireId.of('report', report.id)}&action=report.read") == 2
    assert found("action=report.original_read") == 0
    assert found(f"from={later}") == 1
    assert found(f"until={later}") == 1


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("actor=report_01jdw2s4x0e6qv3t8k5n7b9c1d", "actor"),
        ("action=Report%20read", "action"),
        ("action=report.reed", "action"),
        ("from=2026-11-22T00:00:00Z&from=2026-11-21T00:00:00Z", "from"),
        ("from=yesterday", "from"),
        ("from=2026-11-22T00:00:00Z&until=2026-11-21T00:00:00Z", "until"),
        ("limit=100001", "limit"),
        ("story=yes", "story"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_by_its_name(client, signed_in, query, pointer):
    answer = client.get(f"/v1/audit/export?{query}", headers=signed_in["Robin"])
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_an_export_is_lines_of_json_and_an_entry_itself(desk, client, signed_in, report):
    answer = client.get("/v1/audit/export", headers=signed_in["Robin"])
    assert (answer.status_code, answer.mimetype) == (200, schemas.NDJSON)
    assert answer.headers["Cache-Control"] == "no-store"
    (line,) = [json.loads(line) for line in answer.text.splitlines()]
    assert tuple(line) == schemas.EXPORTED
    assert line["actor"] == WireId.of("staff", desk.police.staff_id)
    assert line["report"] == WireId.of("report", report.id)
    newest = client.get("/v1/audit", headers=signed_in["Robin"]).json["items"][0]
    assert newest["action"] == "audit.exported"
    assert newest["request_id"] == answer.headers["X-Request-Id"]


def test_an_export_is_csv_for_whoever_asks_for_it(client, signed_in, report):
    headers = signed_in["Robin"] | {"Accept": "text/csv"}
    answer = client.get("/v1/audit/export", headers=headers)
    assert answer.mimetype == "text/csv"
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["action"], row["report"]) == ("report.read", WireId.of("report", report.id))


def test_a_long_export_is_read_page_by_page_up_to_its_limit(
    desk, client, signed_in, report, monkeypatch
):
    monkeypatch.setattr(audit.reading, "EXPORTED_AT_ONCE", 3)
    for _ in range(9):
        desk.read(desk.police, desk.alert_of(desk.first))
    answer = client.get("/v1/audit/export?limit=8", headers=signed_in["Robin"])
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
    assert (len(ids), ids) == (8, sorted(ids, reverse=True))


def test_a_change_of_an_address_says_which(desk, client, signed_in):
    body = {"channel": "email", "name": "On call", "address": "on.call@example.org"}
    path = f"/v1/teams/{WireId.of('team', desk.first)}/addresses"
    made = client.post(path, json=body, headers=signed_in["Robin"])
    assert made.status_code == 201, made.text
    (entry,) = client.get("/v1/audit", headers=signed_in["Robin"]).json["items"]
    assert (entry["action"], entry["subject"]) == ("address.added", made.json["id"])
    assert "on.call" not in json.dumps(entry)
