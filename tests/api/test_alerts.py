from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P1, P2, SPOT, keys_for
from waylight.domain.geo import Point
from waylight.domain.reports import Contact, Want

STEPS = ("acknowledge", "decline", "en-route", "on-scene", "close")
STORY = replace(P2, narrative="He got on at King's Cross.", contact=Contact(phone="+447700900123"))


@pytest.fixture
def ali(signed_in):
    """An officer of the operator."""
    return signed_in["Ali"]


def path(alert_id, *step):
    return "/".join(["/v1/alerts", WireId.of("alert", alert_id), *step])


def test_team_reads_goes_arrives_and_closes(desk, client, robin):
    desk.report(STORY)
    inbox = client.get("/v1/alerts?status=open", headers=robin)
    assert inbox.headers["Cache-Control"] == "no-store"
    (line,) = inbox.json["items"]
    assert (line["status"], line["priority"], line["version"]) == ("pending", 2, 1)
    assert line["team"] == {"id": WireId.of("team", desk.first), "name": "First"}
    assert "story" not in line
    assert str(SPOT.lon) not in inbox.text

    address = f"/v1/alerts/{line['id']}"
    read = client.get(address, headers=robin)
    assert read.headers["ETag"] == '"1"'
    assert read.headers["Cache-Control"] == "no-store"
    (report,) = read.json["reports"]
    assert report["story"]["narrative"] == "He got on at King's Cross."
    assert report["story"]["contact"]["phone"] == "+447700900123"
    assert report["location"]["point"]["coordinates"] == [SPOT.lon, SPOT.lat]
    assert [one["team"]["name"] for one in report["routed_to"] if "team" in one] == [
        "First",
        "Second",
        "Third",
        "Room",
    ]
    assert {"code": "on_shift", "text": "On duty now."} in report["routed_to"][0]["reasons"]

    etag, seen = read.headers["ETag"], []
    for step in ("acknowledge", "en-route", "on-scene", "close"):
        body = {"outcome": "founded"} if step == "close" else {}
        answer = client.post(f"{address}/{step}", json=body, headers={**robin, "If-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] == f'"{answer.json["version"]}"' != etag
        etag = answer.headers["ETag"]
        seen.append(answer.json["status"])
    assert seen == ["acknowledged", "en_route", "on_scene", "closed"]
    last = client.get(address, headers=robin).json
    assert (last["outcome"], last["incident"]["status"]) == ("founded", "closed")
    assert last["acknowledged_by"] == {"name": "Robin"}


def test_step_needs_no_body_and_no_if_match(desk, client, robin):
    desk.report()
    answer = client.post(path(desk.alert_of(desk.first), "acknowledge"), headers=robin)
    assert (answer.status_code, answer.json["status"]) == (200, "acknowledged")
    star = client.post(
        path(desk.alert_of(desk.first), "en-route"), headers={**robin, "If-Match": "*"}
    )
    assert star.json["status"] == "en_route"


@pytest.mark.parametrize("etag", ['"7"', '"1", "2"', 'W/"1"', '"one"', '""', "1x", '"-1"'])
def test_etag_that_is_not_the_version_is_412_and_changes_nothing(desk, client, robin, etag):
    desk.report()
    address = path(desk.alert_of(desk.first), "acknowledge")
    answer = client.post(address, headers={**robin, "If-Match": etag})
    assert (answer.status_code, answer.json["code"]) == (412, "stale_version")
    assert desk.states() == {desk.first: "pending"}


def test_if_match_of_before_somebody_else_s_step_is_412(desk, client, robin):
    desk.report()
    alert = desk.alert_of(desk.first)
    etag = client.get(path(alert), headers=robin).headers["ETag"]
    client.post(path(alert, "acknowledge"), headers={**robin, "If-Match": etag})
    late = client.post(path(alert, "decline"), headers={**robin, "If-Match": etag})
    assert late.status_code == 412
    assert desk.states() == {desk.first: "acknowledged"}


def test_step_out_of_order_is_409(desk, client, robin):
    desk.report()
    answer = client.post(path(desk.alert_of(desk.first), "on-scene"), headers=robin)
    assert (answer.status_code, answer.json["code"]) == (409, "state_conflict")


def test_decline_tells_the_next_team_within_the_call(desk, client, robin, ali):
    desk.report(now=NOW)
    answer = client.post(
        path(desk.alert_of(desk.first), "decline"), json={"cause": "busy"}, headers=robin
    )
    assert (answer.json["status"], answer.json["outcome"]) == ("declined", "busy")
    (line,) = client.get("/v1/alerts", headers=ali).json["items"]
    assert (line["status"], line["role"], line["rank"]) == ("pending", "backup", 2)


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("acknowledge", {"note": "on it"}),
        ("decline", {"reason": "busy"}),
        ("decline", {"cause": "tired"}),
        ("close", {"outcome": "fine"}),
        ("close", {"outcome": None}),
        ("on-scene", {"at": "now"}),
    ],
)
def test_words_that_no_step_knows_are_422(desk, client, robin, step, body):
    desk.report()
    (word,) = body
    answer = client.post(path(desk.alert_of(desk.first), step), json=body, headers=robin)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [f"/{word}"]
    assert desk.states() == {desk.first: "pending"}


def test_other_organisation_s_alert_is_404_like_one_that_does_not_exist(desk, client, ali):
    desk.report()
    alert = desk.alert_of(desk.first)
    assert client.get("/v1/alerts", headers=ali).json["items"] == []
    nowhere = client.get(path(desk.hub), headers=ali)
    refused = client.get(path(alert), headers=ali)
    assert refused.status_code == nowhere.status_code == 404
    assert refused.json == nowhere.json
    for step in STEPS:
        assert client.post(path(alert, step), headers=ali).status_code == 404
    team = f"/v1/alerts?team={WireId.of('team', desk.first)}"
    assert client.get(team, headers=ali).status_code == 404
    assert desk.states() == {desk.first: "pending"}
    assert desk.rows("select from audit_entries") == []


def test_control_room_sees_every_team_s_alerts_and_answers_for_none(desk, client, signed_in):
    desk.report()
    casey = signed_in["Casey"]
    team = f"/v1/alerts?team={WireId.of('team', desk.first)}"
    (line,) = client.get(team, headers=casey).json["items"]
    assert client.get(f"/v1/alerts/{line['id']}", headers=casey).status_code == 200
    refused = client.post(f"/v1/alerts/{line['id']}/acknowledge", headers=casey)
    assert (refused.status_code, refused.json["code"]) == (403, "not_allowed")


def test_hub_reads_no_story(desk, client, signed_in):
    desk.report(replace(STORY, wants=(Want.HELP, Want.HUB)))
    jo = signed_in["Jo"]
    (line,) = client.get("/v1/alerts", headers=jo).json["items"]
    assert (line["role"], line["place"]) == ("hub", None)
    read = client.get(f"/v1/alerts/{line['id']}", headers=jo)
    (report,) = read.json["reports"]
    assert (report["level"], report["story"], report["location"]) == ("heads_up", None, None)
    assert "King's Cross" not in read.text


@pytest.mark.parametrize("method_path", [("GET", ()), ("POST", ("acknowledge",))])
def test_nobody_and_a_key_without_the_scope_are_kept_out(desk, client, method_path):
    desk.report()
    method, step = method_path
    address = path(desk.alert_of(desk.first), *step)
    assert client.open(address, method=method).status_code == 401
    reader = replace(desk.police, name="Reader", scopes=frozenset({"reports:read"}))
    (token,) = keys_for(desk, [reader]).values()
    answer = client.open(address, method=method, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert desk.states() == {desk.first: "pending"}


def test_reading_scope_alone_does_not_answer(desk, client):
    desk.report()
    reader = replace(desk.police, name="Reader", scopes=frozenset({"alerts:read"}))
    (token,) = keys_for(desk, [reader]).values()
    headers = {"Authorization": f"Bearer {token}"}
    alert = desk.alert_of(desk.first)
    assert client.get(path(alert), headers=headers).status_code == 200
    for step in STEPS:
        assert client.post(path(alert, step), headers=headers).status_code == 403


def test_inbox_goes_on_page_by_page_without_gap_or_repeat(desk, client, robin):
    for n in range(5):
        desk.report(at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=NOW + timedelta(seconds=n))
    found, address = [], "/v1/alerts?status=open&limit=2"
    while address:
        page = client.get(address, headers=robin)
        found += [line["id"] for line in page.json["items"]]
        link = page.headers.get("Link")
        assert (link is None) == (page.json["next_cursor"] is None)
        address = link and link[1 : link.index(">")]
        # What comes in meanwhile is newer, and moves nothing.
        desk.report(P1, at=Point(SPOT.lon, SPOT.lat - 0.05), now=NOW + timedelta(minutes=1))
    assert len(found) == len(set(found)) == 5


def test_cursor_of_another_filter_is_400(desk, client, robin):
    for n in range(2):
        desk.report(at=Point(SPOT.lon, SPOT.lat + 0.05 * n))
    page = client.get("/v1/alerts?limit=1", headers=robin).json
    other = client.get(
        f"/v1/alerts?limit=1&status=open&cursor={page['next_cursor']}", headers=robin
    )
    assert (other.status_code, other.json["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "query", ["status=lost", "team=hub_01jdw2s4x0e6qv3t8k5n7b9c1d", "limit=0", "standing=open"]
)
def test_filter_that_nobody_knows_is_422(desk, client, robin, query):
    assert client.get(f"/v1/alerts?{query}", headers=robin).status_code == 422


def test_request_id_is_in_the_audit_log(desk, client, robin):
    desk.report()
    headers = {**robin, "X-Request-Id": "request-4711"}
    client.get(path(desk.alert_of(desk.first)), headers=headers)
    assert [row["request_id"] for row in desk.rows("select * from audit_entries")] == [
        "request-4711"
    ]


def test_passenger_sees_in_the_timeline_what_staff_do(desk, client, robin):
    report = desk.report()
    alert = desk.alert_of(desk.first)
    client.get(path(alert), headers=robin)
    client.post(path(alert, "acknowledge"), headers=robin)
    mine = client.get("/v1/reports/mine", headers={"Authorization": f"Receipt {report.receipt}"})
    codes = [entry["code"] for entry in mine.json["timeline"]]
    assert {"received", "told", "seen", "acknowledged"} <= set(codes)
    assert "Robin" not in mine.text
