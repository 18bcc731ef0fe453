"""Webhooks from an event to an endpoint's answer, with the real queue."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from standardwebhooks import Webhook as Verifier

from schemas.events import envelope
from tests.desk import NOW, P1, P2, SPOT
from tests.receivers import answer, receiving, silent
from waylight.channels.guard import Guard
from waylight.channels.senders import DRILL_SENDERS, SENDERS
from waylight.channels.webhook import Webhooks
from waylight.db.operations import health
from waylight.domain.alerts import LONG, Outcome, Result
from waylight.domain.errors import InvalidRequest, NotAllowed, NotFound, StaleVersion, StateConflict
from waylight.domain.geo import Point
from waylight.domain.principals import Kind, Principal
from waylight.domain.webhooks import IN_FLIGHT, MOST, OF_AN_ORGANISATION
from waylight.services import alerts, webhooks
from waylight.services.operations import chores, rotation

LEASE_S = 30.0
ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)
DELIVERED = Outcome(Result.DELIVERED, "http_204")
FAILED = Outcome(Result.FAILED, "http_500")
GONE = Outcome(Result.GONE, "http_410")
VALUES = {
    "url": "https://partner.example/hook?token=s3cret",
    "event_types": ["*"],
    "description": "",
    "state": "active",
}


@pytest.fixture
def make(desk):
    def make(who, *, ports=(), now=NOW, **changes):
        return webhooks.create_webhook(
            desk.database,
            desk.vault,
            who,
            values=VALUES | changes,
            channels=("webhook",),
            loopback_ports=ports,
            now=now,
        )

    return make


@pytest.fixture
def tell(desk):
    """Numbers and queues everything; returns how many messages were queued."""

    def tell(now=NOW):
        while chores.number_events(desk.database):
            pass
        queued = 0
        while True:
            told = webhooks.tell_webhooks(desk.database, now=now)
            queued += told.queued
            if not told.more:
                return queued

    return tell


@pytest.fixture
def claim(desk):
    def claim(worker="one", *, now=NOW, free=50):
        return [
            one
            for one in alerts.claim(
                desk.database,
                desk.vault,
                worker,
                free={"webhook": free},
                lease_s=LEASE_S,
                base_url="https://waylight.example",
                render=lambda event: orjson.dumps(
                    envelope(event, base_url="https://waylight.example")
                ),
                now=now,
            )
            if one.channel == "webhook"
        ]

    return claim


@pytest.fixture
def record(desk):
    def record(message, outcome, worker="one", *, now=NOW):
        return alerts.record(
            desk.database, message, outcome=outcome, worker_id=worker, jitter=0.0, now=now
        )

    return record


@pytest.fixture
def claim_all(claim, record):
    """Everything that is due, each delivered before more is taken."""

    def claim_all():
        found = []
        while taken := claim():
            for one in taken:
                record(one, DELIVERED)
            found += taken
        return found

    return claim_all


def read(desk, webhook, who=None):
    return webhooks.read_webhook(
        desk.database, desk.vault, who or desk.police, webhook_id=webhook.id
    )


def log(desk, webhook, who=None):
    return webhooks.list_deliveries(
        desk.database, who or desk.police, webhook_id=webhook.id, before=None, limit=100
    )


# From events to messages


def test_event_goes_once_to_each_webhook_that_may_and_wants_to_know(desk, make, tell, claim):
    desk.report(P2)  # before there was any webhook
    tell()
    mine = make(desk.police, event_types=["alert.created"])
    make(desk.police, event_types=["hub.*"])
    theirs = make(desk.operator)
    room = make(desk.control, event_types=["alert.*"])
    assert tell() == 0
    desk.report(P1, at=ELSEWHERE)
    tell()
    assert tell() == 0
    found = claim()
    bodies = {(one.target.id, json.loads(one.body)["type"]) for one in found}
    assert bodies == {(mine.id, "alert.created"), (room.id, "alert.created")}
    assert theirs.id not in {one.target.id for one in found}
    mine_told = [one for one in found if one.target.id == mine.id]
    assert len(mine_told) == 1
    body = json.loads(mine_told[0].body)
    assert body["id"].startswith("event_")
    assert body["data"]["alert_id"].startswith("alert_")
    assert mine_told[0].kind == "alert.created"


def test_no_webhook_costs_one_look_and_moves_nothing(desk, tell):
    desk.report(P1)
    before = desk.rows("select last from webhook_cursor")
    assert tell() == 0
    assert desk.rows("select last from webhook_cursor") == before


def test_drill_goes_to_those_who_asked_for_drills_and_to_the_star(desk, make, tell, claim_all):
    star = make(desk.police)
    drills = make(desk.police, event_types=["exercise.*"])
    make(desk.police, event_types=["alert.created", "alert.*"])
    desk.report(replace(P1, exercise=True))
    tell()
    found = claim_all()
    assert {one.target.id for one in found} == {star.id, drills.id}
    assert all(json.loads(one.body)["type"].startswith("exercise.") for one in found)
    assert all(one.exercise for one in found)


def test_body_is_read_when_it_is_sent_and_not_sent_to_whom_it_concerns_no_more(
    desk, make, tell, claim
):
    make(desk.control, event_types=["alert.created"])
    desk.report(P1)
    assert tell() > 0
    desk.do("update grants set revoked_at = now() where cause = 'oversight'")
    found = claim()
    assert [one.body is None for one in found] == [
        one_for(desk, one) != desk.control.organisation_id for one in found
    ]
    gone = next(one for one in found if one.body is None)
    sent = Webhooks(Guard()).send(gone)
    assert (sent.result, sent.detail) == (Result.REFUSED, "no_longer_concerned")


def one_for(desk, message):
    (row,) = desk.rows(
        "select a.organisation_id from events e join alerts a on a.id = e.alert_id where e.id = %s",
        message.event_id,
    )
    return row["organisation_id"]


def test_message_holds_no_story_and_its_repr_neither_url_nor_secret(desk, make, tell, claim):
    made = make(desk.police)
    desk.report(replace(P1, narrative="A green coat.", description_of_person="Tall."))
    tell()
    for one in claim():
        assert b"coat" not in one.body
        assert len(one.body) < 4_096
        assert made.secret not in repr(one)
        assert "s3cret" not in repr(one)


# From an answer to what follows


def test_taken_event_makes_the_alert_delivered_only_by_its_own_organisation(
    desk, make, tell, claim, record
):
    make(desk.police, event_types=["alert.created"])
    room = make(desk.control, event_types=["alert.created"])
    report = desk.report(P2)
    tell()
    (mine,) = [one for one in claim() if one.target.id != room.id]
    desk.do("delete from deliveries where target_id = %s", room.id)
    alert = desk.alert_of(desk.first)
    record(mine, DELIVERED)
    assert desk.states()[desk.first] == "delivered"
    (told,) = desk.events("delivery.delivered")
    assert (told["alert_id"], told["report_id"]) == (alert, report.id)
    assert told["data"] == {"channel": "webhook", "message": "alert.created"}


def test_what_the_control_room_s_endpoint_takes_says_nothing_of_another_team(
    desk, make, tell, claim, record
):
    make(desk.control, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (room,) = claim()
    assert one_for(desk, room) == desk.police.organisation_id
    record(room, DELIVERED)
    assert desk.states()[desk.first] == "pending"
    assert desk.events("delivery.delivered") == []


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


def test_black_holed_endpoint_takes_two_senders_and_rests(desk, make, tell, claim, record):
    hole, well = make(desk.police), make(desk.police)
    for _ in range(8):
        webhooks.ping_webhook(desk.database, desk.police, webhook_id=hole.id, now=NOW)
    webhooks.ping_webhook(desk.database, desk.police, webhook_id=well.id, now=NOW)
    taken = claim()
    assert [one.target.id for one in taken].count(hole.id) == IN_FLIGHT
    assert [one.target.id for one in taken].count(well.id) == 1
    # While they hang nobody takes more, another worker neither.
    assert claim("two", now=NOW + timedelta(seconds=10)) == []
    at = NOW + timedelta(seconds=15)
    for one in taken:
        silent = one.target.id == hole.id
        record(one, Outcome(Result.FAILED, "timed_out") if silent else DELIVERED, now=at)
    for one in claim(now=at):
        record(one, Outcome(Result.FAILED, "timed_out"), now=at)
    # Three failures in a row: nothing of it is tried, not even what never was.
    assert claim(now=at) == []
    again = claim(now=at + timedelta(minutes=10))
    assert len(again) == IN_FLIGHT


def ping(desk, webhook, who=None, *, times=1):
    for _ in range(times):
        webhooks.ping_webhook(desk.database, who or desk.police, webhook_id=webhook.id, now=NOW)


def test_organisation_whose_endpoints_answer_late_leaves_most_senders_to_the_others(
    desk, make, claim, record
):
    slow = [make(desk.police) for _ in range(6)]
    for one in slow:
        ping(desk, one, times=4)
    other = make(desk.operator)
    ping(desk, other, desk.operator)
    taken = claim(free=SENDERS)
    assert len([one for one in taken if one.target.id != other.id]) == OF_AN_ORGANISATION
    assert [one.target.id for one in taken].count(other.id) == 1
    assert OF_AN_ORGANISATION <= SENDERS // 2
    # Another worker takes no more either, nor is there room because an endpoint is paused, has said
    # that it is gone, or has its messages dropped: those on their way hold their senders all along.
    assert claim("two") == []
    held = next(one for one in taken if one.target.id != other.id)
    webhooks.edit_webhook(
        desk.database,
        desk.vault,
        desk.police,
        webhook_id=held.target.id,
        values={"state": "paused"},
        loopback_ports=(),
        if_match=None,
        now=NOW,
    )
    desk.do(
        "update deliveries set status = 'dropped', next_attempt_at = null where id = %s",
        held.delivery_id,
    )
    assert claim("two") == []
    record(held, DELIVERED)
    assert len(claim("two")) == 1


def test_drills_of_an_organisation_keep_neither_a_real_message_nor_another_s_drill_waiting(
    desk, make, tell, claim
):
    mine = [make(desk.police) for _ in range(3)]
    theirs = make(desk.operator)
    for one in (*mine, theirs):
        ping(desk, one, desk.operator if one is theirs else None, times=3)
    desk.do("update deliveries set exercise = true where channel = 'webhook'")
    drills = claim(free=DRILL_SENDERS)
    assert {one.target.id in {each.id for each in mine} for one in drills} == {True, False}
    ping(desk, mine[0])
    assert [one.exercise for one in claim()] == [False]


def test_event_that_waits_is_not_replayed_again_and_goes_behind_all_others(
    desk, make, tell, claim, claim_all
):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P1)
    tell()
    (first,) = claim_all()

    def replay():
        return webhooks.replay_delivery(
            desk.database,
            desk.police,
            webhook_id=made.id,
            delivery_id=first.delivery_id,
            now=NOW,
        )

    again = replay()
    for _ in range(3):
        with pytest.raises(StateConflict, match="on its way already"):
            replay()
    desk.report(P2, at=ELSEWHERE)
    tell()
    new, old = claim()
    assert (old.delivery_id, old.event_id) == (again.id, first.event_id)
    assert new.event_id != first.event_id
    assert new.priority < old.priority


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


# Managing


def test_other_organisations_see_and_change_nothing(desk, make):
    made = make(desk.police)
    who, context = desk.operator, (desk.database, desk.vault)
    webhook = {"webhook_id": made.id}
    for attempt in (
        lambda: webhooks.read_webhook(*context, who, **webhook),
        lambda: webhooks.edit_webhook(
            *context,
            who,
            **webhook,
            values={"description": "mine"},
            loopback_ports=(),
            if_match=None,
            now=NOW,
        ),
        lambda: webhooks.rotate_secret(
            *context, who, **webhook, overlap=timedelta(0), if_match=None, now=NOW
        ),
        lambda: webhooks.enable_webhook(*context, who, **webhook, if_match=None, now=NOW),
        lambda: webhooks.delete_webhook(
            desk.database, desk.vault, who, **webhook, if_match=None, now=NOW
        ),
        lambda: webhooks.ping_webhook(desk.database, who, **webhook, now=NOW),
        lambda: webhooks.list_deliveries(desk.database, who, **webhook, before=None, limit=9),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert webhooks.list_webhooks(*context, who, after=None, limit=9) == []
    # The second lock: the policies alone.
    with desk.database.staff(who.organisation_id) as conn:
        assert conn.execute("select count(*) from webhooks").fetchone() == (0,)
        assert conn.execute("select count(*) from deliveries").fetchone() == (0,)
    assert read(desk, made).description == ""


def test_delivery_of_another_webhook_is_not_replayed(desk, make):
    mine, theirs = make(desk.police), make(desk.operator)
    ping = webhooks.ping_webhook(desk.database, desk.operator, webhook_id=theirs.id, now=NOW)
    with pytest.raises(NotFound):
        webhooks.replay_delivery(
            desk.database, desk.police, webhook_id=mine.id, delivery_id=ping.id, now=NOW
        )


def test_webhook_whose_key_is_lost_is_told_as_such_and_hides_no_other(desk, make, claim, record):
    lost, well = make(desk.police), make(desk.police)
    desk.do("update webhooks set wrapped_key = '\\x01' where id = %s", lost.id)
    context = desk.database, desk.vault, desk.police
    found = webhooks.list_webhooks(*context, after=None, limit=9)
    assert [(one.id, one.url, one.state, one.disabled_reason) for one in found] == [
        (lost.id, None, "disabled", "unreadable"),
        (well.id, VALUES["url"], "active", None),
    ]
    assert read(desk, lost).disabled_reason == "unreadable"
    which = {"webhook_id": lost.id, "if_match": None, "now": NOW}
    for attempt in (
        lambda: webhooks.edit_webhook(
            *context, **which, values={"url": "https://new.example/"}, loopback_ports=()
        ),
        lambda: webhooks.rotate_secret(*context, **which, overlap=timedelta(hours=1)),
        lambda: webhooks.enable_webhook(*context, **which),
    ):
        with pytest.raises(StateConflict, match="delete it and make it anew"):
            attempt()
    # What waits for it is given up by name, and what waits for the other goes out.
    ping(desk, lost)
    ping(desk, well)
    given_up, sent = sorted(claim(), key=lambda one: one.target is not None)
    assert record(given_up, Webhooks(Guard()).send(given_up)).status == "failed"
    assert sent.target.id == well.id
    assert [one.attempts[0].detail for one in log(desk, lost)] == ["address_unreadable"]
    webhooks.delete_webhook(desk.database, desk.vault, desk.police, **which)
    assert [one.id for one in webhooks.list_webhooks(*context, after=None, limit=9)] == [well.id]


def test_key_of_no_organisation_has_no_webhooks(make):
    with pytest.raises(NotAllowed):
        make(Principal(kind=Kind.CLIENT, name="An app"))


def test_client_of_an_organisation_has_them_like_its_staff(desk, make):
    app = Principal(
        kind=Kind.CLIENT, key_id=None, name="App", organisation_id=desk.police.organisation_id
    )
    assert read(desk, make(app), desk.police).url == VALUES["url"]


@pytest.mark.parametrize(
    "url", ["http://partner.example/", "https://10.0.0.1/", "https://u:p@partner.example/"]
)
def test_url_that_may_not_be_called_is_not_taken_down(desk, make, url):
    with pytest.raises(InvalidRequest) as why:
        make(desk.police, url=url)
    assert why.value.problems[0].pointer == "/url"


def test_organisation_has_a_limited_number(desk, make):
    for _ in range(MOST):
        make(desk.police)
    with pytest.raises(StateConflict):
        make(desk.police)
    make(desk.operator)


def test_change_of_something_older_is_refused(desk, make):
    made = make(desk.police)
    with pytest.raises(StaleVersion):
        webhooks.delete_webhook(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            if_match=made.version + 1,
            now=NOW,
        )


def test_url_and_secrets_are_sealed_and_can_be_sealed_anew(desk, make):
    made = make(desk.police)
    rotated = webhooks.rotate_secret(
        desk.database,
        desk.vault,
        desk.police,
        webhook_id=made.id,
        overlap=timedelta(hours=1),
        if_match=None,
        now=NOW,
    )
    (row,) = desk.rows("select * from webhooks")
    stored = repr({name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()})
    for secret in (str(made.secret), str(rotated.secret), "s3cret"):
        assert secret not in stored
        assert base64.b64encode(secret.encode()).decode() not in stored
    assert read(desk, made).secret is None
    assert rotation.rewrap(desk.database, desk.vault, progress=lambda _line: None).failed == ()
    assert read(desk, made).url == VALUES["url"]


def test_what_happens_while_it_is_paused_is_not_sent_later(desk, make, tell, claim):
    made = make(desk.police, event_types=["alert.created"])

    def become(state):
        webhooks.edit_webhook(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            values={"state": state},
            loopback_ports=(),
            if_match=None,
            now=NOW,
        )

    become("paused")
    make(desk.operator)  # so that the cursor moves all the same
    desk.report(P2)
    tell()
    become("active")
    assert tell() == 0
    assert claim() == []


def test_deleted_webhook_leaves_nothing_waiting(desk, make, tell, claim, record):
    made = make(desk.police, event_types=["alert.created"])
    desk.report(P2)
    tell()
    (flying,) = claim()
    webhooks.delete_webhook(
        desk.database, desk.vault, desk.police, webhook_id=made.id, if_match=None, now=NOW
    )
    record(flying, DELIVERED)
    assert desk.rows("select from deliveries where channel = 'webhook' and status = 'queued'") == []
    assert desk.rows("select from webhooks") == []
    assert claim(now=NOW + timedelta(days=1)) == []


# The whole way, to a receiver on loopback


def test_ping_is_signed_by_both_secrets_and_its_replay_has_the_same_id(desk, make, claim, record):
    now = datetime.now(UTC)
    with receiving(answer(500), answer(204), answer(200)) as receiver:
        made = make(
            desk.police, url=f"http://127.0.0.1:{receiver.port}/hook", ports=(receiver.port,)
        )
        new = webhooks.rotate_secret(
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            overlap=timedelta(hours=1),
            if_match=None,
            now=now,
        )
        channel = Webhooks(Guard(loopback_ports=(receiver.port,)))
        webhooks.ping_webhook(desk.database, desk.police, webhook_id=made.id, now=now)
        (first,) = claim(now=now)
        following = record(first, channel.send(first), now=now)
        (second,) = claim(now=following.at)
        record(second, channel.send(second), now=following.at)
        (delivery,) = log(desk, made)
        assert [one.answered for one in delivery.attempts] == [500, 204]
        webhooks.replay_delivery(
            desk.database, desk.police, webhook_id=made.id, delivery_id=delivery.id, now=now
        )
        # After the overlap the new secret signs alone.
        (third,) = claim(now=now + timedelta(hours=2))
        record(third, channel.send(third), now=now)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert receiver.received[0].headers["content-type"] == "application/json"
    assert new.secret
    for number, one in enumerate(receiver.received):
        Verifier(str(new.secret)).verify(one.body, dict(one.headers))
        signatures = one.headers["webhook-signature"].split(" ")
        assert len(signatures) == (2 if number < 2 else 1)
        if number < 2:
            Verifier(str(made.secret)).verify(one.body, dict(one.headers))
    assert json.loads(receiver.received[0].body)["type"] == "webhook.ping"
    assert [one.status for one in log(desk, made)] == ["delivered", "delivered"]


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
