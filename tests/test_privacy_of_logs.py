"""The whole product at level `debug`, fed with marked words: no log line may hold one of them."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pyotp
import pytest

from schemas.common import WireId
from tests.desk import keys_for
from tests.processes import running, serving
from tests.proxy import Line, soon
from tests.staff import PASSWORD, person
from waylight.services import keys

pytestmark = [pytest.mark.commits, pytest.mark.slow]

LON, LAT = -0.142677, 51.539044
KEY = "7a11ab1e-cafe-4bad-8bad-facade0ddba1"
ADDRESS = "203.0.113.77"
MARKED = {
    "categories": ["being_followed", "Zmarkcategory"],
    "happening": "Zmarkhappening",
    "narrative": "Zmarkstory he wore a red coat",
    "description_of_person": {"free": "Zmarkdescription"},
    "contact": {"phone": "+447700900991", "email": "zmarkmail@example.org", "safe_times": "Zmarkt"},
    "location": {
        "point": {"type": "Point", "coordinates": [LON, LAT]},
        "stop_id": "Zmarkstop",
        "description": "Zmarkplace behind the stairs",
    },
    "journey": {"mode": "tube", "vehicle_id": "Zmarkvehicle", "carriage": "Zmarkcarriage"},
    "needs": ["Zmarkneed"],
    "wants": ["help", "Zmarkwant"],
    "Zmarkfield": {"Zmarkinner": "Zmarkvalue"},
    "in_danger": True,
}
HEADERS = {
    "Idempotency-Key": KEY,
    "X-Forwarded-For": ADDRESS,
    "User-Agent": "Zmarkagent/1.0",
    "Cookie": "session=Zmarkcookie",
    "Referer": "https://zmarkreferer.example/",
    "Authorization": "Bearer waylight_ck_Zmarktoken" + "x" * 34,
    "Accept-Language": "Zmarklanguage",
    "X-Request-Id": "Zmark request id",
}
RAW = (
    b"Zmarkline\r\n\r\n",
    b"GET /zmarkpath?lat=51.539044 HTTP/9.9\r\n\r\n",
    b"ZMARKMETHOD(/) / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nZmark header: zmarkvalue\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Zmark zmarkvalue\r\n\r\n",
    b"GET /zmark" + b"k" * 5000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X-Zmark: zmarkvalue\r\n" * 80 + b"\r\n",
    b"GET / HTTP/1.1\r\nX-Zmark: " + b"k" * 9000 + b"\r\n\r\n",
    b"POST /v1/reports HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzmarkchunk\r\n\r\n",
    b'POST /v1/reports HTTP/1.1\r\nContent-Length: 500\r\n\r\n{"narrative": "Zmarkcut',
    b"POST /v1/reports HTTP/1.1\r\nTransfer-Encoding: zmarkcoding\r\n\r\n",
    b"GET /zmarkcut HTTP/1.1\r\nX-Zmark: zma",
)


def test_no_word_of_a_passenger_or_of_a_caller_is_in_any_log(desk, tmp_path):
    url = desk.settings.database_url
    line = Line(url)
    debug: Any = {"WAYLIGHT_LOG_LEVEL": "debug", "WAYLIGHT_TRUSTED_PROXIES": "1"}
    manages = {"incidents:manage", "reports:redact", "reports:original"}
    controller = replace(desk.control, scopes=desk.control.scopes | manages)
    tokens = keys_for(desk, [desk.police, controller])
    with (
        serving(line.url(), tmp_path, WAYLIGHT_DATABASE_TIMEOUT_S="6", **debug) as server,
        running(line.url(), tmp_path / "worker.log", "worker", **debug) as worker,
        contextlib.closing(line),
    ):
        body = json.dumps(MARKED).encode()
        status, answer = server.ask("POST", "/v1/reports", body, HEADERS)
        assert status == 201
        receipt = json.loads(answer)["receipt"]
        secrets = {receipt, receipt.replace("-", ""), *tokens.values()}
        ask_for_everything(server, receipt, tokens[controller])
        secrets |= sign_in_and_out(server, desk)
        secrets |= share_and_support(server, desk, receipt)
        soon(lambda: desk.rows("select from deliveries where status = 'sent'"))
        soon(lambda: not desk.rows("select from events where sequence is null"))

        # What is broken within: SQL that fails with the rows it was given.
        desk.do("alter table report_secrets add constraint broken check (false) not valid")
        for _ in range(2):
            status, answer = server.ask(
                "POST", "/v1/reports", body, HEADERS | {"Idempotency-Key": ""}
            )
            assert status == 500
        assert json.loads(answer)["code"] == "internal"
        desk.do("alter table report_secrets drop constraint broken")
        desk.do("alter table places rename to gone")
        assert server.ask("POST", "/v1/reports", body, HEADERS | {"Idempotency-Key": ""})[0] == 201
        desk.do("alter table gone rename to places")
        desk.do("alter table deliveries rename column next_attempt_at to gone")
        soon(lambda: "worker_part_failed" in (tmp_path / "worker.log").read_text())
        desk.do("alter table deliveries rename column gone to next_attempt_at")

        for sent in RAW:
            with contextlib.suppress(ConnectionError):
                server.raw(sent)

        # A database that is silent, and one that is gone.
        line.hang()
        assert server.ask("POST", "/v1/reports", body, HEADERS)[0] == 503
        line.resume()
        line.stop()
        assert server.ask("POST", "/v1/reports", body, HEADERS)[0] == 503
        ask_for_everything(server, receipt, tokens[controller])
        soon(lambda: "database_unavailable" in (tmp_path / "worker.log").read_text())
        line.start()
        for process in (server.process, worker):
            process.terminate()
            assert process.wait(120) == 0

    serve_log, worker_log = server.told(), (tmp_path / "worker.log").read_text()
    check_that_it_was_told(serve_log, worker_log)
    for log in (serve_log, worker_log):
        lowered = log.lower()
        for word in ("zmark", "red coat", "447700900991", ADDRESS, KEY, KEY.replace("-", "")):
            assert word not in lowered, lines_with(log, word)
        for number in (str(LON).lstrip("-"), str(LAT), "lat=", "lon="):
            assert number not in log, lines_with(log, number)
        for secret in secrets:
            assert secret not in log


def sign_in_and_out(server, desk):
    """Everything that somebody signs in with, right and wrong; what of it no log may hold."""
    robin = person(desk, "zmarkmail@police.example", now=datetime.now(UTC))
    head = {"Content-Type": "application/json"}

    def call(method, path, body=None, token=None):
        sent = head | ({"Authorization": f"Bearer {token}"} if token else {})
        status, answer = server.ask(method, path, json.dumps(body or {}).encode(), sent)
        return status, json.loads(answer or b"{}")

    right = {"email": robin.email, "password": PASSWORD}
    for wrong in (
        {"password": "Zmarkpassword is wrong"},
        {"email": "zmarknobody@police.example"},
        {"code": "zmarkcode", "organisation": "zmarkorganisation", "device": "zmarkdevice"},
        {"password": ["Zmarklist"]},
        {"zmarkfield": "Zmarkvalue"},
    ):
        assert call("POST", "/v1/sessions", right | wrong)[0] in (201, 401, 422)
    status, entered = call("POST", "/v1/sessions", right)
    assert status == 201
    token = entered["token"]
    assert call("POST", "/v1/sessions/current/step-up", {"password": PASSWORD}, token)[0] == 200
    status, begun = call("POST", "/v1/account/totp", token=token)
    assert status == 201
    assert call("POST", "/v1/account/totp/confirm", {"code": "000000"}, token)[0] == 401
    code = pyotp.TOTP(begun["secret"]).now()
    status, confirmed = call("POST", "/v1/account/totp/confirm", {"code": code}, token)
    assert status == 200
    for body in ({"password": "zmark zmark zmark zmark"}, {"password": "zmark"}):
        call("PUT", "/v1/account/password", body, token)
    call("POST", "/v1/invitations/accept", {"token": "zmarktoken", "password": "Zmark" * 4})
    form = "grant_type=client_credentials&client_id=zmarkclient&client_secret=zmarksecret"
    program = keys.create_client_key(
        desk.database,
        desk.vault,
        name="App",
        scopes=["webhooks:manage"],
        organisation="police",
        now=datetime.now(UTC),
    )
    right_form = {
        "grant_type": "client_credentials",
        "client_id": WireId.of("client", program.id),
        "client_secret": program.token,
    }
    head_of_form = {"Content-Type": "application/x-www-form-urlencoded"}
    server.ask("POST", "/v1/oauth/token", form.encode(), head_of_form)
    status, answer = server.ask(
        "POST", "/v1/oauth/token", urlencode(right_form).encode(), head_of_form
    )
    assert status == 200
    call("DELETE", "/v1/sessions", token=token)
    return {
        PASSWORD,
        token,
        entered["device"],
        begun["secret"],
        program.token,
        json.loads(answer)["access_token"],
        robin.email,
        *confirmed["recovery_codes"],
    }


def share_and_support(server, desk, receipt):
    """Consent given, notes of a support service, one whose key is lost; the token that reads."""
    desk.do("update organisations set kind = 'support_service' where key = 'friends'")
    noor = replace(desk.hub_host, scopes=frozenset({"reports:read", "support:work"}))
    token = keys_for(desk, [noor])[noor]
    mine = {"Authorization": f"Receipt {receipt}", "X-Forwarded-For": ADDRESS}
    staff = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    consent = "/v1/reports/mine/consents/support"
    assert server.ask("PUT", consent, b'"Zmarkbody"', mine)[0] == 200
    status, answer = server.ask("GET", "/v1/shared-reports", None, staff)
    (shared,) = json.loads(answer)["items"]
    status, answer = server.ask("GET", f"/v1/shared-reports/{shared['id']}", None, staff)
    assert (status, "Zmarkstory" in answer.decode()) == (200, True)
    notes = f"/v1/shared-reports/{shared['id']}/support-notes"
    for said, expected in ({"text": "Zmarksupport"}, 201), ({"text": "Zmark" * 900}, 422):
        assert server.ask("POST", notes, json.dumps(said).encode(), staff)[0] == expected
    desk.do("update support_cases set key_version = 9")
    assert server.ask("POST", notes, b'{"text": "Zmarklost"}', staff)[0] == 409
    assert "Zmarksupport" not in server.ask("GET", notes, None, staff)[1].decode()
    assert server.ask("DELETE", consent, None, mine)[0] == 200
    return {token}


def ask_for_everything(server, receipt, token):
    """Every kind of request, right and wrong; whatever the answer, nobody may hear of it."""
    mine = {"Authorization": f"Receipt {receipt}", "X-Forwarded-For": ADDRESS}
    staff = {"Authorization": f"Bearer {token}", "X-Forwarded-For": ADDRESS}
    where = f"lon={LON}&lat={LAT}&zmarkquery=zmark"
    for method, path, body, headers in (
        ("GET", "/v1/reports/mine", None, mine),
        ("GET", "/v1/reports/mine", None, {"Authorization": "Receipt ZMARK-RECEIPT-ZMARK"}),
        ("GET", "/v1/reports/zmarkreport", None, mine),
        ("GET", f"/v1/hubs/nearest?{where}", None, HEADERS),
        ("GET", f"/v1/hubs/nearest?lon={LON}&lat={LAT}", None, HEADERS),
        ("GET", "/v1/places?q=zmarkplace", None, HEADERS),
        ("GET", "/zmarkpath/zmark?zmark=1", None, HEADERS),
        ("ZMARK", "/v1/reports", None, HEADERS),
        ("POST", "/v1/reports", b'{"narrative": "Zmarkbroken', HEADERS),
        ("POST", "/v1/reports", b'"Zmarktext"', HEADERS),
        ("POST", "/v1/reports", b"[" * 3000 + b'"Zmarkdeep"', HEADERS),
        ("POST", "/v1/reports", b'{"narrative": "Zmark' + b"k" * 300_000 + b'"}', HEADERS),
        ("POST", "/v1/reports", b"\xff\xfeZmark", HEADERS),
        ("GET", "/v1/alerts?zmark=zmark", None, staff),
        ("GET", "/v1/alerts?limit=1", None, staff),
        ("GET", "/v1/alerts/alert_01jdw2s4x0e6qv3t8k5n7b9c1d", None, staff),
        ("POST", "/v1/alerts/zmark/acknowledge", b"{}", staff),
        ("GET", "/metrics", None, HEADERS),
        ("GET", "/readyz?zmark=zmark", None, HEADERS),
    ):
        server.ask(method, path, body, headers)
    status, answer = server.ask("GET", "/v1/alerts?limit=5", None, staff)
    for alert in json.loads(answer).get("items", ()) if status == 200 else ():
        _, detail = server.ask("GET", f"/v1/alerts/{alert['id']}", None, staff)
        assert "Zmarkstory" in detail.decode()
        server.ask("POST", f"/v1/alerts/{alert['id']}/acknowledge", b"{}", staff)
        incident = f"/v1/incidents/{alert['incident']['id']}"
        for path, said in (
            (f"{incident}/notes", {"text": "Zmarknote"}),
            (f"{incident}/notes", {"text": "Zmarknote" * 900}),
            (f"{incident}/reopen", {"reason": "Zmarkreopen"}),
            (f"{incident}/merge", {"into": "Zmarkinto", "reason": "Zmarkmerge"}),
            (f"{incident}/split", {"reports": ["Zmarkreport"], "reason": "Zmarksplit"}),
            (
                f"/v1/alerts/{alert['id']}/hand-over",
                {"to_team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "reason": "Zmarkhandover"},
            ),
            (
                f"/v1/reports/{json.loads(detail)['reports'][0]['id']}/redactions",
                {"field": "narrative", "replacement": "Zmarkstory hidden", "reason": "Zmarkwhy"},
            ),
            (f"/v1/alerts/{alert['id']}/close", {"outcome": "advised", "note": "Zmarkclosing"}),
        ):
            server.ask("POST", path, json.dumps(said).encode(), staff)
        for path in (incident, f"{incident}/timeline", f"{incident}/timeline?cursor=zmark"):
            server.ask("GET", path, None, staff)


def check_that_it_was_told(serve_log, worker_log):
    """The test would pass on an empty log: what went wrong must be in it, in our form."""
    told = [json.loads(line) for line in serve_log.splitlines()]
    assert all("event" in line for line in told)
    events = {line["event"] for line in told}
    assert {
        "request",
        "Invalid request",
        "request_failed",
        "lookup_failed",
        "report_kept_bare",
    } <= (events)
    assert {line["level"] for line in told} >= {"debug", "info", "warning", "error"}
    for line in told:
        if line["event"] in ("request", "request_failed", "report_kept_bare", "lookup_failed"):
            assert line["request_id"], line
    words = [line for line in worker_log.splitlines() if not line.startswith("ALERT |")]
    events = {json.loads(line)["event"] for line in words}
    assert {"worker_started", "worker_part_failed", "database_unavailable", "worker_stopped"} <= (
        events
    )
    assert datetime.now(UTC).strftime("%Y") in serve_log


def lines_with(log, word):
    return [line for line in log.splitlines() if word in line.lower()][:3]
