import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.wire.auth import LastKnown
from tests.api.reports.sending import KEY, report, submit
from tests.databases import settings_for
from tests.desk import NOW, P1, P2, P4, SPOT, keys_for
from tests.proxy import Line, soon
from tests.tokens import token
from waylight import metrics, worker
from waylight.channels.senders import Sent
from waylight.db.session import Database
from waylight.domain.alerts import Outcome, Result
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import alerts, keys
from waylight.services.context import Waylight
from waylight.services.operations import chores
from waylight.services.operations.metrics import Scrape


def scraper(database, vault, *, scopes=("metrics:read",), **others):
    issued = keys.create_client_key(
        database, vault, name="prometheus", scopes=scopes, now=datetime.now(UTC), **others
    )
    return issued, {"Authorization": f"Bearer {issued.token}"}


@pytest.fixture
def scrape(app, client, database, vault):
    """Everything that is told, as {(name, labels...): value}."""
    _, headers = scraper(database, vault)

    def scrape():
        app.extensions["waylight.scrape"] = Scrape()
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        return told(answer.text)

    return scrape


def told(text):
    return {
        (sample.name, *(value for name, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def grown(before, after):
    """What has grown of the counters, and by how much."""
    return {
        key: after[key] - before.get(key, 0.0)
        for key in after
        if after[key] != before.get(key, 0.0) and key[0].endswith(("_total", "_count"))
    }


@pytest.mark.parametrize("header", [None, "Bearer " + token("client", "nobody"), "Receipt X"])
def test_nobody_is_told_a_count(client, database, header):
    headers = {"Authorization": header} if header else {}
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert "waylight_" not in answer.text


def test_neither_is_a_program_without_the_scope_nor_a_person(client, database, vault, desk):
    _, headers = scraper(database, vault, scopes=("exercise",))
    assert client.get("/metrics", headers=headers).status_code == 403
    token = keys_for(desk, [desk.control])[desk.control]
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_reports_are_counted_by_priority_and_by_what_became_of_them(client, desk, scrape):
    at = {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}
    far = {"type": "Point", "coordinates": [SPOT.lon + 0.2, SPOT.lat]}
    before = scrape()
    first = report(location={"point": at}, in_danger=True)
    for _ in range(2):
        assert submit(client, first, **{"Idempotency-Key": KEY}).status_code == 201
    submit(client, first)
    submit(client, report(wants=["record_only"], location={"point": far}))
    grew = {key[1:]: n for key, n in grown(before, scrape()).items() if "reports_total" in key[0]}
    assert grew == {
        ("routed", "1"): 1,
        ("replayed", "1"): 1,
        ("joined", "1"): 1,
        ("recorded", "2"): 1,
    }


@pytest.mark.parametrize("instrument", ["REPORTS", "REPORTS_DEGRADED", "REQUESTS", "REQUEST_S"])
def test_a_number_that_cannot_be_kept_costs_nobody_their_report(
    client, desk, monkeypatch, instrument
):
    def broken(*_):
        raise FileNotFoundError

    monkeypatch.setattr(getattr(metrics, instrument), "labels", broken)
    monkeypatch.setattr("waylight.services.reports.submit.look_around", broken)
    assert submit(client, report()).status_code == 201
    assert len(desk.rows("select from reports")) == 1


def test_an_exercise_is_counted_nowhere(client, desk, scrape):
    headers = {"Authorization": f"Bearer {keys_for(desk, [desk.control])[desk.control]}"}
    at = {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}
    before = scrape()
    answer = submit(
        client, report(exercise=True, in_danger=True, location={"point": at}), **headers
    )
    assert answer.json["exercise"] is True
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=9))
    after = scrape()
    assert {key[0] for key in grown(before, after)} <= {
        "waylight_http_requests_total",
        "waylight_http_request_seconds_count",
    }
    for name in ("queued_deliveries", "unnumbered_events", "oldest_unanswered_alert_seconds"):
        of = {key: value for key, value in after.items() if key[0] == f"waylight_{name}"}
        assert of
        assert set(of.values()) == {0.0}


def test_a_report_that_broke_us_is_counted_as_such(client, desk, scrape, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("broken")

    before = scrape()
    monkeypatch.setattr("waylight.services.reports.submit.look_around", broken)
    assert submit(client).status_code == 201
    grew = grown(before, scrape())
    assert grew["waylight_reports_degraded_total", "lookup_failed"] == 1


def test_the_time_to_an_answer_is_taken_once_for_each_incident(desk, scrape):
    before = scrape()
    desk.report(P1)
    desk.acknowledge(desk.control, desk.alert_of(desk.room), now=NOW + timedelta(seconds=40))
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=50))
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=NOW + timedelta(seconds=60))
    after = scrape()
    name = "waylight_acknowledgement_seconds"
    assert grown(before, after)[f"{name}_count", "1"] == 1
    took = after[f"{name}_sum", "1"] - before.get((f"{name}_sum", "1"), 0)
    assert took == pytest.approx(40, abs=1)


def test_a_hub_that_expects_somebody_answers_nothing(desk, scrape):
    before = scrape()
    desk.report(replace(P1, wants=(Want.HELP, Want.HUB)))
    desk.acknowledge(desk.hub_host, desk.alert_of(desk.hub))
    assert not any("acknowledgement" in key[0] for key in grown(before, scrape()))


def test_facts_of_the_database_are_told(desk, database, scrape):
    desk.report(P1)
    desk.report(P4, at=Point(SPOT.lon + 0.3, SPOT.lat))
    desk.do("update incidents set restarted_at = null, opened_at = now() - interval '100 seconds'")
    desk.do("update deliveries set next_attempt_at = now() - interval '30 seconds'")
    chores.beat(database, "w", host="h", pid=1, started_at=NOW, now=datetime.now(UTC))
    found = scrape()
    assert found["waylight_database_up",] == 1
    assert 100 <= found["waylight_oldest_unanswered_alert_seconds", "1"] < 1000
    assert found["waylight_oldest_unanswered_alert_seconds", "3"] == 0
    assert ("waylight_oldest_unanswered_alert_seconds", "4") not in found
    assert found["waylight_unanswered_incidents", "1"] == 0
    assert found["waylight_queued_deliveries", "1"] == len(
        desk.rows("select from deliveries where status = 'queued'")
    )
    assert 30 <= found["waylight_oldest_overdue_delivery_seconds",] < 1000
    assert found["waylight_unnumbered_events",] == len(desk.rows("select from events"))
    assert found["waylight_unrouted_reports",] == 0
    assert found["waylight_workers_alive",] == 1
    assert found["waylight_schedule_horizon_seconds",] > 30 * 86_400
    desk.do("update incidents set unanswered_at = now(), escalate_at = null where priority = 1")
    assert scrape()["waylight_unanswered_incidents", "1"] == 1


def test_an_answered_incident_is_not_the_oldest_unanswered(desk, scrape):
    desk.report(P1)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    assert scrape()["waylight_oldest_unanswered_alert_seconds", "1"] == 0


def test_requests_are_told_by_the_template_of_their_route(client, database, scrape):
    before = scrape()
    alert = "alert_01jdw2s4x0e6qv3t8k5n7b9c1d"
    client.get(f"/v1/alerts/{alert}")
    client.get("/v1/hubs/nearest?lon=-0.1271&lat=51.5072")
    client.get("/secret-diary/of/a-passenger")
    client.open("/v1/hubs", method="BREW")
    grew = {key[1:]: n for key, n in grown(before, scrape()).items() if "http_requests" in key[0]}
    assert grew.pop(("GET", "/metrics", "200")) == 1
    assert grew == {
        ("GET", "/v1/alerts/{alert_id}", "401"): 1,
        ("GET", "/v1/hubs/nearest", "200"): 1,
        ("GET", "unmatched", "404"): 1,
        ("other", "unmatched", "405"): 1,
    }
    text = metrics.exposition().decode()
    for private in (alert, "diary", "0.1271", "51.5072", "BREW"):
        assert private not in text


def test_scraping_often_asks_the_database_once_in_five_seconds(
    app, client, database, vault, monkeypatch
):
    _, headers = scraper(database, vault)
    now = [100.0]
    app.extensions["waylight.scrape"] = Scrape(clock=lambda: now[0])
    asked = []
    intake = Database.intake

    def counting(self, **others):
        asked.append(1)
        return intake(self, **others)

    monkeypatch.setattr(Database, "intake", counting)
    for _ in range(5):
        assert client.get("/metrics", headers=headers).status_code == 200
    assert len(asked) == 5 + 1  # the key each time, the facts once
    now[0] += 5
    client.get("/metrics", headers=headers)
    assert len(asked) == 5 + 1 + 2


@pytest.mark.commits
def test_a_schema_without_our_tables_does_not_break_the_scrape(app, client, database, vault):
    _, headers = scraper(database, vault)
    with database.owner() as conn:
        conn.execute("alter table deliveries rename to gone")
    found = told(client.get("/metrics", headers=headers).text)
    assert found["waylight_database_up",] == 0


@pytest.fixture
def behind_a_line(database, vault):
    """An app that reaches its database over a line, and the line."""
    line = Line(database._settings.database_url)
    app = create_app(settings_for(line.url(), WAYLIGHT_DATABASE_TIMEOUT_S="0.5"))
    yield app, line
    line.resume()
    app.extensions["waylight"].database.close()
    line.close()


@pytest.mark.commits
def test_a_database_that_is_away_does_not_break_the_scrape(behind_a_line, database, vault):
    app, line = behind_a_line
    _, headers = scraper(database, vault)
    client = app.test_client()
    soon(lambda: client.get("/metrics", headers=headers).status_code == 200)
    line.hang()
    app.extensions["waylight.scrape"] = Scrape()
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    found = told(answer.text)
    assert found["waylight_database_up",] == 0
    assert not any(key[0] == "waylight_workers_alive" for key in found)
    assert any(key[0] == "waylight_http_requests_total" for key in found)
    assert client.get("/metrics").status_code == 401
    _, stranger = scraper(database, vault)
    assert client.get("/metrics", headers=stranger).status_code == 503
    assert client.get("/v1/alerts", headers=headers).status_code == 503


@pytest.mark.commits
def test_a_revoked_key_ends_at_once_and_is_not_remembered(behind_a_line, database, vault):
    app, line = behind_a_line
    issued, headers = scraper(database, vault)
    client = app.test_client()
    soon(lambda: client.get("/metrics", headers=headers).status_code == 200)
    keys.revoke_key(database, vault, issued.id, now=datetime.now(UTC))
    assert client.get("/metrics", headers=headers).status_code == 401
    line.hang()
    assert client.get("/metrics", headers=headers).status_code == 503


def test_a_key_is_remembered_for_an_hour_and_few_are(desk):
    known = LastKnown()
    known.learn(b"k", desk.police, at=NOW)
    assert known.recall(b"k", at=NOW + timedelta(minutes=60)) is desk.police
    assert known.recall(b"k", at=NOW + timedelta(minutes=61)) is None
    for n in range(200):
        known.learn(n.to_bytes(2), desk.police, at=NOW)
    assert len(known._known) == known.MOST


@pytest.mark.commits
def test_pool_use_is_told(app, client, database, scrape):
    with database.intake():
        found = scrape()
    assert found["waylight_pool_connections", "intake", "in_use"] >= 1
    assert found["waylight_pool_waiting", "intake"] == 0


def test_every_name_and_label_is_plain(scrape):
    for key in scrape():
        assert re.fullmatch(r"waylight_[a-z_]+", key[0])
        for value in key[1:]:
            with pytest.raises(ValueError, match=r"UUID|base 16"):
                UUID(value)


def test_the_worker_counts_what_it_delivers(desk, scrape):
    desk.report(P2)
    before = scrape()
    one = worker.Worker(
        Waylight(desk.settings, desk.database, desk.vault),
        channels={},
        clock=lambda: NOW + timedelta(seconds=3),
    )
    (message,) = alerts.claim(
        desk.database,
        desk.vault,
        one.id,
        free={"console": 5},
        lease_s=30,
        base_url="http://x",
        now=NOW + timedelta(seconds=3),
    )
    one._write([Sent(message, Outcome(Result.SENT), took_s=0.0, ends_at=float("inf"))])
    after = scrape()
    grew = grown(before, after)
    assert grew["waylight_deliveries_total", "console", "sent"] == 1
    assert grew["waylight_first_delivery_seconds_count", "2"] == 1
    name = ("waylight_first_delivery_seconds_sum", "2")
    assert after[name] - before.get(name, 0) == pytest.approx(3, abs=1)
