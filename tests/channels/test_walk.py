"""The whole way of a text message: queue, worker, provider, receipt, answer, confirmation."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.app import create_app
from api.wire.providers import twilio_signature
from tests import providers
from tests.desk import P2, open_desk
from waylight import worker
from waylight.channels import open_channels
from waylight.domain.addresses import Medium
from waylight.services import addresses
from waylight.services.context import Waylight

pytestmark = pytest.mark.commits

BASE_URL, NUMBER = "https://waylight.example", "+447400123456"


def now():
    return datetime.now(UTC)


def tell(client, path, form):
    signature = twilio_signature(providers.AUTH_TOKEN, BASE_URL + path, form.items())
    answer = client.post(path, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 204


def test_alert_goes_by_the_second_provider_arrives_and_is_answered_by_text(
    database, vault, settings
):
    with providers.notify() as notify, providers.twilio() as twilio:
        settings = replace(
            settings,
            base_url=BASE_URL,
            channels=("sms",),
            sms_providers=("notify", "twilio"),
            notify_api_key=providers.NOTIFY_KEY,
            notify_templates={"sms": providers.TEMPLATE},
            notify_url=notify.url,
            twilio_account_sid=providers.ACCOUNT,
            twilio_auth_token=providers.AUTH_TOKEN,
            twilio_from=providers.FROM,
            twilio_url=twilio.url,
        )
        desk = open_desk(database, vault, settings)
        context = Waylight(settings, database, vault)
        client = create_app(settings, context=context).test_client()
        one = worker.Worker(context, channels=open_channels(settings))

        def turn():
            one.turn()
            assert one._senders.wait(120)

        addresses.add_address(
            database,
            vault,
            desk.police,
            team_id=desk.first,
            channel=Medium.SMS,
            address=NUMBER,
            name="On call",
            now=now(),
        )
        notify.next.append(providers.says(500))
        desk.report(P2, now=now())
        turn()
        (message,) = twilio.sent
        assert message["To"] == NUMBER
        (attempt,) = desk.rows("select outcome, provider, detail from delivery_attempts")
        assert attempt == {"outcome": "sent", "provider": "twilio", "detail": "notify: http_500"}

        sid = twilio.references[0]
        tell(client, "/v1/channels/twilio/status", {"MessageSid": sid, "MessageStatus": "sent"})
        assert desk.states() == {desk.first: "pending"}
        delivered = {"MessageSid": sid, "MessageStatus": "delivered"}
        tell(client, "/v1/channels/twilio/status", delivered)
        assert desk.states() == {desk.first: "delivered"}

        code = re.findall(r"ACK (\w{4})", message["Body"])[0]
        reply = {"MessageSid": "SMin", "From": NUMBER, "Body": f"Ack {code}"}
        tell(client, "/v1/channels/twilio/inbound", reply)
        assert desk.states() == {desk.first: "acknowledged"}
        turn()
        confirmation = twilio.sent[-1]["Body"]
        assert confirmation.startswith(f"Waylight: {code} is yours, First.")
        assert len(twilio.sent) == 2
        assert len(notify.sent) == 1
