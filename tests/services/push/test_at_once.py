"""Devices while two things happen at once, in a database where both are committed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, SCOPES, open_desk
from tests.proxy import soon
from tests.push_service import Browser, from_base64url, point
from tests.services.push.devices import claimed
from waylight.db import events
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import StateConflict, WaylightError
from waylight.domain.principals import Kind, Principal
from waylight.domain.push import NewDevice
from waylight.services import alerts, keys, push
from waylight.vault import Vault

pytestmark = pytest.mark.commits

PRIVATE, _ = Vault.new_push_key()
LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def desk(database, vault, settings):
    pushing = replace(
        settings,
        channels=("web_push",),
        vapid_keys=(from_base64url(PRIVATE),),
        vapid_subject="mailto:desk@waylight.example",
    )
    return open_desk(database, Vault(pushing), pushing)


def person(desk, name):
    """A colleague of Robin, signed in."""
    (staff,) = desk.rows(
        "insert into staff (organisation_id, name, role) values (%s, %s, 'officer') returning id",
        desk.police.organisation_id,
        name,
    )
    (key,) = desk.rows(
        "insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes)"
        " values ('staff', %s, %s, %s, %s, '{}') returning id",
        name,
        desk.vault.hash_token(name),
        staff["id"],
        desk.police.organisation_id,
    )
    return Principal(
        kind=Kind.STAFF,
        key_id=key["id"],
        name=name,
        organisation_id=desk.police.organisation_id,
        staff_id=staff["id"],
        role="officer",
        scopes=SCOPES,
    )


def subscribe(desk, who, browser):
    device = NewDevice(
        endpoint=browser.endpoint,
        p256dh=point(browser.private),
        auth=browser.auth,
        name="A phone",
        team_id=desk.first,
    )
    return push.subscribe(desk.database, desk.vault, desk.settings, who, device=device, now=NOW)


def waiting(desk):
    # Whose waits are told only to an administrator.
    with closing(desk.database.connect("admin")) as conn:
        return conn.execute(
            "select from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock'"
        ).fetchall()


def live(desk):
    return desk.rows("select staff_id from addresses where state <> 'gone'")


def gone(desk, message):
    return alerts.record(
        desk.database,
        message,
        outcome=Outcome(Result.GONE, "push_gone_410"),
        worker_id="one",
        jitter=0.0,
        now=LATER,
    )


def test_device_that_is_sent_many_times_at_once_is_one(desk):
    robin, browser = person(desk, "Robin"), Browser()
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: subscribe(desk, robin, browser), range(6)))
    assert sum(one.is_new for one in done) == 1
    assert len(live(desk)) == 1


def test_device_that_two_people_send_at_once_is_one_person_s(desk):
    people, browser = [person(desk, name) for name in ("Robin", "Sam")], Browser()
    begin = threading.Barrier(2)

    def try_to(who):
        begin.wait()
        try:
            return subscribe(desk, who, browser)
        except StateConflict as conflict:
            return conflict

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(try_to, people))
    assert any(not isinstance(one, WaylightError) for one in done)
    assert len(live(desk)) == 1


def test_key_that_is_revoked_while_its_device_is_being_added_takes_it_along(desk, monkeypatch):
    robin = person(desk, "Robin")
    written, may_commit = threading.Event(), threading.Event()
    write = events.write

    def write_and_wait(conn, *facts):
        write(conn, *facts)
        written.set()
        assert may_commit.wait(120)

    monkeypatch.setattr("waylight.services.push.events.write", write_and_wait)
    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(subscribe, desk, robin, Browser())
        assert written.wait(120)
        revoking = pool.submit(keys.revoke_key, desk.database, desk.vault, robin.key_id, now=LATER)
        soon(lambda: waiting(desk))  # for the device, to take it along
        assert not revoking.done()
        may_commit.set()
        adding.result(timeout=120)
        revoking.result(timeout=120)
    assert live(desk) == []


def test_sign_out_while_a_worker_claims_leaves_nothing_that_is_tried_again(desk):
    robin = person(desk, "Robin")
    subscribe(desk, robin, Browser())
    desk.report(P2)
    with ThreadPoolExecutor(1) as pool:
        with desk.database.intake() as claiming:
            claiming.execute(
                "update deliveries set attempts = 1, leased_by = 'one', next_attempt_at = %s",
                [NOW + timedelta(seconds=30)],
            )
            revoking = pool.submit(
                keys.revoke_key, desk.database, desk.vault, robin.key_id, now=LATER
            )
            soon(lambda: waiting(desk))
        revoking.result(timeout=120)
    (message,) = claimed(desk, now=NOW + timedelta(minutes=5))
    assert message.target is None


def test_senders_that_hear_at_once_that_a_device_is_gone_and_a_sign_out_all_come_through(desk):
    robin = person(desk, "Robin")
    subscribe(desk, robin, Browser())
    for report in (P2, P1, P1, P1):
        desk.report(report)
    messages = claimed(desk)
    assert len(messages) >= 3
    begin = threading.Barrier(len(messages) + 1)

    def at_once(what):
        begin.wait()
        what()

    with ThreadPoolExecutor(len(messages) + 1) as pool:
        done = [pool.submit(at_once, lambda one=one: gone(desk, one)) for one in messages]
        done.append(
            pool.submit(
                at_once, lambda: keys.revoke_key(desk.database, desk.vault, robin.key_id, now=LATER)
            )
        )
        for one in done:
            one.result(timeout=120)
    assert live(desk) == []
    assert len(desk.events("device.unsubscribed")) == 1
    assert claimed(desk, now=NOW + timedelta(minutes=5)) == []
