"""Two who act at the same moment wait for each other in one order, and miss nothing of each other.

Each test holds what the first has locked, lets the second come as far as it gets, and looks at what
that one holds by then.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.desk import NOW, P2, open_desk
from tests.proxy import soon
from waylight.db import events
from waylight.db.webhooks import queue
from waylight.domain.addresses import Medium
from waylight.domain.alerts import Outcome, Result
from waylight.domain.principals import Kind, Principal
from waylight.domain.reports import ShareWith
from waylight.services import addresses, alerts, support, webhooks
from waylight.services.alerts import check_ins
from waylight.services.reports import withdraw_consent

pytestmark = pytest.mark.commits

SOON = NOW + timedelta(seconds=1)
OVERDUE = NOW + timedelta(minutes=30)


@pytest.fixture
def desk(database, vault, settings):
    return open_desk(database, vault, replace(settings, channels=("sms", "console")))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def waits(desk, done):
    """Until somebody waits for a lock, or has done it without waiting."""

    def is_so():
        # Whose waits are told only to an administrator.
        with closing(desk.database.connect("admin")) as conn:
            return conn.execute(
                "select from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock'"
            ).fetchall()

    soon(lambda: done.done() or is_so())


def telephone(desk, number):
    addresses.add_address(
        desk.database,
        desk.vault,
        desk.police,
        team_id=desk.first,
        channel=Medium.SMS,
        address=number,
        name="On call",
        now=NOW,
    )


def claim(desk):
    return alerts.claim(
        desk.database,
        desk.vault,
        "one",
        free={"sms": 9},
        lease_s=30.0,
        base_url="https://waylight.example",
        now=NOW,
    )


@pytest.mark.parametrize("delivered", [True, False])
def test_outcome_whose_receipt_came_first_waits_for_a_step_before_it_locks_a_message(
    desk, pool, delivered
):
    telephone(desk, "+447400123456")
    desk.report(P2)
    (message,) = claim(desk)
    alerts.confirm(desk.database, "twilio", "SM-fast", delivered=delivered, now=NOW)
    with desk.database.intake() as step:
        step.execute("select from incidents for update")
        recording = pool.submit(
            alerts.record,
            desk.database,
            message,
            outcome=Outcome(Result.SENT, provider="twilio", provider_ref="SM-fast"),
            worker_id="one",
            jitter=0.0,
            now=SOON,
        )
        waits(desk, recording)
        step.execute("select from deliveries for update nowait")
    recording.result(timeout=120)
    (row,) = desk.rows("select status from deliveries where channel = 'sms'")
    assert row["status"] == ("delivered" if delivered else "failed")


def acknowledging(desk):
    desk.acknowledge(desk.police, desk.alert_of(desk.first))


def stopping(desk):
    alerts.give_back(desk.database, "one", due_at=SOON)


@pytest.mark.parametrize("ending", [acknowledging, stopping])
def test_messages_are_locked_in_the_order_in_which_outcomes_are_written(desk, pool, ending):
    for number in ("+447400123456", "+447400123457"):
        telephone(desk, number)
    desk.report(P2)
    assert len(claim(desk)) == 2
    first, second = desk.rows("select id from deliveries where channel = 'sms' order by id")
    # The first lies behind the second in the table and in every index.
    desk.do("update deliveries set next_attempt_at = %s where id = %s", OVERDUE, first["id"])
    with desk.database.intake() as outcomes:
        outcomes.execute("select from deliveries where id = %s for update", [first["id"]])
        ended = pool.submit(ending, desk)
        waits(desk, ended)
        outcomes.execute("select from deliveries where id = %s for update nowait", [second["id"]])
    ended.result(timeout=120)


@pytest.fixture
def out_there(desk):
    """The first team is on the scene, alone; returns its alert."""
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    for step in (alerts.acknowledge, alerts.on_scene):
        step(desk.database, desk.vault, principal=desk.police, alert_id=alert, now=NOW)
    return alert


def watch(desk, now=OVERDUE):
    return check_ins.watch(desk.database, channels=("console",), now=now)


def test_whoever_goes_to_look_while_a_sign_of_life_comes_is_told_that_all_is_well(
    desk, pool, out_there
):
    watch(desk)
    check_ins.check_in(desk.database, desk.police, alert_id=out_there, due_in_s=900, now=OVERDUE)
    with desk.database.intake() as step:
        step.execute("select from incidents where about_alert_id is not null for update")
        watching = pool.submit(watch, desk)
        waits(desk, watching)
        step.execute(
            "update alerts set state = 'acknowledged' where role = 'control_room'"
            " and incident_id in (select id from incidents where about_alert_id is not null)"
        )
    assert watching.result(timeout=120) == 1
    (about,) = desk.rows("select state from incidents where about_alert_id is not null")
    assert about["state"] == "open"
    assert len(desk.rows("select from deliveries where message = 'responder.safe'")) == 1


def test_responder_who_gives_the_incident_away_at_this_moment_is_not_missed(desk, out_there):
    with desk.database.intake() as step:
        step.execute("select from incidents for update")
        step.execute("update alerts set state = 'closed' where id = %s", [out_there])
        assert watch(desk) == 0
    assert watch(desk) == 1
    assert desk.events("responder.overdue") == []


def test_webhook_deleted_while_an_event_is_queued_for_it_leaves_nothing_behind(desk, pool):
    made = webhooks.create_webhook(
        desk.database,
        desk.vault,
        desk.police,
        values={
            "url": "https://partner.example/hook",
            "event_types": ["*"],
            "description": "",
            "state": "active",
        },
        channels=("webhook",),
        loopback_ports=(),
        now=NOW,
    )
    with desk.database.intake() as telling:
        found = queue.following(telling)
        assert found is not None
        assert [one["id"] for one in found[1]] == [made.id]
        deleting = pool.submit(
            webhooks.delete_webhook,
            desk.database,
            desk.vault,
            desk.police,
            webhook_id=made.id,
            if_match=None,
            now=NOW,
        )
        waits(desk, deleting)
        queue.enqueue(telling, [(made.id, uuid4(), "alert.created", 1, False)], now=NOW)
    deleting.result(timeout=120)
    assert desk.rows("select from webhooks") == []
    (left,) = desk.rows("select status from deliveries where channel = 'webhook'")
    assert left["status"] == "dropped"


def test_note_that_is_written_while_consent_is_taken_back_does_not_outlive_it(desk, monkeypatch):
    desk.do("update organisations set kind = 'support_service' where key = 'operator'")
    report = desk.report(replace(P2, share_with=(ShareWith.SUPPORT,)))
    passenger = Principal(kind=Kind.PASSENGER, receipt=report.receipt)
    written, go_on, write = threading.Event(), threading.Event(), events.write

    def write_slowly(*args):
        written.set()
        assert go_on.wait(120)
        write(*args)

    monkeypatch.setattr(events, "write", write_slowly)
    with ThreadPoolExecutor(2) as pool:
        noting = pool.submit(
            support.add_note, desk.database, desk.vault, desk.operator, report.id, "x", now=NOW
        )
        assert written.wait(120)
        withdrawing = pool.submit(
            withdraw_consent, desk.database, desk.vault, passenger, ShareWith.SUPPORT, now=SOON
        )
        waits(desk, withdrawing)
        go_on.set()
        noting.result(timeout=120)
        withdrawing.result(timeout=120)
    assert desk.rows("select from support_notes") == []
    assert desk.rows("select from support_cases where wrapped_key is not null") == []
