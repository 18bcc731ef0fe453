"""The time of day by the database's clock, so that machines whose clocks differ agree on it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from waylight.db import clock
from waylight.db.session import Database
from waylight.domain.errors import Unavailable
from waylight.log import get_logger

ASK_EVERY_S = 3.0
"""Between two questions time goes by this machine's count of seconds, which nobody sets: it may
fall behind only while the machine itself sleeps."""

APART = timedelta(seconds=2)
"""From here on this machine's own clock is wrong enough for a line in the log."""

log = get_logger(__name__)


class Clock:
    """Tells the time. Until the database was first asked, by this machine's own clock.

    Leases, ladders and heartbeats are compared with what other processes wrote: with a clock of its
    own that runs minutes ahead, a worker would take from others what they are sending; with one
    behind, leave alone what is due.
    """

    def __init__(
        self,
        database: Database,
        *,
        own: Callable[[], datetime] = lambda: datetime.now(UTC),
        counted: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._own = own
        self._counted = counted
        self._known: tuple[datetime, float] | None = None
        self._said: timedelta | None = None

    def __call__(self) -> datetime:
        """This moment, in UTC."""
        if self._known is None:
            return self._own()
        at, counted = self._known
        return at + timedelta(seconds=self._counted() - counted)

    def ask(self) -> None:
        """Asks the database, unless that was done just now. Raises Unavailable."""
        if self._known is not None and self._counted() - self._known[1] < ASK_EVERY_S:
            return
        with self._database.intake(autocommit=True) as conn:
            before = self._counted()  # from here: waiting for a connection says nothing of the time
            at = clock.read(conn)
            after = self._counted()
        # Read somewhere between the two: half way is the best guess.
        self._known = (at, (before + after) / 2)
        apart = self._own() - self()
        if abs(apart) > APART and (self._said is None or abs(apart - self._said) > APART):
            self._said = apart
            log.warning("clock_differs", ahead_s=round(apart.total_seconds()))

    def start(self) -> None:
        """Keeps asking, from a thread of its own. Once in each process, after any fork."""
        threading.Thread(target=self._keep_asking, name="clock", daemon=True).start()

    def _keep_asking(self) -> None:
        while True:
            try:
                self.ask()
            except Unavailable:
                pass  # it goes on by itself meanwhile
            except Exception:
                log.exception("clock_not_read")
            sleep(ASK_EVERY_S)
