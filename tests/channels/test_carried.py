"""Text messages and e-mail by real clients, against providers that do what they like."""

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from uuid import UUID

import pytest

from tests import providers
from waylight.channels import open_channels
from waylight.channels.carried import MOST_STUCK, SHUNNED_S, Carried, Letter
from waylight.channels.http import retry_after_s
from waylight.channels.notify import template_for
from waylight.config import ConfigurationError
from waylight.domain.alerts import Message, Outcome, Result, Target

NUMBER, MAILBOX = "+447700900123", "on.call@police.example"
MESSAGE = Message(
    delivery_id=UUID(int=7),
    alert_id=UUID(int=2),
    attempt=1,
    channel="sms",
    kind="alert.created",
    recipient="First",
    priority=1,
    category_groups=("pursuit",),
    exercise=False,
    link="https://waylight.example/v1/alerts/alert_1",
    target=Target(UUID(int=3), {"number": NUMBER, "email": MAILBOX}),
    reply_code="4F7K",
)


@pytest.fixture
def notify():
    with providers.notify() as api:
        yield api


@pytest.fixture
def twilio():
    with providers.twilio() as api:
        yield api


@pytest.fixture
def apis(notify, twilio):
    return {"notify": notify, "twilio": twilio}


@pytest.fixture
def set_up(settings):
    """The settings of both providers; each is named when a channel is opened."""

    def set_up(**changes):
        return replace(
            settings,
            **{
                "lease_s": 600,  # a busy machine is no slow provider
                "base_url": "https://waylight.example",
                "notify_api_key": providers.NOTIFY_KEY,
                "notify_templates": {"sms": providers.TEMPLATE, "email": providers.TEMPLATE},
                "twilio_account_sid": providers.ACCOUNT,
                "twilio_auth_token": providers.AUTH_TOKEN,
                "twilio_from": providers.FROM,
            }
            | changes,
        )

    return set_up


@pytest.fixture
def by_both(set_up, notify, twilio):
    """The channel `sms` with Notify first and Twilio second."""
    settings = set_up(
        channels=("sms",),
        sms_providers=("notify", "twilio"),
        notify_url=notify.url,
        twilio_url=twilio.url,
    )
    return open_channels(settings)["sms"]


@pytest.fixture
def by_notify(set_up, notify):
    settings = set_up(channels=("sms",), sms_providers=("notify",), notify_url=notify.url)
    return open_channels(settings)["sms"]


@pytest.fixture
def by_twilio(set_up, twilio):
    settings = set_up(channels=("sms",), sms_providers=("twilio",), twilio_url=twilio.url)
    return open_channels(settings)["sms"]


def test_notify_takes_a_text_message_with_its_template_and_our_reference(by_notify, notify):
    outcome = by_notify.send(MESSAGE)
    assert outcome == Outcome(Result.SENT, provider="notify", provider_ref=notify.references[0])
    (sent,) = notify.sent
    assert (sent["phone_number"], sent["template_id"]) == (NUMBER, providers.TEMPLATE)
    assert sent["reference"] == str(MESSAGE.delivery_id)
    text = sent["personalisation"]["text"]
    assert text.startswith("URGENT Waylight: being followed.")
    assert "ACK 4F7K" in text


def test_notify_takes_an_e_mail(set_up, notify):
    settings = set_up(channels=("email",), email_providers=("notify",), notify_url=notify.url)
    outcome = open_channels(settings)["email"].send(MESSAGE)
    assert (outcome.result, outcome.provider) == (Result.SENT, "notify")
    (sent,) = notify.sent
    assert sent["email_address"] == MAILBOX
    assert sent["personalisation"]["subject"] == "URGENT: being followed"
    assert MESSAGE.link in sent["personalisation"]["body"]


def test_twilio_takes_a_text_message_and_is_told_where_its_receipts_go(by_twilio, twilio):
    outcome = by_twilio.send(MESSAGE)
    assert outcome == Outcome(Result.SENT, provider="twilio", provider_ref=twilio.references[0])
    (sent,) = twilio.sent
    assert (sent["To"], sent["From"]) == (NUMBER, providers.FROM)
    assert sent["StatusCallback"] == "https://waylight.example/v1/channels/twilio/status"


def test_language_of_the_address_is_that_of_the_message(by_twilio, twilio):
    target = Target(UUID(int=3), {"number": NUMBER, "language": "es"})
    by_twilio.send(replace(MESSAGE, target=target))
    assert twilio.sent[0]["Body"].startswith("URGENTE")


def test_connection_of_a_provider_is_used_again(by_notify, notify):
    for _ in range(3):
        assert by_notify.send(MESSAGE).result is Result.SENT
    assert len(by_notify._carriers[0]._idle.queue) == 1


@pytest.mark.parametrize(
    ("behaviour", "detail"),
    [
        (providers.says(500), "http_500"),
        (providers.says(503), "http_503"),
        (providers.says(429), "busy"),
        (providers.says(403), "key_refused"),
        (providers.says(401), "key_refused"),
        (providers.says(302, Location="http://127.0.0.1:1/elsewhere"), "http_302"),
        (providers.says(201, {"id": ""}), "http_201"),
        (providers.says(201, []), "http_201"),
        (providers.says(404), "http_404"),
        (providers.resets, "ConnectionError"),
        (providers.answers_half, "ChunkedEncodingError"),
        (providers.never_ends, "ContentDecodingError"),
    ],
)
@pytest.mark.parametrize("name", ["notify", "twilio"])
def test_failure_that_may_pass_is_tried_at_once_at_the_other_provider(
    set_up, apis, name, behaviour, detail
):
    second = "twilio" if name == "notify" else "notify"
    settings = set_up(
        channels=("sms",),
        sms_providers=(name, second),
        notify_url=apis["notify"].url,
        twilio_url=apis["twilio"].url,
    )
    apis[name].next.append(behaviour)
    outcome = open_channels(settings)["sms"].send(MESSAGE)
    assert (outcome.result, outcome.provider) == (Result.SENT, second)
    assert outcome.detail == f"{name}: {detail}"
    assert len(apis[name].sent) == len(apis[second].sent) == 1


@pytest.mark.parametrize("behaviour", [providers.never_answers, providers.drips])
def test_provider_that_is_slow_leaves_the_other_its_time(set_up, notify, twilio, behaviour):
    settings = set_up(
        channels=("sms",),
        sms_providers=("notify", "twilio"),
        notify_url=notify.url,
        twilio_url=twilio.url,
        lease_s=10,
    )
    notify.next.append(behaviour)
    outcome = open_channels(settings)["sms"].send(MESSAGE)
    assert (outcome.result, outcome.provider) == (Result.SENT, "twilio")
    assert (outcome.detail or "").startswith("notify: ")
    assert len(twilio.sent) == 1


def test_when_all_fail_the_attempt_says_why_each_did_and_when_to_come_back(by_both, notify, twilio):
    notify.next.append(providers.says(429, Retry_After="40"))
    twilio.next.append(providers.says(503, Retry_After="25"))
    outcome = by_both.send(MESSAGE)
    assert outcome.result is Result.FAILED
    assert outcome.detail == "notify: busy; twilio: http_503"
    assert outcome.retry_after_s == 25


def test_one_that_asks_for_time_does_not_keep_the_other_from_being_tried_soon(
    by_both, notify, twilio
):
    notify.next.append(providers.says(429, Retry_After="600"))
    twilio.next.append(providers.resets)
    assert by_both.send(MESSAGE).retry_after_s is None


@pytest.mark.parametrize(
    ("error", "result", "detail"),
    [
        (
            {"error": "ValidationError", "message": f"phone_number {NUMBER} is not valid"},
            Result.REFUSED,
            "notify: address_refused",
        ),
        (
            {"error": "BadRequestError", "message": f"Can't send to {NUMBER}: trial mode"},
            Result.FAILED,
            "notify: http_400",
        ),
        (
            {"error": "BadRequestError", "message": "Missing personalisation: link"},
            Result.FAILED,
            "notify: http_400",
        ),
    ],
)
def test_what_notify_says_of_a_number_is_believed_and_never_quoted(
    by_notify, notify, error, result, detail
):
    notify.next.append(providers.says(400, {"status_code": 400, "errors": [error]}))
    outcome = by_notify.send(MESSAGE)
    assert (outcome.result, outcome.detail) == (result, detail)


@pytest.mark.parametrize(
    ("code", "result", "detail"),
    [
        (21211, Result.GONE, "no_such_number"),
        (21610, Result.GONE, "unsubscribed"),
        (21614, Result.GONE, "not_a_mobile"),
        (21612, Result.REFUSED, "unreachable"),
        (21606, Result.FAILED, "error_21606"),
        (21408, Result.FAILED, "error_21408"),
    ],
)
def test_what_twilio_says_of_a_number_is_believed_and_never_quoted(
    by_twilio, twilio, code, result, detail
):
    twilio.next.append(providers.says(400, {"code": code, "message": f"{NUMBER} is bad"}))
    outcome = by_twilio.send(MESSAGE)
    assert (outcome.result, outcome.detail) == (result, f"twilio: {detail}")


def test_number_that_does_not_exist_is_not_shopped_around(by_both, notify, twilio):
    error = {"error": "ValidationError", "message": "phone_number Not enough digits"}
    notify.next.append(providers.says(400, {"errors": [error]}))
    assert by_both.send(MESSAGE).result is Result.REFUSED
    assert twilio.sent == []


def test_no_number_and_no_word_of_a_provider_is_logged(by_both, notify, twilio, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    errors = [{"error": "ValidationError", "message": f"phone_number {NUMBER} Zmark"}]
    notify.next += [providers.says(400, {"errors": errors}), providers.says(500, {"x": NUMBER})]
    twilio.next.append(providers.says(400, {"code": 21606, "message": f"{NUMBER} Zmark"}))
    outcomes = [by_both.send(MESSAGE), by_both.send(MESSAGE)]
    said = caplog.text + "".join(capsys.readouterr()) + repr(outcomes)
    assert "900123" not in said
    assert "Zmark" not in said


def test_message_whose_address_cannot_be_opened_is_refused_by_name(by_both, notify):
    for target in (None, Target(UUID(int=3), {"endpoint": "x"}), Target(UUID(int=3), {})):
        outcome = by_both.send(replace(MESSAGE, target=target))
        assert outcome == Outcome(Result.REFUSED, "address_unreadable")
    assert notify.sent == []


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Scripted:
    """A carrier that does what a test says."""

    def __init__(self, name, asked, *outcomes):
        self.name, self.asked, self.outcomes = name, asked, list(outcomes)

    def carry(self, letter: Letter, *, within_s: float) -> Outcome:
        assert letter.to == NUMBER
        self.asked.append((self.name, within_s))
        return self.outcomes.pop(0) if self.outcomes else Outcome(Result.SENT)


def test_provider_that_failed_is_asked_last_for_a_while():
    clock, asked = Clock(), list[tuple[str, float]]()
    first = Scripted("first", asked, Outcome(Result.FAILED, "down"))
    channel = Carried([first, Scripted("second", asked)], field="number", lease_s=30, clock=clock)

    def send():
        asked.clear()
        channel.send(MESSAGE)
        return [name for name, _ in asked]

    assert send() == ["first", "second"]
    assert send() == ["second"]
    clock.now += SHUNNED_S - 1
    assert send() == ["second"]
    clock.now += 1
    assert send() == ["first"]
    assert send() == ["first"]


def test_shunned_provider_is_still_asked_when_the_other_fails():
    clock, asked = Clock(), list[tuple[str, float]]()
    first = Scripted("first", asked, Outcome(Result.FAILED, "down"))
    second = Scripted("second", asked, Outcome(Result.SENT), Outcome(Result.FAILED, "down"))
    channel = Carried([first, second], field="number", lease_s=30, clock=clock)
    channel.send(MESSAGE)
    assert channel.send(MESSAGE).provider == "first"
    assert [name for name, _ in asked] == ["first", "second", "second", "first"]


def test_an_attempt_ends_well_within_the_lease_and_each_provider_has_its_share():
    clock, asked = Clock(), list[tuple[str, float]]()

    class Slow(Scripted):
        def carry(self, letter, *, within_s):
            clock.now += within_s
            return super().carry(letter, within_s=within_s)

    carriers = [Slow(n, asked, Outcome(Result.FAILED, "slow")) for n in ("one", "two")]
    outcome = Carried(carriers, field="number", lease_s=30, clock=clock).send(MESSAGE)
    assert outcome.detail == "one: slow; two: slow"
    assert asked == [("one", 9.0), ("two", 9.0)]
    assert clock.now - 1000.0 <= 0.6 * 30


def test_calls_that_never_end_do_not_pile_up(monkeypatch):
    released, asked = threading.Event(), list[tuple[str, float]]()

    class Endless(Scripted):
        def carry(self, letter, *, within_s):
            asked.append((letter.to, within_s))
            released.wait(30)
            return Outcome(Result.SENT)

    channel = Carried([Endless("one", asked)], field="number", lease_s=0.01)
    monkeypatch.setattr("waylight.channels.carried.LEAST_S", 0.0)
    details = [channel.send(MESSAGE).detail for _ in range(MOST_STUCK + 2)]
    assert details == ["one: timeout"] * MOST_STUCK + ["one: stuck"] * 2
    released.set()


def test_what_a_carrier_did_not_foresee_is_a_failure_that_may_pass():
    class Broken(Scripted):
        def carry(self, letter, *, within_s):
            raise ValueError(letter.to, within_s)

    outcome = Carried([Broken("one", [])], field="number", lease_s=30).send(MESSAGE)
    assert (outcome.result, outcome.detail) == (Result.FAILED, "one: ValueError")


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [(None, None), ("", None), ("30", 30), ("soon", None), ("-5", None), ("1e9", 600)],
)
def test_retry_after_is_believed_within_reason(text, wait_s):
    assert retry_after_s(text) == wait_s


def test_retry_after_may_be_a_date():
    assert retry_after_s("Fri, 31 Dec 2099 23:59:59 GMT") == 600
    assert retry_after_s("Sat, 01 Jan 2000 00:00:00 GMT") is None


def test_most_specific_template_is_taken():
    templates = {"sms": "1", "sms.es": "2", "sms.alert.created": "3", "sms.alert.created.es": "4"}
    assert template_for(templates, "sms", "alert.created", "es") == "4"
    assert template_for(templates, "sms", "alert.created", "en") == "3"
    assert template_for(templates, "sms", "test", "es") == "2"
    assert template_for(templates, "sms", "test", "en") == "1"
    assert template_for(templates, "email", "test", "en") is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sms_providers": ()}, ["WAYLIGHT_SMS_PROVIDERS"]),
        ({"sms_providers": ("pigeon",)}, ["pigeon"]),
        (
            {"sms_providers": ("notify", "twilio")},
            [
                "WAYLIGHT_NOTIFY_API_KEY",
                "WAYLIGHT_NOTIFY_TEMPLATES",
                "WAYLIGHT_TWILIO_ACCOUNT_SID",
                "WAYLIGHT_TWILIO_AUTH_TOKEN",
                "WAYLIGHT_TWILIO_FROM",
            ],
        ),
        (
            {"channels": ("email",), "email_providers": ("smtp",)},
            ["WAYLIGHT_SMTP_HOST", "WAYLIGHT_EMAIL_FROM"],
        ),
        ({"channels": ("email",)}, ["WAYLIGHT_EMAIL_PROVIDERS"]),
    ],
)
def test_every_setting_that_a_provider_lacks_is_named(settings, changes, named):
    with pytest.raises(ConfigurationError) as caught:
        open_channels(
            replace(settings, **{"channels": ("sms",), "twilio_auth_token": None} | changes)
        )
    assert len(caught.value.problems) == len(named)
    for name, problem in zip(named, caught.value.problems, strict=True):
        assert name in problem


def test_login_is_never_sent_over_an_open_line(settings):
    open_line = {"smtp_security": "none", "email_from": "a@b.example"}
    for changes in ({"smtp_host": "mail.example"}, {"smtp_host": "localhost", "smtp_user": "x"}):
        with pytest.raises(ConfigurationError, match="starttls"):
            open_channels(
                replace(
                    settings,
                    channels=("email",),
                    email_providers=("smtp",),
                    **open_line | changes,
                )
            )


def test_many_threads_may_send_at_once(by_both, notify):
    outcomes = []
    with ExitStack() as stack:
        for number in range(8):
            message = replace(MESSAGE, delivery_id=UUID(int=number))
            thread = threading.Thread(target=lambda m=message: outcomes.append(by_both.send(m)))
            thread.start()
            stack.callback(thread.join)
    assert {outcome.result for outcome in outcomes} == {Result.SENT}
    assert len({sent["reference"] for sent in notify.sent}) == 8
