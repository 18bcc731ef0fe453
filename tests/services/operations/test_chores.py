import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, SPOT, keys_for
from tests.staff import OTHER, QUICK, enter, holder, person
from waylight.domain.alerts import Outcome, Result
from waylight.domain.errors import WrongCredentials
from waylight.domain.geo import Point
from waylight.services import passwords
from waylight.services.operations import chores
from waylight.services.operations.chores import KEYS_KEPT_FOR, SESSIONS_KEPT_FOR


def numbers(desk):
    return [
        row["sequence"]
        for row in desk.rows("select sequence from events order by sequence nulls last")
    ]


def test_events_are_numbered_without_a_gap(desk):
    desk.report(P1)
    count = chores.number_events(desk.database)
    assert count == len(desk.events()) > 0
    assert numbers(desk) == list(range(1, count + 1))
    assert chores.number_events(desk.database) == 0
    desk.acknowledge(desk.police, desk.alert_of(desk.first))
    more = chores.number_events(desk.database)
    assert numbers(desk) == list(range(1, count + more + 1))
    (row,) = desk.rows("select last from event_sequencer")
    assert row["last"] == count + more


def test_events_are_numbered_in_the_order_of_their_ids(desk):
    for n in range(3):
        desk.report(P1, at=Point(SPOT.lon, SPOT.lat + 0.05 * n))
    chores.number_events(desk.database)
    in_order = desk.rows("select id from events order by sequence")
    assert in_order == sorted(in_order, key=lambda row: row["id"])


@pytest.mark.commits
def test_event_of_a_transaction_that_commits_late_gets_a_later_number(desk):
    desk.report(P1)
    with desk.database.intake() as conn:
        conn.execute(
            "insert into events (id, kind, at) values (uuid_v7(%s), 'late', %s)",
            [NOW - timedelta(minutes=1), NOW],
        )
        before = chores.number_events(desk.database)
        assert before == len(desk.events())
    assert chores.number_events(desk.database) == 1
    (late,) = desk.events("late")
    assert late["sequence"] == before + 1


@pytest.mark.commits
def test_several_workers_number_every_event_once(desk, monkeypatch):
    monkeypatch.setattr(chores, "BATCH", 3)
    for n in range(10):
        desk.report(P1, at=Point(SPOT.lon, SPOT.lat + 0.02 * n))
    together = threading.Barrier(3)

    def work(_):
        together.wait()
        return sum(chores.number_events(desk.database) for _ in range(10))

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(work, range(3)))
    count = len(desk.events())
    rest = 0
    while more := chores.number_events(desk.database):
        rest += more
    assert sum(shares) + rest == count
    assert numbers(desk) == list(range(1, count + 1))


def test_missing_partitions_are_made_and_no_others(desk):
    chores.make_partitions(desk.database)  # the month may be another since the database was built
    desk.do("drop table reports_default, alerts_default")
    (child,) = desk.rows(
        "select max(relname::text) as name from pg_class where relname ~ '^reports_[0-9_]+$'"
    )
    desk.do(f"drop table {child['name']}")
    assert chores.make_partitions(desk.database) == 1
    assert desk.rows(
        "select relrowsecurity as locked from pg_class where relname = %s", child["name"]
    ) == [{"locked": True}]
    assert chores.make_partitions(desk.database) == 0


def test_idempotency_keys_are_forgotten_after_their_time(desk):
    report = desk.report(P1)
    for n, age in enumerate((timedelta(0), KEYS_KEPT_FOR, KEYS_KEPT_FOR + timedelta(seconds=1))):
        desk.do(
            "insert into idempotency_keys (key_hash, fingerprint, report_id, answer, created_at)"
            " values (%s, '', %s, '{}', %s)",
            bytes([n]),
            report.id,
            NOW - age,
        )
    assert chores.purge(desk.database, now=NOW) == 1
    kept = desk.rows("select key_hash from idempotency_keys order by 1")
    assert [bytes(row["key_hash"]) for row in kept] == [b"\x00", b"\x01"]


def test_worker_beats_until_it_stops(desk):
    def beat(now):
        chores.beat(desk.database, "w", host="h", pid=1, started_at=NOW, now=now)

    beat(NOW)
    beat(NOW + timedelta(seconds=3))
    (row,) = desk.rows("select * from worker_heartbeats")
    assert (row["worker_id"], row["beat_at"]) == ("w", NOW + timedelta(seconds=3))
    assert desk.report(P1, now=NOW + timedelta(seconds=5)).alerting == "live"
    chores.stop_beating(desk.database, "w")
    assert desk.report(P1, now=NOW + timedelta(seconds=6)).alerting == "delayed"


def test_worker_silent_for_a_day_is_forgotten(desk):
    for name, silent in (("dead", timedelta(days=2)), ("quiet", timedelta(hours=1))):
        chores.beat(desk.database, name, host="h", pid=1, started_at=NOW, now=NOW - silent)
    chores.purge(desk.database, now=NOW)
    assert [row["worker_id"] for row in desk.rows("select * from worker_heartbeats")] == ["quiet"]


def test_what_was_put_off_by_a_clock_that_came_back_is_due(desk):
    """The database's clock ran an hour ahead while a report came, and was set right."""
    desk.report(P1, now=NOW + timedelta(hours=1))
    desk.report(P1, at=Point(SPOT.lon - 0.05, SPOT.lat))
    assert set_times_right(desk) > 1
    climbs = [row["escalate_at"] for row in desk.rows("select escalate_at from incidents")]
    assert sorted(climbs) == [NOW, NOW + timedelta(seconds=60)]
    waiting = desk.rows("select max(next_attempt_at) as last from deliveries")
    assert waiting[0]["last"] == NOW
    assert set_times_right(desk) == 0


def set_times_right(desk):
    return chores.set_times_right(desk.database, lease_s=30, now=NOW)


def next_attempts(desk):
    return {row["next_attempt_at"] for row in desk.rows("select next_attempt_at from deliveries")}


def test_retry_that_was_put_off_by_a_clock_that_came_back_is_due(desk, claim, record):
    """The message is of today; the attempt that failed was made while the clock ran ahead."""
    desk.report(P2)
    ahead = NOW + timedelta(hours=5)
    (message,) = claim(now=ahead)
    record(message, Outcome(Result.FAILED, "timeout"), now=ahead)
    assert min(next_attempts(desk)) > ahead
    assert set_times_right(desk) == 1
    assert next_attempts(desk) == {NOW}
    assert [again.attempt for again in claim(now=NOW)] == [2]


def test_lease_of_a_clock_that_came_back_keeps_nothing_from_the_next_worker(desk, claim):
    desk.report(P2)
    claim("dead", now=NOW + timedelta(hours=5))
    assert claim("next") == []
    assert set_times_right(desk) == 1
    assert len(claim("next")) == 1
    assert set_times_right(desk) == 0


def test_lease_that_is_as_long_as_leases_are_is_left_alone(desk, claim):
    desk.report(P2)
    claim(now=NOW + timedelta(seconds=50))
    assert set_times_right(desk) == 0


def test_times_that_a_step_a_retry_or_a_webhook_may_wait_are_left_alone(desk):
    desk.report(P1)
    desk.do("update incidents set escalate_at = %s", NOW + timedelta(minutes=15))
    desk.do("update deliveries set next_attempt_at = %s", NOW + timedelta(hours=1))
    desk.do(
        "insert into deliveries (channel, target_id, message, priority, exercise, next_attempt_at,"
        " created_at) values ('webhook', uuid_v7(), 'alert.created', 2, false, %s, %s)",
        NOW + timedelta(hours=24),
        NOW,
    )
    assert set_times_right(desk) == 0


def test_what_a_duty_desk_was_is_forgotten_after_a_year_and_a_month(desk):
    limit = NOW - chores.DESK_KEPT_FOR
    for at in (limit - timedelta(minutes=1), limit + timedelta(minutes=1)):
        desk.do(
            "insert into hub_arrivals (id, alert_id, report_id, hub_id, organisation_id, status,"
            " at, logged_at, logged_by) select uuid_v7(v.at), uuid_v7(), uuid_v7(), %s,"
            " organisation_id, 'arrived', v.at, v.at, id"
            " from staff, (select %s::timestamptz as at) v limit 1",
            desk.hub,
            at,
        )
        desk.do(
            "insert into hub_overrides (hub_id, organisation_id, status, starts_at, ends_at,"
            " reason, set_by) select %s, organisation_id, 'closed', %s, %s, 'Away', id"
            " from staff limit 1",
            desk.hub,
            at,
            at,
        )
        desk.do(
            "insert into shifts (team_id, kind, starts_at, ends_at, created_at)"
            " values (%s, 'extra', %s, %s, %s)",
            desk.first,
            at - timedelta(hours=8),
            at,
            at,
        )
    desk.do(
        "insert into shifts (team_id, kind, rule, created_at)"
        " values (%s, 'recurring', '24/7', '2001-01-01')",
        desk.first,
    )
    chores.purge(desk.database, now=NOW)
    for table, left in (("hub_arrivals", 1), ("hub_overrides", 1), ("shifts", 2)):
        assert len(desk.rows(f"select from {table}")) == left, table


def test_sessions_long_over_are_forgotten_with_their_devices_and_no_other_key(desk, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    keys_for(desk, [desk.police])
    robin = person(desk)
    over, ended, with_device, live = (
        holder(desk, enter(desk, robin).token).key_id for _ in range(4)
    )
    for key in (over, ended, with_device):
        for state in ("gone", "active") if key == with_device else ("gone",):
            desk.do(
                "insert into addresses (organisation_id, team_id, staff_id, channel, name,"
                " key_version, address, fingerprint, created_at, api_key_id, state)"
                " values (%s, %s, %s, 'web_push', '', 1, '', uuid_send(uuid_v7()), %s, %s, %s)",
                desk.police.organisation_id,
                desk.first,
                desk.police.staff_id,
                NOW,
                key,
                state,
            )
    long_ago = NOW - SESSIONS_KEPT_FOR - timedelta(minutes=1)
    desk.do("update api_keys set revoked_at = %s where id = %s", long_ago, ended)
    desk.do(
        "update api_keys set expires_at = %s where id = any (%s)", long_ago, [over, with_device]
    )
    desk.do("update api_keys set revoked_at = %s where id = %s", NOW - timedelta(days=29), live)
    chores.purge(desk.database, now=NOW)
    assert {row["id"] for row in desk.rows("select id from sessions")} == {with_device, live}
    assert len(desk.rows("select from api_keys")) == 3
    assert len(desk.rows("select from addresses where api_key_id is null")) == 2


def test_who_tried_to_sign_in_is_forgotten_though_nobody_tries_again(desk, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    robin = person(desk)
    for hours, left in ((23, 3), (25, 0)):
        with pytest.raises(WrongCredentials):
            enter(desk, robin, password=OTHER, network="203.0.113.9/32")
        chores.purge(desk.database, now=NOW + timedelta(hours=hours))
        assert len(desk.rows("select from sign_in_attempts")) == left


def case_of(desk, report_id, *, destroyed_at=None):
    desk.do(
        "with opened as (insert into support_cases (id, report_id, organisation_id, opened_at,"
        " opened_by, key_version, wrapped_key, destroyed_at)"
        " values (uuid_v7(), %s, %s, %s, uuid_v7(), 1, %s, %s) returning id, organisation_id)"
        " insert into support_notes (id, case_id, organisation_id, staff_id, at, note)"
        " select uuid_v7(), id, organisation_id, uuid_v7(), now(), '' from opened",
        report_id,
        desk.police.organisation_id,
        NOW,
        None if destroyed_at else b"",
        destroyed_at,
    )


def test_what_grants_were_and_support_notes_go_with_their_report_and_no_sooner(desk):
    stays, goes = desk.report(P2), desk.report(P2)
    desk.do("update grants set revoked_at = now()")
    desk.do("update grants set revoked_at = null")
    for report in (stays, goes):
        case_of(desk, report.id)
    past = len(desk.rows("select from past_grants where report_id = %s", stays.id))
    assert past > 0
    chores.purge(desk.database, now=NOW)
    assert len(desk.rows("select from past_grants")) == 2 * past
    assert len(desk.rows("select from support_notes")) == 2
    # As an operator does who drops the partitions of a month.
    desk.do("delete from grants where report_id = %s", goes.id)
    desk.do("delete from report_secrets where report_id = %s", goes.id)
    desk.do("delete from reports where id = %s", goes.id)
    chores.purge(desk.database, now=NOW)
    left = [row["report_id"] for row in desk.rows("select report_id from past_grants")]
    assert left == [stays.id] * past
    assert [row["report_id"] for row in desk.rows("select report_id from support_cases")] == [
        stays.id
    ]
    assert len(desk.rows("select from support_notes")) == 1


def test_month_that_is_detached_is_not_gone(desk):
    report = desk.report(P2)
    case_of(desk, report.id)
    (month,) = desk.rows("select tableoid::regclass::text as name from reports limit 1")
    desk.do(f"alter table reports detach partition {month['name']}")
    assert not desk.rows("select from reports")
    chores.purge(desk.database, now=NOW)
    assert len(desk.rows("select from support_notes")) == 1
    desk.do(f"drop table {month['name']}")
    chores.purge(desk.database, now=NOW)
    assert not desk.rows("select from support_notes")


def test_that_there_was_a_support_case_is_forgotten_a_month_after_it_was_destroyed(desk):
    report = desk.report(P2)
    for days in (29, 31):
        case_of(desk, report.id, destroyed_at=NOW - timedelta(days=days))
    case_of(desk, report.id)
    chores.purge(desk.database, now=NOW)
    assert len(desk.rows("select from support_cases where destroyed_at is null")) == 1
    assert len(desk.rows("select from support_cases")) == 2
