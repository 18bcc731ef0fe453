"""An outbox of tens of thousands, worked off while a worker dies; and workers that sleep too long.

WAYLIGHT_FAULTS_OUTBOX is how many messages there are.
"""

import contextlib
import os
import signal
import sys
from uuid import UUID

import pytest

from tests.databases import ROOT, environment_for
from tests.desk import P1, P2, SPOT
from tests.faults.receiver import BLACK_HOLE, WELL, Receiver
from tests.faults.town import WORKER, Process, until
from waylight.channels.senders import STALE_S
from waylight.domain.geo import Point

pytestmark = [pytest.mark.slow, pytest.mark.commits]

MESSAGES = int(os.environ.get("WAYLIGHT_FAULTS_OUTBOX", "50000"))
PATIENCE_S = 400
GIVEN_BACK_S = 30
"""Sent one by one into the silence, what was taken ahead would take longer by far."""


FILL = """
with told as (
    insert into alerts (incident_id, report_id, city_id, organisation_id, team_id, role, rank,
                        priority, reasons, exercise, created_at)
    select incident_id, report_id, city_id, organisation_id, team_id, role, rank, 3, reasons,
           exercise, created_at
    from (select * from alerts order by id limit 1) one, generate_series(1, %s)
    returning *)
insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                        next_attempt_at, created_at)
select id, report_id, 'console', 'alert.created', priority, exercise, created_at, created_at
from told
"""


@pytest.fixture
def start(desk, tmp_path):
    """Starts `waylight worker` on the desk's database; all are killed at the end."""
    started: list[Process] = []

    def start(*command, **changes):
        environment = {
            **os.environ,
            **environment_for(desk.settings.database_url, WAYLIGHT_LEASE_S="5", **changes),
            "PYTHONPATH": str(ROOT),
        }
        name = f"worker-{len(started)}"
        command = command or ("-m", "waylight.cli", "worker")
        one = Process(name, [sys.executable, *command], environment, tmp_path / f"{name}.log")
        one.start()
        started.append(one)
        return one

    yield start
    for one in started:
        one.signal(signal.SIGCONT)
        one.kill()


def count(desk, where):
    (row,) = desk.rows(f"select count(*) as n from deliveries where {where}")  # noqa: S608 - constants of this file
    return row["n"]


def test_full_outbox_is_worked_off_although_a_worker_is_killed_and_the_urgent_goes_first(
    desk, start
):
    desk.report(P2)
    desk.do(FILL, MESSAGES)
    doomed, _ = start(), start()
    until(lambda: count(desk, "status = 'sent'") > MESSAGES / 20, what="the first of many")
    doomed.kill()
    at = desk.rows("select now()")[0]["now"]
    urgent = desk.report(P1, at=Point(SPOT.lon - 0.2, SPOT.lat), now=at)
    until(
        lambda: count(desk, f"status = 'sent' and report_id = '{urgent.id}'") >= 2,
        what="the urgent one",
    )
    until(
        lambda: not count(desk, "status <> 'sent'"),
        patience_s=PATIENCE_S,
        what="the end of the queue",
    )
    # By when each was sent, not by when this looked.
    (left,) = desk.rows(
        "select count(*) as n from delivery_attempts where outcome = 'sent' and at > ("
        " select t.at from delivery_attempts t join deliveries d on d.id = t.delivery_id"
        " where d.report_id = %s and t.outcome = 'sent' order by t.at offset 1 limit 1)",
        urgent.id,
    )
    assert left["n"] > MESSAGES / 4, "the urgent report waited behind the queue"
    # The ladders go on meanwhile, with messages of their own that are on their way.
    (lost,) = desk.rows(
        "select count(*) as n from deliveries d where d.status = 'sent' and not exists ("
        " select from delivery_attempts t where t.delivery_id = d.id and t.outcome = 'sent')"
    )
    assert lost["n"] == 0
    held = "leased_by is not null or next_attempt_at is not null"
    assert count(desk, f"status = 'sent' and ({held})") == 0


def put_to_sleep(desk, worker, far):
    """Stops a worker all of whose messages are in the black hole; returns their ids.

    On a slow machine one may just have been given up, or be half way: then it goes on, and tries
    again. What is half way would be taken later, and nobody could hold it back.
    """
    held: list[UUID] = []

    def sleeps():
        worker.signal(signal.SIGSTOP)
        rows = desk.rows("select id, attempts from deliveries where leased_by is not null")
        if rows and {(str(row["id"]), row["attempts"]) for row in rows} <= far.swallowed:
            held[:] = [row["id"] for row in rows]
            return True
        worker.signal(signal.SIGCONT)
        return False

    until(sleeps, what="a moment with messages on their way")
    return held


def test_worker_that_slept_past_its_lease_sends_nothing_that_another_has(desk, start):
    far = Receiver()
    try:
        far.mode = BLACK_HOLE
        desk.report(P2)
        sleeper = start("-c", WORKER, str(far.port))
        # Only what is on its way already can come back to a lease that is lost.
        held = put_to_sleep(desk, sleeper, far)
        far.mode = WELL
        start("-c", WORKER, str(far.port))
        # All that it held: of what it still has a lease of it would rightly tell the outcome.
        went = "select from deliveries where id = any (%s) and status in ('sent', 'delivered')"
        until(lambda: len(desk.rows(went, held)) == len(held), what="the second worker")
        # The ladder goes on meanwhile, with messages of its own.
        told = "select * from deliveries where id = any (%s) order by id"
        before = desk.rows(told, held)
        # Once each, unless the second worker did not hear in time that it was taken.
        taken = {id: far.taken[str(id)] for id in held}
        sleeper.signal(signal.SIGCONT)
        until(
            lambda: sleeper.log.read_text().count("lease_was_lost") >= len(held),
            what="the sleeper's awakening",
        )
        assert desk.rows(told, held) == before
        assert {id: far.taken[str(id)] for id in held} == taken
        assert all(taken.values())
    finally:
        far.close()


def test_fast_worker_does_not_keep_what_it_cannot_send_from_others(desk, start):
    """It has taken ahead while its receiver was quick; the receiver falls silent."""
    far = Receiver()
    try:
        desk.report(P2)
        desk.do(FILL, 10_000)
        first = start("-c", WORKER, str(far.port))

        def has_given_back():
            return "taken_ahead_given_back" in first.log.read_text()

        def falls_silent():
            """Between two handfuls nothing is taken ahead: then it falls silent once more."""
            taken, far.mode = sum(far.taken.values()), WELL
            until(lambda: sum(far.taken.values()) > taken + 200, what="the first of many")
            far.mode = BLACK_HOLE
            with contextlib.suppress(AssertionError):
                until(has_given_back, patience_s=STALE_S * 3)
            return has_given_back()

        until(falls_silent, what="the giving back")
        until(
            lambda: count(desk, "leased_by is not null") < 20,
            patience_s=GIVEN_BACK_S,
            what="the others' turn",
        )
    finally:
        far.close()
