"""Stops and hubs as passengers name them and reach them."""

import json

from tests.api.reports.sending import codes, report, submit


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
