"""Where recipients are reached, and what is kept of every attempt."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.desk import NOW, P1, P2
from waylight.domain.alerts import Outcome, Result
from waylight.services import addresses, alerts

LEASE_S = 30.0
SOON = NOW + timedelta(seconds=1)
SENT = Outcome(Result.SENT)
FAILED = Outcome(Result.FAILED, "timeout")


@pytest.fixture
def reached_at(desk):
    """Gives a team a telephone on the channel `sms`."""

    def reached_at(team_id, number, *, channel="sms"):
        address_id = uuid4()
        sealed = desk.vault.seal(address_id, {"address": json.dumps({"number": number})})
        with desk.database.intake() as conn:
            conn.execute(
                "insert into addresses (id, organisation_id, team_id, channel, name, key_version,"
                " wrapped_key, address, fingerprint, created_at)"
                " select %s, organisation_id, id, %s, 'On call', %s, %s, %s, %s, %s"
                " from teams where id = %s",
                [
                    address_id,
                    channel,
                    sealed.key_version,
                    sealed.wrapped_key,
                    sealed.ciphertexts["address"],
                    desk.vault.keyed_hash("address", number.encode()),
                    NOW,
                    team_id,
                ],
            )
        return address_id

    return reached_at


@pytest.fixture
def by_sms(desk, claim):
    """A desk whose teams are told by console and by text message."""
    return replace(desk, settings=replace(desk.settings, channels=("console", "sms")))


def texts(desk, **like):
    rows = desk.rows("select * from deliveries where channel = 'sms' order by id")
    return [row for row in rows if all(row[name] == value for name, value in like.items())]


def claim_texts(desk, *, now=NOW):
    return alerts.claim(
        desk.database,
        desk.vault,
        "one",
        free={"sms": 50},
        lease_s=LEASE_S,
        base_url="https://waylight.example",
        now=now,
    )


def test_recipient_is_told_once_at_each_of_its_addresses(by_sms, reached_at):
    numbers = {"+447700900001", "+447700900002"}
    for number in numbers:
        reached_at(by_sms.first, number)
    reached_at(by_sms.second, "+447700900003")
    by_sms.report(P2)
    messages = claim_texts(by_sms)
    assert {m.target.address["number"] for m in messages} == numbers
    assert all("+4477" not in repr(m) for m in messages)
    assert len(by_sms.rows("select from deliveries where channel = 'console'")) == 1


def test_address_on_a_channel_that_is_not_in_use_is_told_nothing(desk, reached_at):
    reached_at(desk.first, "+447700900001")
    desk.report(P2)
    assert texts(desk) == []


@pytest.mark.parametrize("state", ["paused", "gone"])
def test_address_that_is_not_active_is_told_nothing(by_sms, reached_at, state):
    address_id = reached_at(by_sms.first, "+447700900001")
    by_sms.do("update addresses set state = %s where id = %s", state, address_id)
    by_sms.report(P2)
    assert texts(by_sms) == []


def test_address_that_was_paused_after_its_message_was_queued_is_not_opened(by_sms, reached_at):
    address_id = reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    by_sms.do("update addresses set state = 'paused' where id = %s", address_id)
    (message,) = claim_texts(by_sms)
    assert message.target is None


def test_address_that_is_gone_is_used_no_more(by_sms, reached_at, record):
    reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    (message,) = claim_texts(by_sms)
    by_sms.report(P1)  # joins, and queues a second message
    record(message, Outcome(Result.GONE, "unsubscribed"))
    assert by_sms.rows("select state from addresses") == [{"state": "gone"}]
    assert [row["status"] for row in texts(by_sms)] == ["failed", "queued"]
    (waiting,) = claim_texts(by_sms, now=SOON)
    assert waiting.target is None


def taken_away(desk, address_id, record):
    """Its own team takes an address away."""
    addresses.remove_address(desk.database, desk.vault, desk.police, address_id, now=SOON)


def told_to_be_gone(desk, address_id, record):
    """Its provider says that an address is gone, when a third report is told."""
    desk.report(P2, now=SOON)
    *_, newest = claim_texts(desk, now=SOON)
    record(newest, Outcome(Result.GONE, "unsubscribed"))


@pytest.mark.parametrize("lose", [taken_away, told_to_be_gone])
def test_report_whose_holder_lost_its_only_address_goes_to_the_next_team_at_once(
    desk, reached_at, record, lose
):
    only_sms = replace(desk, settings=replace(desk.settings, channels=("sms",)))
    address_id = reached_at(desk.first, "+447700900001")
    only_sms.report(P2)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    only_sms.report(P2, now=SOON)
    # It was tried once, and waits to be tried again.
    later = NOW + timedelta(minutes=10)
    desk.do("update deliveries set next_attempt_at = %s where status = 'queued'", later)
    assert desk.incident()["escalate_at"] is None
    lose(only_sms, address_id, record)
    desk.do("update incidents set escalate_at = null")
    for message in claim_texts(desk, now=SOON):
        assert message.target is None
        record(message, Outcome(Result.REFUSED, "address_unreadable"))
    assert {row["status"] for row in texts(desk, message="alert.updated")} == {"failed"}
    assert desk.incident()["escalate_at"] == SOON
    assert desk.climb(SOON) == 1
    assert desk.states()[desk.second] == "pending"


def test_message_on_its_way_to_an_address_that_is_taken_away_ends_as_it_does(
    by_sms, reached_at, record
):
    address_id = reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    (message,) = claim_texts(by_sms)
    addresses.remove_address(by_sms.database, by_sms.vault, by_sms.police, address_id, now=SOON)
    assert claim_texts(by_sms, now=SOON) == []
    record(message, SENT)
    assert [row["status"] for row in texts(by_sms)] == ["sent"]


def test_every_attempt_is_kept_with_its_time_and_what_became_of_it(desk, claim, record):
    desk.report(P2)
    (first,) = claim()
    alerts.record(
        desk.database,
        first,
        outcome=FAILED,
        worker_id="one",
        jitter=0.0,
        took_s=0.25,
        now=SOON,
    )
    (second,) = claim("two", now=SOON + timedelta(minutes=1))
    record(second, SENT, "two", now=SOON + timedelta(minutes=1))
    kept = desk.rows(
        "select attempt, at, duration_ms, worker_id, outcome, detail from delivery_attempts"
        " order by attempt"
    )
    assert kept == [
        {
            "attempt": 1,
            "at": SOON - timedelta(milliseconds=250),
            "duration_ms": 250,
            "worker_id": "one",
            "outcome": "failed",
            "detail": "timeout",
        },
        {
            "attempt": 2,
            "at": SOON + timedelta(minutes=1),
            "duration_ms": 0,
            "worker_id": "two",
            "outcome": "sent",
            "detail": None,
        },
    ]


def test_receipt_of_a_provider_makes_delivered_once(by_sms, reached_at, record):
    reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    (message,) = claim_texts(by_sms)
    record(message, Outcome(Result.SENT, provider="notify", provider_ref="n-1"))
    assert alerts.confirm(by_sms.database, "notify", "n-1", delivered=True, now=SOON)
    assert not alerts.confirm(by_sms.database, "notify", "n-1", delivered=True, now=SOON)
    assert texts(by_sms)[0]["status"] == "delivered"
    assert by_sms.states()[by_sms.first] == "delivered"


def test_receipt_for_what_nobody_sent_or_another_provider_sent_changes_nothing(
    by_sms, reached_at, record
):
    reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    (message,) = claim_texts(by_sms)
    record(message, Outcome(Result.SENT, provider="notify", provider_ref="n-1"))
    for provider, ref in (("notify", "n-2"), ("twilio", "n-1")):
        assert not alerts.confirm(by_sms.database, provider, ref, delivered=True, now=SOON)
    assert texts(by_sms)[0]["status"] == "sent"


def test_message_that_never_arrived_is_failed_and_a_late_success_still_counts(
    by_sms, reached_at, record
):
    reached_at(by_sms.first, "+447700900001")
    by_sms.report(P2)
    (message,) = claim_texts(by_sms)
    record(message, Outcome(Result.SENT, provider="notify", provider_ref="n-1"))
    assert alerts.confirm(by_sms.database, "notify", "n-1", delivered=False, now=SOON)
    assert texts(by_sms)[0]["status"] == "failed"
    assert alerts.confirm(by_sms.database, "notify", "n-1", delivered=True, now=SOON)
    assert texts(by_sms)[0]["status"] == "delivered"


def test_who_was_told_hears_that_another_team_has_it_and_who_was_not_hears_nothing(
    desk, claim, record
):
    desk.report(P1)
    for message in claim():
        if message.recipient == "Room":
            record(message, SENT)
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=SOON)
    later = SOON + timedelta(seconds=1)
    assert [(m.kind, m.recipient) for m in claim(now=later)] == [("alert.withdrawn", "Room")]


def test_message_on_its_way_when_its_alert_is_withdrawn_is_followed_by_the_word_that_it_is_over(
    desk, claim, record
):
    desk.report(P1)
    on_its_way = next(m for m in claim() if m.recipient == "Room")
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=SOON)
    record(on_its_way, SENT)
    later = SOON + timedelta(seconds=1)
    assert [(m.kind, m.recipient) for m in claim(now=later)] == [("alert.withdrawn", "Room")]


def test_team_that_joins_after_being_stood_down_is_not_told_that_it_is_over(desk, claim, record):
    desk.report(P1)
    for message in claim():
        record(message, SENT)
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=SOON)
    desk.acknowledge(desk.control, desk.alert_of(desk.room), now=SOON)
    assert claim(now=SOON + timedelta(seconds=1)) == []
