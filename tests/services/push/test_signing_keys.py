"""Changing the key that signs."""

import pytest

from tests.desk import P2
from tests.push_service import Browser
from tests.services.push.devices import (
    NEW_PRIVATE,
    NEW_PUBLIC,
    PRIVATE,
    PUBLIC,
    another,
    claimed,
    devices,
    subscribe,
    with_keys,
)
from waylight.domain.errors import InvalidRequest
from waylight.services import push


def test_device_of_the_key_before_is_sent_to_and_asked_to_renew(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    rotated = with_keys(pushing, NEW_PRIVATE, PRIVATE)
    assert push.public_key(rotated.settings, rotated.vault) == NEW_PUBLIC
    (device,) = devices(rotated, robin)
    assert device.renew
    # An app tells its subscription each time it starts: that makes it none of the new key.
    assert subscribe(rotated, robin, browser, team=rotated.first).device.renew
    rotated.report(P2)
    (message,) = claimed(rotated)
    assert message.target.address["vapid"] == PUBLIC
    renewed = subscribe(rotated, robin, another("renewed"), team=rotated.first)
    assert not renewed.device.renew


def test_device_may_say_which_key_it_subscribed_with(pushing, robin):
    rotated = with_keys(pushing, NEW_PRIVATE, PRIVATE)
    said = subscribe(rotated, robin, Browser(), team=rotated.first, public_key=PUBLIC)
    assert said.device.renew
    said = subscribe(rotated, robin, Browser(), team=rotated.first, public_key=NEW_PUBLIC)
    assert not said.device.renew


def test_device_of_a_key_that_nobody_holds_is_refused(pushing, robin):
    with pytest.raises(InvalidRequest) as caught:
        subscribe(pushing, robin, Browser(), team=pushing.first, public_key=NEW_PUBLIC)
    assert [one.pointer for one in caught.value.problems] == ["/application_server_key"]
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    dropped = with_keys(pushing, NEW_PRIVATE)
    with pytest.raises(InvalidRequest):
        subscribe(dropped, robin, browser, team=dropped.first)
