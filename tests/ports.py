"""Ports for the servers of tests."""

import contextlib
import itertools
import os
import random
import socket

FIRST, LAST = 10_000, 31_999
"""Below those of which Linux gives one to whoever asks for any: nobody gets these by chance."""

SHARES = 8
_share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
_places = itertools.count(random.SystemRandom().randrange(LAST))


def free_port() -> int:
    """A port that nobody listens to, and that no other test is given before it is used.

    One that the system chose and has back may be somebody else's by the time a server has started.
    """
    for place in itertools.islice(_places, LAST - FIRST):
        port = FIRST + (place * SHARES + _share) % (LAST - FIRST + 1)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")
