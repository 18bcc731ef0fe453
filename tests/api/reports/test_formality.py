"""Nothing is turned away for a formality."""

import io
import json

import pytest

from schemas.reports.example import REPORT_EXAMPLE
from tests.api.reports.sending import CAMDEN, KEY, codes, report, submit


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


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"narrative": "help me \\ud83d"}', "help me \ufffd"),
        (b'{"narrative": "help \\u0000me"}', "help me"),
    ],
)
def test_text_that_is_none_costs_nobody_their_report(client, london, vault, body, kept):
    answer = client.post("/v1/reports", data=body, headers={"Idempotency-Key": KEY})
    assert answer.status_code == 201
    (warning,) = answer.json["warnings"]
    assert (warning["pointer"], warning["code"]) == ("/narrative", "text_mended")
    again = client.post("/v1/reports", data=body, headers={"Idempotency-Key": KEY})
    assert again.json["id"] == answer.json["id"]
    with london.intake() as conn:
        (*key, narrative) = conn.execute(
            "select report_id, key_version, wrapped_key, narrative from report_secrets"
        ).fetchone()
    assert vault.open(*key, "narrative", narrative) == kept


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
