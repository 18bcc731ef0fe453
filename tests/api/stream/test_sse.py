"""One stream, read as a server reads it, with a clock that hurries."""

import pytest

from api.wire import sse
from api.wire.sse import EventStream, SocketLine
from schemas.stream import HEARTBEAT
from tests.feeds import running
from waylight.domain.stream import End, Lost
from waylight.services.operations import chores

pytestmark = [pytest.mark.commits]


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)


def stream(found, desk, vault, **how):
    follower = found.join(desk.police, line=SocketLine(None), **how)
    return follower, EventStream(
        found, follower, vault=vault, resuming="resume" in how, inbox="https://w.example/v1/alerts"
    )


def test_silence_is_broken_by_heartbeats(desk, database, vault, hurried):
    with running(database) as (found, _):
        _, body = stream(found, desk, vault)
        assert b"event: stream.open" in next(body)
        assert [next(body) for _ in range(3)] == [HEARTBEAT] * 3
        body.close()
        assert found._present == set()


def test_place_grows_with_the_city_though_nothing_happens_to_this_client(
    desk, database, vault, hurried, monkeypatch
):
    monkeypatch.setattr(sse, "SIGN_EVERY", 5)
    with running(database) as (found, _):
        follower, body = stream(found, desk, vault)
        opening = next(body)
        desk.do(
            "insert into events (kind, at) select 'report.received', now()"
            " from generate_series(1, 6)"
        )
        chores.number_events(database)
        place = next(part for part in body if b"event: stream.place" in part)
        assert place.splitlines()[0] != opening.splitlines()[1]
        sealed = place.splitlines()[0].removeprefix(b"id: place_").decode()
        assert vault.open_number("place", sealed) == found.last == follower.after
        body.close()


def test_two_places_of_one_number_do_not_look_alike(vault):
    assert vault.seal_number("place", 7) != vault.seal_number("place", 7)
    assert len(vault.seal_number("place", 7)) == len(vault.seal_number("place", 2**40))


def test_body_that_was_never_read_leaves_no_client_behind(desk, database, vault):
    with running(database) as (found, _):
        _, body = stream(found, desk, vault)
        assert len(found._present) == 1
        body.close()
        body.close()
        assert found._present == set()


def test_lost_client_is_told_so_before_anything_else(desk, database, vault, hurried):
    desk.do("insert into events (kind, at) values ('report.received', now())")
    with running(database) as (found, _):
        _, body = stream(found, desk, vault, resume=Lost.UNKNOWN)
        opening = next(body).decode()
        assert opening.index("stream.open") < opening.index("stream.reset")
        assert opening.count("id: place_") == 2
        body.close()


def test_goodbye_comes_after_all_that_waits(desk, database, vault):
    with running(database) as (found, _):
        follower, body = stream(found, desk, vault)
        next(body)
        for number in range(3):
            follower.offer(number, b"%d;" % number)
        follower.finish(End.KEY_ENDED)
        parts = list(body)
        assert parts[0] == b"0;1;2;"
        assert b"stream.closing" in parts[1]
        assert b"key_ended" in parts[1]
        assert len(parts) == 2
        body.close()
