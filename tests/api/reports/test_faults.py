"""Whatever breaks, the report is kept and somebody is told, or the answer says otherwise."""

from datetime import UTC, datetime

import pytest

from schemas.common import WireId
from tests.api.reports.sending import TINYTOWN, codes, count, report, submit
from waylight.domain import triage
from waylight.services.operations import chores
from waylight.services.packs import load_pack


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
