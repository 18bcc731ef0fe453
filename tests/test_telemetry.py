"""Traces: off unless asked for, and nothing of a passenger or a caller in them."""

import http.server
import json
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from tests.desk import P2, open_desk
from tests.processes import serving
from waylight import telemetry
from waylight.config import ConfigurationError
from waylight.domain.alerts import Outcome, Result
from waylight.services.context import Waylight
from waylight.worker import Worker

HEADERS = {
    "User-Agent": "Zmarkagent",
    "X-Forwarded-For": "203.0.113.77",
    "Authorization": "Bearer Zmarktoken",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
MARKS = (
    "zmark",
    "0.1426771",
    "51.5390442",
    "203.0.113.77",
    "127.0.0.1",
    "0af7651916cd43dd8448eb211c",
)
REPORT = {
    "narrative": "Zmarkstory",
    "location": {"point": {"type": "Point", "coordinates": [-0.1426771, 51.5390442]}},
}


@pytest.fixture
def spans():
    """What has been traced, once `told` is called."""
    exporter = InMemorySpanExporter()
    provider = telemetry.send_to(exporter, "test")

    def told():
        provider.force_flush()
        return exporter.get_finished_spans()

    yield told
    telemetry.stop()
    provider.shutdown()


def test_without_being_asked_nothing_is_traced_and_nothing_is_imported():
    assert telemetry.start("x", {}) is None
    assert telemetry.start("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}) is None
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert telemetry.start("x", asked) is None
    with telemetry.span("anything") as span:
        assert span is None


def test_traces_without_their_packages_are_refused_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"requirements-telemetry\.txt"):
        telemetry.start("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


def test_a_request_is_traced_by_the_template_of_its_route(london, vault, settings, spans):
    client = create_app(settings, context=Waylight(settings, london, vault)).test_client()
    assert client.post("/v1/reports", json=REPORT, headers=HEADERS).status_code == 201
    client.get("/v1/hubs/nearest?lon=-0.1426771&lat=51.5390442&zmark=1", headers=HEADERS)
    client.get("/zmarkpath", headers=HEADERS)
    client.get("/v1/alerts/alert_01jdw2s4x0e6qv3t8k5n7b9c1d?zmark=1", headers=HEADERS)
    told = spans()
    requests = {span.name: span for span in told if span.parent is None}
    assert set(requests) == {
        "POST /v1/reports",
        "GET /v1/hubs/nearest",
        "GET unmatched",
        "GET /v1/alerts/{alert_id}",
    }
    submit = requests["POST /v1/reports"]
    assert dict(submit.attributes or {}).keys() == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "waylight.request_id",
    }
    for span in told:
        text = span.to_json().lower()
        for mark in MARKS:
            assert mark not in text


@pytest.mark.commits
def test_statements_and_deliveries_are_traced_and_a_failure_is_not_quoted(
    database, vault, settings, spans
):
    desk = open_desk(database, vault, settings)

    class Breaks:
        def send(self, _message):
            raise OSError("Zmarkchannel +447700900991")

    class Works:
        def send(self, _message):
            return Outcome(Result.SENT)

    desk.report(P2)
    worker = Worker(Waylight(settings, database, vault), channels={"console": Works()})
    while worker.turn():
        pass
    worker._finish()
    desk.report(P2)
    worker = Worker(Waylight(settings, database, vault), channels={"console": Breaks()})
    while worker.turn():
        pass
    worker._finish()
    with pytest.raises(ValueError, match="Zmark"), database.intake():
        raise ValueError("Zmarkerror")
    told = spans()
    assert {span.name for span in told} == {"database", "deliver"}
    for span in told:
        assert not span.events
        text = span.to_json().lower()
        for mark in (*MARKS, "447700900991", "select", "followed me"):
            assert mark not in text


@pytest.mark.commits
@pytest.mark.slow
def test_a_served_api_sends_its_spans_where_the_standard_variable_says(london, tmp_path):
    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    received: list[tuple[str, bytes]] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        with serving(
            london._settings.database_url or "",
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as server:
            status, _ = server.ask("POST", "/v1/reports", json.dumps(REPORT).encode(), HEADERS)
            assert status == 201
            server.ask("GET", "/v1/hubs/nearest?lon=-0.1426771&lat=51.5390442", headers=HEADERS)
            server.process.terminate()
            assert server.ends() == 0  # which sends what is left
        collector.shutdown()
    assert {path for path, _ in received} == {"/v1/traces"}
    names, services = set(), set()
    for _, body in received:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            services |= {
                one.value.string_value
                for one in resource.resource.attributes
                if one.key == "service.name"
            }
            names |= {span.name for scope in resource.scope_spans for span in scope.spans}
        for mark in MARKS:
            assert mark.encode() not in body.lower()
    assert services == {"waylight-api"}
    assert {"POST /v1/reports", "GET /v1/hubs/nearest", "database"} <= names
