"""Whose devices are, and when they are told."""

from dataclasses import replace
from uuid import UUID

import pytest

from tests.desk import NOW, P2
from tests.push_service import Browser, base64url
from tests.services.push.devices import (
    PUBLIC,
    another,
    claimed,
    devices,
    pushes,
    reached,
    subscribe,
)
from waylight.domain.errors import NotFound, StateConflict
from waylight.domain.push import DEVICES_AT_MOST
from waylight.domain.reports import Want
from waylight.services import push
from waylight.vault import Vault


def test_device_is_told_what_its_team_is_told(pushing, robin):
    browser = Browser()
    done = subscribe(pushing, robin, browser, team=pushing.first)
    assert done.is_new
    assert (done.device.team.name, done.device.hub) == ("First", None)
    assert not done.device.renew
    pushing.report(P2)
    (message,) = claimed(pushing)
    assert message.target.id == done.device.id
    assert message.target.address == {
        "endpoint": browser.endpoint,
        **browser.keys,
        "vapid": PUBLIC,
    }
    (event,) = pushing.events("device.subscribed")
    assert event["staff_id"] == robin.staff_id
    assert event["data"]["device_id"] == str(done.device.id)


def test_device_of_a_team_is_told_whoever_is_at_work(pushing, robin):
    subscribe(pushing, robin, Browser(), team=pushing.third)
    pushing.report(P2)
    assert claimed(pushing) == []  # the alert is for First alone


def test_device_of_a_hub_is_told_to_expect_somebody(pushing, sign_in):
    host = sign_in(pushing.hub_host)
    subscribe(pushing, host, Browser(), hub=pushing.hub)
    pushing.report(replace(P2, wants=(Want.HUB,)))
    assert [message.recipient for message in claimed(pushing)] == ["Hub"]


def test_nothing_that_leads_to_a_device_is_stored_readable(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    rows = pushing.rows(
        "select a::text as row from addresses a union all select e::text from events e"
    )
    stored = " ".join(row["row"] for row in rows)
    for secret in (browser.endpoint, *browser.keys.values()):
        assert secret not in stored
        assert secret.encode().hex() not in stored


def test_same_device_again_is_written_anew_and_not_doubled(pushing, robin):
    browser = Browser()
    first = subscribe(pushing, robin, browser, team=pushing.first, name="Old name")
    browser.auth = bytes(16)
    again = subscribe(pushing, robin, browser, team=pushing.first, name="New name")
    assert (again.is_new, again.device.id) == (False, first.device.id)
    assert [device.name for device in devices(pushing, robin)] == ["New name"]
    pushing.report(P2)
    (message,) = claimed(pushing)
    assert message.target.address["auth"] == base64url(bytes(16))


def test_device_that_was_told_to_be_paused_works_again_once_it_is_subscribed_anew(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.do("update addresses set state = 'paused'")
    subscribe(pushing, robin, browser, team=pushing.first)
    assert pushing.rows("select state from addresses") == [{"state": "active"}]


def test_one_device_may_be_told_for_two_teams(pushing, robin):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    subscribe(pushing, robin, browser, team=pushing.third)
    assert [device.team.name for device in devices(pushing, robin)] == ["First", "Third"]


@pytest.mark.parametrize("moved_to", ["first", "third"])
def test_device_that_changes_hands_is_the_new_person_s_alone(pushing, sign_in, robin, moved_to):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    pushing.report(P2)
    colleague = sign_in(replace(pushing.police, staff_id=new_person(pushing), name="Sam"))
    done = subscribe(pushing, colleague, browser, team=getattr(pushing, moved_to))
    assert done.is_new
    assert devices(pushing, robin) == []
    assert [device.id for device in devices(pushing, colleague)] == [done.device.id]
    assert len(pushes(pushing)) == 1
    assert reached(pushing) == []


def test_device_that_goes_to_another_organisation_tells_the_old_one_nothing_more(
    pushing, sign_in, robin
):
    browser = Browser()
    subscribe(pushing, robin, browser, team=pushing.first)
    ali = sign_in(pushing.operator)
    subscribe(pushing, ali, browser, team=pushing.second)
    pushing.report(P2)
    assert claimed(pushing) == []
    gone = pushing.events("device.unsubscribed")
    assert [(e["staff_id"], e["data"]["reason"]) for e in gone] == [(robin.staff_id, "moved")]
    assert gone[0]["organisation_id"] == robin.organisation_id


def new_person(desk):
    (row,) = desk.rows(
        "insert into staff (organisation_id, name, role) values (%s, 'Sam', 'officer')"
        " returning id",
        desk.police.organisation_id,
    )
    return row["id"]


def test_device_that_was_gone_subscribes_again(pushing, robin, record):
    browser = Browser()
    first = subscribe(pushing, robin, browser, team=pushing.first)
    push.unsubscribe(pushing.database, robin, device_id=first.device.id, now=NOW)
    again = subscribe(pushing, robin, browser, team=pushing.first)
    assert again.is_new
    assert again.device.id != first.device.id


def test_person_has_only_so_many_devices(pushing, robin):
    for number in range(DEVICES_AT_MOST):
        subscribe(pushing, robin, another(number), team=pushing.first)
    with pytest.raises(StateConflict, match=str(DEVICES_AT_MOST)):
        subscribe(pushing, robin, another("more"), team=pushing.first)
    assert not subscribe(pushing, robin, another(3), team=pushing.first).is_new
    push.unsubscribe(pushing.database, robin, device_id=devices(pushing, robin)[0].id, now=NOW)
    assert subscribe(pushing, robin, another("more"), team=pushing.first).is_new


@pytest.mark.parametrize("changes", [{"channels": ("console",)}, {"vapid_keys": ()}])
def test_nothing_subscribes_where_nothing_is_pushed(pushing, robin, changes):
    settings = replace(pushing.settings, **changes)
    off = replace(pushing, settings=settings, vault=Vault(settings))
    with pytest.raises(NotFound, match="WAYLIGHT_CHANNELS"):
        subscribe(off, robin, Browser(), team=off.first)
    with pytest.raises(NotFound):
        push.public_key(off.settings, off.vault)


def test_ids_of_devices_are_in_the_order_of_their_time(pushing, robin):
    first = subscribe(pushing, robin, another(1), team=pushing.first).device.id
    second = subscribe(pushing, robin, another(2), team=pushing.first).device.id
    assert isinstance(first, UUID)
    assert first < second
