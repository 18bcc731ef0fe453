"""A feed of the live stream for tests, without any HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from waylight.db.session import Database
from waylight.services.stream import Feed


class Line:
    """The connection of nobody."""

    def __init__(self):
        self.is_cut = False
        self.is_gone = False

    def has_hung_up(self):
        return self.is_gone

    def cut(self):
        self.is_cut = True


@contextmanager
def running(database: Database, **how: Any) -> Iterator[tuple[Feed, threading.Event]]:
    """A feed that sends the numbers of events, and stops in the end."""
    over = threading.Event()
    died = threading.Event()
    settings: dict[str, Any] = {
        "encode": lambda event: str(event.sequence).encode(),
        "is_stopping": over.is_set,
        "most": 100,
        "die": died.set,
    }
    found = Feed(database, **(settings | how))
    try:
        yield found, died
    finally:
        over.set()
        if found._thread is not None:
            found._thread.join(120)
