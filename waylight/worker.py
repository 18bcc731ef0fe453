"""THE BACK DOOR: claim, deliver, escalate, expand, purge. Any number of workers may run.

One loop does what somebody waits for: deliveries, the ladder, reports that could not be routed.
Threads beside it number events, do the chores and listen for hints; others send, and one writes
down what became of what was sent, so that neither a slow provider nor a long chore keeps an alert
waiting.
"""

import os
import random
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic, sleep

import orjson
from prometheus_client import start_http_server

from schemas.events import envelope
from waylight import metrics, telemetry
from waylight.channels import Channel, open_channels
from waylight.channels.senders import Senders, Sent
from waylight.config import Settings
from waylight.domain.alerts import NextAttempt
from waylight.domain.errors import Unavailable
from waylight.domain.events import PublicEvent
from waylight.domain.webhooks import CHANNEL as WEBHOOK
from waylight.log import configure_logging, get_logger
from waylight.services import alerts, audit, drills, hints, hubs, webhooks
from waylight.services.alerts import check_ins
from waylight.services.clock import Clock
from waylight.services.context import Waylight, open_waylight
from waylight.services.operations import chores

RECORDED_AT_ONCE = 100
"""Outcomes written in one transaction, when so many have come while the last was being written."""

NUMBER_EVERY_S = 0.25
"""How soon an event has its number when no hint came."""

CLIMBS_A_TURN = 20
"""So that the deliveries of the first climbed do not wait for the last."""

BEAT_EVERY_S = 3.0
"""A worker counts as dead after 15 s of silence."""

HELD_FOR = timedelta(seconds=0.5)
"""When what has no share of the senders just now is looked at again."""

LOOK_EVERY_S = 1.0
"""Whether the team that a ladder waits for has gone off duty: all teams are looked at."""

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
GRACE_S = 10.0
"""How long messages that are being sent may take when the worker is told to stop."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Chore:
    """Something to do every so often; when it fails, again after `again_s`."""

    name: str
    run: Callable[[], object]
    every_s: float
    again_s: float = 30.0


def run(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then finishes what is being sent and gives back the rest.

    Raises ConfigurationError for a channel that does not exist.
    """
    configure_logging(settings.log_level)
    traces = telemetry.start("waylight-worker", os.environ)
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        # A second signal is for whoever cannot wait.
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    waylight = open_waylight(settings)
    if settings.worker_metrics_port:
        _tell_prometheus(settings.worker_metrics_port)
    try:
        Worker(waylight, channels=open_channels(settings)).run(stop)
    finally:
        waylight.database.close()
        if traces is not None:
            traces.shutdown()


def _tell_prometheus(port: int) -> None:
    """Serves what this process counts on the loopback interface."""
    try:
        start_http_server(port, addr="127.0.0.1", registry=metrics.REGISTRY)
    except OSError:
        # A second worker of this machine, mostly: nobody waits for help because of a number.
        log.exception("worker_metrics_not_served", port=port)


class Worker:
    """One worker process. Everything it knows is in the database; it can die at any point."""

    def __init__(
        self,
        waylight: Waylight,
        *,
        channels: Mapping[str, Channel],
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._database = waylight.database
        self._vault = waylight.vault
        self._settings = waylight.settings
        # Workers on machines whose clocks differ must agree on whose lease has ended.
        self._clock = clock or Clock(waylight.database)
        self._started_at: datetime | None = None
        self._beaten_at = float("-inf")
        self._looked_at = float("-inf")
        self._tried: SimpleQueue[Sent] = SimpleQueue()
        self._recorder: threading.Thread | None = None
        self._orphaned: tuple[str, ...] = ()
        self._work, self._events = threading.Event(), threading.Event()
        self._senders = Senders(channels, tried=self._tried.put, free=self._work.set)

    def run(self, stop: threading.Event) -> None:
        """Turns until `stop` is set. Survives whatever happens to the database."""
        log.info("worker_started", worker_id=self.id)
        beside = [
            threading.Thread(target=part, args=(stop,), name=name, daemon=True)
            for name, part in (
                ("chores", self._keep_order),
                ("sequencer", self._number_events),
                ("hints", self._listen),
            )
        ]
        for thread in beside:
            thread.start()
        wait_s, swept_at = FIRST_WAIT_S, float("-inf")
        while not stop.is_set():
            sweep = monotonic() - swept_at >= self._settings.worker_poll_s
            try:
                more = self.turn() if sweep else self.deliver()
            except Unavailable:
                metrics.count(metrics.WORKER_TURNS, "unavailable")
                log.warning("database_unavailable", again_in_s=wait_s)
                stop.wait(wait_s * (0.5 + random.random() / 2))  # noqa: S311 - spreads workers
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                continue
            wait_s = FIRST_WAIT_S
            if sweep:
                swept_at = monotonic()
                metrics.count(metrics.WORKER_TURNS, "done")
            if not more:
                self._work.wait(self._settings.worker_poll_s)
                self._work.clear()
        self._finish()
        for thread in beside:
            thread.join(timeout=1.0)
        log.info("worker_stopped", worker_id=self.id)

    def turn(self) -> bool:
        """Does once all that is due; True when there is more. Raises Unavailable.

        A failing part is logged and does not keep the others from their turn. No beat follows a
        turn that could not deliver or climb: a worker that cannot do its work does not live.
        """
        self._ask_time()
        delivered = self._try("deliver", self._deliver_due)
        if monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = monotonic()
            self._try("off_duty", self._pass_over_off_duty)
        climbed = self._try("climb", self._climb_due)
        self._try("check_ins", self._watch_check_ins)
        routed = self._try("route_waiting", self._route_waiting)
        self._try("redirect_walks", self._redirect_walks)
        if None not in (delivered, climbed) and monotonic() - self._beaten_at >= BEAT_EVERY_S:
            self._try("beat", self._beat)
        return bool(delivered or climbed or routed)

    def _ask_time(self) -> None:
        if isinstance(self._clock, Clock):
            self._clock.ask()
        if self._started_at is None:
            self._started_at = self._clock()

    def deliver(self) -> bool:
        """Does only what a hint may be about; True when there is more. Raises Unavailable."""
        return bool(self._try("deliver", self._deliver_due))

    def number(self) -> bool:
        """Numbers events once and queues them for webhooks; True when there are more.

        Raises Unavailable.
        """
        numbered = self._try("number_events", lambda: chores.number_events(self._database))
        more = False
        if WEBHOOK in self._senders.channels:
            more = bool(self._try("tell_webhooks", self._tell_webhooks))
        return numbered == chores.BATCH or more

    def _tell_webhooks(self) -> bool:
        told = webhooks.tell_webhooks(self._database, now=self._clock())
        if told.queued:
            self._work.set()
        return told.more

    def _render(self, event: PublicEvent) -> bytes:
        return orjson.dumps(envelope(event, base_url=self._settings.base_url))

    def _try(self, name: str, part: Callable[[], object]) -> object:
        try:
            return part()
        except Unavailable:
            raise
        except Exception:
            log.exception("worker_part_failed", part=name)
            metrics.count(metrics.WORKER_FAILURES, name)
            return None

    def _deliver_due(self) -> bool:
        """Gives each message due to the senders, as far as there is room; True for more."""
        if self._senders.is_hungry(without_room=True):
            self._work.wait(self._settings.worker_poll_s)
            self._work.clear()
        self._give_back_stale()
        room = self._senders.room((*self._senders.channels, *self._orphaned))
        if not room:
            return True
        claimed_at = monotonic()
        messages = alerts.claim(
            self._database,
            self._vault,
            self.id,
            free={lane.channel: free for lane, free in room.items() if not lane.exercise},
            drills={lane.channel: free for lane, free in room.items() if lane.exercise},
            lease_s=self._settings.lease_s,
            base_url=self._settings.base_url,
            render=self._render,
            now=self._clock(),
        )
        if messages and self._recorder is None:
            self._recorder = threading.Thread(target=self._record, name="recorder", daemon=True)
            self._recorder.start()
        self._senders.take(messages, room, ends_at=claimed_at + self._settings.lease_s)
        self._give_back_held()
        return self._senders.is_hungry()

    def _give_back_stale(self) -> None:
        """Leaves to others what was taken ahead and cannot be sent soon."""
        stale = self._senders.give_up_stale()
        if stale:
            log.info("taken_ahead_given_back", worker_id=self.id, count=len(stale))
            alerts.give_back(self._database, self.id, due_at=self._clock(), only=stale)
        self._give_back_held()

    def _give_back_held(self) -> None:
        """Puts off what waits for the share of a slow receiver, so that the rest is claimed."""
        held = self._senders.give_up_held()
        if held:
            later = self._clock() + HELD_FOR
            alerts.give_back(self._database, self.id, due_at=later, only=held)

    def _climb_due(self) -> bool:
        climbed = alerts.climb(
            self._database,
            channels=self._settings.channels,
            now=self._clock(),
            limit=CLIMBS_A_TURN,
        )
        if climbed:
            self._events.set()
        return climbed == CLIMBS_A_TURN

    def _pass_over_off_duty(self) -> None:
        alerts.pass_over_off_duty(self._database, now=self._clock(), limit=CLIMBS_A_TURN)

    def _watch_check_ins(self) -> None:
        check_ins.watch(
            self._database,
            channels=self._settings.channels,
            now=self._clock(),
            limit=CLIMBS_A_TURN,
        )

    def _route_waiting(self) -> bool:
        routed = alerts.route_waiting(self._database, now=self._clock(), limit=CLIMBS_A_TURN)
        return routed == CLIMBS_A_TURN

    def _redirect_walks(self) -> None:
        hubs.redirect_walks(
            self._database, channels=self._settings.channels, now=self._clock(), limit=CLIMBS_A_TURN
        )

    def _beat(self) -> None:
        chores.beat(
            self._database,
            self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at or self._clock(),
            now=self._clock(),
        )
        self._beaten_at = monotonic()

    def _record(self) -> None:
        """Writes down what became of what was sent, in handfuls when there is much."""
        while True:
            tried = [self._tried.get()]
            while len(tried) < RECORDED_AT_ONCE:
                try:
                    tried.append(self._tried.get_nowait())
                except Empty:
                    break
            if not self._try_to_write(tried) and len(tried) > 1:
                # One that cannot be written must not take the others with it.
                for one in tried:
                    self._try_to_write([one])
            self._senders.settle([one.message for one in tried])
            self._events.set()

    def _try_to_write(self, tried: Sequence[Sent]) -> bool:
        try:
            self._write(tried)
        except Exception:
            # Nothing is lost: the leases end, and the messages are sent again.
            ids = [str(one.message.delivery_id) for one in tried]
            log.exception("outcome_not_recorded", delivery_ids=ids)
            return False
        return True

    def _write(self, tried: Sequence[Sent]) -> None:
        """Writes the outcomes; while the database is away, for as long as a lease lasts."""
        rest = {one.message.delivery_id: one for one in tried}
        wait_s = FIRST_WAIT_S
        while rest:
            try:
                follow_ups = alerts.record_all(
                    self._database,
                    [(one.message, one.outcome, one.took_s) for one in rest.values()],
                    worker_id=self.id,
                    jitter=random.random,
                    now=self._clock(),
                )
            except Unavailable:
                if monotonic() + wait_s >= max(one.ends_at for one in rest.values()):
                    raise
                sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                continue
            for delivery_id, following in follow_ups.items():
                _tell_of(rest.pop(delivery_id), following)

    def _finish(self) -> None:
        log.info("worker_stopping", worker_id=self.id)
        self._senders.give_up_stale(older_than_s=0.0)
        self._senders.wait(GRACE_S)
        try:
            given = alerts.give_back(self._database, self.id, due_at=self._clock())
            chores.stop_beating(self._database, self.id)
            log.info("leases_given_back", worker_id=self.id, count=given)
        except Unavailable:
            log.warning("leases_left_to_run_out", worker_id=self.id)

    def _chores(self) -> Sequence[Chore]:
        database = self._database
        return (
            Chore("partitions", lambda: chores.make_partitions(database), every_s=3600),
            Chore(
                "schedules",
                lambda: chores.expand_schedules(database, now=self._clock()),
                every_s=60,
            ),
            Chore("purge", lambda: chores.purge(database, now=self._clock()), every_s=3600),
            Chore("orphans", self._find_orphans, every_s=60),
            Chore("times", self._set_times_right, every_s=60),
            Chore("drills", self._drill, every_s=15),
            Chore(
                "overrides",
                lambda: hubs.tell_of_ended_overrides(database, now=self._clock()),
                every_s=5,
            ),
            Chore("audit", self._seal, every_s=10),
            Chore("audit, all of it", lambda: self._seal(everything=True), every_s=3600),
        )

    def _seal(self, *, everything: bool = False) -> None:
        audit.seal(self._database, self._vault, now=self._clock(), everything=everything)

    def _set_times_right(self) -> None:
        chores.set_times_right(self._database, lease_s=self._settings.lease_s, now=self._clock())

    def _drill(self) -> None:
        drills.keep(self._database, self._vault, self._settings, now=self._clock())

    def _find_orphans(self) -> None:
        """Sees to messages of channels that no worker has any more: they are given up in the end.

        Left alone they would wait for ever, and a ladder that rests would never hear of it.
        """
        # A webhook that rests or is paused waits, and no ladder waits for it.
        known = {*self._senders.channels, WEBHOOK}
        self._orphaned = alerts.orphaned_channels(
            self._database, known=list(known), now=self._clock()
        )

    def _number_events(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                more = self.number()
            except Unavailable:
                stop.wait(FIRST_WAIT_S)
                continue
            if not more:
                self._events.wait(NUMBER_EVERY_S)
                self._events.clear()

    def _listen(self, stop: threading.Event) -> None:
        """Wakes the loops when a hint comes. Whatever happens here, they look by themselves."""
        while not stop.is_set():
            try:
                for hinted in hints.listen(self._database, hints.WORK, every_s=1.0):
                    if hinted:
                        self._work.set()
                        self._events.set()
                    if stop.is_set():
                        return
            except Unavailable:
                stop.wait(LONGEST_WAIT_S)
            except Exception:
                log.exception("listening_failed")
                stop.wait(LONGEST_WAIT_S)

    def _keep_order(self, stop: threading.Event) -> None:
        due = dict.fromkeys(self._chores(), float("-inf"))
        while not stop.is_set():
            for chore in due:
                if monotonic() >= due[chore]:
                    due[chore] = monotonic() + self._do(chore)
            stop.wait(1.0)

    def _do(self, chore: Chore) -> float:
        """Does a chore; returns the seconds until it is due again."""
        try:
            chore.run()
        except Unavailable:
            return chore.again_s
        except Exception:
            log.exception("chore_failed", chore=chore.name)
            metrics.count(metrics.WORKER_FAILURES, chore.name)
            return chore.again_s
        return chore.every_s


def _tell_of(one: Sent, following: NextAttempt | None) -> None:
    """The log's line on an attempt that did not go well."""
    if following is None:
        log.warning("lease_was_lost", delivery_id=str(one.message.delivery_id))
    elif following.status in ("failed", "queued"):
        log.warning(
            "delivery_failed" if following.status == "failed" else "delivery_again",
            delivery_id=str(one.message.delivery_id),
            channel=one.message.channel,
            attempt=one.message.attempt,
            detail=one.outcome.detail,
        )
