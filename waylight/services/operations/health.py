"""Whether this process can do its work: what `/readyz` answers."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from time import monotonic

from psycopg.errors import InsufficientPrivilege, UndefinedTable

from waylight.db.operations import health
from waylight.db.session import Database
from waylight.domain.errors import NotReady, Problem, Unavailable
from waylight.services.operations import migrations

WORKER_SILENCE = timedelta(seconds=15)
"""A worker that has not been heard of for longer is dead."""

KEPT_S = 1.0
"""How long an answer is given again: asking more often costs the database nothing."""


class Readiness:
    """What the last look found. One for each process.

    `stopping` is asked first: a process that has been told to stop is never ready.
    """

    def __init__(
        self,
        *,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.stopping = stopping
        self._clock = clock
        self._lock = threading.Lock()
        self._problems: tuple[Problem, ...] = ()
        self._looked_at = float("-inf")
        self._head = migrations.head()

    def check(self, database: Database, *, now: datetime) -> None:
        """Raises NotReady with a problem for each thing that is missing.

        One statement, and none within a second of the last; callers that come while it runs wait
        for its answer, never longer than for any statement.
        """
        if self.stopping():
            raise NotReady(problems=(_STOPPING,))
        with self._lock:
            if self._clock() - self._looked_at >= KEPT_S:
                self._problems = tuple(self._look(database, now))
                self._looked_at = self._clock()
            found = self._problems
        if found:
            raise NotReady(problems=found)

    def _look(self, database: Database, now: datetime) -> Iterator[Problem]:
        try:
            with database.intake(autocommit=True) as conn:
                state = health.ready(conn)
        except Unavailable:
            yield _NO_DATABASE
            return
        except (UndefinedTable, InsufficientPrivilege):
            yield _OLD_SCHEMA
            return
        # A newer schema is the middle of an upgrade: the old code runs on it until it is replaced.
        if (state["revision"] or "") < self._head:
            yield _OLD_SCHEMA
        if state["last_beat"] is None or now - state["last_beat"] > WORKER_SILENCE:
            yield _NO_WORKER


_STOPPING = Problem("process", "stopping", "It has been told to stop: ask another one.")
_NO_DATABASE = Problem(
    "database", "unreachable", "It does not answer in time: see `waylight doctor`."
)
_OLD_SCHEMA = Problem("migrations", "behind", "The schema is too old: run `waylight migrate`.")
_NO_WORKER = Problem("worker", "none_alive", "Nobody is alerted: start `waylight worker`.")
