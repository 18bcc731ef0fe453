"""A backup is worth what comes back from it."""

import threading
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from tests.clusters import new_cluster
from tests.databases import settings_for
from tests.desk import P1, P2, SPOT, open_desk
from tests.proxy import soon
from tests.services.operations.backups import nights
from tests.services.operations.backups.nights import NOW
from waylight.db.operations import backups as db
from waylight.db.operations import setup
from waylight.domain.geo import Point
from waylight.services import alerts, audit, keys
from waylight.services.operations import backups, chores
from waylight.services.reports import my_report, submit_reports

pytestmark = [pytest.mark.commits, pytest.mark.slow]


def restore(url, vault, path, **others):
    return backups.restore(settings_for(url), vault, path, now=NOW, progress=print, **others)


def test_all_of_a_night_in_london_comes_back(london, vault, back_up, empty):
    night = nights.work(london, vault)
    before = [my_report(london, vault, answer.receipt) for answer in night.answers]
    path = back_up(london)
    done = restore(empty, vault, path)
    back = nights.opened(empty)
    try:
        assert nights.digests(back) == nights.digests(london)
        assert nights.catalogue(back) == nights.catalogue(london)
        assert done.manifest.tables["organisations"] > 0
        assert done.receipts_tried == done.stories_opened == len(night.answers)
        assert [my_report(back, vault, answer.receipt) for answer in night.answers] == before
        stories = nights.stories(back, vault)
        assert stories == nights.stories(london, vault)
        assert stories[night.answers[3].id]["narrative"] == night.sent[3].report.narrative
        assert keys.authenticate(back, vault, night.token, now=NOW) == night.police
    finally:
        back.close()


def test_the_restored_database_goes_on_working(london, vault, back_up, empty):
    night = nights.work(london, vault)
    restore(empty, vault, back_up(london))
    back = nights.opened(empty)
    try:
        # A phone that never heard its answer asks again, and gets the same one.
        (again,) = submit_reports(back, vault, back._settings, [night.sent[1]])
        assert (again.id, again.receipt) == (night.answers[1].id, night.answers[1].receipt)
        assert again.replayed
        # Nobody claims that a worker lives.
        (new,) = submit_reports(back, vault, back._settings, [nights.submission(20)])
        assert new.routed_to
        assert new.alerting == "delayed"
        assert my_report(back, vault, new.receipt).id == new.id
        # The message that a dead worker held is sent once its lease is over.
        later = NOW + timedelta(minutes=5)
        messages = alerts.claim(
            back, vault, "new", free={"console": 500}, lease_s=30.0, base_url="http://x", now=later
        )
        assert night.held
        assert set(night.held) <= {message.delivery_id for message in messages}
        # Events go on being numbered where they were, without a gap.
        chores.number_events(back)
        with back.owner() as conn:
            numbers = [
                n for (n,) in conn.execute("select sequence from events order by 1").fetchall()
            ]
        assert numbers == list(range(1, len(numbers) + 1))
        # Row-level security binds: an organisation that was told of nothing sees nothing.
        with london.owner() as conn:
            (stranger,) = nights.one(
                conn,
                "select id from organisations where id not in"
                " (select organisation_id from grants) limit 1",
            )
        assert night.police.organisation_id is not None
        for organisation, sees in ((night.police.organisation_id, True), (stranger, False)):
            with back.staff(organisation) as conn:
                (reports,) = nights.one(conn, "select count(*) from reports")
                assert bool(reports) is sees
        with pytest.raises(psycopg.errors.InsufficientPrivilege), back.staff(stranger) as conn:
            conn.execute("delete from audit_entries")
        with back.owner() as conn:
            assert conn.execute("select from worker_heartbeats").fetchone() is None
    finally:
        back.close()


def test_backup_taken_while_reports_come_in_is_of_one_moment(london, vault, back_up, empty):
    stop = threading.Event()
    written = []

    def keep_sending():
        n = 0
        while not stop.is_set():
            n += 1
            written.extend(
                submit_reports(london, vault, london._settings, [nights.submission(n % 250)])
            )
            chores.number_events(london)

    nights.work(london, vault, reports=3)
    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        path = back_up(london)
    finally:
        stop.set()
        sender.join()
    with london.owner() as conn:
        (last,) = nights.one(conn, "select count(*) from reports")
    # Restoring compares every table's rows with the manifest's.
    done = restore(empty, vault, path)
    assert last > 3
    back = nights.opened(empty)
    try:
        with back.owner() as conn:
            counts = nights.one(
                conn,
                "select (select count(*) from reports), (select count(*) from receipts),"
                " (select count(*) from report_secrets), (select count(*) from idempotency_keys),"
                " (select count(*) from reports r where not exists"
                "     (select from incidents where id = r.incident_id) and status = 'routed')",
            )
        assert counts[0] == counts[1] == counts[2] == counts[3] == done.receipts_tried
        assert counts[4] == 0
    finally:
        back.close()


def test_while_a_backup_is_taken_the_schema_stays_as_it_is_and_reports_come_in(database, vault):
    desk = open_desk(database, vault, database._settings)
    chores.make_partitions(database)  # the month may be another since the database was built
    desk.do("drop table reports_default")
    newest = "select max(relname::text) from pg_class where relname ~ '^reports_[0-9_]+$'"
    with database.owner() as conn:
        (child,) = nights.one(conn, newest)
        conn.execute(f"drop table {child}")
    with (
        database.connect("admin") as taking,
        db.snapshot(taking),
        database.connect("admin") as other,
    ):
        # A migration waits, and so does a new partition: each would hold up every report.
        migrates = "select pg_try_advisory_lock(%s)"
        assert nights.one(other, migrates, setup.MIGRATION_LOCK) == (False,)
        assert chores.make_partitions(database) == 0
        desk.report(P1)
        assert nights.one(taking, "select count(*) from reports") == (0,)
    # The server lets go of what a connection held a moment after the connection is closed.
    soon(lambda: chores.make_partitions(database) == 1)


def test_backup_needs_no_superuser_only_a_login_that_may_act_as_the_owner(
    database, vault, cluster, back_up, empty
):
    night = open_desk(database, vault, database._settings)
    night.report(P1)
    with cluster.connect() as conn:
        conn.execute("drop role if exists waylight_test_operator")
        conn.execute(
            "create role waylight_test_operator login password 'secret' in role waylight_owner"
        )
    url = psycopg.conninfo.make_conninfo(
        database._settings.database_url, user="waylight_test_operator", password="secret"
    )
    operator = nights.opened(url)
    try:
        path = back_up(operator)
    finally:
        operator.close()
        with cluster.connect() as conn:
            conn.execute("drop role waylight_test_operator")
    restore(empty, vault, path)
    back = nights.opened(empty)
    try:
        assert nights.digests(back) == nights.digests(database)
    finally:
        back.close()


def test_a_backup_comes_back_on_another_server_that_knows_nothing_of_us(
    london, vault, back_up, tmp_path
):
    night = nights.work(london, vault)
    path = back_up(london)
    with new_cluster(tmp_path / "elsewhere") as other, other.clone(None) as name:
        restore(other.url(name), vault, path)
        back = nights.opened(other.url(name))
        try:
            assert nights.digests(back) == nights.digests(london)
            assert my_report(back, vault, night.answers[0].receipt).id == night.answers[0].id
            (new,) = submit_reports(back, vault, back._settings, [nights.submission(20)])
            assert new.routed_to
        finally:
            back.close()


def test_ladders_climb_and_messages_go_out_after_a_restore(database, vault, back_up, empty):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    done = restore(empty, vault, back_up(database))
    assert (done.manifest.incidents_climbing, done.ladders_stopped) == (1, 0)
    assert done.manifest.messages_waiting > 0
    back = nights.opened(empty)
    try:
        elsewhere = replace(desk, database=back)
        assert elsewhere.climb(NOW + timedelta(days=7)) == 1
        assert "alert.escalated" in elsewhere.kinds()
    finally:
        back.close()


def test_quieted_alerts_wake_nobody_and_stay_in_every_inbox(database, vault, back_up, empty):
    desk = open_desk(database, vault, database._settings)
    desk.report(P1)
    done = restore(empty, vault, back_up(database), quiet_alerts=True)
    assert done.ladders_stopped == 1
    assert done.messages_dropped == done.manifest.messages_waiting > 0
    back = nights.opened(empty)
    try:
        elsewhere = replace(desk, database=back)
        later = NOW + timedelta(days=7)
        assert elsewhere.climb(later) == 0
        assert not alerts.claim(
            back, vault, "w", free={"console": 50}, lease_s=30.0, base_url="http://x", now=later
        )
        incident = elsewhere.incident()
        assert (incident["state"], incident["unanswered_at"]) == ("open", NOW)
        assert elsewhere.kinds().count("incident.quieted") == 1
        # The team can still answer it.
        alert = elsewhere.alert_of(desk.first)
        elsewhere.acknowledge(desk.police, alert, now=later)
        assert elsewhere.incident()["held_by_alert_id"] == alert
        # And the next report about another event wakes people as ever.
        elsewhere.report(P2, at=Point(SPOT.lon + 0.2, SPOT.lat), now=later)
        assert alerts.claim(
            back, vault, "w", free={"console": 50}, lease_s=30.0, base_url="http://x", now=later
        )
    finally:
        back.close()


def test_the_chain_of_the_audit_log_comes_back_whole_and_goes_on(london, vault, back_up, empty):
    nights.work(london, vault, reports=3)
    audit.seal(london, vault, now=NOW, everything=True)
    kept = audit.verify(london, vault, now=NOW).newest
    done = restore(empty, vault, back_up(london))
    assert done.audit.broken is None
    assert done.audit.entries == audit.verify(london, vault, now=NOW).entries > 0
    back = nights.opened(empty)
    try:
        assert audit.verify(back, vault, checkpoint=kept, now=NOW).broken is None
        with back.intake() as conn:
            audit.write(conn, vault, "report.read", principal=None, now=NOW)
        assert audit.seal(back, vault, now=NOW) == 1
        found = audit.verify(back, vault, checkpoint=kept, now=NOW)
        assert (found.broken, found.entries) == (None, done.audit.entries + 1)
    finally:
        back.close()


def test_a_chain_that_was_broken_comes_back_and_is_told(london, vault, back_up, empty):
    nights.work(london, vault, reports=3)
    audit.seal(london, vault, now=NOW, everything=True)
    with london.owner() as conn:
        conn.execute("alter table audit_entries disable trigger all")
        conn.execute("update audit_entries set alert_id = null, report_id = null")
    done = restore(empty, vault, back_up(london))
    assert done.audit.broken.code == "entry_changed"
