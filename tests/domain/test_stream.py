import pytest

from waylight.domain.stream import (
    HEARTBEAT_S,
    QUEUE_MOST,
    REPLAY_MOST,
    SIGN_EVERY,
    Lost,
    Start,
    start,
)

LAST = 100_000


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        (None, Start(LAST)),
        (LAST, Start(LAST)),
        (LAST - 1, Start(LAST - 1)),
        (LAST - REPLAY_MOST, Start(LAST - REPLAY_MOST)),
        (LAST - REPLAY_MOST - 1, Start(LAST, Lost.TOO_OLD)),
        (0, Start(LAST, Lost.TOO_OLD)),
        (LAST + 1, Start(LAST, Lost.UNKNOWN)),
        (Lost.UNKNOWN, Start(LAST, Lost.UNKNOWN)),
    ],
)
def test_client_goes_on_where_it_was_or_hears_that_it_cannot(asked, begins):
    assert start(asked, last=LAST) == begins


def test_client_to_whom_nothing_happens_keeps_a_place_that_is_young_enough():
    # A busy city has a thousand events a second: a place is renewed at the first heartbeat.
    assert SIGN_EVERY + 1_000 * HEARTBEAT_S < REPLAY_MOST


def test_client_that_reads_is_never_dropped_for_one_batch():
    from waylight.services.events import BATCH  # noqa: PLC0415 - the domain knows no service

    assert 2 * BATCH < QUEUE_MOST
