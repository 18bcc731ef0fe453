import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.desk import Desk, keys_for, open_desk
from waylight.services.operations import chores


@pytest.fixture
def desk(database, vault, settings) -> Desk:
    now = datetime.now(UTC)
    # A server that is long in starting must not take its worker for dead.
    chores.beat(database, "w", host="h", pid=1, started_at=now, now=now + timedelta(hours=1))
    return open_desk(database, vault, settings)


@pytest.fixture
def tokens(desk):
    """A key for each person of the desk, by name."""
    people = (desk.police, desk.operator, desk.control, desk.hub_host)
    return {person.name: token for person, token in keys_for(desk, people).items()}


@pytest.fixture
def numbered(database):
    """Numbers what happens, the moment it has, as a worker does; without telling anybody."""
    with numbering(database):
        yield


@contextmanager
def numbering(database) -> Iterator[None]:
    over = threading.Event()

    def number():
        while not over.is_set():
            if chores.number_events(database) < chores.BATCH:
                over.wait(0.02)

    thread = threading.Thread(target=number)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
