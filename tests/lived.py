"""Time as a process of the tests lived it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

TICK_S = 0.01
LONGEST_S = 0.1


@contextmanager
def lived() -> Iterator[Callable[[], float]]:
    """Tells how many seconds went by, without those for which a busy machine stopped this process.

    Whoever waits for something that never comes has all of them counted.
    """
    over = threading.Event()
    seconds = 0.0

    def count() -> None:
        nonlocal seconds
        last = monotonic()
        while not over.wait(TICK_S):
            now = monotonic()
            seconds += min(now - last, LONGEST_S)
            last = now

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield lambda: seconds
    finally:
        over.set()
        thread.join()
