from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2
from waylight.domain.reports import Need
from waylight.domain.teams import Capability
from waylight.services import teams

NEEDS_AID = replace(P2, needs=(Need.FIRST_AID,))
CHILD = replace(P2, under_18=True)


def path(team_id, *rest):
    return "/".join(["/v1/teams", WireId.of("team", team_id), *rest])


def certify(desk, team_id, *capabilities, who=None, now=NOW):
    return teams.set_capabilities(
        desk.database,
        who or desk.police,
        team_id=team_id,
        capabilities=capabilities,
        if_match=None,
        now=now,
    )


def test_staff_say_what_a_team_can_do_and_until_when(desk, client, robin):
    soon = (datetime.now(UTC) + timedelta(days=13)).replace(microsecond=0)
    put = client.put(
        path(desk.first, "capabilities"),
        json={
            "capabilities": [
                {"capability": "first_aid", "until": soon.isoformat()},
                {"capability": "sign_language"},
            ]
        },
        headers={**robin, "If-Match": '"1"'},
    )
    assert (put.status_code, put.headers["ETag"]) == (200, '"2"')
    assert put.json["capabilities"] == ["first_aid", "sign_language"]
    assert put.json["capabilities_set_by"] == "staff"
    assert [(h["capability"], h["expired"], h["ends_soon"]) for h in put.json["held"]] == [
        ("first_aid", False, True),
        ("sign_language", False, False),
    ]
    (event,) = desk.events("team.capabilities_changed")
    assert event["staff_id"] == desk.police.staff_id
    assert set(event["data"]["capabilities"]) == {"first_aid", "sign_language"}
    back = client.put(path(desk.first, "capabilities"), json={"capabilities": None}, headers=robin)
    assert back.json["capabilities"] == ["safeguarding"]
    assert back.json["capabilities_set_by"] == "pack"


def test_certificate_that_has_ended_does_not_count_and_is_shown(desk, client, robin):
    certify(desk, desk.third, Capability("first_aid", NOW + timedelta(minutes=1)))
    desk.report(NEEDS_AID)
    assert desk.states() == {desk.third: "pending"}
    desk.do(
        "update teams set staff_capabilities = jsonb_build_object('first_aid', %s::text)"
        " where id = %s",
        (NOW - timedelta(seconds=1)).isoformat(),
        desk.third,
    )
    seen = client.get(path(desk.third), headers=robin).json
    assert seen["capabilities"] == []
    assert [(h["capability"], h["expired"]) for h in seen["held"]] == [("first_aid", True)]
    desk.do("delete from alerts")
    desk.report(NEEDS_AID, now=NOW + timedelta(hours=1))
    assert desk.states() == {desk.first: "pending"}


def test_certificate_ends_at_its_instant_in_the_ladder_too(desk):
    ends = NOW + timedelta(seconds=170)
    certify(desk, desk.third, Capability("first_aid", ends))
    certify(desk, desk.first, Capability("first_aid"))
    desk.report(NEEDS_AID)
    assert desk.states() == {desk.first: "pending"}
    desk.climb(NOW + timedelta(seconds=180))
    assert set(desk.states()) == {desk.first, desk.second}


def test_child_s_report_is_not_told_to_a_team_whose_training_has_ended(desk):
    desk.do(
        "update teams set staff_capabilities = jsonb_build_object('safeguarding', %s::text)"
        " where id <> %s",
        (NOW - timedelta(seconds=1)).isoformat(),
        desk.third,
    )
    desk.report(CHILD)
    assert desk.states() == {desk.third: "pending"}


def test_control_room_whose_training_has_ended_is_not_told_of_a_child_at_once(desk):
    p1 = replace(CHILD, in_danger=True)
    desk.report(p1)
    assert set(desk.states()) == {desk.first, desk.room}
    desk.do("delete from alerts; update incidents set state = 'closed'")
    certify(desk, desk.room, Capability("safeguarding", NOW + timedelta(hours=1)), who=desk.control)
    later = NOW + timedelta(hours=2)
    desk.do("update teams set expanded_until = expanded_until")
    desk.report(p1, now=later)
    assert set(desk.states()) == {desk.first}


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ([{"capability": "flying"}], "/capabilities/0/capability"),
        ([{"capability": "first_aid", "until": "2020-01-01T00:00:00Z"}], "/capabilities/0/until"),
        ([{"capability": "first_aid", "until": "soon"}], "/capabilities/0/until"),
        ([{"capability": "first_aid"}] * 2, "/capabilities/0/capability"),
        ([{"capability": "first_aid", "level": 3}], "/capabilities/0/level"),
        ("first_aid", "/capabilities"),
    ],
)
def test_capabilities_that_mean_nothing_are_422(desk, client, robin, said, pointer):
    put = client.put(path(desk.first, "capabilities"), json={"capabilities": said}, headers=robin)
    assert put.status_code == 422
    assert pointer in [error["pointer"] for error in put.json["errors"]]
    assert desk.rows("select from teams where staff_capabilities is not null") == []


def test_other_organisations_and_other_scopes_change_no_capability(desk, client, signed_in):
    body: dict[str, list[str]] = {"capabilities": []}
    for who, status in (("Ali", 404), ("Casey", 403)):
        put = client.put(path(desk.first, "capabilities"), json=body, headers=signed_in[who])
        assert put.status_code == status
    desk.do("update api_keys set scopes = '{alerts:read,teams:duty}'")
    put = client.put(path(desk.first, "capabilities"), json=body, headers=signed_in["Robin"])
    assert (put.status_code, put.json["errors"][0]["code"]) == (403, "missing_scope")
    assert desk.rows("select from teams where staff_capabilities is not null") == []


def test_stale_version_is_412(desk, client, robin):
    client.put(path(desk.first, "duty"), json={"status": "busy"}, headers=robin)
    late = client.put(
        path(desk.first, "capabilities"),
        json={"capabilities": []},
        headers={**robin, "If-Match": '"1"'},
    )
    assert late.status_code == 412
