"""Teams, hubs and organisations as administrators found, change and retire them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from schemas.common import WireId
from tests.api.test_rights_by_hand import by_hand
from tests.desk import NOW, P1, P2, SPOT, headers_for
from tests.desk import SCOPES as DESK
from waylight.cli.organisations import organisation
from waylight.domain import roles
from waylight.domain.alerts import BOUNDS
from waylight.domain.coverages import Rule
from waylight.domain.errors import StaleVersion
from waylight.domain.principals import Kind, Principal
from waylight.services import coverages, organisations, teams
from waylight.services.packs import load_pack
from waylight.services.packs.shapes import ORGANISATION_KINDS

TINYTOWN = Path(__file__).parents[1] / "data" / "tinytown"
HERE = {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}
FAR = {"type": "Point", "coordinates": [2.35, 48.85]}
TEAM = {"name": "Night team", "base": HERE, "capabilities": [{"capability": "first_aid"}]}
HUB: dict[str, Any] = {
    "name": "Lock hub",
    "kind": "safe_travel_hub",
    "position": HERE,
    "address": "Camden Lock Place",
    "opening_hours": "24/7",
    "services": ["water"],
}
NOBODYS = "01jdw2s4x0e6qv3t8k5n7b9c1d"
ADMINISTRATOR = DESK | roles.scopes_of(["administrator"])


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, ADMINISTRATOR)


def any_version(headers):
    return {**headers, "If-Match": "*"}


def codes(answer, status=422):
    assert answer.status_code == status, answer.text
    return {(one["pointer"], one["code"]) for one in answer.json["errors"]}


def actions(desk):
    return [row["action"] for row in desk.rows("select action from audit_entries order by id")]


# --- teams


def test_new_team_is_told_once_it_has_a_coverage_and_a_shift(desk, client, robin):
    made = client.post("/v1/teams", json=TEAM, headers=robin)
    assert made.status_code == 201, made.text
    team = made.json
    assert team["organisation"] == "Police"
    assert (team["capabilities"], team["capabilities_set_by"]) == (["first_aid"], "staff")
    assert (team["on_shift"], team["on_duty"], team["shifts_set_by"]) == (False, False, "staff")
    where, team_id = f"/v1/teams/{team['id']}", WireId.read("team", team["id"])
    desk.do("update teams set duty_status = 'off' where id <> %s", team_id)
    desk.report(P2)
    assert team_id not in desk.states()
    added = client.post(f"{where}/coverages", json={"area": "all"}, headers=robin)
    assert added.status_code == 201
    shift = {"kind": "recurring", "rule": "24/7"}
    assert client.post(f"{where}/shifts", json=shift, headers=robin).status_code == 201
    desk.report(P2, now=NOW + timedelta(hours=1))
    assert desk.states()[team_id] == "pending"
    assert desk.kinds().count("team.created") == 1
    assert actions(desk)[0] == "team.created"


def test_base_is_in_the_city_unless_said(desk, client, robin):
    assert ("/base", "outside_city") in codes(
        client.post("/v1/teams", json={**TEAM, "base": FAR}, headers=robin)
    )
    said = {**TEAM, "base": FAR, "outside_city": True}
    assert client.post("/v1/teams", json=said, headers=robin).status_code == 201
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert ("/base", "outside_city") in codes(
        client.patch(where, json={"base": FAR}, headers=robin)
    )


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"organisation_id": f"organisation_{NOBODYS}"}, "/organisation_id", "unknown"),
        ({"kind": "control_room"}, "/kind", "unknown"),
        ({"name": ""}, "/name", "invalid"),
        ({"capabilities": [{"capability": "flying"}]}, "/capabilities/0/capability", "invalid"),
    ],
)
def test_nobody_founds_a_team_of_another_organisation_or_a_control_room(
    client, robin, more, pointer, code
):
    assert (pointer, code) in codes(client.post("/v1/teams", json={**TEAM, **more}, headers=robin))


def test_edit_counts_from_the_next_report_and_outlives_a_pack(desk, client, robin):
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    far = {"type": "Point", "coordinates": [SPOT.lon + 0.3, SPOT.lat]}
    seen = client.get(where, headers=robin).headers["ETag"]
    changed = client.patch(
        where, json={"name": "Moved", "base": far}, headers={**robin, "If-Match": seen}
    )
    assert (changed.status_code, changed.json["name"]) == (200, "Moved")
    late = client.patch(where, json={"name": "Late"}, headers={**robin, "If-Match": seen})
    assert (late.status_code, late.headers["ETag"]) == (412, changed.headers["ETag"])
    desk.report(P2)
    assert next(iter(desk.states())) == desk.second
    assert ("", "nothing_to_change") in codes(client.patch(where, json={}, headers=robin))


def test_retired_team_is_gone_and_what_it_did_stays(desk, client, robin):
    desk.report(P2)
    alert, where = desk.alert_of(desk.first), f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.delete(where, headers=robin).status_code == 204
    assert client.get(where, headers=robin).status_code == 404
    assert client.delete(where, headers=robin).status_code == 404
    read = client.get(f"/v1/alerts/{WireId.of('alert', alert)}", headers=robin)
    assert read.status_code == 200
    desk.report(P2, now=NOW + timedelta(hours=1))
    assert desk.alert_of(desk.first) == alert
    assert desk.kinds()[-1] != "team.created"
    assert actions(desk)[0] == "team.retired"


def test_team_with_an_incident_is_not_retired(desk, client, robin):
    desk.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.delete(where, headers=robin).status_code == 409
    assert client.get(where, headers=robin).status_code == 200


def test_control_room_is_not_retired_by_whoever_runs_it(desk, client, signed_in):
    where = f"/v1/teams/{WireId.of('team', desk.room)}"
    assert client.delete(where, headers=signed_in["Casey"]).status_code == 409
    with (
        pytest.raises(Exception, match="row-level security"),
        desk.database.staff(desk.control.organisation_id) as conn,
    ):
        conn.execute("update teams set retired = true where id = %s", [desk.room])


def test_administrator_reads_teams_without_reading_alerts(desk, client):
    only = headers_for(desk, roles.scopes_of(["administrator"]))["Robin"]
    assert client.get("/v1/teams", headers=only).json["items"]
    where = f"/v1/teams/{WireId.of('team', desk.first)}"
    assert client.get(where, headers=only).status_code == 200
    assert client.get(f"{where}/shifts", headers=only).status_code == 200
    assert client.get("/v1/alerts", headers=only).status_code == 403


# --- hubs


def test_new_hub_is_shown_to_passengers_and_retired_for_good(desk, client, robin):
    made = client.post("/v1/hubs", json=HUB, headers=robin)
    assert made.status_code == 201, made.text
    assert (made.json["open"], made.json["organisation"]) == (True, "Police")
    hub_id = made.json["id"]
    near = client.get(f"/v1/hubs/nearest?lat={SPOT.lat}&lon={SPOT.lon}").json["items"]
    assert hub_id in [one["id"] for one in near]
    moved = client.patch(
        f"/v1/hubs/{hub_id}",
        json={"name": "Round the corner", "position": {**HERE, "coordinates": [-0.15, 51.54]}},
        headers={**robin, "If-Match": made.headers["ETag"]},
    )
    assert moved.status_code == 200, moved.text
    assert (moved.json["name"], moved.json["location"]["coordinates"]) == (
        "Round the corner",
        [-0.15, 51.54],
    )
    late = client.delete(f"/v1/hubs/{hub_id}", headers={**robin, "If-Match": '"1"'})
    assert (late.status_code, late.headers["ETag"]) == (412, moved.headers["ETag"])
    assert client.delete(f"/v1/hubs/{hub_id}", headers=robin).status_code == 204
    assert client.get(f"/v1/hubs/{hub_id}").status_code == 404
    near = client.get(f"/v1/hubs/nearest?lat={SPOT.lat}&lon={SPOT.lon}").json["items"]
    assert hub_id not in [one["id"] for one in near]


def test_hub_is_in_the_city_unless_said_and_its_hours_are_read(desk, client, robin):
    body = {**HUB, "position": FAR, "opening_hours": "sometimes"}
    assert {("/position", "outside_city"), ("/opening_hours", "hours_unreadable")} <= codes(
        client.post("/v1/hubs", json=body, headers=robin)
    )
    body = {**HUB, "position": FAR, "outside_city": True}
    made = client.post("/v1/hubs", json=body, headers=robin)
    assert made.status_code == 201
    where = f"/v1/hubs/{made.json['id']}"
    assert ("/position", "outside_city") in codes(
        client.patch(where, json={"position": FAR}, headers=robin)
    )


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"phone": "abc"}, "/phone"),
        ({"phone": "020 7946\n0101"}, "/phone"),
        ({"languages": ["en", "klingonish"]}, "/languages/1"),
        ({"languages": ["e"]}, "/languages/0"),
    ],
)
def test_telephone_and_languages_of_a_hub_are_some(desk, client, robin, wrong, pointer):
    made = client.post("/v1/hubs", json={**HUB, **wrong}, headers=robin)
    assert codes(made) == {(pointer, "invalid")}
    fine = {**HUB, "phone": "+44 20 7946 0101", "languages": ["en", "pt-BR", "zh-Hant-TW", "bfi"]}
    hub = client.post("/v1/hubs", json=fine, headers=robin)
    assert hub.status_code == 201, hub.text
    where = f"/v1/hubs/{hub.json['id']}"
    changed = client.patch(where, json=wrong, headers=any_version(robin))
    assert codes(changed) == {(pointer, "invalid")}


def test_another_s_hub_is_neither_moved_nor_retired(desk, client, robin):
    where = f"/v1/hubs/{WireId.of('hub', desk.hub)}"
    assert client.patch(where, json={"position": HERE}, headers=robin).status_code == 403
    assert client.delete(where, headers=robin).status_code == 403
    assert client.get(where).status_code == 200


# --- organisations


def mine(client, headers):
    (found,) = client.get("/v1/organisations", headers=headers).json["items"]
    return f"/v1/organisations/{found['id']}"


def test_organisation_changes_its_name_and_contact_and_no_more(desk, client, robin):
    where = mine(client, robin)
    seen = client.get(where, headers=robin)
    changed = client.patch(
        where,
        json={"name": "Harbour Police", "contact": {"phone": "0800 40 50 40"}},
        headers={**robin, "If-Match": seen.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.text
    assert changed.json["contact"] == {"sms": None, "phone": "0800 40 50 40", "url": None}
    assert changed.json["set_by_staff"] == ["contact", "name"]
    late = client.patch(
        where, json={"name": "Late"}, headers={**robin, "If-Match": seen.headers["ETag"]}
    )
    assert (late.status_code, late.headers["ETag"]) == (412, changed.headers["ETag"])
    for body in ({"kind": "charity"}, {"city": "desk"}, {"demo": True}, {"key": "mine"}):
        assert "unknown" in {
            code for _, code in codes(client.patch(where, json=body, headers=robin))
        }
    assert "organisation.updated" in desk.kinds()
    assert actions(desk) == ["organisation.updated"]


@pytest.mark.parametrize("kind", sorted(ORGANISATION_KINDS))
def test_organisation_of_every_kind_that_a_pack_may_have_is_administered(desk, client, robin, kind):
    desk.do("update organisations set kind = %s where id = %s", kind, desk.police.organisation_id)
    (found,) = client.get("/v1/organisations", headers=robin).json["items"]
    assert found["kind"] == kind
    said = client.get("/openapi.json").json["components"]["schemas"]["Organisation"]
    assert kind in said["properties"]["kind"]["enum"]
    create = next(one for one in organisation.commands["create"].params if one.name == "kind")
    assert isinstance(create.type, click.Choice)
    assert kind in create.type.choices


JOB = '[{"organisation": "Rail police", "modes": ["train"], "code": "on_rails"}]'


@pytest.mark.parametrize(
    "name",
    [
        "Operator",
        "OPERATOR",
        "\uff2fper\u00e1t0r",
        "Rail police",
        "rail  Police",
        "Rail police Camden",
    ],
)
def test_organisation_takes_the_name_of_no_other(desk, client, robin, name):
    desk.do("update cities set jurisdiction = %s", JOB)
    where = mine(client, robin)
    got = client.patch(where, json={"name": name}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}
    same = client.patch(where, json={"name": "Police"}, headers=any_version(robin))
    assert same.status_code == 200


def test_name_that_looks_like_that_of_an_organisation_elsewhere_is_taken_too(desk, client, robin):
    desk.do(
        "insert into cities select (jsonb_populate_record(c, jsonb_build_object('id', uuid_v7(),"
        " 'slug', 'elsewhere', 'control_room_id', null))).* from cities c"
    )
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'far', 'Far Police', 'police' from cities where slug = 'elsewhere'"
    )
    got = client.patch(mine(client, robin), json={"name": "FAR-police"}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}


@pytest.mark.parametrize("noun", ["teams", "hubs"])
def test_no_team_and_no_hub_is_called_by_the_name_of_another_organisation(
    desk, client, robin, noun
):
    desk.do("update organisations set name = 'Harbour Lines' where name = 'Operator'")
    body = {**(TEAM if noun == "teams" else HUB), "name": "Harbour-lines Camden"}
    assert codes(client.post(f"/v1/{noun}", json=body, headers=robin)) == {("/name", "name_taken")}
    made = client.post(f"/v1/{noun}", json={**body, "name": "Harbour"}, headers=robin)
    where = f"/v1/{noun}/{made.json['id']}"
    got = client.patch(where, json={"name": "H\u00e1rbour Lines"}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}


def test_nobody_gets_the_stories_of_those_whose_job_it_is_by_taking_their_name(desk, client, robin):
    """Consent for the police goes to whoever has the name that the city says whose job it is."""
    desk.do("update cities set jurisdiction = %s", JOB)
    where = mine(client, robin)
    client.patch(where, json={"name": "Rail police"}, headers=any_version(robin))
    with pytest.raises(psycopg.errors.CheckViolation):
        by_hand(desk, desk.police, "update organisations set name = 'Rail police'")
    assert desk.rows("select from organisations where name = 'Rail police'") == []


def test_name_by_which_reports_are_an_organisation_s_job_stays(desk, client, robin):
    desk.do("update cities set jurisdiction = replace(%s, 'Rail police', 'Police')::jsonb", JOB)
    where = mine(client, robin)
    got = client.patch(where, json={"name": "Harbour Police"}, headers=any_version(robin))
    assert codes(got) == {("/name", "whose_job")}
    with pytest.raises(psycopg.errors.CheckViolation):
        by_hand(desk, desk.police, "update organisations set name = 'Harbour Police'")


def test_report_after_the_last_team_of_a_place_is_retired_reaches_the_control_room(
    desk, client, signed_in
):
    for name, team_id in (
        ("Robin", desk.first), ("Ali", desk.second), ("Robin", desk.third)
    ):  # fmt: skip
        gone = client.delete(
            f"/v1/teams/{WireId.of('team', team_id)}", headers=any_version(signed_in[name])
        )
        assert gone.status_code == 204, gone.text
    report = desk.report(P1)
    (told,) = desk.rows("select team_id from alerts where report_id = %s", report.id)
    assert told["team_id"] == desk.room


def test_another_s_organisation_is_like_one_that_there_is_not(desk, client, signed_in):
    theirs, robin = mine(client, signed_in["Ali"]), signed_in["Robin"]
    before = client.get(theirs, headers=signed_in["Ali"]).json
    for where in (theirs, f"/v1/organisations/organisation_{NOBODYS}"):
        matched = any_version(robin)
        assert client.get(where, headers=robin).status_code == 404
        assert client.patch(where, json={"name": "x"}, headers=matched).status_code == 404
        assert client.get(f"{where}/escalation", headers=robin).status_code == 404
        times = {f"priority_{n}_s": None for n in BOUNDS}
        answer = client.put(f"{where}/escalation", json=times, headers=matched)
        assert answer.status_code == 404
    assert client.get(theirs, headers=signed_in["Ali"]).json == before


def test_staff_role_changes_its_own_organisation_alone_even_by_hand(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("update organisations set name = 'x'").rowcount == 1
        assert (
            conn.execute(
                "update organisations set escalation = null where id <> %s",
                [desk.police.organisation_id],
            ).rowcount
            == 0
        )


BY_HAND = {
    "a team of another organisation": "insert into teams (city_id, organisation_id, key, name,"
    " kind, base, capabilities, shifts, edited) select city_id, organisation_id, 'x', 'x', 'field',"
    " base, '{}', 'off', '{}' from teams where id = %(theirs)s",
    "a control room of one's own": "insert into teams (city_id, organisation_id, key, name, kind,"
    " base, capabilities, shifts, edited) select city_id, organisation_id, 'x', 'x',"
    " 'control_room', base, '{}', 'off', '{}' from teams where id = %(ours)s",
    "a hub of another organisation": "insert into hubs (city_id, organisation_id, key, name, kind,"
    " position, address, opening_hours, services, access, languages) select city_id,"
    " organisation_id, 'x', 'x', kind, position, '', 'off', '{}', '{}', '{}' from hubs",
    "a coverage of another's team": "insert into coverages (team_id, area_id)"
    " select %(theirs)s, id from areas",
    "an area of the city": "insert into areas (city_id, code, name, kind, geom)"
    " select city_id, 'x', 'x', 'coverage', geom from areas",
    "an area of another organisation": "insert into areas (city_id, code, name, kind, geom,"
    " organisation_id) select a.city_id, 'x', 'x', 'coverage', a.geom, t.organisation_id"
    " from areas a, teams t where t.id = %(theirs)s",
    "a borough": "insert into areas (city_id, code, name, kind, geom, organisation_id)"
    " select a.city_id, 'x', 'x', 'borough', a.geom, t.organisation_id"
    " from areas a, teams t where t.id = %(ours)s",
    "more of an area of the city": "insert into area_parts (area_id, part, geom)"
    " select area_id, 99, geom from area_parts",
}


@pytest.mark.parametrize("what", BY_HAND)
def test_staff_role_makes_by_hand_neither(desk, what):
    with (
        pytest.raises(Exception, match="row-level security"),
        desk.database.staff(desk.police.organisation_id) as conn,
    ):
        conn.execute(BY_HAND[what], {"ours": desk.first, "theirs": desk.second})


def test_staff_role_removes_nothing_of_the_city_or_another_by_hand(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("delete from areas").rowcount == 0
        assert conn.execute("delete from area_parts").rowcount == 0
        gone = conn.execute("delete from coverages returning team_id").fetchall()
    assert {row[0] for row in gone} == {desk.first, desk.third}


# --- escalation timetables


def timetable(client, headers, **waits):
    times = {**{f"priority_{n}_s": None for n in BOUNDS}, **waits}
    return client.put(
        f"{mine(client, headers)}/escalation", json=times, headers=any_version(headers)
    )


def due_in(desk):
    (row,) = desk.rows("select extract(epoch from escalate_at)::float8 as at from incidents")
    return round(row["at"] - NOW.timestamp())


def test_next_report_waits_as_long_as_its_first_team_s_organisation_says(desk, client, robin):
    changed = timetable(client, robin, priority_2_s=75)
    assert changed.status_code == 200, changed.text
    (second,) = [one for one in changed.json["waits"] if one["priority"] == 2]
    assert (second["wait_s"], second["default_s"], second["set_by_staff"]) == (75, 180, True)
    desk.report(P2)
    assert due_in(desk) == 75


def test_each_rung_waits_as_long_as_its_own_organisation_says(desk, client, signed_in):
    timetable(client, signed_in["Robin"], priority_2_s=75)
    timetable(client, signed_in["Ali"], priority_2_s=240)
    desk.report(P2)
    at = NOW + timedelta(seconds=76)
    assert desk.climb(at) == 1
    assert due_in(desk) == 76 + 240
    timetable(client, signed_in["Robin"], priority_2_s=90)
    at += timedelta(seconds=241)
    desk.climb(at)
    assert due_in(desk) == 76 + 241 + 90


def test_control_room_s_own_time_counts_where_it_is_told_first(desk, client, signed_in):
    timetable(client, signed_in["Casey"], priority_2_s=120)
    desk.do("update teams set duty_status = 'off' where kind = 'field'")
    desk.report(P2)
    assert due_in(desk) == 120


def test_report_takes_the_same_statements_with_a_timetable_and_a_drawn_shape(
    desk, client, robin, monkeypatch
):
    sent = []
    cursor = desk.database._conn.cursor_factory
    execute = cursor.execute

    def counting(self, query, *args, **kwargs):
        sent.append(str(query)[:200])
        return execute(self, query, *args, **kwargs)

    def statements(now):
        desk.report(P2, now=now)  # what is remembered of the city is read
        with monkeypatch.context() as patched:
            patched.setattr(cursor, "execute", counting)
            desk.report(P2, now=now + timedelta(hours=1))
        found, sent[:] = list(sent), []
        return [one for one in found if "savepoint" not in one.lower()]

    before = statements(NOW)
    timetable(client, robin, priority_2_s=75)
    square = [[[-0.2, 51.5], [-0.1, 51.5], [-0.1, 51.6], [-0.2, 51.6], [-0.2, 51.5]]]
    drawn = {"name": "Ours", "shape": {"type": "Polygon", "coordinates": square}}
    where = f"/v1/teams/{WireId.of('team', desk.first)}/coverages"
    assert client.post(where, json=drawn, headers=robin).status_code == 201
    assert statements(NOW + timedelta(hours=4)) == before
    assert before


@pytest.mark.parametrize("priority", BOUNDS)
def test_no_ladder_is_switched_off(desk, client, robin, priority):
    bound = BOUNDS[priority]
    for wait in (0, -1, bound.least_s - 1, bound.most_s + 1, 10**9):
        name = f"priority_{priority}_s"
        answer = timetable(client, robin, **{name: int(wait)})
        assert (f"/{name}", "out_of_bounds") in codes(answer)
        assert bound.why in answer.text
    for wait in (bound.least_s, bound.most_s):
        assert timetable(client, robin, **{f"priority_{priority}_s": int(wait)}).status_code == 200


@pytest.mark.parametrize("priority", BOUNDS)
def test_bounds_of_the_database_are_those_of_the_domain(desk, priority):
    bound = BOUNDS[priority]
    for wait, fits in (
        (bound.least_s, True),
        (bound.most_s, True),
        (bound.least_s - 1, False),
        (bound.most_s + 1, False),
    ):
        with desk.database.owner() as conn:
            row = conn.execute(
                "select pg_get_constraintdef(oid) from pg_constraint"
                " where conname = 'ck_organisations_escalation'"
            ).fetchone()
            check = row[0].removeprefix("CHECK ")
            (found,) = conn.execute(
                f"select {check} from (select jsonb_build_object(%s::text, %s::numeric)"  # noqa: S608 - ours
                " as escalation) o",
                [str(priority), wait],
            ).fetchone()
        assert found is fits


def test_priority_1_reaches_the_control_room_at_once_whatever_is_said(desk, client, signed_in):
    for name in ("Robin", "Ali", "Casey"):
        timetable(client, signed_in[name], priority_1_s=90)
    desk.report(P1)
    assert desk.states() == {desk.first: "pending", desk.room: "pending"}
    assert due_in(desk) == 90


def test_timetable_needs_the_version_that_was_read(desk, client, robin):
    where = f"{mine(client, robin)}/escalation"
    times = {f"priority_{n}_s": None for n in BOUNDS}
    assert client.put(where, json=times, headers=robin).status_code == 428
    seen = client.get(where, headers=robin).headers["ETag"]
    done = client.put(where, json=times, headers={**robin, "If-Match": seen})
    assert done.status_code == 200
    late = client.put(where, json=times, headers={**robin, "If-Match": seen})
    assert (late.status_code, late.headers["ETag"]) == (412, done.headers["ETag"])
    assert desk.kinds().count("escalation.changed") == 1
    assert actions(desk) == ["escalation.changed"]


@pytest.mark.commits
def test_of_two_timetables_at_once_one_is_told_that_it_came_second(desk):
    start = threading.Barrier(4)
    own = desk.police.organisation_id

    def change(number):
        start.wait()
        try:
            organisations.set_timetable(
                desk.database,
                desk.vault,
                desk.police,
                organisation_id=own,
                waits_s={2: 100.0 + number},
                if_match=1,
                now=NOW,
            )
        except StaleVersion as error:
            return error.version
        return "done"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(change, range(4)))
    assert sorted(map(str, answers)) == ["2", "2", "2", "done"]


# --- packs


def test_pack_that_is_loaded_later_leaves_what_staff_set(database, vault, settings):
    load_pack(database, TINYTOWN, now=NOW, progress=print)
    with database.owner() as conn:
        team_id, organisation_id, city_id = conn.execute(
            "select t.id, t.organisation_id, t.city_id from teams t"
            " join organisations o on o.id = t.organisation_id and o.kind <> 'police'"
            " where t.kind = 'field' order by t.key limit 1"
        ).fetchone()
        (staff_id,) = conn.execute(
            "insert into staff (organisation_id, name, role) values (%s, 'A', 'a') returning id",
            [organisation_id],
        ).fetchone()
        west, south, _, _ = conn.execute(
            "select bounds[1], bounds[2], 0, 0 from cities where id = %s", [city_id]
        ).fetchone()
    who = replace(_staff(), organisation_id=organisation_id, staff_id=staff_id)
    base = type(SPOT)(west, south)
    more: dict[str, Any] = {"outside_city": False, "now": NOW}
    made = teams.found_team(database, vault, who, name="Ours", base=base, capabilities=(), **more)
    teams.edit_team(
        database, vault, who, team_id=team_id, name="Renamed", base=None, if_match=None, **more
    )
    organisations.edit_organisation(
        database,
        vault,
        who,
        organisation_id=organisation_id,
        values={"name": "Renamed too"},
        if_match=None,
        now=NOW,
    )
    teams.retire_team(database, vault, who, team_id=made.id, if_match=None, now=NOW)
    for one in coverages.list_coverages(
        database, who, team_id=team_id, after=None, limit=50, now=NOW
    ):
        assert one.set_by == "pack"
        coverages.remove_coverage(
            database, vault, who, team_id=team_id, coverage_id=one.id, if_match=1, now=NOW
        )
    with database.owner() as conn:
        (code,) = conn.execute(
            "select code from areas where city_id = %s order by code limit 1", [city_id]
        ).fetchone()
    added = coverages.add_coverage(
        database, vault, who, team_id=team_id, rule=Rule(area=code, modes=("bus",)), now=NOW
    )
    kept = teams.found_team(database, vault, who, name="Kept", base=base, capabilities=(), **more)
    with database.owner() as conn:
        conn.execute("update cities set pack_digest = 'another'")
    report = load_pack(database, TINYTOWN, now=NOW, progress=print)
    assert report.changed
    assert any("what its staff set stays: name" in note for note in report.notes)
    assert any("coverages were set by staff" in note for note in report.notes)
    left = coverages.list_coverages(database, who, team_id=team_id, after=None, limit=50, now=NOW)
    assert [(one.id, one.set_by) for one in left] == [(added.id, "staff")]
    with database.owner() as conn:
        rows = conn.execute(
            "select name, retired from teams where id = any (%s)", [[team_id, made.id, kept.id]]
        ).fetchall()
        (name,) = conn.execute(
            "select name from organisations where id = %s", [organisation_id]
        ).fetchone()
    assert sorted(rows) == [("Kept", False), ("Ours", True), ("Renamed", False)]
    assert name == "Renamed too"


def _staff():
    return Principal(kind=Kind.STAFF)


# --- versions of all that an administrator changes


def test_whoever_comes_second_is_told_the_version_that_there_is(desk, client, robin):
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    made = {
        where: client.post(where, json=body, headers=robin)
        for where, body in (
            ("/v1/clients", {"name": "App", "scopes": []}),
            (f"{team}/shifts", {"kind": "recurring", "rule": "24/7"}),
        )
    }
    for where, answer in made.items():
        assert answer.status_code == 201, answer.text
        one = f"{where}/{answer.json['id']}"
        hours = {"kind": "recurring", "rule": "24/7"}
        method, body = ("PUT", hours) if "shifts" in where else ("PATCH", {"name": "B"})
        late = client.open(one, method=method, json=body, headers={**robin, "If-Match": '"99"'})
        assert (late.status_code, late.headers.get("ETag")) == (412, '"1"'), late.text


def test_whoever_comes_second_at_the_desk_is_told_the_version_too(desk, client, robin):
    report = desk.report(P2)
    alert = f"/v1/alerts/{WireId.of('alert', desk.alert_of(desk.first))}"
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    (row,) = desk.rows("select incident_id from reports where id = %s", report.id)
    incident = f"/v1/incidents/{WireId.of('incident', row['incident_id'])}"
    address = client.post(
        f"{team}/addresses",
        json={"channel": "email", "address": "desk@police.example", "name": "Desk"},
        headers=robin,
    )
    assert address.status_code == 201, address.text
    one = f"/v1/addresses/{address.json['id']}"
    acknowledged = client.post(f"{alert}/acknowledge", headers=robin)
    assert acknowledged.status_code == 200, acknowledged.text
    for method, where, read, body in (
        ("PUT", f"{team}/duty", team, {"status": "busy"}),
        ("PUT", f"{team}/capabilities", team, {"capabilities": None}),
        ("PUT", "/v1/sign-in-policy", "/v1/sign-in-policy", {"requires_totp": True}),
        ("PUT", "/v1/check-ins/default", "/v1/check-ins/default", {"due_in_s": 900}),
        ("PATCH", one, one, {"name": "B"}),
        ("DELETE", one, one, None),
        ("POST", f"{alert}/en-route", alert, None),
        (
            "POST",
            f"{alert}/hand-over",
            alert,
            {"to_team": WireId.of("team", desk.second), "reason": "Nearer."},
        ),
    ):
        seen = client.get(read, headers=robin)
        assert seen.status_code == 200, seen.text
        late = client.open(where, method=method, json=body, headers={**robin, "If-Match": '"99"'})
        assert late.status_code == 412, (where, late.text)
        assert late.headers.get("ETag") == seen.headers["ETag"], where
    closed = client.post(f"{alert}/close", json={"outcome": "resolved"}, headers=robin)
    assert closed.status_code == 200, closed.text
    late = client.post(
        f"{incident}/reopen", json={"reason": "Again."}, headers={**robin, "If-Match": '"99"'}
    )
    seen = client.get(incident, headers=robin)
    assert (late.status_code, late.headers.get("ETag")) == (412, seen.headers["ETag"])
