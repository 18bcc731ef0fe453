"""What one process tells its clients: one connection that listens, one read for all of them.

Each event is read and written once, however many clients it goes to, and each client gets only what
its organisation may know (`PublicEvent.concerns`). The database says in which order; nobody is told
a number of it, for it would say how much the whole city reports.
"""

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any, Protocol
from uuid import UUID

from psycopg import Connection

from waylight import metrics
from waylight.db import events as db_events
from waylight.db import stream as db
from waylight.db.session import Database
from waylight.domain.errors import TooManyRequests, Unavailable
from waylight.domain.events import PublicEvent
from waylight.domain.principals import Principal
from waylight.domain.stream import QUEUE_MOST, REPLAY_MOST, End, Lost, Start, start
from waylight.log import get_logger
from waylight.services import events, keys

POLL_S = 0.25
"""The longest wait for a hint: what happens is seen as soon without any."""

SCOPE = "alerts:read"
"""What a key needs to follow, as long as it does."""

CHORES_S = 2.0
"""Between two looks at the keys of all clients, and at who has hung up."""

KEPT_S = 60.0
KEPT_MOST = 5_000
"""What was told lately is kept, so that clients that come back from a short break, all at once
after a restart of something, ask nothing of the database."""

READ_AT_ONCE = 2
"""Clients whose past is being read at the same time: the others wait, and those who report find
connections in the pool."""

JOIN_S = 3.0
"""How long a client waits for the connection that listens before it hears 503."""

RECONNECT_S = (0.1, 5.0)
"""After a lost connection: the first wait and the longest."""

log = get_logger(__name__)


class Line(Protocol):
    """The connection of one client, as far as it is looked at beside writing to it."""

    def has_hung_up(self) -> bool:
        """Whether the client has gone."""

    def cut(self) -> None:
        """Ends it at once, also under somebody who is writing to it."""


class Follower:
    """One client: what waits for it, and why it ended."""

    __slots__ = (
        "_arrived",
        "_waiting",
        "after",
        "end",
        "key_id",
        "line",
        "lost",
        "organisation_id",
        "since",
        "team_id",
    )

    def __init__(
        self, principal: Principal, *, team_id: UUID | None, start: Start, line: Line
    ) -> None:
        self.key_id = principal.key_id
        self.organisation_id = principal.organisation_id
        self.team_id = team_id
        self.line = line
        self.lost = start.lost
        self.after = start.after
        """The number of the last event that was given out: everything before was, too."""
        self.since: int | None = None
        """From when on events wait here; None while older ones are read."""
        self.end: End | None = None
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._arrived = threading.Event()

    def offer(self, number: int, block: bytes) -> bool:
        """Puts an event behind those that wait; False when there are too many."""
        if len(self._waiting) >= QUEUE_MOST:
            return False
        self._waiting.append((number, block))
        self._arrived.set()
        return True

    def take(self, timeout_s: float) -> list[bytes]:
        """All that waits, once there is something; nothing when the time or the stream is over."""
        if self.end is None:
            self._arrived.wait(max(timeout_s, 0.0))
        self._arrived.clear()
        blocks = []
        while self._waiting and self.end is not End.TOO_SLOW:
            self.after, block = self._waiting.popleft()
            blocks.append(block)
        return blocks

    def finish(self, why: End) -> None:
        """Ends the stream once what waits is given out; one that is too slow at once."""
        if self.end is None:
            self.end = why
            self._arrived.set()


class Feed:
    """The stream of one process. Starts with its first client; any thread may call it.

    `encode` makes of an event what is sent. A process that `is_stopping` says goodbye to all. When
    the thread that listens breaks down by itself, not with the database, `die` is called: clients
    that nobody tells anything must not stay connected.
    """

    def __init__(
        self,
        database: Database,
        *,
        encode: Callable[[PublicEvent], bytes],
        is_stopping: Callable[[], bool] = lambda: False,
        most: int,
        die: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
    ) -> None:
        self._database = database
        self._encode = encode
        self._is_stopping = is_stopping
        self._most = most
        self._die = die
        self._lock = threading.RLock()
        self._reading = threading.Semaphore(READ_AT_ONCE)
        self._live = threading.Event()
        self._thread: threading.Thread | None = None
        self._followers: dict[UUID | None, set[Follower]] = {}
        self._present: set[Follower] = set()
        self._of_key: Counter[UUID | None] = Counter()
        self._last: int | None = None
        self._told: deque[_Told] = deque()
        self._told_after = 0
        self._known: dict[UUID, PublicEvent] = {}

    @property
    def last(self) -> int:
        """The number of the last event that was told."""
        return self._last or 0

    def join(
        self,
        principal: Principal,
        *,
        line: Line,
        team_id: UUID | None = None,
        resume: UUID | int | Lost | None = None,
        most_of_key: int | None = None,
    ) -> Follower:
        """A new client, which must `leave` whatever happens.

        It goes on after the event or the number `resume`; its `lost` says where it cannot, and it
        begins now as it does without. Raises TooManyRequests when its key has `most_of_key`
        clients here, and Unavailable when the process has as many as it may, or cannot hear of
        events just now.
        """
        self._run()
        if not self._live.wait(JOIN_S):
            raise Unavailable(_NOT_LISTENING)
        asked = (
            self._number_of(resume, principal.organisation_id)
            if isinstance(resume, UUID)
            else resume
        )
        newest = self.last
        if isinstance(asked, int) and asked > newest:
            # Another process may have told it already: this one is a moment behind.
            newest = events.last_number(self._database)
        with self._lock:
            if self._is_stopping() or not self._live.is_set() or self._last is None:
                raise Unavailable(_NOT_LISTENING)
            if len(self._present) >= self._most:
                raise Unavailable("This process has as many streams as it may: try again.")
            if most_of_key is not None and self._of_key[principal.key_id] >= most_of_key:
                raise TooManyRequests(
                    f"This key has {most_of_key} streams open: close one.", retry_after_s=5
                )
            begin = start(asked, last=max(newest, self._last))
            follower = Follower(principal, team_id=team_id, start=begin, line=line)
            self._present.add(follower)
            self._of_key[follower.key_id] += 1
            self._note()
        return follower

    def catch_up(self, follower: Follower) -> Iterator[list[bytes]]:
        """What a client missed, in parts; from the last one on, events wait for it in `take`.

        Nothing is left out between the two, and nothing comes twice. Raises Unavailable.
        """
        seen = 0
        while True:
            with self._lock:
                recent = self._attach(follower)
            if recent is not None:
                yield recent
                return
            if seen > 2 * REPLAY_MOST:
                follower.finish(End.TOO_SLOW)
                return
            with self._reading:
                batch = events.read_after(self._database, follower.after)
            seen += batch.last - follower.after
            mine = [self._encode(event) for event in batch.events if _is_for(event, follower)]
            follower.after = batch.last
            yield mine

    def leave(self, follower: Follower) -> None:
        """A client has gone; once more is once too often, and does nothing."""
        with self._lock:
            if follower not in self._present:
                return
            self._present.remove(follower)
            self._of_key[follower.key_id] -= 1
            if not self._of_key[follower.key_id]:
                del self._of_key[follower.key_id]
            group = self._followers.get(follower.organisation_id, set())
            group.discard(follower)
            if not group:
                self._followers.pop(follower.organisation_id, None)
            self._note()

    def _attach(self, follower: Follower) -> list[bytes] | None:
        """Lets a client wait for what comes, and returns what it lacks till then.

        None when that is more than is kept here. Under the lock.
        """
        if self._last is None or follower.after < self._told_after:
            return None
        lacking = [
            one.block(self._encode)
            for one in self._told
            if one.event.sequence > follower.after and _is_for(one.event, follower)
        ]
        follower.since = follower.after = max(follower.after, self._last)
        self._followers.setdefault(follower.organisation_id, set()).add(follower)
        return lacking

    def _number_of(self, event_id: UUID, organisation_id: UUID | None) -> int | Lost:
        """Where an event stands; one of others is as unknown as one that never was."""
        with self._lock:
            event = self._known.get(event_id)
        if event is None:
            with self._database.intake(autocommit=True) as conn:
                event = events.read_one(conn, event_id)
        is_known = event is not None and event.concerns(organisation_id)
        return event.sequence if event is not None and is_known else Lost.UNKNOWN

    def _run(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._listen_for_ever, name="stream", daemon=True
                )
                self._thread.start()

    def _listen_for_ever(self) -> None:
        wait_s = RECONNECT_S[0]
        try:
            while not self._is_stopping():
                try:
                    with db.listening(self._database) as listener:
                        self._begin(db_events.last_number(listener.conn))
                        wait_s = RECONNECT_S[0]
                        self._listen(listener)
                except Unavailable:
                    log.warning("stream_database_lost", streams=len(self._present))
                    self._end_all(End.DATABASE_LOST)
                    self._pause(wait_s)
                    wait_s = min(wait_s * 2, RECONNECT_S[1])
            self._end_all(End.STOPPING)
        except Exception:
            log.exception("stream_listener_died")
            self._end_all(End.STOPPING)
            self._die()

    def _pause(self, wait_s: float) -> None:
        until = monotonic() + wait_s
        while monotonic() < until and not self._is_stopping():
            sleep(min(POLL_S, wait_s))

    def _begin(self, last: int) -> None:
        """Goes on where it was, unless so much has happened, or so little, that it begins anew."""
        with self._lock:
            if self._last is None or not self._last <= last <= self._last + REPLAY_MOST:
                self._last = self._told_after = last
                self._told.clear()
                self._known.clear()
            self._live.set()

    def _listen(self, listener: db.Listener) -> None:
        chores_at = monotonic() + CHORES_S
        while not self._is_stopping():
            batch = events.read_batch(listener.conn, self.last)
            if batch.last != self.last:
                self._tell(batch)
            if monotonic() >= chores_at:
                self._look_after(listener)
                chores_at = monotonic() + CHORES_S
            if batch.is_full:
                sleep(0)  # clients take what there is before there is more
            else:
                listener.wait(POLL_S)

    def _tell(self, batch: events.Batch) -> None:
        with self._lock:
            slow = [follower for event in batch.events for follower in self._tell_one(event)]
            self._last = batch.last
            self._forget()
        for follower in slow:
            self._drop(follower)

    def _tell_one(self, event: PublicEvent) -> list[Follower]:
        """Puts an event behind those that wait, for everybody whom it is for.

        Returns those for whom too many wait. Under the lock.
        """
        told = _Told(event, monotonic())
        self._told.append(told)
        self._known[event.id] = event
        return [
            follower
            for organisation in event.audience
            for follower in self._followers.get(organisation, ())
            if event.sequence > (follower.since or 0)
            and _is_for(event, follower)
            and not follower.offer(event.sequence, told.block(self._encode))
        ]

    def _forget(self) -> None:
        """Whoever lost the right to see something does not get it from here a minute later."""
        old = monotonic() - KEPT_S
        while self._told and (len(self._told) > KEPT_MOST or self._told[0].at < old):
            gone = self._told.popleft().event
            self._told_after = gone.sequence
            self._known.pop(gone.id, None)

    def _look_after(self, listener: db.Listener) -> None:
        with self._lock:
            self._forget()
            present = list(self._present)
        held = {follower.key_id for follower in present if follower.key_id is not None}
        ended = held - self._following(listener.conn, held) if held else set()
        for follower in present:
            if follower.line.has_hung_up():
                follower.finish(End.LEFT)
                follower.line.cut()
            elif follower.key_id in ended and follower.end is None:
                metrics.count(metrics.STREAMS_ENDED, End.KEY_ENDED)
                follower.finish(End.KEY_ENDED)

    def _following(self, conn: Connection[Any], key_ids: set[UUID]) -> set[UUID]:
        """Those of the keys that would open the stream now: also a right that is gone ends it."""
        callers = map(keys.principal_of, db.live_keys(conn, list(key_ids)))
        return {one.key_id for one in callers if one.key_id and one.may(SCOPE)}

    def _drop(self, follower: Follower) -> None:
        if follower.end is None:
            log.info("stream_dropped", why=End.TOO_SLOW)
            metrics.count(metrics.STREAMS_ENDED, End.TOO_SLOW)
            follower.finish(End.TOO_SLOW)
            follower.line.cut()

    def _end_all(self, why: End) -> None:
        with self._lock:
            self._live.clear()
            present = list(self._present)
        for follower in present:
            if follower.end is None:
                metrics.count(metrics.STREAMS_ENDED, why)
                follower.finish(why)

    def _note(self) -> None:
        metrics.note(metrics.STREAMS_OPEN, "alerts", value=len(self._present))


class _Told:
    """An event that was told, and what was sent, made when first needed."""

    __slots__ = ("_block", "at", "event")

    def __init__(self, event: PublicEvent, at: float) -> None:
        self.event = event
        self.at = at
        self._block: bytes | None = None

    def block(self, encode: Callable[[PublicEvent], bytes]) -> bytes:
        if self._block is None:
            self._block = encode(self.event)
        return self._block


def _is_for(event: PublicEvent, follower: Follower) -> bool:
    return event.concerns(follower.organisation_id, team_id=follower.team_id)


_NOT_LISTENING = "What happens cannot be seen just now: try again."
