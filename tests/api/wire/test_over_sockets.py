"""What a client sees on the wire: gunicorn as it is served, over real sockets.

Its database is away: a report that is taken so far gets the 503, and all that is refused before
looks as it always does. What gunicorn itself cannot read (two Host headers, a length and chunks) it
answers itself, in the form of our errors and without a request id: the app is never asked.
"""

import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.databases import environment_for
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
REPORT = b'{"categories": ["being_followed"]}'

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def port():
    number = free_port()
    chosen = environment_for(
        NOWHERE,
        WAYLIGHT_PORT=str(number),
        WAYLIGHT_WORKERS="1",
        WAYLIGHT_TRUSTED_PROXIES="1",
        WAYLIGHT_DATABASE_TIMEOUT_S="0.2",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "waylight.cli", "serve"],
        cwd=ROOT,
        env=os.environ | chosen,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(number, process)
        yield number
    finally:
        process.terminate()
        process.wait(timeout=120)


def _wait_for(port, process):
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server did not come up")


class Line:
    """One connection: bytes out, answers in."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._read = self._socket.makefile("rb")

    def send(self, *lines, body=b""):
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send_body(self, body):
        self._socket.sendall(body)

    def answer(self, method="GET"):
        """Status, headers and body of the next answer, interim ones too."""
        status = int(self._read.readline().split()[1])
        headers = http.client.parse_headers(self._read)
        length = int(headers.get("Content-Length") or 0)
        bodiless = method == "HEAD" or status in (100, 204, 304)
        return status, headers, b"" if bodiless else self._read.read(length)

    def end(self):
        """Nothing more is sent; answers are still read."""
        self._socket.shutdown(socket.SHUT_WR)

    def rest(self):
        return self._read.read()

    def close(self):
        self._read.close()
        self._socket.close()


@pytest.fixture
def line(port):
    found = Line(port)
    yield found
    found.close()


def test_the_server_does_not_tell_its_version(line):
    line.send("GET /v1/categories HTTP/1.1", "Host: x")
    _, headers, _ = line.answer()
    assert headers["Server"] == "gunicorn"
    assert headers["Date"]
    assert not re.search(r"[0-9]\.[0-9]", headers["Server"] + headers.get("X-Powered-By", ""))


def test_head_sends_the_length_and_no_byte_of_the_body(line):
    line.send("GET /v1/categories HTTP/1.1", "Host: x", "Accept-Encoding: gzip")
    _, got, _ = line.answer()
    line.send(
        "HEAD /v1/categories HTTP/1.1", "Host: x", "Accept-Encoding: gzip", "Connection: close"
    )
    status, head, _ = line.answer("HEAD")
    assert status == 200
    assert line.rest() == b""
    for name in ("Content-Length", "Content-Type", "Content-Encoding", "ETag", "Vary"):
        assert head[name] == got[name]


def test_304_and_204_have_no_body_and_the_connection_goes_on(line):
    line.send("GET /v1/categories HTTP/1.1", "Host: x", "If-None-Match: *")
    status, headers, _ = line.answer()
    assert status == 304
    assert headers["ETag"]
    assert headers["Vary"] == "Accept-Language, Accept-Encoding"
    assert "Content-Type" not in headers
    line.send("OPTIONS /v1/reports HTTP/1.1", "Host: x")
    status, headers, _ = line.answer()
    assert (status, headers["Allow"]) == (204, "OPTIONS, POST")
    assert "Content-Length" not in headers
    line.send("GET /v1/nothing HTTP/1.1", "Host: x")
    assert line.answer()[0] == 404


def test_a_question_about_the_whole_server_is_answered(line):
    line.send("OPTIONS * HTTP/1.1", "Host: x")
    assert line.answer()[0] == 204


@pytest.mark.parametrize(
    "target", ["http://x/v1/categories", "/v1/%63ategories", "/v1%2Fcategories", "//v1/categories/"]
)
def test_other_ways_to_write_an_address_lead_there(line, target):
    line.send(f"GET {target} HTTP/1.1", "Host: x")
    status, _, body = line.answer()
    assert status == 200
    assert b'"being_followed"' in body


@pytest.mark.parametrize("target", ["/v1/%zz%ff", "/v1/../v1/categories", "/%00", "//evil.example"])
def test_odd_addresses_are_just_not_there(line, target):
    line.send(f"GET {target} HTTP/1.1", "Host: x")
    status, headers, _ = line.answer()
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert "Location" not in headers


@pytest.mark.parametrize("host", [[], ["Host: a b"], ["Host:"]])
def test_without_a_valid_host_there_is_a_400_except_for_a_report(line, host):
    line.send("GET /v1/categories HTTP/1.1", *host)
    status, headers, _ = line.answer()
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    line.send("POST /v1/reports HTTP/1.1", *host, "Content-Length: 2", body=b"{}")
    assert line.answer()[0] == 422


def test_http_1_0_needs_no_host(line):
    line.send("GET /v1/categories HTTP/1.0")
    assert line.answer()[0] == 200


@pytest.mark.parametrize("packed", [False, True])
def test_a_report_in_chunks_is_taken(line, packed):
    body = gzip.compress(REPORT) if packed else REPORT
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, bytes([byte])) for byte in body) + b"0\r\n\r\n"
    coding = ["Content-Encoding: gzip"] if packed else []
    line.send(
        "POST /v1/reports HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *coding, body=chunks
    )
    status, headers, _ = line.answer()
    assert (status, headers["Retry-After"]) == (503, "2")


def test_a_sender_that_waits_to_be_told_to_go_on_is_told(line):
    line.send(
        "POST /v1/reports HTTP/1.1",
        "Host: x",
        "Expect: 100-continue",
        f"Content-Length: {len(REPORT)}",
    )
    assert line.answer()[0] == 100
    line.send_body(REPORT)
    assert line.answer()[0] == 503


@pytest.mark.parametrize("path", ["/v1/reports", "/v1/nothing", "/v1/categories"])
def test_after_a_refused_body_the_connection_is_still_in_step(line, path):
    """A body left unread would be taken for the next request."""
    body = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * 8000
    length, mark = f"Content-Length: {len(body)}", "X-Request-Id: the-first-one"
    line.send(f"POST {path} HTTP/1.1", "Host: x", length, mark, body=body)
    status, headers, _ = line.answer()
    assert status in (404, 405, 413)
    assert headers["X-Request-Id"] == "the-first-one"
    line.send("GET /v1/categories HTTP/1.1", "Host: x", "X-Request-Id: the-second-one")
    status, headers, _ = line.answer()
    assert (status, headers["X-Request-Id"]) == (200, "the-second-one")


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: a", "Host: b"],
        ["Host: x", "Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Host: x", "Content-Length: 2", "Content-Length: 3"],
        ["Host: x", "Bad Name: 1"],
    ],
)
def test_what_two_servers_could_read_differently_is_refused(line, headers):
    line.send("POST /v1/reports HTTP/1.1", *headers, body=b"{}")
    status, said, _ = line.answer()
    assert (status, said["Connection"]) == (400, "close")


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, ["GET /v1/categories HTTP/1.1", "Host: x", "Bad Name: secret"]),
        (400, ["GET /v1/secret", "Host: x"]),
        (400, ["SECRET\x01 / HTTP/1.1", "Host: x"]),
        (414, [f"GET /v1/secret?{'x' * 5000} HTTP/1.1", "Host: x"]),
        (417, ["POST /v1/reports HTTP/1.1", "Host: x", "Expect: secret", "Content-Length: 2"]),
        (431, ["GET /v1/categories HTTP/1.1", "Host: x", f"Secret: {'x' * 9000}"]),
        (501, ["POST /v1/reports HTTP/1.1", "Host: x", "Transfer-Encoding: secret"]),
    ],
)
def test_what_the_server_refuses_by_itself_looks_like_every_other_error(line, status, lines):
    line.send(*lines)
    got, headers, body = line.answer()
    assert (got, headers["Content-Type"]) == (status, "application/problem+json")
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, "bad_request")
    assert problem["type"] == "urn:waylight:problem:bad_request"
    assert problem["title"]
    assert problem["detail"]
    assert problem["errors"] == []
    assert b"secret" not in body.lower()


@pytest.mark.parametrize("path", ["/v1/reports", "/v1/sessions", "/v1/oauth/token"])
@pytest.mark.parametrize(
    "body",
    [b"zz\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\r\n{}"],
)
def test_a_body_in_broken_chunks_is_a_400_like_any_other(line, path, body):
    media_type = "application/x-www-form-urlencoded" if "oauth" in path else "application/json"
    line.send(
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Type: {media_type}",
        "Transfer-Encoding: chunked",
        body=body,
    )
    line.end()
    status, headers, said = line.answer()
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert json.loads(said)["code"] == "bad_request"
    assert headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/sessions", b'{"email": "a@example.org", "password": "x"}', 400, "bad_request"),
        ("/v1/oauth/token", b"grant_type=client_credentials", 400, "bad_request"),
        # Its sender cannot count, or was cut off after it: it says all that it says.
        ("/v1/reports", REPORT, 503, "unavailable"),
        ("/v1/reports", REPORT[:-1], 400, "malformed_json"),
    ],
)
def test_of_a_body_that_was_cut_short_only_a_whole_report_is_taken(line, path, body, status, code):
    media_type = "application/x-www-form-urlencoded" if "oauth" in path else "application/json"
    line.send(
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Type: {media_type}",
        "Content-Length: 100",
        body=body,
    )
    line.end()
    got, _, said = line.answer()
    assert (got, json.loads(said)["code"]) == (status, code)


def test_behind_our_proxy_https_is_promised(line):
    line.send("GET /v1/categories HTTP/1.1", "Host: x", "X-Forwarded-Proto: https")
    assert line.answer()[1]["Strict-Transport-Security"]


def test_a_trace_is_left_as_it_was(line):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    line.send("GET /v1/categories HTTP/1.1", "Host: x", f"traceparent: {trace}")
    status, headers, _ = line.answer()
    assert status == 200
    assert "traceparent" not in headers
