"""The feed without any HTTP: who gets what, in which order, and what breaks it."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.desk import NOW, P1, keys_for
from tests.feeds import Line, running
from tests.proxy import Line as DatabaseLine
from tests.proxy import soon
from tests.staff import QUICK, enter, holder, person
from waylight.db import stream as db
from waylight.db.session import Database
from waylight.domain.errors import TooManyRequests, Unavailable
from waylight.domain.stream import QUEUE_MOST, End, Lost
from waylight.services import events, passwords
from waylight.services.operations import chores
from waylight.services.stream import feed

pytestmark = [pytest.mark.commits]


@pytest.fixture
def number(database):
    def number():
        while chores.number_events(database):
            pass
        return events.last_number(database)

    return number


def put(desk, count):
    desk.do(
        "insert into events (kind, at, alert_id, incident_id) select 'alert.updated', now(), id,"
        " incident_id from alerts, generate_series(1, %s) where team_id = %s",
        count,
        desk.first,
    )


def numbers_of(found, follower):
    """What a client is given, until it is among those who wait."""
    return [int(block) for part in found.catch_up(follower) for block in part]


def taken(follower, count):
    got: list[int] = []
    soon(lambda: len(got.__iadd__([int(one) for one in follower.take(0.2)])) >= count)
    return got


def test_client_that_was_away_gets_every_event_once_from_pages_from_memory_and_as_they_come(
    desk, database, number, monkeypatch
):
    monkeypatch.setattr(events, "BATCH", 7)
    desk.report(P1)
    first = number()
    put(desk, 50)
    number()
    with running(database) as (found, _):
        early = found.join(desk.police, line=Line(), resume=first)
        assert len(numbers_of(found, early)) == 50  # by pages
        put(desk, 20)
        last = number()
        assert taken(early, 20) == list(range(last - 19, last + 1))  # as they come
        late = found.join(desk.police, line=Line(), resume=first)
        whole = numbers_of(found, late)  # pages, then memory
        assert whole == list(range(first + 1, last + 1))
        put(desk, 3)
        last = number()
        assert taken(late, 3) == [last - 2, last - 1, last]
        for one in (early, late):
            found.leave(one)
            found.leave(one)


def test_many_join_while_much_happens_and_none_misses_or_hears_twice(desk, database, number):
    desk.report(P1)
    first = number()
    with running(database) as (found, _):
        over = threading.Event()
        got: dict[int, list[int]] = {}

        def follow(n):
            follower = found.join(desk.police, line=Line(), resume=first)
            got[n] = numbers_of(found, follower)
            while not over.is_set() or follower._waiting:
                got[n] += [int(block) for block in follower.take(0.05)]
            found.leave(follower)

        threads = [threading.Thread(target=follow, args=(n,)) for n in range(20)]
        for thread in threads:
            put(desk, 40)
            number()
            thread.start()
        put(desk, 40)
        last = number()
        soon(lambda: found.last == last)
        over.set()
        for thread in threads:
            thread.join(120)
    assert last - first == 21 * 40
    assert all(got[n] == list(range(first + 1, last + 1)) for n in range(20))


def test_memory_forgets_and_the_database_goes_on_from_there(desk, database, number, monkeypatch):
    monkeypatch.setattr(feed, "KEPT_MOST", 10)
    desk.report(P1)
    first = number()
    with running(database) as (found, _):
        one = found.join(desk.police, line=Line())
        assert numbers_of(found, one) == []
        put(desk, 40)
        last = number()
        taken(one, 40)
        assert len(found._told) == len(found._known) == 10
        late = found.join(desk.police, line=Line(), resume=first)
        assert numbers_of(found, late) == list(range(first + 1, last + 1))


def test_who_lost_the_right_to_see_gets_nothing_of_what_was_before(
    desk, database, number, monkeypatch
):
    monkeypatch.setattr(feed, "KEPT_S", 0.0)
    with running(database) as (found, _):
        before = events.last_number(database)
        desk.report(P1)
        number()
        desk.do("update grants set revoked_at = now() where cause = 'oversight'")
        desk.do("delete from alerts where team_id = %s", desk.room)
        room = found.join(desk.control, line=Line(), resume=before)
        assert numbers_of(found, room) == []


def test_client_that_does_not_take_is_dropped_and_cut_and_nobody_else(desk, database, number):
    desk.report(P1)
    number()
    line = Line()
    with running(database) as (found, _):
        slow = found.join(desk.control, line=line)
        list(found.catch_up(slow))
        quick = found.join(desk.police, line=Line())
        list(found.catch_up(quick))
        got = 0
        for _ in range(3):
            put(desk, QUEUE_MOST // 2)
            number()
            got += len(taken(quick, QUEUE_MOST // 2))
        soon(lambda: slow.end is End.TOO_SLOW and line.is_cut)
        assert slow.take(0) == []
        assert quick.end is None
        assert got == 3 * (QUEUE_MOST // 2)


def test_client_that_hung_up_is_noticed_though_nothing_happens(desk, database, monkeypatch):
    monkeypatch.setattr(feed, "CHORES_S", 0.05)
    line = Line()
    person = replace(desk.police, key_id=None)
    with running(database) as (found, _):
        follower = found.join(person, line=line)
        line.is_gone = True
        soon(lambda: follower.end is not None and line.is_cut)
        assert follower.end is End.LEFT


def test_room_is_counted_by_key_and_in_all(desk, database):
    with running(database, most=3) as (found, _):
        mine = [found.join(desk.police, line=Line(), most_of_key=2) for _ in range(2)]
        with pytest.raises(TooManyRequests):
            found.join(desk.police, line=Line(), most_of_key=2)
        found.leave(mine.pop())
        found.join(desk.police, line=Line(), most_of_key=2)
        found.join(desk.police, line=Line())
        with pytest.raises(Unavailable):
            found.join(desk.police, line=Line())


def test_place_that_this_process_has_not_reached_yet_is_no_unknown_one(desk, database, number):
    """Another process was faster: the client that comes from there lost nothing."""
    desk.report(P1)
    number()
    with running(database) as (found, _):
        found.join(desk.police, line=Line())
        found._last = 0
        found._told_after = 0
        ahead = found.join(desk.police, line=Line(), resume=events.last_number(database))
        assert ahead.lost is None
        beyond = found.join(desk.police, line=Line(), resume=events.last_number(database) + 1)
        assert beyond.lost is Lost.UNKNOWN


def test_fault_that_is_not_the_databases_ends_the_process_and_every_stream(desk, database, number):
    def broken(_event):
        raise ZeroDivisionError

    with running(database, encode=broken) as (found, died):
        follower = found.join(desk.police, line=Line())
        list(found.catch_up(follower))
        desk.report(P1)
        number()
        assert died.wait(120)
        assert follower.end is End.STOPPING


def test_lost_database_ends_every_stream_and_the_feed_is_back_with_it(desk, database, number):
    line = DatabaseLine(database._settings.intake_url)
    url = replace(database._settings, intake_url=line.url())
    over_line = Database(url)
    try:
        with running(over_line) as (found, died):
            follower = found.join(desk.police, line=Line())
            list(found.catch_up(follower))
            line.stop()
            soon(lambda: follower.end is End.DATABASE_LOST)
            desk.report(P1)
            number()
            line.start()
            soon(found._live.is_set)
            again = found.join(desk.police, line=Line(), resume=follower.after)
            # From memory, from a page, or as it comes: it has only just begun to look again.
            got = numbers_of(found, again)
            soon(lambda: got or got.__iadd__([int(one) for one in again.take(0.2)]))
            assert len(got) == 1
            assert not died.is_set()
    finally:
        over_line.close()
        line.close()


def test_hint_wakes_at_once_and_its_absence_costs_only_the_poll(desk, database, monkeypatch):
    monkeypatch.setattr(feed, "POLL_S", 1_000)
    with running(database) as (found, _):
        follower = found.join(desk.police, line=Line())
        list(found.catch_up(follower))
        desk.report(P1, now=NOW + timedelta(seconds=1))
        while chores.number_events(database):
            pass
        with database.intake(autocommit=True) as conn:
            conn.execute("notify waylight_events")
        # Without the hint it would look again in a quarter of an hour.
        assert taken(follower, 1)
        found._is_stopping = lambda: True
        with database.intake(autocommit=True) as conn:
            conn.execute("notify waylight_events")


def test_connection_that_listens_is_none_of_the_pools(desk, database):
    before = database.pool_use()
    with db.listening(database) as listener:
        assert database.pool_use() == before
        row = listener.conn.execute("select pg_listening_channels()").fetchone()
        assert row == ("waylight_events",)


LOST = {
    "revoked": "update api_keys set revoked_at = now() where id = %(key)s",
    "over": "update api_keys set expires_at = now() where id = %(key)s",
    "without the scope": "update api_keys set scopes = '{reports:read}' where id = %(key)s",
    "of a disabled person": "update accounts set disabled_at = now() where staff_id = %(person)s",
    "of another role by now": "update accounts set roles = '{auditor}' where staff_id = %(person)s",
    "without the factor that is demanded": """
        insert into sign_in_policies (organisation_id, requires_totp)
        select organisation_id, true from accounts where staff_id = %(person)s
    """,
}


@pytest.mark.parametrize("how", LOST)
def test_stream_ends_with_the_right_to_open_it(desk, database, monkeypatch, how):
    """However it was lost: by whoever changed the row, nothing of the stream is asked."""
    monkeypatch.setattr(feed, "CHORES_S", 0.05)
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    now = datetime.now(UTC)
    robin, kim = (
        person(desk, now=now),
        person(desk, "kim@operator.example", organisation="operator"),
    )
    session = holder(desk, enter(desk, robin, now=now).token, now=now)
    other = holder(desk, enter(desk, kim, now=now).token, now=now)
    secret = keys_for(desk, [desk.police])[desk.police]
    key = holder(desk, secret, now=now)
    mine = key if how in ("revoked", "over", "without the scope") else session
    with running(database) as (found, _):
        lost, stays = found.join(mine, line=Line()), found.join(other, line=Line())
        with database.owner() as conn:
            conn.execute(LOST[how], {"key": mine.key_id, "person": robin.id})
        soon(lambda: lost.end is not None)
        assert (lost.end, stays.end) == (End.KEY_ENDED, None)


def test_stream_goes_on_while_rights_are_only_added(desk, database, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    now = datetime.now(UTC)
    robin = person(desk, now=now)
    session = holder(desk, enter(desk, robin, now=now).token, now=now)
    with running(database) as (found, _):
        follower = found.join(session, line=Line())
        desk.do("update accounts set roles = roles || '{auditor}'")
        with database.intake() as conn:
            assert session.key_id
            assert session.key_id in found._following(conn, {session.key_id})
        assert follower.end is None


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_place_by_an_event_of_others_is_as_unknown_as_one_that_never_was(
    desk, database, number, is_in_memory
):
    with running(database) as (found, _):
        found.leave(found.join(desk.police, line=Line()))
        desk.report(P1)
        newest = number()
        soon(lambda: found.last == newest)
        events_of = desk.rows(
            "select id from events where organisation_id = %s and kind = 'alert.created'",
            desk.police.organisation_id,
        )
        if not is_in_memory:
            found._known.clear()
        for row in events_of:
            theirs = found.join(desk.operator, line=Line(), resume=row["id"])
            nobodys = found.join(desk.operator, line=Line(), resume=uuid4())
            mine = found.join(desk.police, line=Line(), resume=row["id"])
            assert (theirs.lost, nobodys.lost, mine.lost) == (Lost.UNKNOWN, Lost.UNKNOWN, None)
        assert events_of
