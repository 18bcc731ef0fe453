"""Devices are told no more once the key that subscribed them is gone."""

from datetime import timedelta

import pytest

from tests.desk import NOW, P2
from tests.push_service import Browser
from tests.services.push.devices import LATER, another, claimed, devices, pushes, reached, subscribe
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import NotSignedIn
from waylight.services import keys


def test_revoked_key_takes_its_devices_along_in_the_same_transaction(pushing, robin, sign_in):
    other_key = sign_in(pushing.police)
    subscribe(pushing, robin, Browser(), team=pushing.first)
    kept = subscribe(pushing, other_key, another(2), team=pushing.first)
    pushing.report(P2)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert reached(pushing, now=LATER) == [kept.device.id]
    (gone,) = pushing.events("device.unsubscribed")
    assert (gone["data"]["reason"], gone["at"]) == ("signed_out", LATER)


def test_key_that_cannot_be_revoked_keeps_its_devices(pushing, robin, monkeypatch):
    subscribe(pushing, robin, Browser(), team=pushing.first)

    def broken(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr("waylight.db.keys._sign_out", broken)
    with pytest.raises(RuntimeError):
        keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert len(devices(pushing, robin)) == 1
    assert pushing.rows("select from api_keys where revoked_at is not null") == []


def test_revoking_the_others_ends_the_devices_of_the_others(pushing, robin, sign_in):
    here = sign_in(pushing.police)
    subscribe(pushing, robin, another(1), team=pushing.first)
    kept = subscribe(pushing, here, another(2), team=pushing.first)
    keys.revoke_others(pushing.database, pushing.vault, here.key_id, now=LATER)
    assert [device.id for device in devices(pushing, here, now=LATER)] == [kept.device.id]


def test_device_that_is_subscribed_with_a_newer_key_outlives_the_older(pushing, robin, sign_in):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    here = sign_in(pushing.police)
    subscribe(pushing, here, browser, team=pushing.first)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert len(devices(pushing, here, now=LATER)) == 1


def test_message_that_was_claimed_before_the_sign_out_is_not_tried_again(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    record(message, Outcome(Result.FAILED, "timed_out"), now=LATER)
    assert reached(pushing, now=NOW + timedelta(minutes=5)) == []


def test_message_whose_sender_died_is_not_sent_by_the_next_after_the_sign_out(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    claimed(pushing)
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    assert reached(pushing, now=NOW + timedelta(minutes=5), worker="two") == []


def test_alert_that_waits_for_a_device_that_is_gone_fails_for_all_to_see(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    pushing.do("update deliveries set next_attempt_at = %s", NOW + timedelta(minutes=1))
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    (message,) = claimed(pushing, now=LATER)
    assert message.target is None
    record(message, Outcome(Result.REFUSED, "address_unreadable"), now=LATER)
    (row,) = pushes(pushing)
    assert (row["status"], row["detail"]) == ("failed", "address_unreadable")
    assert len(pushing.events("delivery.failed")) == 1


def test_what_is_over_is_not_told_to_a_device_that_is_gone(pushing, robin, record):
    subscribe(pushing, robin, Browser(), team=pushing.first)
    pushing.report(P2)
    (message,) = claimed(pushing)
    record(message, Outcome(Result.SENT))
    pushing.climb(NOW + timedelta(minutes=4))
    pushing.acknowledge(pushing.operator, pushing.alert_of(pushing.second))
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=LATER)
    _, over = pushes(pushing)
    assert (over["message"], over["status"]) == ("alert.withdrawn", "dropped")
    assert over["detail"] == "address_gone"


def test_key_that_was_revoked_meanwhile_subscribes_nothing(pushing, robin):
    keys.revoke_key(pushing.database, pushing.vault, robin.key_id, now=NOW)
    with pytest.raises(NotSignedIn):
        subscribe(pushing, robin, Browser(), team=pushing.first)
    assert pushing.rows("select from addresses") == []


def test_device_ends_when_the_key_it_was_signed_in_with_ends_by_itself(pushing, sign_in):
    ends = NOW + timedelta(minutes=1)
    robin = sign_in(pushing.police, expires_at=ends)
    done = subscribe(pushing, robin, Browser(), team=pushing.first)
    assert done.device.expires_at == ends
    pushing.report(P2)
    (message,) = claimed(pushing, now=ends)
    assert message.target is None
    assert devices(pushing, robin, now=ends) == []
