"""The threads that send: a fixed number for each channel, and a few beside them for its drills.

A message that is stuck keeps the others of its channel waiting only when all of its threads are,
and no other channel, and no drill keeps a real message waiting. What goes fast is taken ahead, so
that a queue of tens of thousands is worked off in handfuls and not one by one.
"""

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from waylight import telemetry
from waylight.channels import Channel
from waylight.domain.alerts import RESTS, Message, Outcome, Result
from waylight.log import get_logger

SENDERS = 8
"""Messages on their way at once, of each channel: one that is stuck keeps no other waiting."""

DRILL_SENDERS = 2
"""The same for its drills: they have time."""

AHEAD_S = 0.25
"""As many messages are taken ahead as go out in this time, judged by the last ones ..."""

AHEAD_MOST = 192
"""... and no more: each is one that no other worker can take meanwhile."""

OF_A_PERSON = 4
OF_AN_ORGANISATION = 2
"""One person's devices have a quarter of a lane's threads at most, and those of one organisation
half of them: whoever names a push service that never answers holds no more."""

SLOW_S = 1.0
"""Whose messages take longer waits for their share elsewhere, and keeps nobody waiting here."""

STALE_S = 1.0
"""What has waited here for longer is given back to whoever is faster."""

RECENT = 0.2
"""How much the last message counts in the mean time that one takes."""

log = get_logger(__name__)


Entry = tuple[int, int, float, float, Message]
"""A message that waits: its priority, its place, since when, until when it may begin, itself."""


class Lane(NamedTuple):
    """What waits for the same threads: a channel's real messages, or its drills."""

    channel: str
    exercise: bool


@dataclass(frozen=True)
class Sent:
    """A message that was tried. `ends_at` is when its lease does, by this machine's `monotonic`."""

    message: Message
    outcome: Outcome
    took_s: float
    ends_at: float


@dataclass
class _Waiting:
    """One lane's threads and what they have before them."""

    threads: int
    mean_s: float | None = None
    heap: list[Entry] = field(default_factory=list)
    began: dict[int, tuple[float, Message]] = field(default_factory=dict)
    slow: set[UUID] = field(default_factory=set)
    """The people and organisations whose last message took long."""
    unsettled: int = 0
    running: int = 0
    idle: int = 0
    is_hungry: bool = False
    """Whether there was more than it had room for."""

    def ahead(self, now: float) -> int:
        """How many messages may wait beside those on their way; none where one hangs."""
        if self.mean_s is None:
            return 0
        slowest = max((now - began for began, _ in self.began.values()), default=0.0)
        return min(AHEAD_MOST, int(AHEAD_S * self.threads / max(self.mean_s, slowest, 1e-4)))

    def room(self, now: float) -> int:
        return max(0, self.threads + self.ahead(now) - self.unsettled)

    def shares(self, message: Message) -> dict[UUID, int]:
        """How many threads those whose message this is may hold at once, by their ids."""
        target = message.target
        if target is None or message.rests_s is not None:
            return {}
        each = ((target.person_id, OF_A_PERSON), (target.organisation_id, OF_AN_ORGANISATION))
        return {id: max(1, self.threads // part) for id, part in each if id is not None}

    def full(self, message: Message) -> list[UUID]:
        """Those of them who hold so many already."""
        return [id for id, share in self.shares(message).items() if len(self._of(id)) >= share]

    def is_held(self, message: Message, now: float) -> bool:
        """Whether it waits for somebody slow to finish: not worth waiting for."""
        return any(id in self.slow or max(self._of(id)) < now - SLOW_S for id in self.full(message))

    def pick(self) -> Entry | None:
        """Takes out the most urgent that is not waiting for its share; None without one."""
        passed = []
        found = None
        while self.heap and found is None:
            entry = heapq.heappop(self.heap)
            if self.full(entry[4]):
                passed.append(entry)
            else:
                found = entry
        for entry in passed:
            heapq.heappush(self.heap, entry)
        return found

    def ended(self, message: Message, took_s: float) -> None:
        """Remembers who is slow."""
        for id in self.shares(message):
            (self.slow.add if took_s > SLOW_S else self.slow.discard)(id)

    def _of(self, id: UUID) -> list[float]:
        """When each message of theirs that is on its way began."""
        return [began for began, message in self.began.values() if id in self.shares(message)]


class Senders:
    """Sends what it is given, the most urgent first, and hands over what became of each.

    `tried` is called from the thread that sent, and returns soon; `settle` is told when that
    outcome is written. `free` is called when a lane that had no room for all has some again.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        *,
        tried: Callable[[Sent], None],
        free: Callable[[], None],
    ) -> None:
        self.channels = channels
        self._tried = tried
        self._free = free
        self._lanes: dict[Lane, _Waiting] = {}
        self._changed = threading.Condition()
        self._order = count()

    def room(self, names: Sequence[str]) -> dict[Lane, int]:
        """How many more messages each lane of these channels takes; none that is full."""
        found = {}
        with self._changed:
            now = monotonic()
            for name in names:
                for exercise, threads in ((False, SENDERS), (True, DRILL_SENDERS)):
                    lane = Lane(name, exercise)
                    waiting = self._lanes.setdefault(lane, _Waiting(threads))
                    if room := waiting.room(now):
                        found[lane] = room
        return found

    def is_hungry(self, *, without_room: bool = False) -> bool:
        """Whether a lane left messages behind at the last claim; or such a one is still full."""
        with self._changed:
            now = monotonic()
            return any(
                one.is_hungry and not (without_room and one.room(now))
                for one in self._lanes.values()
            )

    def take(
        self, messages: Sequence[Message], room: Mapping[Lane, int], *, ends_at: float
    ) -> None:
        """Sends the messages that were claimed into this room, before `ends_at` or not at all."""
        with self._changed:
            now = monotonic()
            taken = dict.fromkeys(room, 0)
            for message in messages:
                lane = Lane(message.channel, message.exercise)
                taken[lane] = taken.get(lane, 0) + 1
                one = self._lanes[lane]
                one.unsettled += 1
                entry = (message.priority, next(self._order), now, ends_at, message)
                heapq.heappush(one.heap, entry)
                if one.running < one.threads and one.idle < len(one.heap):
                    one.running += 1
                    threading.Thread(target=self._work, args=(lane,), daemon=True).start()
            for lane, free in room.items():
                self._lanes[lane].is_hungry = taken[lane] >= free
            self._changed.notify_all()

    def give_up_held(self) -> list[Message]:
        """The messages that wait for somebody slow: they are not sent from here any more."""
        return self._give_up(lambda one, entry, now: one.is_held(entry[4], now))

    def give_up_stale(self, *, older_than_s: float = STALE_S) -> list[Message]:
        """The messages that have waited here for too long: they are not sent from here any more."""
        return self._give_up(lambda _one, entry, now: entry[2] <= now - older_than_s)

    def _give_up(self, is_meant: Callable[[_Waiting, Entry, float], bool]) -> list[Message]:
        found: list[Message] = []
        with self._changed:
            now = monotonic()
            for one in self._lanes.values():
                given = [entry for entry in one.heap if is_meant(one, entry, now)]
                if given:
                    gone = {entry[1] for entry in given}
                    one.heap = [entry for entry in one.heap if entry[1] not in gone]
                    heapq.heapify(one.heap)
                    one.unsettled -= len(given)
                    found += [entry[4] for entry in given]
            self._changed.notify_all()
        return found

    def settle(self, messages: Sequence[Message]) -> None:
        """The outcomes of these are written, or will never be: there is room for others."""
        with self._changed:
            now = monotonic()
            for message in messages:
                self._lanes[Lane(message.channel, message.exercise)].unsettled -= 1
            wanted = any(
                one.is_hungry and one.room(now) >= max(1, one.ahead(now) // 2)
                for one in self._lanes.values()
            )
            self._changed.notify_all()
        if wanted:
            self._free()

    def wait(self, timeout_s: float) -> bool:
        """Waits until nothing is on its way or unwritten; False when it takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not any(one.unsettled for one in self._lanes.values()), timeout=timeout_s
            )

    def _work(self, lane: Lane) -> None:
        """One thread: sends what waits in its lane, for as long as the process lives."""
        one = self._lanes[lane]
        me = threading.get_ident()
        while True:
            with self._changed:
                one.idle += 1
                while (entry := one.pick()) is None:
                    self._changed.wait()
                one.idle -= 1
                _, _, _, ends_at, message = entry
                began_at = monotonic()
                one.began[me] = (began_at, message)
            if began_at >= ends_at:
                # The process slept, or the machine did: somebody else has it by now.
                log.warning("lease_was_lost", delivery_id=str(message.delivery_id))
                with self._changed:
                    del one.began[me]
                self.settle([message])
                continue
            outcome = self._send(message)
            took_s = monotonic() - began_at
            with self._changed:
                del one.began[me]
                one.ended(message, took_s)
                if one.shares(message):
                    self._changed.notify_all()
                mean_s = took_s if one.mean_s is None else one.mean_s
                one.mean_s = mean_s + RECENT * (took_s - mean_s)
            self._tried(Sent(message, outcome, took_s, ends_at))

    def _send(self, message: Message) -> Outcome:
        said: dict[telemetry.Attribute, str | int] = {
            "waylight.channel": message.channel,
            "waylight.message": message.kind,
        }
        if message.rests_s is not None:
            return Outcome(Result.FAILED, RESTS, retry_after_s=message.rests_s)
        channel = self.channels.get(message.channel)
        if channel is None:
            return Outcome(Result.FAILED, "no_such_channel")
        try:
            with telemetry.span("deliver", attributes=said):
                return channel.send(message)
        except Exception as error:
            log.exception("channel_failed", channel=message.channel)
            return Outcome(Result.FAILED, type(error).__name__)
