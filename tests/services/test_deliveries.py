import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, P4, SPOT
from waylight.domain.alerts import ATTEMPTS, Outcome, Result
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import alerts

LEASE_S = 30.0
SOON = NOW + timedelta(seconds=1)
AFTER_LEASE = NOW + timedelta(seconds=LEASE_S + 1)
SENT, DELIVERED = Outcome(Result.SENT), Outcome(Result.DELIVERED)
FAILED, REFUSED = Outcome(Result.FAILED, "timeout"), Outcome(Result.REFUSED, "gone")


def delivery(desk):
    (row,) = desk.rows("select * from deliveries")
    return row


def test_message_says_what_kind_and_how_urgent_and_neither_story_nor_place(desk, claim):
    desk.report(replace(P1, narrative="A green coat.", description_of_person="Tall."))
    message = next(m for m in claim() if m.recipient == "First")
    assert (message.kind, message.channel, message.attempt) == ("alert.created", "console", 1)
    assert (message.priority, message.category_groups) == (1, ("pursuit",))
    assert message.link.startswith("https://waylight.example/v1/alerts/alert_")
    assert message.alert_id == desk.alert_of(desk.first)
    said = repr(message)
    assert "coat" not in said
    assert "Tall" not in said
    assert str(SPOT.lon) not in said


def test_most_urgent_is_claimed_first(desk, claim):
    desk.report(P2)
    desk.report(P1, at=Point(SPOT.lon - 0.05, SPOT.lat), now=SOON)
    assert [m.priority for m in claim(now=SOON, limit=2)] == [1, 1]
    assert [m.priority for m in claim(now=SOON)] == [2]


def test_priority_4_is_never_sent(desk, claim):
    desk.report(P4)
    assert claim() == []


def test_claimed_message_belongs_to_its_worker_until_the_lease_ends(desk, claim):
    desk.report()
    (first,) = claim("one")
    assert claim("two", now=NOW + timedelta(seconds=LEASE_S - 1)) == []
    (again,) = claim("two", now=AFTER_LEASE)
    assert again.delivery_id == first.delivery_id
    assert again.attempt == 2


def test_message_on_the_console_is_sent_and_never_delivered(desk, claim, record):
    report = desk.report()
    (message,) = claim()
    assert record(message, SENT).status == "sent"
    row = delivery(desk)
    assert (row["status"], row["sent_at"], row["delivered_at"]) == ("sent", SOON, None)
    assert (row["leased_by"], row["next_attempt_at"]) == (None, None)
    assert desk.states() == {desk.first: "pending"}
    (event,) = desk.events("delivery.sent")
    assert (event["report_id"], event["alert_id"]) == (report.id, message.alert_id)
    assert event["data"] == {"channel": "console", "message": "alert.created"}
    assert claim(now=AFTER_LEASE) == []


def test_message_that_the_far_side_confirmed_makes_the_alert_delivered(desk, claim, record):
    desk.report()
    (message,) = claim()
    record(message, DELIVERED)
    row = delivery(desk)
    assert (row["status"], row["delivered_at"]) == ("delivered", SOON)
    (alert,) = desk.rows("select state, delivered_at, version from alerts")
    assert alert == {"state": "delivered", "delivered_at": SOON, "version": 1}
    assert len(desk.events("delivery.delivered")) == 1


def test_late_confirmation_does_not_move_an_alert_backwards(desk, claim, record):
    desk.report()
    (message,) = claim()
    desk.acknowledge(desk.police, message.alert_id)
    record(message, DELIVERED)
    assert desk.states() == {desk.first: "acknowledged"}
    assert delivery(desk)["status"] == "delivered"


def test_failure_is_tried_again_after_a_pause(desk, claim, record):
    desk.report()
    (message,) = claim()
    following = record(message, FAILED, jitter=0.0)
    assert (following.status, following.at) == ("queued", SOON + timedelta(seconds=1))
    row = delivery(desk)
    assert (row["status"], row["outcome"], row["detail"]) == ("queued", "failed", "timeout")
    assert desk.events("delivery.sent", "delivery.failed") == []
    assert claim(now=SOON) == []
    (again,) = claim(now=following.at)
    assert again.attempt == 2


def test_message_that_never_gets_through_is_given_up_where_everybody_sees_it(desk, claim, record):
    desk.report()
    at = NOW
    for attempt in range(1, ATTEMPTS + 1):
        (message,) = claim(now=at)
        assert message.attempt == attempt
        following = record(message, FAILED, now=at)
        at = following.at or at
    assert delivery(desk)["status"] == "failed"
    assert len(desk.events("delivery.failed")) == 1
    assert claim(now=at + timedelta(days=1)) == []


@pytest.fixture
def holder_cannot_be_told(desk, claim, record):
    """A held incident, its ladder at rest, that a report joins which the holder never hears of."""

    def unheard(report=P2):
        desk.report(report)
        desk.acknowledge(desk.police, desk.alert_of(desk.first))
        assert desk.incident()["escalate_at"] is None
        desk.report(report, now=SOON)
        (message,) = claim(now=SOON)
        assert message.kind == "alert.updated"
        record(message, REFUSED)

    return unheard


@pytest.mark.parametrize("exercise", [False, True])
def test_report_that_its_holder_cannot_be_told_of_goes_to_the_next_team(
    desk, holder_cannot_be_told, exercise
):
    holder_cannot_be_told(replace(P2, exercise=exercise))
    assert desk.incident()["escalate_at"] == SOON
    assert desk.climb(SOON) == 1
    assert desk.states() == {desk.first: "acknowledged", desk.second: "pending"}


def test_holder_stops_the_ladder_of_a_report_it_could_not_be_told_of_once_it_has_read_it(
    desk, holder_cannot_be_told
):
    holder_cannot_be_told()
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert, now=SOON)
    assert desk.incident()["escalate_at"] == SOON
    desk.read(desk.police, alert, now=SOON)
    desk.acknowledge(desk.police, alert, now=SOON)
    assert desk.incident()["escalate_at"] is None


def test_message_given_up_while_the_ladder_runs_leaves_its_timetable_alone(desk, claim, record):
    desk.report()
    before = desk.incident()
    (message,) = claim()
    record(message, REFUSED)
    assert desk.incident() == before


def test_message_given_up_on_one_channel_wakes_nobody_when_another_has_told_the_team(
    desk, claim, record
):
    desk.report()
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    desk.report(now=SOON)
    desk.do(
        "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
        " status, created_at) select alert_id, report_id, 'sms', message, priority, exercise,"
        " 'sent', created_at from deliveries where status = 'queued'"
    )
    (message,) = claim(now=SOON)
    record(message, REFUSED)
    assert desk.incident()["escalate_at"] is None


def test_hub_that_cannot_be_told_does_not_wake_the_ladder(desk, claim, record):
    desk.report(replace(P2, wants=(Want.HELP, Want.HUB)))
    desk.do("update incidents set escalate_at = null")
    (message,) = [one for one in claim() if one.alert_id == desk.alert_of(desk.hub)]
    record(message, REFUSED)
    assert desk.incident()["escalate_at"] is None


def test_refusal_is_final(desk, claim, record):
    desk.report()
    (message,) = claim()
    assert record(message, REFUSED).status == "failed"
    assert claim(now=AFTER_LEASE) == []


def test_worker_that_lost_its_lease_writes_nothing(desk, claim, record):
    desk.report()
    (slow,) = claim("slow")
    (taken_over,) = claim("quick", now=AFTER_LEASE)
    assert record(slow, FAILED, "slow", now=AFTER_LEASE) is None
    assert delivery(desk)["leased_by"] == "quick"
    assert record(taken_over, SENT, "quick", now=AFTER_LEASE).status == "sent"
    assert record(slow, FAILED, "slow", now=AFTER_LEASE) is None
    assert delivery(desk)["status"] == "sent"
    assert len(desk.events("delivery.sent")) == 1


def test_worker_that_claimed_the_same_message_again_cannot_be_answered_by_its_first_try(
    desk, claim, record
):
    desk.report()
    (first_try,) = claim("one")
    claim("one", now=AFTER_LEASE)
    assert record(first_try, FAILED, "one", now=AFTER_LEASE) is None


def test_messages_of_an_alert_that_was_answered_are_sent_no_more(desk, claim):
    desk.report(P1)
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    assert claim() == []
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"dropped"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(SENT, "sent"), (DELIVERED, "delivered"), (FAILED, "dropped"), (REFUSED, "dropped")],
)
def test_message_on_its_way_while_the_alert_is_answered_ends_as_it_really_did(
    desk, claim, record, outcome, status
):
    desk.report()
    (message,) = claim()
    desk.acknowledge(desk.police, message.alert_id)
    record(message, outcome)
    assert delivery(desk)["status"] == status
    assert claim(now=AFTER_LEASE) == []


def test_worker_that_stops_gives_back_what_it_has_not_sent(desk, claim, record):
    desk.report(P1)
    sent, waiting = claim("stopping")
    record(sent, SENT, "stopping")
    assert alerts.give_back(desk.database, "stopping", due_at=SOON) == 1
    (again,) = claim("other", now=SOON)
    assert (again.delivery_id, again.attempt) == (waiting.delivery_id, 1)


@pytest.mark.commits
def test_many_workers_claim_every_message_once(desk, claim):
    for n in range(12):
        desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.02 * n))
    together = threading.Barrier(4)

    def work(worker):
        together.wait()
        claimed = []
        while messages := claim(worker, limit=2):
            claimed += [message.delivery_id for message in messages]
        return claimed

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(work, ["a", "b", "c", "d"]))
    claimed = [one for share in shares for one in share]
    assert len(claimed) == len(set(claimed)) == 12


@pytest.mark.commits
def test_confirmation_and_acknowledgement_at_once_do_not_wait_for_each_other_for_ever(
    desk, claim, record
):
    for n in range(8):
        desk.report(P1, at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=NOW + timedelta(seconds=n))
    later = NOW + timedelta(seconds=20)
    messages = claim(now=later)
    assert len(messages) == 16
    mine = [m.alert_id for m in messages if m.recipient == "First"]

    def acknowledge(alert_id):
        return desk.acknowledge(desk.police, alert_id, now=later)

    with ThreadPoolExecutor(6) as pool:
        recorded = [pool.submit(record, message, DELIVERED, now=later) for message in messages]
        answered = [pool.submit(acknowledge, alert_id) for alert_id in mine]
        for done in recorded + answered:
            done.result()
    told = desk.rows("select status from deliveries where message = 'alert.created'")
    assert {row["status"] for row in told} <= {
        "delivered",
        "seen",
    }
    assert {row["state"] for row in desk.rows("select state from alerts")} == {
        "acknowledged",
        "withdrawn",
    }
