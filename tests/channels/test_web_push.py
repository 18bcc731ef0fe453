import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.push_service import Browser, base64url, from_base64url, point, push_service
from tests.receivers import answer, silent
from waylight.channels import open_channels
from waylight.channels.guard import Guard
from waylight.channels.web_push import WebPush
from waylight.config import ConfigurationError
from waylight.domain.alerts import Message, Outcome, Result, Target
from waylight.vault import Vault

PRIVATE, PUBLIC = Vault.new_push_key()
OLD_PRIVATE, OLD_PUBLIC = Vault.new_push_key()
ALERT = UUID(int=2)
MESSAGE = Message(
    delivery_id=UUID(int=1),
    alert_id=ALERT,
    attempt=1,
    channel="web_push",
    kind="alert.created",
    recipient="First",
    priority=1,
    category_groups=("pursuit", "spiking"),
    exercise=False,
    link="https://waylight.example/v1/alerts/alert_00000000000000000000000002",
)


@pytest.fixture
def pushing(settings):
    """Settings with two VAPID keys, the newer one in use."""
    keys = (from_base64url(PRIVATE), from_base64url(OLD_PRIVATE))
    return replace(
        settings,
        channels=("web_push",),
        vapid_keys=keys,
        vapid_subject="mailto:desk@waylight.example",
    )


@pytest.fixture
def channel_to(pushing):
    def channel_to(service, *, clock=time.time, total_s=10.0):
        guard = Guard(loopback_ports=(service.port,), total_s=total_s)
        return WebPush(Vault(pushing), guard.session(answer_bytes=0), clock=clock)

    return channel_to


def to(browser, *, vapid=PUBLIC, device=3, **changes):
    address = {"endpoint": browser.endpoint, **browser.keys, "vapid": vapid}
    return replace(MESSAGE, target=Target(UUID(int=device), address), **changes)


# --- what arrives


def test_device_reads_what_kind_how_urgent_and_a_link_and_nothing_else(channel_to):
    with push_service() as service:
        outcome = channel_to(service).send(to(service.browser()))
        (pushed,) = service.pushed
    assert outcome == Outcome(Result.SENT)
    assert pushed.said == {
        "version": 1,
        "id": str(MESSAGE.delivery_id),
        "type": "alert.created",
        "exercise": False,
        "priority": "at_once",
        "alert": "alert_00000000000000000000000002",
        "link": MESSAGE.link,
    }
    assert pushed.claims["sub"] == "mailto:desk@waylight.example"
    assert pushed.public_key == PUBLIC


def test_drill_is_of_a_type_of_its_own(channel_to):
    with push_service() as service:
        channel_to(service).send(to(service.browser(), exercise=True))
        said = service.pushed[0].said
    assert (said["type"], said["exercise"]) == ("exercise.alert.created", True)


def test_every_message_is_equally_long_whatever_it_says(channel_to):
    with push_service() as service:
        browser, channel = service.browser(), channel_to(service)
        for kind in ("alert.created", "alert.withdrawn", "incident.unanswered"):
            for priority in (1, 2, 3, 4):
                channel.send(to(browser, kind=kind, priority=priority, exercise=priority == 4))
        channel.send(to(browser, kind="hub.updated", alert_id=None, link=""))
        sizes = {len(pushed.body) for pushed in service.pushed}
    assert len(sizes) == 1
    assert sizes.pop() < 4096


def test_two_messages_that_say_the_same_look_different_to_the_service(channel_to):
    with push_service() as service:
        browser, channel = service.browser(), channel_to(service)
        channel.send(to(browser))
        channel.send(to(browser))
        first, second = service.pushed
    assert first.text == second.text
    assert first.body[:21] != second.body[:21]
    assert first.body[21:86] != second.body[21:86], "one ephemeral key for two messages"


@pytest.mark.parametrize(
    ("kind", "priority", "urgency", "ttl_s"),
    [
        ("alert.created", 1, "high", 300),
        ("alert.updated", 1, "high", 300),
        ("alert.created", 2, "high", 900),
        ("alert.created", 3, "normal", 3600),
        ("alert.created", 4, "low", 3600),
        ("alert.withdrawn", 1, "high", 60),
        ("alert.withdrawn", 3, "normal", 900),
        ("incident.unanswered", 1, "high", 900),
    ],
)
def test_urgency_and_time_to_live_follow_kind_and_priority(
    channel_to, kind, priority, urgency, ttl_s
):
    with push_service() as service:
        channel_to(service).send(to(service.browser(), kind=kind, priority=priority))
        headers = service.pushed[0].headers
    assert (headers["urgency"], headers["ttl"]) == (urgency, str(ttl_s))


def test_later_message_of_an_alert_replaces_the_one_that_waits_on_that_device_alone(channel_to):
    with push_service() as service:
        browser, channel = service.browser(), channel_to(service)
        for message in (
            to(browser),
            to(browser, kind="alert.withdrawn", attempt=3),
            to(browser, alert_id=UUID(int=9)),
            to(browser, device=4),
        ):
            channel.send(message)
        first, later, other_alert, other_device = (
            pushed.headers["topic"] for pushed in service.pushed
        )
    assert first == later
    assert len({first, other_alert, other_device}) == 3
    assert ALERT.bytes not in from_base64url(first)


def test_one_signature_serves_a_push_service_for_hours_and_another_has_its_own(channel_to):
    now = [time.time()]
    with push_service() as one, push_service() as other:
        guard = Guard(loopback_ports=(one.port, other.port))
        channel = channel_to(one, clock=lambda: now[0])
        channel._session = guard.session(answer_bytes=0)
        for service in (one, other, one):
            channel.send(to(service.browser()))
        now[0] -= 7 * 3600  # set back: what was signed before would now be good for too long
        channel.send(to(one.browser()))
        kept = [pushed.headers["authorization"] for pushed in one.pushed]
    assert kept[0] == kept[1] != kept[2]


def test_signature_is_made_anew_in_time(channel_to):
    now = [time.time() - 6 * 3600 - 60]
    with push_service() as service:
        channel = channel_to(service, clock=lambda: now[0])
        channel.send(to(service.browser()))
        now[0] = time.time()
        channel.send(to(service.browser()))
        first, second = (pushed.claims["exp"] for pushed in service.pushed)
    assert second - first >= 6 * 3600


def test_device_is_sent_to_with_the_key_that_it_subscribed_with(channel_to):
    with push_service() as service:
        browser, channel = service.browser(), channel_to(service)
        channel.send(to(browser, vapid=OLD_PUBLIC))
        channel.send(to(browser))
        keys = [pushed.public_key for pushed in service.pushed]
    assert keys == [OLD_PUBLIC, PUBLIC]


def test_device_of_a_key_that_was_dropped_is_not_sent_to(channel_to):
    with push_service() as service:
        outcome = channel_to(service).send(to(service.browser(), vapid=Vault.new_push_key()[1]))
        assert service.receiver.connections == 0
    assert outcome == Outcome(Result.FAILED, "vapid_key_missing")


def test_message_without_an_address_is_refused(channel_to):
    with push_service() as service:
        outcome = channel_to(service).send(MESSAGE)
    assert outcome == Outcome(Result.REFUSED, "address_unreadable")


# --- what the service answers


@pytest.mark.parametrize(
    ("status", "result", "detail"),
    [
        (200, Result.SENT, None),
        (201, Result.SENT, None),
        (202, Result.SENT, None),
        (204, Result.SENT, None),
        (301, Result.REFUSED, "push_refused_301"),
        (307, Result.REFUSED, "push_refused_307"),
        (400, Result.REFUSED, "push_refused_400"),
        (401, Result.FAILED, "vapid_refused_401"),
        (403, Result.FAILED, "vapid_refused_403"),
        (404, Result.GONE, "push_gone_404"),
        (410, Result.GONE, "push_gone_410"),
        (413, Result.REFUSED, "push_refused_413"),
        (429, Result.FAILED, "push_service_429"),
        (500, Result.FAILED, "push_service_500"),
        (503, Result.FAILED, "push_service_503"),
    ],
)
def test_each_answer_means_one_thing(channel_to, status, result, detail):
    body = b'{"reason": "see /push/robin"}'
    with push_service(answer(status, body, Location="https://10.0.0.1/")) as service:
        outcome = channel_to(service).send(to(service.browser()))
    assert outcome == Outcome(result, detail)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("7", 7.0),
        ("999999999999", 3600.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("\u0667", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0),
    ],
)
def test_time_that_a_busy_service_asks_for_is_given_to_it(channel_to, status, said, wait_s):
    busy = answer(status, Retry_After="TIME").replace(b"TIME", said.encode())
    with push_service(busy) as service:
        outcome = channel_to(service).send(to(service.browser()))
    assert (outcome.result, outcome.retry_after_s) == (Result.FAILED, wait_s)


def test_date_that_a_busy_service_names_is_waited_for(channel_to):
    now = datetime.now(UTC).replace(microsecond=0)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    with push_service(answer(429, Retry_After=later)) as service:
        channel = channel_to(service, clock=now.timestamp)
        assert channel.send(to(service.browser())).retry_after_s == 90


def test_signature_that_was_refused_is_not_used_again(channel_to):
    with push_service(answer(403), answer(201)) as service:
        browser, channel = service.browser(), channel_to(service)
        channel.send(to(browser))
        channel.send(to(browser))
        first, second = (pushed.headers["authorization"] for pushed in service.pushed)
    assert first != second


def test_service_that_says_nothing_is_left_within_the_limit(channel_to):
    with push_service(silent) as service:
        outcome = channel_to(service, total_s=0.5).send(to(service.browser()))
    assert outcome == Outcome(Result.FAILED, "timed_out")


def test_service_that_is_not_there_is_a_failure_that_may_pass(channel_to):
    with push_service() as service:
        browser = service.browser()
    assert channel_to(service).send(to(browser)) == Outcome(Result.FAILED, "not_connected")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/push/robin",
        "https://10.0.0.1/push/robin",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/push/robin",
        "https://localhost/push/robin",
        "http://push.example.net/push/robin",
        "https://robin:secret@127.0.0.1/push",
    ],
)
def test_endpoint_inside_our_network_is_never_connected_to(channel_to, endpoint):
    with push_service() as service:
        outcome = channel_to(service).send(to(Browser(endpoint)))
        assert service.receiver.connections == 0
    assert outcome.result in (Result.FAILED, Result.REFUSED)
    assert outcome.detail in ("address_refused", "subscription_unusable")


@pytest.mark.parametrize("p256dh", ["", "AAAA", base64url(b"\x04" + bytes(64)), "B" * 4000])
def test_keys_that_are_none_are_refused_and_not_sent_to(channel_to, p256dh):
    with push_service() as service:
        message = to(service.browser())
        address = {**message.target.address, "p256dh": p256dh}
        outcome = channel_to(service).send(replace(message, target=Target(UUID(int=3), address)))
        assert service.receiver.connections == 0
    assert outcome == Outcome(Result.REFUSED, "subscription_unusable")


def test_nothing_that_leads_to_a_device_is_logged_or_told(channel_to, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with push_service(answer(410), answer(400), answer(503), answer(201)) as service:
        browser, channel = service.browser("secret-path"), channel_to(service)
        outcomes = [channel.send(to(browser)) for _ in range(4)]
    outcomes.append(channel.send(to(browser)))
    outcomes.append(channel.send(to(Browser("https://10.0.0.1/secret-path"))))
    told = caplog.text + "".join(capfd.readouterr()) + repr(outcomes) + repr(to(browser))
    for secret in ("secret-path", browser.keys["auth"], browser.keys["p256dh"]):
        assert secret not in told


# --- the standards, and the settings


def test_library_and_twin_agree_with_the_example_of_rfc_8291():
    receiver = Browser(
        auth=from_base64url("BTBZMqHH6r4Tts7J_aSIgg"),
        private=ec.derive_private_key(
            int.from_bytes(from_base64url("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")),
            ec.SECP256R1(),
        ),
    )
    sender = ec.derive_private_key(
        int.from_bytes(from_base64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")),
        ec.SECP256R1(),
    )
    text = b"When I grow up, I want to be a watermelon"
    body = from_base64url(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
        "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
        "lcy4a-fN"
    )
    assert receiver.decrypt(body) == text
    assert body == http_ece.encrypt(
        text,
        salt=from_base64url("DGv6ra1nlYgDCS1FRnbzlw"),
        private_key=sender,
        dh=point(receiver.private),
        auth_secret=receiver.auth,
        version="aes128gcm",
    )


def test_channel_without_its_settings_is_not_opened_and_says_what_it_lacks(settings):
    with pytest.raises(ConfigurationError) as caught:
        open_channels(replace(settings, channels=("console", "web_push")))
    first, second = caught.value.problems
    assert "WAYLIGHT_VAPID_KEYS" in first
    assert "waylight key vapid" in first
    assert "WAYLIGHT_VAPID_SUBJECT" in second


def test_channel_is_opened_with_its_settings(pushing):
    assert isinstance(open_channels(pushing)["web_push"], WebPush)
