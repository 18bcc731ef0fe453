"""The front door for passengers, over the London pack."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.common import WireId
from schemas.reports.example import REPORT_EXAMPLE
from waylight.domain import triage
from waylight.services import chores
from waylight.services.packs import load_pack

CAMDEN = {"type": "Point", "coordinates": [-0.1426, 51.5390]}
TINYTOWN = Path(__file__).parents[1] / "data" / "tinytown"
KEY = "2f1c9d57-4b0e-4c53-9f5e-0d6f1f2a7b11"


def report(**changes):
    return {
        "categories": ["being_followed"],
        "location": {"point": CAMDEN, "accuracy_m": 25},
        "journey": {"mode": "tube"},
        **changes,
    }


def submit(client, body=None, **headers):
    return client.post("/v1/reports", json=report() if body is None else body, headers=headers)


def count(database, table, where="true"):
    with database.owner() as conn:
        return conn.execute(f"select count(*) from {table} where {where}").fetchone()[0]  # noqa: S608 - constants of this file


def read_back(client, receipt):
    return client.get("/v1/reports/mine", headers={"Authorization": f"Receipt {receipt}"})


def codes(items):
    return [item["code"] for item in items]


# --- the walk -------------------------------------------------------------------------------------


def test_the_example_report_is_routed_and_answered_in_one_go(client, london):
    answer = submit(client, REPORT_EXAMPLE)
    assert answer.status_code == 201
    body = answer.json
    assert answer.headers["Location"] == f"/v1/reports/{body['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.data) <= 8192
    assert body["status"] == "routed"
    assert body["priority"]["level"] == 1
    assert body["location"]["place"]["name"] == "Camden Town"
    told = [r for r in body["routed_to"] if r["told"] == "now"]
    assert [r["role"] for r in told] == ["primary", "control_room", "hub"]
    assert all(r["demo"] for r in told)
    assert "police" not in told[0]["organisation"].lower()
    assert body["hubs"]
    assert body["hubs"] == sorted(body["hubs"], key=lambda hub: hub["distance_m"])
    assert body["jurisdiction"]["body"] == "British Transport Police"
    assert body["jurisdiction"]["contact"]["sms"] == "61016"
    assert body["safety_card"]["emergency"]


def test_a_tube_report_reaches_a_team_that_covers_camden_by_tube(client, london):
    primary = submit(client).json["routed_to"][0]
    assert primary["role"] == "primary"
    assert {"covers_area", "covers_mode", "on_shift", "nearest"} <= set(codes(primary["reasons"]))
    with london.intake() as conn:
        found = conn.execute(
            """
            select bool_or('tube' = any (c.modes) and st_covers(a.geom,
                       st_setsrid(st_makepoint(-0.1426, 51.5390), 4326)))
            from coverages c join areas a on a.id = c.area_id where c.team_id = %s
            """,
            [WireId.read("team", primary["team"]["id"])],
        ).fetchone()
    assert found == (True,)


def test_everything_written_is_encrypted_and_the_story_is_nowhere_in_the_clear(client, london):
    secrets = ["tasted salty", "grey rucksack", "447700900123", "near the stairs", "zebra-crossing"]
    body = {**REPORT_EXAMPLE, "made_up_field": "zebra-crossing"}
    assert submit(client, body, **{"Idempotency-Key": KEY}).status_code == 201
    with london.owner() as conn:
        tables = conn.execute(
            "select tablename from pg_tables where schemaname = 'public'"
            " and tablename not in ('places', 'spatial_ref_sys')"
        ).fetchall()
        for (table,) in tables:
            dump = "\n".join(
                row[0]
                for row in conn.execute(f'select t::text from "{table}" t').fetchall()  # noqa: S608 - names from the catalogue
            )
            for secret in secrets:
                assert secret not in dump, table


def test_the_receipt_brings_the_passenger_back(client, london):
    sent = submit(client).json
    back = read_back(client, sent["receipt"])
    assert back.status_code == 200
    assert back.json["id"] == sent["id"]
    assert codes(back.json["timeline"])[:2] == ["received", "told"]
    same = client.get(
        f"/v1/reports/{sent['id']}", headers={"Authorization": f"Receipt {sent['receipt']}"}
    )
    assert same.json == back.json


def test_a_receipt_opens_only_its_own_report(client, london):
    mine, other = submit(client).json, submit(client).json
    answer = client.get(
        f"/v1/reports/{other['id']}", headers={"Authorization": f"Receipt {mine['receipt']}"}
    )
    assert answer.status_code == 404


def test_wrong_missing_and_mistyped_receipts_get_the_same_404(client, london):
    receipt = submit(client).json["receipt"]
    slip = receipt[:-1] + ("0" if receipt[-1] != "0" else "1")
    answers = [
        client.get("/v1/reports/mine", headers=headers)
        for headers in (
            {"Authorization": "Receipt K7QD-0000-0000-0000-0000-0000"},
            {"Authorization": f"Receipt {slip}"},
            {"Authorization": "Receipt "},
            {"Authorization": "Basic abc"},
            {},
        )
    ]
    assert {a.status_code for a in answers} == {404}
    assert {(a.json["type"], a.json["detail"]) for a in answers} == {
        ("urn:waylight:problem:not_found", answers[0].json["detail"])
    }
    assert codes(answers[1].json["errors"]) == ["receipt_mistyped"]


def test_a_receipt_is_read_as_people_type_it(client, london):
    receipt = submit(client).json["receipt"]
    assert read_back(client, receipt.lower().replace("-", " ")).status_code == 200


def test_right_and_wrong_receipts_cost_the_same_statements(client, london, monkeypatch):
    receipt = submit(client).json["receipt"]
    counted = []
    execute = type(london._conn).execute
    cursor_execute = london._conn.cursor_factory.execute

    def counting(self, query, *args, **kwargs):
        counted.append(str(query)[:60])
        return cursor_execute(self, query, *args, **kwargs)

    monkeypatch.setattr(london._conn.cursor_factory, "execute", counting)
    assert execute
    read_back(client, receipt)
    right, counted[:] = list(counted), []
    read_back(client, "K7QD-0000-0000-0000-0000-0000")
    wrong, counted[:] = list(counted), []
    read_back(client, "nonsense")
    assert right == wrong == counted


# --- nothing is turned away for a formality -------------------------------------------------------


def test_the_panic_button_alone_is_priority_1(client, london):
    body = submit(client, {"in_danger": True, "location": {"point": CAMDEN}}).json
    assert body["priority"]["level"] == 1
    assert body["routed_to"][0]["told"] == "now"
    assert body["warnings"] == []


def test_a_place_in_words_goes_to_the_control_room(client, london):
    body = submit(client, {"categories": ["rape"], "location": {"description": "the alley"}}).json
    assert body["location"]["source"] == "words"
    assert [r["role"] for r in body["routed_to"]] == ["control_room"]
    assert codes(body["shortfalls"]) == ["no_position"]


def test_swapped_coordinates_are_swapped_back(client, london):
    body = submit(
        client, report(location={"point": {"type": "Point", "coordinates": [51.5390, -0.1426]}})
    ).json
    assert body["location"]["point"]["coordinates"] == [-0.1426, 51.539]
    assert codes(body["warnings"]) == ["swapped_coordinates"]


def test_null_island_yields_to_the_stop(client, london):
    body = submit(
        client,
        report(
            location={
                "point": {"type": "Point", "coordinates": [0, 0]},
                "stop_id": "940GZZLUCTN",
            }
        ),
    ).json
    assert body["location"]["source"] == "stop"
    assert body["location"]["place"]["name"] == "Camden Town"


def test_an_imprecise_point_yields_to_the_stop(client, london):
    body = submit(
        client,
        report(location={"point": CAMDEN, "accuracy_m": 900, "stop_id": "940GZZLUEUS"}),
    ).json
    assert body["location"]["source"] == "stop"


def test_a_report_outside_every_area_reaches_the_control_room(client, london):
    far = {"type": "Point", "coordinates": [-3.188, 55.953]}
    body = submit(client, report(location={"point": far})).json
    assert [r["role"] for r in body["routed_to"]] == ["control_room"]
    assert "outside_service_area" in codes(body["shortfalls"])
    assert "outside_service_area" in codes(body["warnings"])


def test_a_report_in_the_middle_of_the_thames_reaches_a_team(client, london):
    bridge = {"type": "Point", "coordinates": [-0.11694, 51.50858]}
    body = submit(client, report(location={"point": bridge}, journey={"mode": "bus"})).json
    assert body["routed_to"][0]["role"] == "primary"


def test_a_station_outside_london_is_still_on_the_network(client, london):
    with london.intake() as conn:
        lon, lat = conn.execute(
            "select st_x(position::geometry), st_y(position::geometry) from places"
            " where kind = 'station' and name like 'Chesham%'"
        ).fetchone()
    point = {"type": "Point", "coordinates": [lon, lat]}
    body = submit(client, report(location={"point": point})).json
    assert body["routed_to"][0]["role"] == "primary"


def test_an_unknown_mode_is_a_warning_and_the_place_decides(client, london):
    body = submit(client, report(journey={"mode": "hyperloop"})).json
    assert codes(body["warnings"]) == ["unknown_value"]
    assert body["routed_to"][0]["role"] == "primary"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_the_media_type_is_a_formality(client, london, media_type):
    answer = client.post(
        "/v1/reports", data=json.dumps(report()), headers={"Content-Type": media_type}
    )
    assert answer.status_code == 201


def test_a_revoked_key_does_not_cost_the_report(client, london):
    assert submit(client, Authorization="Bearer waylight_ck_nonsense").status_code == 201


def test_nothing_to_act_on_is_refused_with_one_entry_for_each_problem(client, database):
    answer = submit(client, {"foo": 1, "language": "en"})
    assert answer.status_code == 422
    assert codes(answer.json["errors"]) == ["nothing_to_act_on", "unknown_field"]


def test_a_body_over_the_limit_is_refused_whole(client, database, settings):
    answer = client.post("/v1/reports", data=b'"' + b"x" * settings.report_size_limit + b'"')
    assert answer.status_code == 413


def test_a_body_in_chunks_over_the_limit_is_refused_whole(client, database, settings):
    body = io.BytesIO(b'{"narrative":"' + b"x" * settings.report_size_limit + b'"}')
    answer = client.post(
        "/v1/reports", input_stream=body, environ_overrides={"wsgi.input_terminated": True}
    )
    assert answer.status_code == 413


def test_the_answer_stays_within_8_kb_in_every_language_with_a_hostile_body(client, london):
    hostile = {
        **REPORT_EXAMPLE,
        **{f"{'x' * 200}{n}": n for n in range(300)},
        "under_18": True,
        "needs": ["step_free", "hearing_loop", "text_only", "women_only", "companion"],
        "wants": ["help", "hub", "police", "contact"],
        "categories": [*REPORT_EXAMPLE["categories"], *(f"nonsense{n}" for n in range(99))],
    }
    for language in ("en", "es", "ar"):
        answer = submit(client, hostile, **{"Accept-Language": language})
        assert answer.status_code == 201
        assert len(answer.data) <= 8192, language
        assert answer.headers["Content-Language"] == language


def test_reasons_are_in_the_callers_language(client, london):
    english = submit(client, **{"Accept-Language": "en-GB"}).json
    spanish = submit(client, **{"Accept-Language": "es"}).json
    arabic = submit(client, report(language="ar")).json
    texts = [body["priority"]["reasons"][0]["text"] for body in (english, spanish, arabic)]
    assert len(set(texts)) == 3


# --- wants ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("want", ["record_only", "support_only"])
def test_asking_for_silence_is_kept_and_said(client, london, want):
    body = submit(client, report(wants=[want])).json
    assert (body["status"], body["alerting"], body["routed_to"]) == ("recorded", "none", [])
    assert codes(body["safety_card"]["who_sees_this"]) == ["nobody"]
    for table in ("alerts", "deliveries", "incidents", "grants"):
        assert count(london, table) == 0
    back = read_back(client, body["receipt"]).json
    assert back["status"] == "recorded"


def test_without_police_in_a_stated_list_no_police_is_told(client, london):
    body = submit(client, report(wants=["help"])).json
    with london.owner() as conn:
        kinds = conn.execute(
            "select distinct o.kind from alerts a join organisations o on o.id = a.organisation_id"
        ).fetchall()
    assert body["routed_to"]
    assert ("police",) not in kinds


def test_a_child_goes_to_a_safeguarding_team(client, london):
    body = submit(client, report(under_18=True)).json
    teams = [WireId.read("team", r["team"]["id"]) for r in body["routed_to"] if r.get("team")]
    with london.owner() as conn:
        capable = conn.execute(
            "select bool_and('safeguarding' = any (capabilities)) from teams where id = any (%s)",
            [teams],
        ).fetchone()
    assert capable == (True,)


# --- retries --------------------------------------------------------------------------------------


def test_a_retry_gets_the_same_answer_and_nothing_is_stored_twice(client, london):
    first = submit(client, **{"Idempotency-Key": f'"{KEY}"'})
    retry = submit(
        client, {**report(), "sent_at": "2026-11-21T23:59:00Z"}, **{"Idempotency-Key": KEY}
    )
    assert retry.json["id"] == first.json["id"]
    assert retry.json["receipt"] == first.json["receipt"]
    assert count(london, "reports") == 1
    assert submit(client, **{"Idempotency-Key": KEY}).json == first.json


def test_a_retry_of_a_report_that_joined_gets_the_same_answer(client, london):
    submit(client)
    joined = submit(client, **{"Idempotency-Key": KEY}).json
    assert joined["incident"] == {"joined": True}
    assert submit(client, **{"Idempotency-Key": KEY}).json == joined


@pytest.mark.parametrize(
    "key",
    [
        "1",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "8e03978e-40d5-43e8-bc93-6894a57f9324",  # the one in the documents
    ],
)
def test_two_phones_using_one_careless_key_get_a_report_each(client, london, key):
    first, second = (submit(client, **{"Idempotency-Key": key}).json for _ in range(2))
    assert first["id"] != second["id"]
    assert first["receipt"] != second["receipt"]
    assert codes(first["warnings"]) == ["idempotency_key_ignored"]


def test_a_key_used_for_another_story_makes_a_new_report_linked_to_the_first(client, london):
    first = submit(client, **{"Idempotency-Key": KEY}).json
    other = submit(client, report(narrative="more"), **{"Idempotency-Key": KEY}).json
    assert other["id"] != first["id"]
    assert other["linked_report_id"] == first["id"]
    assert "idempotency_key_reused" in codes(other["warnings"])


# --- linking, and an honest timeline --------------------------------------------------------------


def test_a_second_report_joins_and_the_holder_is_told_of_it(client, london):
    first, second = submit(client).json, submit(client).json
    assert (first["incident"]["joined"], second["incident"]["joined"]) == (False, True)
    assert count(london, "incidents") == 1
    assert [r["team"]["id"] for r in second["routed_to"]] == [
        r["team"]["id"] for r in first["routed_to"] if r["told"] == "now"
    ]
    assert codes(second["routed_to"][0]["reasons"])[0] == "joined_incident"
    assert count(london, "deliveries", "message = 'alert.updated'") == 1


def test_a_graver_report_restarts_the_ladder_and_tells_the_control_room(client, london):
    submit(client)
    body = submit(client, report(in_danger=True)).json
    assert body["incident"]["joined"]
    assert {r["role"] for r in body["routed_to"]} == {"primary", "control_room"}
    with london.owner() as conn:
        assert conn.execute("select priority from incidents").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": ["poor_lighting"]},
        {"location": {"point": {"type": "Point", "coordinates": [-0.1426, 51.5410]}}},
        {"wants": ["help"]},
        {"under_18": True},
        {"happening": "earlier", "occurred": {"to": "2026-01-01T00:00:00Z"}},
    ],
)
def test_another_event_is_another_incident(client, london, changes):
    submit(client)
    assert submit(client, report(**changes)).json["incident"] == {"joined": False}
    assert count(london, "incidents") == 2


def test_the_same_vehicle_joins_wherever_it_is(client, london):
    journey = {"mode": "tube", "route_id": "northern", "vehicle_id": "123"}
    submit(client, report(journey=journey))
    elsewhere = {"point": {"type": "Point", "coordinates": [-0.1387, 51.5284]}}
    assert submit(client, report(journey=journey, location=elsewhere)).json["incident"]["joined"]


def test_an_exercise_mark_without_the_scope_is_ignored_and_the_report_is_real(client, london):
    body = submit(client, report(exercise=True)).json
    assert body["exercise"] is False
    assert codes(body["warnings"]) == ["exercise_ignored"]


def test_without_a_living_worker_the_answer_says_that_alerting_is_delayed(client, london):
    body = submit(client).json
    assert body["alerting"] == "delayed"
    assert "alerting_delayed" in codes(body["safety_card"]["advice"])
    now = datetime.now(UTC)
    chores.beat(london, "w", host="h", pid=1, started_at=now, now=now)
    assert submit(client).json["alerting"] == "live"


def test_routing_that_breaks_in_the_database_still_stores_and_tells_the_control_room(
    client, london
):
    with london.owner() as conn:
        conn.execute(
            "create or replace function open_incident(report reports, link jsonb)"
            " returns incidents language plpgsql as $$ begin raise 'broken'; end $$"
        )
    body = submit(client).json
    assert [r["role"] for r in body["routed_to"]] == ["control_room"]
    assert codes(body["routed_to"][0]["reasons"]) == ["routing_failed"]
    assert count(london, "reports") == 1
    assert count(london, "events", "kind = 'routing.failed'") == 1


def test_looking_around_that_breaks_still_stores_and_tells_the_control_room(
    client, london, monkeypatch
):
    def broken(*_, **__):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("waylight.db.nearby.surroundings", broken)
    body = submit(client).json
    assert [r["role"] for r in body["routed_to"]] == ["control_room"]
    assert body["safety_card"]["emergency"]


def test_a_report_that_joins_from_another_mode_reaches_a_team_of_its_own_mode(client, london):
    by_tube = submit(client).json["routed_to"][0]["team"]["id"]
    by_bus = submit(client, report(journey={"mode": "bus"})).json
    assert by_bus["incident"]["joined"]
    primaries = {r["team"]["id"] for r in by_bus["routed_to"] if r["role"] == "primary"}
    assert by_tube in primaries
    assert len(primaries) == 2


def test_a_vehicle_number_alone_links_nobody(client, london):
    journey = {"mode": "bus", "vehicle_id": "1"}
    submit(client, report(journey=journey))
    elsewhere = {"point": {"type": "Point", "coordinates": [-0.05, 51.45]}}
    answer = submit(client, report(journey=journey, location=elsewhere)).json
    assert answer["incident"] == {"joined": False}


def test_the_same_vehicle_out_of_its_reach_is_another(client, london):
    journey = {"mode": "elizabeth", "route_id": "elizabeth", "vehicle_id": "1"}
    submit(client, report(journey=journey))
    reading = {"point": {"type": "Point", "coordinates": [-0.9719, 51.4588]}}
    answer = submit(client, report(journey=journey, location=reading)).json
    assert answer["incident"] == {"joined": False}


def test_police_wanted_are_told_also_when_somebody_else_has_the_incident(client, london):
    submit(client)
    with london.owner() as conn:
        conn.execute(
            "update alerts a set team_id = t.id, organisation_id = t.organisation_id"
            " from teams t join organisations o on o.id = t.organisation_id"
            " where o.kind = 'operator'"
        )
    body = submit(client, report(wants=["help", "police"])).json
    assert body["incident"]["joined"]
    with london.owner() as conn:
        kinds = conn.execute(
            "select o.kind from alerts a join organisations o on o.id = a.organisation_id"
            " where a.report_id = %s",
            [WireId.read("report", body["id"])],
        ).fetchall()
    assert ("police",) in kinds


def test_a_graver_report_does_not_take_the_team_from_whoever_reported_first(client, london):
    first = submit(client, report(wants=["help"])).json
    graver = submit(client, report(wants=["help"], in_danger=True)).json
    assert graver["incident"]["joined"]
    told = {r["team"]["name"] for r in read_back(client, first["receipt"]).json["told"]}
    assert told == {r["team"]["name"] for r in graver["routed_to"]}
    with london.owner() as conn:
        ungranted = conn.execute(
            "select count(*) from alerts a, reports r where not exists (select from grants g"
            " where g.report_id = r.id and g.organisation_id = a.organisation_id)"
        ).fetchone()
    assert ungranted == (0,)


def test_each_passenger_who_asks_for_the_hub_is_announced_to_it(client, london):
    both = report(wants=["help", "hub"])
    roles = [
        {r["role"] for r in submit(client, both).json["routed_to"] if r["told"] == "now"}
        for _ in range(2)
    ]
    assert roles[0] == roles[1]
    assert "hub" in roles[0]
    with london.owner() as conn:
        conn.execute("update alerts set state = 'closed' where hub_id is not null")
    third = submit(client, both).json
    assert "hub" in {r["role"] for r in third["routed_to"]}
    assert count(london, "alerts", "hub_id is not null") == 2


def test_who_sees_this_names_those_who_were_really_told(client, london):
    submit(client)
    with london.owner() as conn:
        conn.execute(
            "update teams set duty_status = 'off' where id in (select team_id from alerts)"
        )
    body = submit(client).json
    named = body["safety_card"]["who_sees_this"][0]["text"]
    assert body["routed_to"][0]["team"]["name"] in named


def test_a_hub_out_of_reach_is_neither_shown_nor_told(client, london):
    far = {"type": "Point", "coordinates": [-3.188, 55.953]}
    body = submit(client, report(location={"point": far}, wants=["help", "hub"])).json
    assert body["hubs"] == []
    assert "hub" not in {r["role"] for r in body["routed_to"]}
    assert "no_hub_near" in codes(body["shortfalls"])


def test_a_stop_without_a_public_id_is_named_by_the_id_that_places_gives(client, london):
    found = client.get("/v1/places?q=BP1589").json["items"][0]
    assert found["stop_id"] is None
    body = submit(client, {"in_danger": True, "location": {"stop_id": found["id"]}}).json
    assert body["location"]["source"] == "stop"
    assert body["location"]["place"]["id"] == found["id"]
    assert body["warnings"] == []


def test_a_stop_id_that_two_stops_have_says_so_and_covers_both(client, london):
    body = submit(client, {"in_danger": True, "location": {"stop_id": "490000805Z"}}).json
    assert codes(body["warnings"]) == ["ambiguous_stop"]
    assert body["location"]["radius_m"] > 450


def test_a_stop_that_nobody_knows_is_kept_for_staff(client, london, vault):
    body = submit(client, {"in_danger": True, "location": {"stop_id": "CAMDEN-XYZ"}}).json
    assert "unknown_stop" in codes(body["warnings"])
    with london.owner() as conn:
        report_id, version, key, rejected = conn.execute(
            "select report_id, key_version, wrapped_key, rejected from report_secrets"
        ).fetchone()
    kept = json.loads(vault.open(report_id, version, key, "rejected", rejected))
    assert kept == {"/location/stop_id": "CAMDEN-XYZ"}


@pytest.mark.parametrize(
    "times",
    [
        {"sent_at": "9998-06-01T00:00:00Z", "recorded_at": "2026-11-23T00:00:00Z"},
        {"sent_at": "0003-01-01T00:00:00Z", "recorded_at": "9000-01-01T00:00:00Z"},
        {"sent_at": "1970-01-01T00:00:00Z", "occurred": {"from": "2099-12-31T00:00:00Z"}},
        {"sent_at": "2100-01-01T00:00:00Z", "recorded_at": "1970-01-01T00:00:00Z"},
    ],
)
def test_no_clock_however_wrong_costs_the_report(client, london, times):
    assert submit(client, report(in_danger=True, **times)).json["priority"]["level"] == 1


def test_a_fault_of_ours_keeps_the_words_and_tells_the_control_room(client, london, monkeypatch):
    timing = triage.timing
    broken: list[bool] = []

    def breaks_once(*args, **kwargs):
        if not broken:
            broken.append(True)
            raise OverflowError
        return timing(*args, **kwargs)

    monkeypatch.setattr(triage, "timing", breaks_once)
    body = submit(client, report(in_danger=True)).json
    assert body["priority"]["level"] == 1
    assert [r["role"] for r in body["routed_to"]] == ["control_room"]


def test_a_pack_loaded_meanwhile_is_noticed_by_a_running_process(client, london):
    submit(client)
    with london.owner() as conn:
        conn.execute("update cities set version = version + 1, contacts_verified_at = '2026-12-24'")
    assert submit(client).json["safety_card"]["verified_at"] == "2026-12-24"


def test_another_city_in_another_time_zone_is_only_data(client, london):
    submit(client)
    load_pack(london, TINYTOWN, now=datetime.now(UTC), progress=lambda *_: None)
    body = submit(client, {"in_danger": True, "location": {"stop_id": "TT100"}}).json
    assert body["location"]["place"]["name"] == "Tinytown Central (demo)"
    assert "111" in {contact.get("phone") for contact in body["safety_card"]["emergency"]}
    with london.owner() as conn:
        cities = conn.execute(
            "select distinct c.slug from alerts a join cities c on c.id = a.city_id"
            " where a.report_id = %s",
            [WireId.read("report", body["id"])],
        ).fetchall()
    assert cities == [("tinytown",)]


def test_without_any_city_the_report_is_stored_and_waits_for_a_control_room(client, database):
    body = submit(client).json
    assert (body["status"], body["alerting"]) == ("unrouted", "delayed")
    assert count(database, "reports", "status = 'unrouted'") == 1
