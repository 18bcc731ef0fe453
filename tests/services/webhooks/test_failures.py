from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from tests.receivers import receiving, silent
from tests.services.webhooks.endpoints import DELIVERED, FAILED, GONE, LEASE_S, log, read
from waylight.channels.guard import Guard
from waylight.channels.webhook import Webhooks
from waylight.db.operations import health
from waylight.domain.alerts import LONG, Outcome, Result
from waylight.domain.errors import StateConflict
from waylight.services import webhooks


def test_failures_are_tried_again_on_the_schedule_of_the_standard_and_then_given_up(
    desk, make, tell, claim, record
):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    at, waits, statuses = NOW, [], []
    for _ in range(len(LONG) + 1):
        (message,) = claim(now=at)
        following = record(message, FAILED, now=at)
        statuses.append(following.status)
        if following.at is not None:
            waits.append((following.at - at).total_seconds())
            at = following.at
    assert tuple(waits) == LONG
    assert statuses == ["queued"] * 9 + ["failed"]
    (delivery,) = log(desk, made)
    assert delivery.status == "failed"
    assert [one.answered for one in delivery.attempts] == [500] * 10
    assert claim(now=at + timedelta(days=1)) == []
    assert read(desk, made).failures == 10


def test_410_disables_the_webhook_drops_what_waits_and_says_why(desk, make, tell, claim, record):
    made = make(desk.police)
    desk.report(P1)
    tell()
    first, *_ = claim(free=1)
    record(first, GONE)
    found = read(desk, made)
    assert (found.state, found.disabled_reason, found.disabled_at) == ("disabled", "gone", NOW)
    assert {one.status for one in log(desk, made)} <= {"failed", "dropped"}
    assert claim(now=NOW + timedelta(days=1)) == []
    (said,) = desk.events("webhook.disabled")
    assert said["data"] == {"webhook_id": str(made.id), "reason": "gone"}
    desk.report(P2, now=NOW + timedelta(minutes=1))
    assert tell() == 0


def test_days_of_nothing_but_failures_disable_it_and_enabling_starts_afresh(
    desk, make, tell, claim, record
):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (message,) = claim()
    record(message, FAILED)
    later = NOW + timedelta(days=5)
    (message,) = claim(now=later)
    record(message, FAILED, now=later)
    found = read(desk, made)
    assert (found.state, found.disabled_reason) == ("disabled", "failing")
    assert found.failing_since == NOW
    with pytest.raises(StateConflict, match="disabled"):
        webhooks.ping_webhook(desk.database, desk.police, webhook_id=made.id, now=later)
    enabled = webhooks.enable_webhook(
        desk.database, desk.vault, desk.police, webhook_id=made.id, if_match=None, now=later
    )
    assert (enabled.state, enabled.failures, enabled.disabled_reason) == ("active", 0, None)
    desk.report(P1, now=later)
    assert tell(now=later) > 0


def test_one_success_between_failures_keeps_it_alive(desk, make, tell, claim, record):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (message,) = claim()
    record(message, FAILED)
    (message,) = claim(now=NOW + timedelta(days=3))
    record(message, DELIVERED, now=NOW + timedelta(days=3))
    found = read(desk, made)
    assert (found.failures, found.failing_since, found.state) == (0, None, "active")
    assert found.last_delivered_at == NOW + timedelta(days=3)


def test_endpoint_that_says_when_to_come_again_is_left_alone_until_then(
    desk, make, tell, claim, record
):
    make(desk.police)
    desk.report(P1)
    tell()
    messages = claim(free=1)
    busy = Outcome(Result.FAILED, "http_429", retry_after_s=3_600)
    record(messages[0], busy)
    assert claim(now=NOW + timedelta(seconds=3_599)) == []
    assert claim(now=NOW + timedelta(seconds=3_601)) != []


def test_outcome_after_the_lease_went_to_another_changes_nothing(desk, make, tell, claim, record):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (first,) = claim("one")
    (_second,) = claim("two", now=NOW + timedelta(seconds=LEASE_S + 1))
    assert record(first, GONE, "one") is None
    assert read(desk, made).state == "active"


def test_what_waits_for_an_endpoint_that_fails_is_not_late(desk, make, tell, claim, record):
    make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    desk.do("delete from deliveries where channel <> 'webhook'")
    later = NOW + timedelta(hours=1)

    def late():
        with desk.database.intake() as conn:
            times = dict.fromkeys(("soon", "late", "silent", "missed", "now"), later)
            return health.state(conn, **times, channels=("webhook",))["deliveries_late"]

    assert late() == 1
    (message,) = claim()
    record(message, FAILED)
    assert late() == 0


def test_receiver_that_does_not_answer_is_a_failure_in_the_log(desk, make, claim, record):
    with receiving(silent) as receiver:
        made = make(
            desk.police, url=f"http://127.0.0.1:{receiver.port}/hook", ports=(receiver.port,)
        )
        webhooks.ping_webhook(desk.database, desk.police, webhook_id=made.id, now=NOW)
        (message,) = claim()
        channel = Webhooks(Guard(loopback_ports=(receiver.port,), total_s=0.2))
        record(message, channel.send(message))
    (delivery,) = log(desk, made)
    (attempt,) = delivery.attempts
    assert (attempt.outcome, attempt.answered, attempt.detail) == ("failed", None, "timed_out")
    assert delivery.status == "queued"
