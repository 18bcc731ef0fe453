"""Devices that expire, are unsubscribed, are gone or do not answer."""

from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2
from tests.push_service import Browser
from tests.services.push.devices import (
    LATER,
    TIMED_OUT,
    claimed,
    devices,
    pushes,
    reached,
    resting,
    subscribe,
)
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import NotFound
from waylight.services import alerts, push
from waylight.services.operations import chores


def test_subscription_that_expires_is_honoured(pushing, robin):
    ends = NOW + timedelta(minutes=1)
    subscribe(pushing, robin, Browser(), team=pushing.first, expires_at=ends)
    pushing.report(P1, now=NOW + timedelta(minutes=2))
    assert pushes(pushing) == []
    chores.purge(pushing.database, now=NOW + timedelta(minutes=2))
    assert pushing.rows("select state, wrapped_key from addresses") == [
        {"state": "gone", "wrapped_key": None}
    ]


def test_unsubscribed_device_is_told_nothing_and_its_address_is_erased(pushing, robin):
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    push.unsubscribe(pushing.database, robin, device_id=done.device.id, now=LATER)
    assert reached(pushing, now=LATER) == []
    assert pushing.rows("select state, wrapped_key from addresses") == [
        {"state": "gone", "wrapped_key": None}
    ]
    with pytest.raises(NotFound):
        push.unsubscribe(pushing.database, robin, device_id=done.device.id, now=LATER)


def test_device_whose_push_service_says_it_is_gone_is_erased(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    pushing.report(P1)
    record(message, Outcome(Result.GONE, "push_gone_410"))
    assert devices(pushing, robin) == []
    assert pushing.rows("select wrapped_key from addresses") == [{"wrapped_key": None}]
    assert [row["status"] for row in pushes(pushing)] == ["failed", "queued"]
    assert reached(pushing, now=LATER) == []
    (gone,) = pushing.events("device.unsubscribed")
    assert gone["data"]["reason"] == "gone"


def test_telephone_of_a_person_that_takes_no_more_is_no_device_and_keeps_its_number(
    pushing, robin, record
):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.do("update addresses set channel = 'sms'")
    pushing.report(P2)
    pushing.do("update deliveries set channel = 'web_push', target_id = (select id from addresses)")
    (message,) = claimed(pushing)
    record(message, Outcome(Result.GONE, "opted_out"))
    (row,) = pushing.rows("select state, wrapped_key is not null as kept from addresses")
    assert row == {"state": "gone", "kept": True}
    assert pushing.events("device.unsubscribed") == []


def recorded(desk, message, outcome, *, now=NOW):
    """As a worker writes down many at once."""
    return alerts.record_all(
        desk.database, [(message, outcome, 5.0)], worker_id="one", jitter=lambda: 0.0, now=now
    )[message.delivery_id]


def test_device_that_times_out_again_and_again_rests_visibly_and_the_ladder_goes_on(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    pushing.do("update deliveries set status = 'failed' where channel = 'console'")
    pushing.do("update incidents set escalate_at = null")
    at, rested = NOW, []
    while True:
        (message,) = claimed(pushing, now=at)
        rested.append(message.rests_s)
        following = recorded(
            pushing, message, (message.rests_s and resting(message)) or TIMED_OUT, now=at
        )
        (device,) = devices(pushing, robin, now=at)
        if following.status != "queued":
            break
        assert device.rests_until is None or following.at > at
        at = following.at
    # Three time-outs, then it is left alone for 30 s, is tried once more, rests for longer ...
    assert rested[:4] == [None, None, None, pytest.approx(26.0)]
    assert [one is None for one in rested] == [True] * 3 + [False, True] * 3 + [False]
    kept = pushing.rows("select detail from delivery_attempts order by attempt")
    assert {one["detail"] for one in kept} == {"timed_out", "address_rests"}
    # The message is given up in the end, and its team is passed over.
    assert following.status == "failed"
    assert pushing.incident()["escalate_at"] == at


def test_device_that_answers_again_rests_no_more(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.report(P2)
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER)
    assert devices(pushing, robin)[0].rests_until == LATER
    (message,) = claimed(pushing, now=LATER)
    assert message.rests_s is None
    recorded(pushing, message, Outcome(Result.SENT), now=LATER)
    assert pushing.rows("select timeouts, rests_until from addresses") == [
        {"timeouts": 0, "rests_until": None}
    ]
    # A rest that was written while the clock ran ahead is none.
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER + timedelta(hours=9))
    assert devices(pushing, robin)[0].rests_until is None
    pushing.report(P1)
    assert [one.rests_s for one in claimed(pushing, now=LATER)] == [None]
    pushing.do("update addresses set timeouts = 7, rests_until = %s", LATER)
    subscribe(pushing, robin, browser, team=pushing.first)
    assert devices(pushing, robin)[0].rests_until is None
