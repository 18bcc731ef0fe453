"""Sealing while others write, while another worker seals, and when a worker dies in it."""

import threading
from datetime import timedelta

import pytest

from tests.desk import NOW
from tests.proxy import soon
from waylight.db import audit as db
from waylight.db.session import Database
from waylight.domain.errors import Unavailable
from waylight.services import audit

pytestmark = pytest.mark.commits
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def _open(desk):
    """A pool opens while somebody waits for it, and on a busy machine longer than they do."""

    def is_open():
        try:
            with desk.database.intake(), desk.database.staff(desk.police.organisation_id):
                return True
        except Unavailable:
            return False

    soon(is_open)


def write(desk, conn, request_id):
    audit.write(
        conn, desk.vault, "report.read", principal=desk.police, request_id=request_id, now=NOW
    )


def seal(desk):
    return audit.seal(desk.database, desk.vault, now=NOW)


def order(desk):
    return [
        row["request_id"]
        for row in desk.rows(
            "select e.request_id from audit_positions p join audit_entries e on e.id = p.entry_id"
            " order by p.position"
        )
    ]


def verdict(desk):
    return audit.verify(desk.database, desk.vault, now=LATER)


def test_an_entry_that_commits_late_is_sealed_with_the_next(desk):
    with desk.database.staff(desk.police.organisation_id) as slow:
        write(desk, slow, "begun-first")
        with desk.database.staff(desk.police.organisation_id) as quick:
            write(desk, quick, "committed-first")
        assert seal(desk) == 1
        assert order(desk) == ["committed-first"]
    assert seal(desk) == 1
    assert order(desk) == ["committed-first", "begun-first"]
    found = verdict(desk)
    assert (found.broken, found.entries, found.unsealed) == (None, 2, 0)


def test_two_workers_seal_each_entry_once(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        for n in range(40):
            write(desk, conn, f"entry-{n:02}")
    start = threading.Barrier(4)
    sealed = []

    def work():
        start.wait()
        sealed.append(seal(desk))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(sealed) == 40
    assert order(desk) == [f"entry-{n:02}" for n in range(40)]
    found = verdict(desk)
    assert (found.broken, found.entries, found.unsealed) == (None, 40, 0)


def test_while_one_worker_seals_another_leaves_it_to_it(desk, monkeypatch):
    with desk.database.staff(desk.police.organisation_id) as conn:
        write(desk, conn, "entry-1")
    inside, done = threading.Event(), threading.Event()
    write_seal = db.write_seal

    def slowly(*args, **others):
        write_seal(*args, **others)
        inside.set()
        assert done.wait(120)

    monkeypatch.setattr(db, "write_seal", slowly)
    worker = threading.Thread(target=seal, args=[desk])
    worker.start()
    assert inside.wait(120)
    assert seal(desk) == 0
    done.set()
    worker.join()
    assert len(desk.rows("select from audit_seals")) == 1


def test_a_worker_killed_in_the_middle_leaves_nothing_and_the_next_seals_it(desk, monkeypatch):
    with desk.database.staff(desk.police.organisation_id) as conn:
        write(desk, conn, "entry-1")
    write_seal = db.write_seal

    def killed(conn, *args, **others):
        write_seal(conn, *args, **others)
        # What a killed process looks like to the server: its connection is gone.
        conn.pgconn.finish()
        raise SystemExit

    monkeypatch.setattr(db, "write_seal", killed)
    worker = Database(desk.settings)
    soon(lambda: _dies(worker, desk))
    worker.close()
    monkeypatch.setattr(db, "write_seal", write_seal)
    assert desk.rows("select from audit_positions") == []
    assert verdict(desk).unsealed == 1
    assert seal(desk) == 1
    found = verdict(desk)
    assert (found.broken, found.entries, found.unsealed) == (None, 1, 0)


def _dies(worker, desk):
    try:
        audit.seal(worker, desk.vault, now=NOW)
    except Unavailable:
        return False
    except SystemExit:
        return True
    return False


@pytest.mark.parametrize("role", ["intake", "staff"])
@pytest.mark.parametrize("table", ["audit_entries", "audit_positions", "audit_seals"])
def test_no_role_of_ours_changes_what_is_written(desk, role, table):
    with desk.database.staff(desk.police.organisation_id) as conn:
        write(desk, conn, "entry-1")
    seal(desk)
    for statement in ("delete from {}", "truncate {}", "update {} set {} = {}"):
        column = {"audit_entries": "action", "audit_positions": "position"}.get(table, "number")
        words = statement.format(table, column, column)
        with desk.database.connect(role) as conn, pytest.raises(Exception, match="denied"):
            conn.execute(words)
    with desk.database.owner() as conn, pytest.raises(Exception, match="append-only"):
        conn.execute(f"delete from {table}")  # noqa: S608 - ours
    assert verdict(desk).broken is None
