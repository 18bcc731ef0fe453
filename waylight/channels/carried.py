"""Text messages and e-mail: one channel, carried by one of several providers.

A provider that fails for a reason that may pass is not waited for: the next one is asked within the
same attempt, and the one that failed is asked last for a while. What a provider says of the address
itself is believed: nobody is asked twice whether a telephone exists.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Protocol

from waylight.domain.alerts import Message, Outcome, Result
from waylight.log import get_logger
from waylight.messages import DEFAULT, Worded, word

SHUNNED_S = 60.0
"""How long a provider that failed is asked after all others."""

SHARE = 0.6
"""Of the lease: the rest is for writing down what became of it."""

LEAST_S = 1.0
"""With less time than this left no provider is asked any more."""

MOST_STUCK = 16
"""Calls that outlived their time, at once; more would mean a thread for each message."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Letter:
    """What a provider carries: to whom, in words."""

    message: Message
    to: str = field(repr=False)
    worded: Worded


class Carrier(Protocol):
    """One provider. `name` is how receipts and attempts call it."""

    name: str

    def carry(self, letter: Letter, *, within_s: float) -> Outcome:
        """Hands a letter over. Raises for what it did not foresee; that may pass.

        `failed` is for what may pass or is the provider's own trouble, such as a wrong key;
        `refused` and `gone` are about the address. The detail never quotes the provider: its words
        may hold the address.
        """
        ...


class Carried:
    """A channel whose messages go to an address, such as a telephone number or a mailbox.

    `field` is where the address is in the target. Safe for several threads.
    """

    def __init__(
        self,
        carriers: Sequence[Carrier],
        *,
        field: str,
        lease_s: float,
        replies: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._carriers = tuple(carriers)
        self._field = field
        self._budget_s = lease_s * SHARE
        self._replies = replies
        self._clock = clock
        self._failed_at: dict[str, float] = {}
        self._stuck: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def send(self, message: Message) -> Outcome:
        """Sends one message by the first provider that takes it, well within the lease.

        `failed` only when every provider failed, with all their reasons.
        """
        to = message.target and message.target.address.get(self._field)
        if message.target is None or not isinstance(to, str):
            return Outcome(Result.REFUSED, "address_unreadable")
        language = message.target.address.get("language", DEFAULT)
        letter = Letter(message, to, word(message, language, replies=self._replies))
        ends_at = self._clock() + self._budget_s
        failures: list[Outcome] = []
        for left, carrier in self._in_order():
            remaining_s = ends_at - self._clock()
            if remaining_s < LEAST_S:
                break
            # Whoever comes next must have time as well.
            outcome = self._ask(carrier, letter, within_s=remaining_s / left)
            if outcome.result is not Result.FAILED:
                return replace(outcome, detail=_reasons(failures, outcome))
            failures.append(outcome)
        waits = [outcome.retry_after_s for outcome in failures]
        # Only when all ask for time is there nobody to try sooner.
        wait_s = min(wait for wait in waits if wait) if waits and all(waits) else None
        last = failures[-1] if failures else Outcome(Result.FAILED)
        return replace(last, detail=_reasons(failures) or "no_time_left", retry_after_s=wait_s)

    def _in_order(self) -> list[tuple[int, Carrier]]:
        """The providers to ask, each with how many there are from it on."""
        now = self._clock()
        with self._lock:
            failed_at = dict(self._failed_at)

        def shunned(carrier: Carrier) -> float:
            since = failed_at.get(carrier.name, float("-inf"))
            return since if now - since < SHUNNED_S else float("-inf")

        ordered = sorted(self._carriers, key=shunned)
        return [(len(ordered) - at, carrier) for at, carrier in enumerate(ordered)]

    def _ask(self, carrier: Carrier, letter: Letter, *, within_s: float) -> Outcome:
        outcome = self._bounded(carrier, letter, within_s=within_s)
        with self._lock:
            if outcome.result is Result.FAILED:
                self._failed_at[carrier.name] = self._clock()
            else:
                self._failed_at.pop(carrier.name, None)
        return replace(outcome, provider=carrier.name)

    def _bounded(self, carrier: Carrier, letter: Letter, *, within_s: float) -> Outcome:
        """Asks in a thread that is left behind when its time is over.

        The libraries bound each read, not the whole: an answer that drips would outlast the lease.
        """
        found: list[Outcome] = []

        def carry() -> None:
            try:
                found.append(carrier.carry(letter, within_s=within_s))
            except Exception as error:  # noqa: BLE001 - whatever it is, the next provider is asked
                # Neither its text nor its stack: they may hold the address.
                log.warning("provider_failed", provider=carrier.name, error=type(error).__name__)
                found.append(Outcome(Result.FAILED, type(error).__name__))

        with self._lock:
            self._stuck = {thread for thread in self._stuck if thread.is_alive()}
            if len(self._stuck) >= MOST_STUCK:
                return Outcome(Result.FAILED, "stuck")
        thread = threading.Thread(target=carry, daemon=True)
        thread.start()
        thread.join(within_s)
        if found:
            return found[0]
        with self._lock:
            self._stuck.add(thread)
        return Outcome(Result.FAILED, "timeout")


def _reasons(failures: Sequence[Outcome], last: Outcome | None = None) -> str | None:
    """Who failed and why, then what the last one said."""
    said = [f"{one.provider}: {one.detail}" for one in failures]
    if last is not None and last.detail:
        said.append(f"{last.provider}: {last.detail}")
    return "; ".join(said) or None
