"""A ladder that nobody can be told of: everybody who could still act is alarmed, and can see it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.desk import P1
from waylight.domain.alerts import Outcome, Result
from waylight.domain.drills import Slot
from waylight.services import drills
from waylight.services.context import Waylight
from waylight.services.operations.doctor import examine
from waylight.services.operations.metrics import Scrape
from waylight.worker import Worker

pytestmark = pytest.mark.commits


class Dead:
    """A channel that nobody listens to any more."""

    def send(self, _message):
        return Outcome(Result.REFUSED, "unknown_number")


def findings(desk, settings=None, *, now=None):
    now = now or datetime.now(UTC)
    found = examine(desk.database, desk.vault, now=now, settings=settings or desk.settings)
    return {finding.what: finding for finding in found}


def gauges(desk, *, now):
    text = Scrape().text(desk.database, now=now).decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def live(desk, *, minutes):
    """A worker with a dead channel lives for so long; time goes by in steps of half a minute."""
    began = datetime.now(UTC)
    now = [began]
    context = Waylight(replace(desk.settings, worker_poll_s=0.01), desk.database, desk.vault)
    one = Worker(context, channels={"console": Dead()}, clock=lambda: now[0])
    for step in range(minutes * 2):
        now[0] = began + timedelta(seconds=30 * step)
        while one.turn():
            pass
        assert one._senders.wait(120)
    return now[0]


def test_exhausted_ladder_with_dead_channels_is_in_the_metrics_and_the_doctor_tells_of_it(desk):
    desk.report(P1, now=datetime.now(UTC))
    assert findings(desk)["alerts that reached nobody"].problem is None
    at = live(desk, minutes=8)
    # Everybody was told, the control room was alarmed again, and every attempt failed.
    assert len(desk.events("incident.unanswered")) == 1
    assert {row["status"] for row in desk.rows("select status from deliveries")} == {"failed"}
    assert desk.rows("select from deliveries where message = 'incident.unanswered'")

    seen = gauges(desk, now=at)
    assert seen['waylight_unanswered_incidents{priority="1"}'] == 1
    assert seen['waylight_undeliverable_alerts{priority="1"}'] == len(
        desk.rows("select from alerts where team_id is not null")
    )

    told = findings(desk, now=at)
    dead = told["alerts that reached nobody"]
    assert "console: unknown_number" in dead.problem
    assert "docs/operating.md" in dead.fix
    assert "Room (desk) got none of its last" in told["control rooms"].problem
    assert told["unanswered alerts"].problem.startswith("1 incidents")


def test_alert_that_somebody_has_seen_by_themselves_is_not_dead(desk):
    desk.report(P1, now=datetime.now(UTC))
    at = live(desk, minutes=1)
    assert gauges(desk, now=at)['waylight_undeliverable_alerts{priority="1"}'] == 2
    desk.acknowledge(desk.police, desk.alert_of(desk.first), now=at)
    assert gauges(desk, now=at)['waylight_undeliverable_alerts{priority="1"}'] <= 1
    desk.read(desk.control, desk.alert_of(desk.room), now=at)
    assert gauges(desk, now=at)['waylight_undeliverable_alerts{priority="1"}'] == 0


def test_teams_and_control_room_without_any_address_are_told_of_before_anything_happens(
    desk, vault
):
    settings = replace(desk.settings, channels=("sms",))
    told = findings(desk, settings)
    assert "Room (desk) has no address on any channel in use" in told["control rooms"].problem
    assert told["addresses"].problem.startswith("4 teams")
    seal(desk, desk.room)
    told = findings(desk, settings)
    assert told["control rooms"].problem is None
    assert told["addresses"].problem.startswith("3 teams")
    desk.do("update addresses set state = 'gone'")
    assert findings(desk, settings)["control rooms"].problem is not None


def test_alert_for_a_team_without_an_address_is_dead_at_once(desk):
    now = datetime.now(UTC)
    mute = replace(desk, settings=replace(desk.settings, channels=("sms",)))
    mute.report(P1, now=now)
    assert gauges(desk, now=now)['waylight_undeliverable_alerts{priority="1"}'] == 2
    told = findings(desk, mute.settings)["alerts that reached nobody"]
    assert told.problem.endswith("no address (2)")


def test_drill_that_reached_nobody_is_no_dead_alert_and_the_doctor_tells_of_the_drill(desk):
    now = datetime.now(UTC)
    drill = drills.begin(
        desk.database, desk.vault, desk.settings, lasts=timedelta(minutes=2), now=now
    )
    assert drill is not None
    at = live(desk, minutes=1)
    drills.end(desk.database, drill.id, now=at)
    seen = gauges(desk, now=at)
    assert seen['waylight_undeliverable_alerts{priority="2"}'] == 0
    assert seen['waylight_last_drill_teams{outcome="told"}'] == 4
    assert seen['waylight_last_drill_teams{outcome="reached"}'] == 0
    assert "reached 0 of 4 teams" in findings(desk)["exercises"].problem


def test_schedule_that_is_not_kept_is_told_of(desk):
    slot = Slot(0, datetime.now(UTC).time())
    settings = replace(desk.settings, exercise_schedule=(slot,))
    assert "none was held" in findings(desk, settings)["exercises"].problem
    assert findings(desk)["exercises"].problem is None


def seal(desk, team_id):
    desk.do(
        """
        insert into addresses (organisation_id, team_id, channel, name, key_version, wrapped_key,
                               address, fingerprint, created_at)
        select organisation_id, id, 'sms', 'Duty telephone', 1, '', '', '', now()
        from teams where id = %s
        """,
        team_id,
    )
