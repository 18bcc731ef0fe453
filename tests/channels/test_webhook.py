"""What endpoints get, and how their answers are read; signatures by the verifiers of others."""

import base64
import json
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.receivers import answer, drip, receiving, silent
from waylight.channels import open_channels
from waylight.channels.guard import Guard
from waylight.channels.webhook import Webhooks, retry_after, signed
from waylight.domain.alerts import Message, Result, Target

NOW = datetime.now(UTC)
BODY = '{"type":"alert.created","data":{"team":{"name":"Équipe “ā”"}}}'.encode()
NODE = Path(__file__).resolve().parents[2] / "tools/openapi/node_modules/standardwebhooks"
MESSAGE = Message(
    delivery_id=UUID(int=1),
    alert_id=None,
    attempt=1,
    channel="webhook",
    kind="alert.created",
    recipient="",
    priority=1,
    category_groups=(),
    exercise=False,
    link="",
    event_id=UUID(int=3),
    body=BODY,
)


def secret(seed):
    return "whsec_" + base64.b64encode(bytes([seed]) * 32).decode()


OLD, NEW, OTHER = secret(1), secret(2), secret(3)


def send(receiver, *, total_s=15.0, clock=lambda: NOW, **changes):
    url = f"http://127.0.0.1:{receiver.port}/hook?token=1"
    target = Target(UUID(int=2), {"url": url, "secrets": [NEW, OLD]})
    channel = Webhooks(Guard(loopback_ports=(receiver.port,), total_s=total_s), clock=clock)
    return channel.send(replace(MESSAGE, **{"target": target} | changes))


# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status):
    with receiving(answer(status, b"whatever")) as receiver:
        assert send(receiver).result is Result.DELIVERED
    (request,) = receiver.received
    assert (request.method, request.path, request.body) == ("POST", "/hook?token=1", BODY)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Waylight")
    assert "cookie" not in request.headers
    assert "authorization" not in request.headers


@pytest.mark.parametrize("status", [400, 401, 404, 409, 418, 500, 502, 503, 504, 599])
def test_other_answers_may_work_later(status):
    with receiving(answer(status)) as receiver:
        outcome = send(receiver)
    assert (outcome.result, outcome.detail) == (Result.FAILED, f"http_{status}")


def test_410_is_gone():
    with receiving(answer(410)) as receiver:
        assert send(receiver).result is Result.GONE


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status):
    with receiving(answer(status, Retry_After="120")) as receiver:
        assert send(receiver).retry_after_s == 120


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("9999999999999999999999", 86_400),
        ("Thu, 26 Nov 2026 10:01:00 GMT", 60),
        ("Thursday, 26-Nov-26 10:01:00 GMT", 60),
        ("Thu Nov 26 10:01:00 2026", 60),
        ("Thu, 26 Nov 2026 09:00:00 GMT", 0),
        ("Thu, 26 Nov 2099 09:00:00 GMT", 86_400),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(said, seconds):
    assert retry_after(said, now=datetime(2026, 11, 26, 10, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_a_private_address_is_not_followed(status):
    with receiving() as inside:
        there = f"http://127.0.0.1:{inside.port}/latest/meta-data/"
        with receiving(answer(status, Location=there)) as receiver:
            outcome = send(receiver)
    assert (outcome.result, outcome.detail) == (Result.FAILED, f"http_{status}")
    assert inside.connections == 0


@pytest.mark.parametrize("said", [silent, drip(b"HTTP/1.1 200 OK\r\nX: ")])
def test_200_that_comes_too_slowly_is_a_failure(said):
    with receiving(said) as receiver:
        outcome = send(receiver, total_s=0.3)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "timed_out")


def test_200_whose_body_never_ends_is_delivered_without_waiting_for_it():
    with receiving(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")) as receiver:
        assert send(receiver).result is Result.DELIVERED


def test_name_that_now_leads_inside_is_not_called(monkeypatch):
    def look_up(_host, port, *_args, **_kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", port or 0))]

    with receiving() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        to = Target(UUID(int=2), {"url": "https://partner.example/", "secrets": [NEW]})
        outcome = send(receiver, target=to)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "address_refused")


def test_nothing_is_sent_without_an_address_or_a_body():
    with receiving() as receiver:
        assert send(receiver, target=None).result is Result.REFUSED
        assert send(receiver, body=None).result is Result.REFUSED


def test_channel_is_opened_with_the_ports_of_the_settings(settings):
    with receiving(answer(200)) as receiver:
        ports = (receiver.port,)
        used = replace(settings, channels=("webhook",), allowed_loopback_ports=ports)
        to = Target(UUID(int=2), {"url": f"http://127.0.0.1:{receiver.port}/", "secrets": [NEW]})
        sent = open_channels(used)["webhook"].send(replace(MESSAGE, target=to))
        assert sent.result is Result.DELIVERED


# Signatures


def headers(secrets=(NEW, OLD), now=NOW):
    return signed(UUID(int=3), BODY, secrets, now=now)


def just_now():
    """The libraries refuse what is older than five minutes, and so may this run be."""
    return datetime.now(UTC)


def test_python_s_reference_library_verifies_either_secret_and_no_other():
    said = headers(now=just_now())
    for one in (NEW, OLD):
        Verifier(one).verify(BODY, said)
    with pytest.raises(WebhookVerificationError, match="No matching"):
        Verifier(OTHER).verify(BODY, said)
    with pytest.raises(WebhookVerificationError, match="No matching"):
        Verifier(NEW).verify(BODY + b" ", said)


def test_moment_in_another_zone_is_signed_as_the_moment_it_is():
    """The library takes the clock's face for UTC: nine hours out, and every verifier refuses it."""
    now = just_now()
    tokyo = now.astimezone(timezone(timedelta(hours=9)))
    assert headers(now=tokyo) == headers(now=now)
    Verifier(NEW).verify(BODY, headers(now=tokyo))


def test_headers_are_as_the_specification_says():
    said = headers()
    assert said["webhook-id"] == "event_00000000000000000000000003"
    assert said["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert [one[:3] for one in said["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    assert "." not in said["webhook-id"]


def run(*command, data=b"", **environ):
    return subprocess.run(
        list(map(str, command)),
        input=data,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        check=False,
        timeout=120,
    )


NODE_VERIFIER = """
import { Webhook } from '%s';
import { readFileSync } from 'node:fs';
const { secret, headers } = JSON.parse(process.env.GIVEN);
new Webhook(secret).verify(readFileSync(0, 'utf8'), headers);
"""


def test_javascript_s_reference_library_verifies_either_secret_and_no_other(tmp_path):
    if not NODE.is_dir():
        pytest.skip("run bin/node-tools")
    script = tmp_path / "verify.mjs"
    script.write_text(NODE_VERIFIER % (NODE / "dist/index.js"))

    def verified(secret, body=BODY):
        given = json.dumps({"secret": secret, "headers": headers(now=just_now())})
        return run("node", script, data=body, GIVEN=given).returncode == 0

    assert [verified(one) for one in (NEW, OLD, OTHER)] == [True, True, False]
    assert not verified(NEW, BODY + b" ")


def signatures_by(command, *, key, environ):
    """The base64 of what a program makes of `{id}.{timestamp}.{body}`."""
    said = headers()
    content = f"{said['webhook-id']}.{said['webhook-timestamp']}.".encode() + BODY
    made = run(*command, data=content, KEY=key, **environ)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.parametrize("one", [NEW, OLD])
def test_openssl_makes_the_same_signature(one):
    raw = base64.b64decode(one.removeprefix("whsec_"))
    digest = signatures_by(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{raw.hex()}", "-binary"],
        key="",
        environ={},
    )
    assert f"v1,{base64.b64encode(digest).decode()}" in headers()["webhook-signature"].split(" ")


PERL = (
    "use Digest::SHA 'hmac_sha256'; use MIME::Base64; binmode STDIN; local $/;"
    " print encode_base64(hmac_sha256(<STDIN>, decode_base64($ENV{KEY})), '');"
)
JAVA = """
public class Sign {
    public static void main(String[] none) throws Exception {
        var key = java.util.Base64.getDecoder().decode(System.getenv("KEY"));
        var mac = javax.crypto.Mac.getInstance("HmacSHA256");
        mac.init(new javax.crypto.spec.SecretKeySpec(key, "HmacSHA256"));
        System.out.print(java.util.Base64.getEncoder().encodeToString(
            mac.doFinal(System.in.readAllBytes())));
    }
}
"""


@pytest.mark.parametrize("language", ["perl", "java"])
def test_other_languages_make_the_same_signature_from_the_specification(language, tmp_path):
    if shutil.which(language) is None or (language == "java" and shutil.which("javac") is None):
        pytest.skip(f"{language} is not on this machine")
    (tmp_path / "Sign.java").write_text(JAVA)
    command = {"perl": ["perl", "-e", PERL], "java": ["java", tmp_path / "Sign.java"]}[language]
    made = signatures_by(command, key=NEW.removeprefix("whsec_"), environ={})
    assert f"v1,{made.decode()}" in headers()["webhook-signature"].split(" ")
