"""Incidents over the wire: what each caller may do, and what everybody else gets to see of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, SCOPES, SPOT, headers_for, keys_for
from waylight.domain.geo import Point
from waylight.domain.reports import Want

MANAGING = SCOPES | {"incidents:manage", "reports:redact", "reports:original"}
STORY = replace(P2, narrative="He got on at King's Cross.")
WEST = Point(SPOT.lon - 0.05, SPOT.lat)


@pytest.fixture
def signed_in(desk):
    """Each person with every scope there is; what they may see is then their organisation's."""
    return headers_for(desk, MANAGING)


@pytest.fixture
def casey(signed_in):
    """Of the control room."""
    return signed_in["Casey"]


def incident_of(desk, report):
    (row,) = desk.rows("select incident_id from reports where id = %s", report.id)
    return row["incident_id"]


def path(incident_id, *more):
    return "/".join(["/v1/incidents", WireId.of("incident", incident_id), *more])


def test_dispatcher_lists_reads_and_follows_an_incident(desk, client, robin, casey):
    report = desk.report(STORY)
    (line,) = client.get("/v1/incidents?status=open&priority=1,2", headers=casey).json["items"]
    assert (line["status"], line["priority"], line["held_by"]) == ("open", 2, None)
    assert client.get("/v1/incidents?status=closed", headers=casey).json["items"] == []
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    client.post(f"{alert}/acknowledge", headers=robin)
    read = client.get(f"/v1/incidents/{line['id']}", headers=casey)
    assert read.headers["ETag"] == f'"{read.json["version"]}"'
    assert read.headers["Cache-Control"] == "no-store"
    assert read.json["held_by"]["team"]["name"] == "First"
    (granted,) = read.json["reports"]
    assert granted["story"]["narrative"] == "He got on at King's Cross."

    note = client.post(
        f"/v1/incidents/{line['id']}/notes",
        json={"text": "He is at Euston."},
        headers={**robin, "Idempotency-Key": '"n-1"'},
    )
    assert (note.status_code, note.json["note"]) == (201, "He is at Euston.")
    closed = client.post(
        f"{alert}/close", json={"outcome": "no_trace", "note": "Gone."}, headers=robin
    )
    assert (closed.json["status"], closed.json["outcome"]) == ("closed", "no_trace")

    found, address = [], f"/v1/incidents/{line['id']}/timeline?limit=4"
    while address:
        page = client.get(address, headers=casey)
        found += page.json["items"]
        link = page.headers.get("Link")
        address = link and link[1 : link.index(">")]
    assert [entry["kind"] for entry in found] == [
        "report.received",
        "alert.created",
        "alert.acknowledged",
        "incident.note_added",
        "incident.note_added",
        "alert.closed",
        "incident.closed",
    ]
    assert found[0]["report_id"] == WireId.of("report", report.id)
    assert found[0]["routed_to"][0]["team"]["name"] == "First"
    assert found[2]["by"] == {"organisation": "Police", "role": "officer", "person": None}
    assert [entry["note"] for entry in found if entry["note"]] == ["He is at Euston.", "Gone."]
    assert found[5]["details"]["outcome"] == "no_trace"


def test_incident_is_handed_over_and_opened_again(desk, client, signed_in, robin):
    report = desk.report(STORY)
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    client.post(f"{alert}/acknowledge", headers=robin)
    body = {"to_team": WireId.of("team", desk.second), "reason": "Our shift ends."}
    handed = client.post(f"{alert}/hand-over", json=body, headers={**robin, "If-Match": '"2"'})
    assert (handed.status_code, handed.json["status"]) == (200, "acknowledged")
    taken = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.second))}"
    answer = client.post(f"{taken}/acknowledge", headers=signed_in["Ali"])
    assert answer.json["reasons"][0]["text"] == "First asked this team to take it over."
    mine = {"Authorization": f"Receipt {report.receipt}"}
    held_by = client.get("/v1/reports/mine", headers=mine).json["held_by"]
    assert (held_by["name"], held_by["organisation"], held_by["status"]) == (
        "Second",
        "Operator",
        "acknowledged",
    )
    client.post(f"{taken}/close", json={"outcome": "founded"}, headers=signed_in["Ali"])
    assert client.get("/v1/reports/mine", headers=mine).json["held_by"] is None
    again = client.post(
        path(incident_of(desk, report), "reopen"),
        json={"reason": "She called."},
        headers=signed_in["Ali"],
    )
    assert (again.status_code, again.json["status"]) == (200, "open")
    story = client.get("/v1/reports/mine", headers=mine).json["timeline"]
    codes = [entry["code"] for entry in story if entry["code"] != "read"]
    assert codes[-2:] == ["reopened", "told"]
    assert "Our shift ends" not in str(story)
    assert "She called" not in str(story)


def test_incidents_are_merged_and_split_with_if_match(desk, client, casey):
    here, there = desk.report(STORY), desk.report(STORY, at=WEST, now=NOW + timedelta(seconds=5))
    source, into = incident_of(desk, here), incident_of(desk, there)
    body = {"into": WireId.of("incident", into), "reason": "The same man."}
    stale = client.post(path(source, "merge"), json=body, headers={**casey, "If-Match": '"9"'})
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    merged = client.post(path(source, "merge"), json=body, headers={**casey, "If-Match": '"1"'})
    assert merged.json["id"] == body["into"]
    assert merged.json["report_count"] == 2
    gone = client.get(path(source), headers=casey).json
    assert (gone["status"], gone["merged_into"]) == ("closed", body["into"])
    kinds = client.get(path(into, "timeline"), headers=casey).json["items"]
    moved = next(entry for entry in kinds if entry["kind"] == "incident.merged")
    assert moved["details"]["into"] == body["into"]

    split = client.post(
        path(into, "split"),
        json={"reports": [WireId.of("report", here.id)]},
        headers={**casey, "If-Match": merged.headers["ETag"]},
    )
    assert split.status_code == 201
    assert split.json["split_from"] == body["into"]
    assert [one["id"] for one in split.json["reports"]] == [WireId.of("report", here.id)]


def test_police_free_incident_is_not_merged_and_the_reason_is_said(desk, client, casey):
    here = desk.report(replace(STORY, wants=(Want.HELP,)))
    there = desk.report(STORY, at=WEST)
    answer = client.post(
        path(incident_of(desk, here), "merge"),
        json={"into": WireId.of("incident", incident_of(desk, there))},
        headers=casey,
    )
    assert (answer.status_code, answer.json["code"]) == (409, "state_conflict")
    assert [error["code"] for error in answer.json["errors"]] == ["other_audience"]
    assert "no_police and open stay apart" in answer.json["detail"]


def test_part_of_a_story_is_hidden_and_its_original_kept(desk, client, robin, casey):
    report = desk.report(STORY)
    address = f"/v1/reports/{WireId.of('report', report.id)}"
    made = client.post(
        f"{address}/redactions",
        json={"field": "narrative", "ranges": [[13, 25]], "reason": "A place of hers."},
        headers=casey,
    )
    assert made.status_code == 201
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    (shown,) = client.get(alert, headers=robin).json["reports"]
    assert shown["story"]["narrative"] == "He got on at ████████████."
    assert shown["story"]["redacted"] == ["narrative"]
    whole = client.get(f"{address}/original", headers=casey)
    assert whole.json["narrative"] == "He got on at King's Cross."
    assert whole.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "sent",
    [
        (("notes",), {}, "/text"),
        (("notes",), {"text": "  \n"}, "/text"),
        (("notes",), {"text": "x" * 4001}, "/text"),
        (("notes",), {"text": "x", "author": "me"}, "/author"),
        (("reopen",), {"reason": ""}, "/reason"),
        (("merge",), {"into": "report_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/into"),
        (("split",), {"reports": []}, "/reports"),
        (("split",), {"reports": ["incident_01jdw2s4x0e6qv3t8k5n7b9c1d"]}, "/reports/0"),
    ],
)
def test_what_cannot_be_used_is_422_and_names_the_field(desk, client, casey, sent):
    more, body, pointer = sent
    incident = incident_of(desk, desk.report())
    answer = client.post(path(incident, *more), json=body, headers=casey)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json["errors"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"field": "contact", "replacement": "", "reason": "r"}, "/field"),
        ({"field": "narrative", "reason": "r"}, "/ranges"),
        ({"field": "narrative", "ranges": [[0, 1]], "replacement": "", "reason": "r"}, "/ranges"),
        ({"field": "narrative", "ranges": [[0, 1, 2]], "reason": "r"}, "/ranges/0"),
        ({"field": "narrative", "ranges": [[True, 1]], "reason": "r"}, "/ranges/0"),
        ({"field": "narrative", "ranges": [[0, 400]], "reason": "r"}, "/ranges/0"),
        ({"field": "narrative", "ranges": [[0, 1]]}, "/reason"),
    ],
)
def test_redaction_that_cannot_be_made_is_422(desk, client, casey, body, pointer):
    report = desk.report(STORY)
    address = f"/v1/reports/{WireId.of('report', report.id)}/redactions"
    answer = client.post(address, json=body, headers=casey)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json["errors"]]


@pytest.mark.parametrize("who", ["Ali", "Jo"])
def test_whoever_has_no_part_in_an_incident_finds_nothing_there(desk, client, signed_in, who):
    """Another organisation, and the hub that was told to expect somebody: 404, never 403."""
    report = desk.report(replace(STORY, wants=(Want.HELP, Want.POLICE, Want.HUB)))
    other = desk.report(STORY, at=WEST)
    incident, elsewhere = incident_of(desk, report), incident_of(desk, other)
    headers, into = signed_in[who], {"into": WireId.of("incident", elsewhere)}
    report_id = WireId.of("report", report.id)
    asked = [
        ("GET", path(incident), None),
        ("GET", path(incident, "timeline"), None),
        ("POST", path(incident, "notes"), {"text": "x"}),
        ("POST", path(incident, "reopen"), {"reason": "x"}),
        ("POST", path(incident, "merge"), into),
        ("POST", path(incident, "split"), {"reports": [report_id]}),
        (
            "POST",
            f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}/hand-over",
            {"to_team": WireId.of("team", desk.second), "reason": "x"},
        ),
        (
            "POST",
            f"/v1/reports/{report_id}/redactions",
            {"field": "narrative", "replacement": "", "reason": "x"},
        ),
        ("GET", f"/v1/reports/{report_id}/original", None),
    ]
    before = desk.kinds()
    for method, address, body in asked:
        answer = client.open(address, method=method, json=body, headers=headers)
        assert answer.status_code == 404, address
        nowhere = client.open(
            address.replace(address.split("/")[3], address.split("/")[3][:-4] + "0000"),
            method=method,
            json=body,
            headers=headers,
        )
        assert nowhere.json == answer.json, address
    assert client.get("/v1/incidents", headers=headers).json["items"] == []
    assert desk.kinds() == before
    assert desk.rows("select from audit_entries") == []


def test_ids_of_others_inside_a_body_are_unknown(desk, client, signed_in, casey, robin):
    mine, theirs = desk.report(STORY), desk.report(replace(STORY, wants=(Want.HELP,)), at=WEST)
    incident, other = incident_of(desk, mine), incident_of(desk, theirs)
    client.post(
        f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}/acknowledge", headers=robin
    )
    for body in (
        {"into": WireId.of("incident", other)},
        {"into": "incident_01jdw2s4x0e6qv3t8k5n7b9c1d"},
    ):
        answer = client.post(path(incident, "merge"), json=body, headers=robin)
        assert answer.status_code == 404
        assert [error["pointer"] for error in answer.json["errors"]] == ["/into"]
    second = desk.report(STORY, now=NOW + timedelta(seconds=2))
    assert incident_of(desk, second) == incident
    for stranger in (WireId.of("report", theirs.id), "report_01jdw2s4x0e6qv3t8k5n7b9c1d"):
        reports = [WireId.of("report", second.id), stranger]
        answer = client.post(path(incident, "split"), json={"reports": reports}, headers=robin)
        assert answer.status_code == 404
        assert [error["pointer"] for error in answer.json["errors"]] == ["/reports/1"]
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}/hand-over"
    answer = client.post(
        alert,
        json={"to_team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "reason": "x"},
        headers=robin,
    )
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown_team")
    assert desk.events("incident.merged", "incident.split", "alert.hand_over_asked") == []


def test_each_scope_opens_its_own_door_and_no_other(desk, client):
    incident = incident_of(desk, report := desk.report(STORY))
    report_id = WireId.of("report", report.id)
    doors: dict[str, list[tuple[str, str, Any]]] = {
        "alerts:read": [("GET", path(incident), None), ("GET", path(incident, "timeline"), None)],
        "alerts:act": [
            ("POST", path(incident, "notes"), {"text": "x"}),
            ("POST", path(incident, "reopen"), {"reason": "x"}),
        ],
        "incidents:manage": [
            ("POST", path(incident, "split"), {"reports": [report_id]}),
            ("POST", path(incident, "merge"), {"into": WireId.of("incident", incident)}),
        ],
        "reports:redact": [
            (
                "POST",
                f"/v1/reports/{report_id}/redactions",
                {"field": "narrative", "replacement": "", "reason": "x"},
            )
        ],
        "reports:original": [("GET", f"/v1/reports/{report_id}/original", None)],
    }
    for scope in doors:
        person = replace(desk.control, name=scope, scopes=frozenset(MANAGING - {scope}))
        desk.do("delete from api_keys")
        (token,) = keys_for(desk, [person]).values()
        headers = {"Authorization": f"Bearer {token}"}
        for other, asked in doors.items():
            for method, address, body in asked:
                status = client.open(address, method=method, json=body, headers=headers).status_code
                assert (status == 403) == (other == scope), (scope, address, status)


def test_passenger_s_receipt_opens_nothing_of_the_staff_s(desk, client):
    report = desk.report(STORY)
    receipt = {"Authorization": f"Receipt {report.receipt}"}
    incident = incident_of(desk, report)
    for address in (
        "/v1/incidents",
        path(incident),
        path(incident, "timeline"),
        f"/v1/reports/{WireId.of('report', report.id)}/original",
    ):
        assert client.get(address, headers=receipt).status_code == 401
