"""Channels that a test looks into, and what it asks of the city."""

import threading
from pathlib import Path

from waylight.domain.alerts import Outcome, Result

ROOT = Path(__file__).resolve().parents[2]

PATIENCE_S = 120
"""How long a test waits for what must happen; it takes as long only when it fails."""


class Recorder:
    """A channel that keeps what it is given and says when something came."""

    def __init__(self, outcome=Outcome(Result.SENT)):  # noqa: B008 - frozen
        self.sent = []
        self.outcome = outcome
        self._came = threading.Condition()

    def send(self, message):
        with self._came:
            self.sent.append(message)
            self._came.notify_all()
        return self.outcome

    def wait_for(self, count):
        with self._came:
            assert self._came.wait_for(lambda: len(self.sent) >= count, timeout=PATIENCE_S)


class Stuck(Recorder):
    """A channel that does not come back until it is let go."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()

    def send(self, message):
        super().send(message)
        self.let_go.wait(PATIENCE_S)
        return self.outcome


class Broken(Recorder):
    def send(self, message):
        super().send(message)
        raise OSError("the provider's address +447700900123 is unreachable")


def sent_out(one):
    """Waits until nothing is on its way."""
    assert one._senders.wait(PATIENCE_S)


def delivery(desk):
    (row,) = desk.rows("select * from deliveries")
    return row


class running:  # noqa: N801 - used as a verb
    """A worker that runs beside the test and is told to stop at its end."""

    def __init__(self, one):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=one.run, args=(self.stop,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
