"""What a caller of the database hears when the server is slow, away, hanging or back again."""

# ruff: noqa: PT012 - the block of a transaction is what is tested, and its end is part of it

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import select, text

from tests.databases import environment_for, settings_for
from tests.lived import lived
from tests.proxy import soon
from waylight.config import ConfigurationError, Settings
from waylight.db.models import WorkerHeartbeat
from waylight.db.session import Database
from waylight.domain.errors import Unavailable

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)
PATIENCE_S = 0.6  # of the fixture `remote`
BOUND_S = 2.0
"""What the issue promises a client whose database restarts; the patience here is far below it."""


@pytest.fixture
def database(url):
    """Not the one of the other tests: these are about real commits."""
    database = Database(settings_for(url))
    yield database
    database.close()


def backend(conn):
    return conn.execute("select pg_backend_pid()").fetchone()[0]


def beat(conn, worker_id):
    conn.execute(
        "insert into worker_heartbeats values (%s, 'host', 1, %s, %s)", [worker_id, NOW, NOW]
    )


def beats(database):
    with database.intake() as conn:
        return {row[0] for row in conn.execute("select worker_id from worker_heartbeats")}


def heard(database):
    """What a caller hears, and after how many seconds."""
    with lived() as seconds:
        try:
            with database.intake() as conn:
                conn.execute("select 1")
        except Unavailable:
            return "unavailable", seconds()
        return "answered", seconds()


def fill(database):
    """Opens every connection that the pool may have."""
    together = threading.Barrier(3)

    def hold():
        with database.intake(within_s=20) as conn:
            together.wait(20)
            return backend(conn)

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(hold) for _ in range(3)]
        return {future.result() for future in futures}


# --- transactions


def test_a_transaction_is_kept_when_its_block_ends_and_dropped_when_it_fails(database):
    with database.intake() as conn:
        beat(conn, "kept")
    with pytest.raises(ZeroDivisionError), database.intake() as conn:
        beat(conn, "dropped")
        raise ZeroDivisionError
    assert beats(database) == {"kept"}


def test_a_swallowed_error_is_not_taken_for_a_commit(database):
    with (
        pytest.raises(psycopg.errors.InFailedSqlTransaction),
        database.intake() as conn,
    ):
        beat(conn, "lost")
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("select 1/0")
    assert beats(database) == set()


def test_with_autocommit_each_statement_stands_for_itself(database):
    with pytest.raises(ZeroDivisionError), database.intake(autocommit=True) as conn:
        beat(conn, "kept")
        raise ZeroDivisionError
    assert beats(database) == {"kept"}
    with database.intake() as conn:
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def test_a_standby_that_takes_nothing_down_is_unavailable_to_whoever_writes(database):
    with pytest.raises(Unavailable), database.intake() as conn:
        conn.execute("set transaction read only")
        beat(conn, "worker")
    assert beats(database) == set()
    with pytest.raises(Unavailable), database.session("intake") as session:
        session.execute(text("set transaction read only"))
        session.execute(text("delete from worker_heartbeats"))
    with database.intake() as conn:
        beat(conn, "worker")
    assert beats(database) == {"worker"}


def test_each_role_is_who_it_says_and_acts_for_one_transaction_only(single):
    database, organisation = single, uuid4()
    who = "select session_user, nullif(current_setting('waylight.organisation_id', true), '')"
    with database.intake() as conn:
        assert conn.execute(who).fetchone() == ("waylight_intake", None)
    with database.staff(organisation) as conn:
        user, acting = conn.execute(who).fetchone()
        pid = backend(conn)
    assert (user, UUID(acting)) == ("waylight_staff", organisation)
    with database._transaction("staff") as conn:
        assert backend(conn) == pid
        assert conn.execute(who).fetchone() == ("waylight_staff", None)
    with database.owner() as conn:
        assert conn.execute("select current_user").fetchone() == ("waylight_owner",)


def test_nothing_but_a_uuid_can_name_the_organisation(database):
    with pytest.raises(AttributeError):
        database.staff("'; drop table reports; --")


def test_json_goes_in_and_comes_out_as_python_objects(database):
    value = {"a": [1, None, {"b": "é"}], "at": NOW, "id": uuid4()}
    with database.intake() as conn:
        (found,) = conn.execute("select %s", [value]).fetchone()
    assert found == value | {"at": NOW.isoformat(), "id": str(value["id"])}


def test_sessions_of_sqlalchemy_share_the_pool_and_the_rules(database):
    with database.session("intake") as session:
        session.add(WorkerHeartbeat(worker_id="a", host="h", pid=1, started_at=NOW, beat_at=NOW))
    with pytest.raises(ZeroDivisionError), database.session("intake") as session:
        session.add(WorkerHeartbeat(worker_id="b", host="h", pid=1, started_at=NOW, beat_at=NOW))
        session.flush()
        raise ZeroDivisionError
    organisation = uuid4()
    with database.session("staff", organisation_id=organisation) as session:
        assert session.scalars(select(WorkerHeartbeat.worker_id)).all() == ["a"]
        assert session.scalar(text("select acting_organisation()")) == organisation
        assert session.scalar(text("select current_user")) == "waylight_staff"
    with database.session("owner") as session:
        assert session.scalar(text("select current_user")) == "waylight_owner"
    with database.intake() as conn:  # over a connection that a session has used
        beat(conn, "c")
    assert beats(database) == {"a", "c"}


def test_without_an_administrators_address_nobody_is_owner():
    given = environment_for("") | {
        "WAYLIGHT_DATABASE_URL": "",
        "WAYLIGHT_INTAKE_URL": "postgresql://a@127.0.0.1:1/d",
        "WAYLIGHT_STAFF_URL": "postgresql://b@127.0.0.1:1/d",
    }
    database = Database(Settings.from_environment(given))
    with pytest.raises(ConfigurationError, match="WAYLIGHT_DATABASE_URL"), database.owner():
        pass


# --- a server that is slow


def test_a_slow_statement_is_stopped_by_the_server_and_the_connection_lives_on(reach):
    # The server is to be heard before its caller gives it up, after a fifth more of the time.
    database = reach(10.0)
    before = fill(database)
    with pytest.raises(Unavailable) as caught, database.intake() as conn:
        conn.execute("set local statement_timeout = 200")
        conn.execute("select pg_sleep(20)")
    assert isinstance(caught.value.__cause__, psycopg.errors.QueryCanceled)
    assert fill(database) == before


def test_work_that_nobody_waits_for_may_take_longer(remote, reach):
    with remote.intake(within_s=10) as conn:
        conn.execute("select pg_sleep(%s)", [PATIENCE_S * 1.5])
    with remote.staff(uuid4(), within_s=10) as conn:
        assert conn.execute("show statement_timeout").fetchone() == ("10s",)
    with reach(20.0).intake() as conn:
        assert conn.execute("show statement_timeout").fetchone() == ("16s",)


def test_a_full_pool_is_an_answer_and_no_endless_wait(remote):
    together, done = threading.Barrier(4), threading.Event()

    def hold():
        with remote.intake(within_s=20) as conn:
            conn.execute("select 1")
            together.wait(20)
            done.wait(20)

    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(hold) for _ in range(3)]
        together.wait(20)
        assert heard(remote)[0] == "unavailable"
        done.set()
        for future in held:
            future.result()
    soon(lambda: heard(remote)[0] == "answered")


# --- a server that is away


def test_nobody_notices_that_the_server_was_restarted_between_two_calls(patient, line):
    before = fill(patient)
    line.cut()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: heard(patient)[0], range(12)))
    assert answers == ["answered"] * 12
    assert not before & fill(patient)


@pytest.mark.parametrize("autocommit", [False, True])
def test_one_statement_alone_survives_a_restart_as_well(patient, line, autocommit):
    fill(patient)
    line.cut()
    with patient.intake(autocommit=autocommit) as conn:
        assert conn.execute("select 1").fetchone() == (1,)


def test_a_restart_in_the_middle_of_a_transaction_is_unavailable(patient, line):
    with pytest.raises(Unavailable), patient.intake() as conn:
        beat(conn, "lost")
        line.cut()
        conn.execute("select 1")
    assert beats(patient) == set()


def test_a_server_that_is_away_is_unavailable_soon_and_back_when_it_is_back(remote, line):
    fill(remote)
    line.stop()
    for _ in range(3):
        answer, took_s = heard(remote)
        assert answer == "unavailable"
        assert took_s < BOUND_S
    line.start()
    soon(lambda: heard(remote)[0] == "answered")
    assert len(fill(remote)) == 3


def test_a_database_that_was_never_there_is_unavailable_and_says_why_to_operators(line):
    line.stop()
    database = Database(settings_for(line.url(), WAYLIGHT_DATABASE_TIMEOUT_S="0.5"))
    assert heard(database)[0] == "unavailable"
    with pytest.raises(Unavailable) as caught, database.owner():
        pass
    assert "refused" in str(caught.value.__cause__)
    database.close()


def test_broken_connections_of_sessions_go_back_to_the_pool(patient, line):
    for _ in range(4):  # more often than the pool has connections
        with pytest.raises(Unavailable), patient.session("intake") as session:
            session.execute(text("select 1"))
            line.cut()
            session.execute(text("select 1"))
    assert heard(patient)[0] == "answered"
    assert len(fill(patient)) == 3


# --- a server that hangs


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_hanging_server_is_unavailable_in_time(remote, line, autocommit):
    fill(remote)
    line.hang()
    with lived() as seconds:
        with pytest.raises(Unavailable), remote.intake(autocommit=autocommit) as conn:
            conn.execute("select 1")
        assert seconds() < BOUND_S


def test_many_callers_of_a_hanging_server_are_all_answered_in_time_and_nothing_leaks(remote, line):
    before = fill(remote)
    line.hang()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: heard(remote), range(20)))
    assert {answer for answer, _ in answers} == {"unavailable"}
    assert max(took_s for _, took_s in answers) < BOUND_S
    line.resume()
    soon(lambda: heard(remote)[0] == "answered")
    assert len(fill(remote)) == 3
    assert not before & fill(remote)


def test_a_hang_in_the_middle_of_a_transaction_leaves_nothing_behind(remote, patient, line):
    fill(remote)
    with lived() as seconds:
        with pytest.raises(Unavailable), remote.intake() as conn:
            beat(conn, "lost")
            line.hang()
            conn.execute("select 1")
        assert seconds() < BOUND_S
    line.resume()
    soon(lambda: heard(remote)[0] == "answered")
    assert beats(patient) == set()


def test_a_hang_while_committing_is_unavailable_and_so_unknown(remote, line):
    with pytest.raises(Unavailable), remote.intake() as conn:
        beat(conn, "perhaps")
        line.hang()
    line.resume()


def test_a_session_of_sqlalchemy_does_not_wait_for_a_hanging_server_either(remote, line):
    def has_answered():
        try:
            with remote.session("intake") as session:
                return session.scalar(text("select 1"))
        except Unavailable:
            return False

    soon(has_answered)
    line.hang()
    with lived() as seconds:
        with pytest.raises(Unavailable), remote.session("intake") as session:
            session.execute(text("select 1"))
        assert seconds() < BOUND_S
