from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from tests.services.webhooks.endpoints import DELIVERED, ELSEWHERE, ping
from waylight.channels.senders import DRILL_SENDERS, SENDERS
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import StateConflict
from waylight.domain.webhooks import IN_FLIGHT, OF_AN_ORGANISATION
from waylight.services import webhooks


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
