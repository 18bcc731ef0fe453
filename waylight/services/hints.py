"""Hints between processes that there is something to do; whoever misses one looks again soon."""

import threading
from collections.abc import Iterator
from time import sleep

from waylight.db import hints
from waylight.db.session import Database
from waylight.domain.errors import Unavailable
from waylight.log import get_logger

WORK = hints.WORK
EVENTS = hints.EVENTS

APART_S = 0.05
"""Two hints of one process are at least so far apart: a hundred reports a second need no hundred
hints, and each costs the database a commit."""

log = get_logger(__name__)


class Hints:
    """Tells the workers that something was written, from a thread of its own.

    `nudge` costs its caller next to nothing, and never fails or waits. Until `start` it does
    nothing at all.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked = threading.Event()

    def start(self) -> None:
        """Begins to send. Once in each process, after any fork."""
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def nudge(self) -> None:
        """Something was committed that a worker may have to do."""
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                with self._database.intake(autocommit=True) as conn:
                    hints.send(conn, WORK)
            except Unavailable:
                pass  # the workers look by themselves
            except Exception:
                log.exception("hint_failed")
            sleep(APART_S)


def listen(database: Database, channel: str, *, every_s: float) -> Iterator[bool]:
    """True for each hint, False after each `every_s` seconds without one, over one connection.

    Raises Unavailable when that is lost; what was hinted meanwhile is not repeated.
    """
    with database.alone("intake") as conn:
        yield from hints.listen(conn, channel, every_s=every_s)
