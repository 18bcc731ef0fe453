"""What providers tell us over HTTP, and what forgers would like to."""

import logging
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from api.wire import limits
from api.wire.providers import LARGEST, twilio_signature
from tests.desk import NOW, P2, open_desk
from waylight.domain.addresses import Medium
from waylight.domain.alerts import Outcome, Result
from waylight.services import addresses, alerts

NUMBER = "+447400123456"
BASE_URL = "https://waylight.example"
TOKEN, AUTH_TOKEN = "notify-callback-token", "twilio-auth-token"
NOTIFY = {"Authorization": f"Bearer {TOKEN}"}
RECEIPTS, INBOUND = "/v1/channels/notify/receipts", "/v1/channels/notify/inbound"
STATUS, ANSWERS = "/v1/channels/twilio/status", "/v1/channels/twilio/inbound"


@pytest.fixture
def desk(database, vault, settings):
    desk = open_desk(database, vault, settings)
    return replace(desk, settings=replace(settings, channels=("sms",)))


@pytest.fixture
def client(app, desk, client):
    context = app.extensions["waylight"]
    settings = replace(desk.settings, base_url=BASE_URL)
    app.extensions["waylight"] = replace(context, settings=settings)
    return client


@pytest.fixture
def sent(desk):
    """A text message on its way to the first team, by a provider."""
    addresses.add_address(
        desk.database,
        desk.vault,
        desk.police,
        team_id=desk.first,
        channel=Medium.SMS,
        address=NUMBER,
        name="On call",
        now=NOW,
    )
    desk.report(P2)

    def sent(provider, ref):
        (message,) = alerts.claim(
            desk.database,
            desk.vault,
            "one",
            free={"sms": 50},
            lease_s=30.0,
            base_url=BASE_URL,
            now=NOW,
        )
        outcome = Outcome(Result.SENT, provider=provider, provider_ref=ref)
        alerts.record(desk.database, message, outcome=outcome, worker_id="one", jitter=0.0, now=NOW)
        return message

    return sent


def status_of(desk):
    return [row["status"] for row in desk.rows("select status from deliveries order by id")]


def signed(path, form, *, token=AUTH_TOKEN, base=BASE_URL):
    return {"X-Twilio-Signature": twilio_signature(token, base + path, form.items())}


def call(client, path, form, headers=None, **others):
    given = signed(path, form) if headers is None else headers
    return client.post(path, data=form, headers=given, **others)


def test_receipt_of_notify_makes_delivered(desk, client, sent):
    sent("notify", "740e5834-3a29-46b4-9a6f-16142fde533a")
    receipt = {
        "id": "740e5834-3a29-46b4-9a6f-16142fde533a",
        "reference": "x",
        "to": NUMBER,
        "status": "delivered",
        "notification_type": "sms",
        "something_new": 1,
    }
    for _ in range(2):
        answer = client.post(RECEIPTS, json=receipt, headers=NOTIFY)
        assert (answer.status_code, answer.data) == (204, b"")
    assert status_of(desk) == ["delivered"]
    assert desk.states()[desk.first] == "delivered"
    assert desk.kinds().count("delivery.delivered") == 1


@pytest.mark.parametrize("status", ["permanent-failure", "temporary-failure", "technical-failure"])
def test_failure_that_notify_reports_is_one_and_a_late_success_counts(desk, client, sent, status):
    sent("notify", "n-1")
    client.post(RECEIPTS, json={"id": "n-1", "status": status}, headers=NOTIFY)
    assert status_of(desk) == ["failed"]
    detail = desk.rows("select detail from deliveries")[0]["detail"]
    assert detail == f"notify: {status}"
    client.post(RECEIPTS, json={"id": "n-1", "status": "delivered"}, headers=NOTIFY)
    client.post(RECEIPTS, json={"id": "n-1", "status": status}, headers=NOTIFY)
    assert status_of(desk) == ["delivered"]


@pytest.mark.parametrize("status", ["created", "sending", "pending", "queued", "sent", "mooing"])
def test_status_on_the_way_changes_nothing(desk, client, sent, status):
    sent("notify", "n-1")
    answer = client.post(RECEIPTS, json={"id": "n-1", "status": status}, headers=NOTIFY)
    assert answer.status_code == 204
    assert status_of(desk) == ["sent"]


def test_status_of_twilio_makes_delivered_or_failed(desk, client, sent):
    sent("twilio", "SM1")
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "To": NUMBER, "ErrorCode": "30005"}
    assert call(client, STATUS, form).status_code == 204
    assert status_of(desk) == ["failed"]
    form["MessageStatus"] = "delivered"
    assert call(client, STATUS, form).status_code == 204
    assert status_of(desk) == ["delivered"]


def test_receipt_of_one_provider_says_nothing_of_another_s_message(desk, client, sent):
    sent("twilio", "SM1")
    answer = client.post(RECEIPTS, json={"id": "SM1", "status": "delivered"}, headers=NOTIFY)
    assert answer.status_code == 204
    assert status_of(desk) == ["sent"]


def test_message_that_nobody_knows_is_answered_like_any_other(client, desk):
    known = client.post(RECEIPTS, json={"id": "n-2", "status": "sending"}, headers=NOTIFY)
    unknown = client.post(RECEIPTS, json={"id": "n-3", "status": "delivered"}, headers=NOTIFY)
    assert (known.status_code, known.data) == (unknown.status_code, unknown.data) == (204, b"")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer näive"},
    ],
)
@pytest.mark.parametrize("path", [RECEIPTS, INBOUND])
def test_forged_notice_of_notify_is_401_and_does_nothing(desk, client, sent, path, headers):
    message = sent("notify", "n-1")
    body = {"id": "n-1", "status": "delivered", "source_number": NUMBER[1:]}
    body["message"] = f"ACK {message.reply_code}"
    answer = client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "not_signed_in")
    assert status_of(desk) == ["sent"]
    assert desk.states()[desk.first] == "pending"


def test_forger_learns_nothing_from_a_body_that_is_wrong(client, desk):
    assert client.post(RECEIPTS, data=b"{", headers={"Content-Type": "x/y"}).status_code == 401
    assert client.post(STATUS, data={"x": "y"}).status_code == 401


@pytest.mark.parametrize("change", ["none", "token", "address", "value", "more", "less", "base64"])
def test_forged_notice_of_twilio_is_401_and_does_nothing(desk, client, sent, change):
    message = sent("twilio", "SM1")
    form = {"MessageSid": "SM9", "From": NUMBER, "Body": f"ACK {message.reply_code}"}
    headers = {
        "none": {},
        "token": signed(ANSWERS, form, token="another"),
        "address": signed(STATUS, form),
        "value": signed(ANSWERS, form | {"Body": "x"}),
        "more": signed(ANSWERS, form | {"x": "y"}),
        "less": signed(ANSWERS, {"From": NUMBER}),
        "base64": {"X-Twilio-Signature": "\u00e4"},
    }[change]
    answer = call(client, ANSWERS, form, headers)
    assert answer.status_code == 401
    assert desk.states()[desk.first] == "pending"


def test_signature_is_over_the_public_address_whatever_the_proxy_calls_us(desk, client, sent):
    sent("twilio", "SM1")
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    with_port = signed(STATUS, form, base=f"{BASE_URL}:443")
    answer = call(client, STATUS, form, with_port, base_url="http://10.0.0.7:8000")
    assert answer.status_code == 204
    assert status_of(desk) == ["delivered"]


def test_query_is_signed_too(client, desk):
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    asked = f"{STATUS}?x=1"
    assert call(client, asked, form, signed(STATUS, form)).status_code == 401


def test_signature_is_twilio_s_own():
    """The example of Twilio's documentation on securing webhooks."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
    address = "https://example.com/myapp.php?foo=1&bar=2"
    found = twilio_signature("12345", address, form.items())
    assert found == "L/OH5YylLD5NRKLltdqwSvS0BnU="


def test_notices_are_refused_while_their_provider_is_not_set_up(app, client, desk):
    context = app.extensions["waylight"]
    settings = replace(context.settings, notify_callback_token=None, twilio_auth_token=None)
    app.extensions["waylight"] = replace(context, settings=settings)
    body = {"id": "n-1", "status": "delivered"}
    for token in ("", "None", TOKEN):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.post(RECEIPTS, json=body, headers=headers).status_code == 401
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    for token in ("", "None"):
        assert call(client, STATUS, form, signed(STATUS, form, token=token)).status_code == 401


def test_answer_by_text_through_each_provider(desk, client, sent):
    message = sent("twilio", "SM1")
    form = {"MessageSid": "SM2", "From": NUMBER, "Body": f"ack {message.reply_code}", "To": "+44"}
    assert call(client, ANSWERS, form).status_code == 204
    assert desk.states()[desk.first] == "acknowledged"
    body = {
        "id": "740e5834-3a29-46b4-9a6f-16142fde533a",
        "source_number": NUMBER[1:],
        "destination_number": "07700900111",
        "message": f"DECLINE {message.reply_code}",
        "date_received": "2026-11-21T23:52:40.000000Z",
    }
    assert client.post(INBOUND, json=body, headers=NOTIFY).status_code == 204
    assert desk.states()[desk.first] == "declined"


def test_right_code_wrong_code_and_stranger_get_the_same_answer(desk, client, sent):
    message = sent("twilio", "SM1")
    answers = [
        call(client, ANSWERS, {"MessageSid": ref, "From": sender, "Body": body})
        for ref, sender, body in (
            ("SM2", NUMBER, f"ACK {message.reply_code}"),
            ("SM3", NUMBER, "ACK ZZZZ"),
            ("SM4", "+447400999999", f"ACK {message.reply_code}"),
            ("SM5", NUMBER, "\0"),
        )
    ]
    assert {(answer.status_code, answer.data) for answer in answers} == {(204, b"")}


@pytest.mark.parametrize("path", [RECEIPTS, INBOUND, STATUS, ANSWERS])
def test_notice_that_is_too_large_is_413(client, desk, path):
    form = {"MessageSid": "SM1", "Body": "x" * LARGEST, "From": NUMBER, "MessageStatus": "sent"}
    if "twilio" in path:
        answer = call(client, path, form)
    else:
        answer = client.post(path, json={"id": "n", "message": "x" * LARGEST}, headers=NOTIFY)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [{}, {"id": "n"}, {"status": "delivered"}, {"id": "a b", "status": "x"}, {"id": 1}],
)
def test_notice_that_cannot_be_read_is_422_and_names_the_field(client, desk, body):
    answer = client.post(RECEIPTS, json=body, headers=NOTIFY)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] in ("/id", "/status")


def test_receipts_of_a_busy_hour_are_not_limited_and_forgers_are(app, client, desk, monkeypatch):
    settings = replace(app.extensions["waylight"].settings, exempt_loopback=False)
    app.extensions["waylight"] = replace(app.extensions["waylight"], settings=settings)
    app.extensions["waylight.limiter"] = limits.Limiter()
    monkeypatch.setattr(limits, "PUBLIC", replace(limits.PUBLIC, quota=2))
    monkeypatch.setattr(limits, "FAILED_KEYS", replace(limits.FAILED_KEYS, quota=2))
    body = {"id": "n-1", "status": "sending"}
    for _ in range(5):
        assert client.post(RECEIPTS, json=body, headers=NOTIFY).status_code == 204
    statuses = [client.post(RECEIPTS, json=body).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert client.post(RECEIPTS, json=body, headers=NOTIFY).status_code == 204


def test_no_number_and_no_text_of_a_notice_is_kept(desk, client, sent):
    message = sent("twilio", "SM1")
    later = {"MessageSid": "SM2", "From": NUMBER, "Body": f"ACK {message.reply_code} Zmark"}
    call(client, ANSWERS, later)
    rows = desk.rows("select * from provider_notices")
    assert rows[0]["received_at"] >= NOW - timedelta(minutes=1)
    assert "400123456" not in repr(rows)
    assert "Zmark" not in repr((rows, desk.rows("select * from events")))


def test_no_number_no_text_and_no_secret_of_a_notice_is_logged(desk, client, sent, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    message = sent("twilio", "SM1")
    form = {"MessageSid": "SM2", "From": NUMBER, "Body": f"ACK {message.reply_code} Zmark"}
    call(client, ANSWERS, form)
    call(client, ANSWERS, form, {"X-Twilio-Signature": "Zmarksignature"})
    body = {"id": "n-1", "source_number": NUMBER, "message": "Zmark", "status": "delivered"}
    client.post(INBOUND, json=body, headers=NOTIFY)
    client.post(RECEIPTS, json=body, headers={"Authorization": "Bearer Zmarktoken"})
    said = "".join(capsys.readouterr()) + caplog.text
    assert "answered_by_text" in said
    for secret in ("400123456", "Zmark", TOKEN, AUTH_TOKEN, f"ACK {message.reply_code}"):
        assert secret not in said


def test_form_is_read_as_its_letters_were_sent(desk, client, sent):
    message = sent("twilio", "SM1")
    form = {"MessageSid": "SM2", "From": NUMBER, "Body": f"قبول {message.reply_code}"}
    answer = client.post(
        ANSWERS,
        data=urlencode(form),
        headers={
            **signed(ANSWERS, form),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        },
    )
    assert answer.status_code == 204
    assert desk.states()[desk.first] == "acknowledged"
