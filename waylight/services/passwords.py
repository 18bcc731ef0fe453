"""Passwords are hashed and checked here, beside the loop that serves everybody else (D17).

One hash takes tens of milliseconds and 19 MiB: a few at a time, the others wait in line.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from waylight.domain import passwords
from waylight.domain.errors import InvalidRequest, Problem, Unavailable

HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
"""argon2id with 19 MiB, two passes and one lane, OWASP's first choice (Password Storage Cheat
Sheet, 2025). A hash made with others is made anew when its person signs in."""

NOBODYS = (
    "$argon2id$v=19$m=19456,t=2,p=1$XPlJn+XaVlTZD7RwKV/2lg$"
    "ZCE2QtkQ9XgdckKMKv11gmxplPlCoFQWa2uKjHMQIho"
)
"""What is checked where there is no account: the same work, and never right."""

AT_ONCE = 2
IN_LINE = 40
"""Sign-ins of one process that are at work or wait; further ones hear 503."""

LINE_S = 10.0

FOLDER = Path(__file__).resolve().parents[2] / "data" / "passwords"

Found = TypeVar("Found")

_line = threading.BoundedSemaphore(IN_LINE)
_lanes: dict[int, Any] = {}


def hash_password(password: str) -> str:
    """What is stored of a password. Raises Unavailable when too many are being hashed."""
    return _beside(HASHER.hash, passwords.normal(password))


def is_right(stored: str | None, password: str) -> bool:
    """Whether this is the password; without one, the same work for a no. Raises Unavailable."""
    return _beside(_verify, stored or NOBODYS, passwords.normal(password)) and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def check_new(password: str, *, known: tuple[str, ...]) -> None:
    """Raises InvalidRequest for a password that is too short, common or personal."""
    fault = passwords.fault(password, common=common(), known=(*known, "Waylight"))
    if fault is not None:
        raise InvalidRequest(problems=[Problem("/password", *fault)])


@cache
def common() -> frozenset[str]:
    """The passwords that people choose (data/passwords)."""
    return frozenset((FOLDER / "common.txt").read_text(encoding="utf-8").split("\n"))


def _verify(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _beside(work: Callable[..., Found], *args: str) -> Found:
    """Does the work in a thread of the system, where there is a loop that would stand still."""
    with _in_line():
        pool = _pool()
        found: Found = work(*args) if pool is None else pool.apply(work, args)
        return found


@contextmanager
def _in_line() -> Iterator[None]:
    if not _line.acquire(timeout=LINE_S):
        raise Unavailable("Too many sign in at once: try again.")
    try:
        yield
    finally:
        _line.release()


def _pool() -> Any:  # noqa: ANN401 - gevent publishes no types
    """Threads of gevent, where that serves; its own pool is left to look-ups of names."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    pid = os.getpid()
    if pid not in _lanes:
        from gevent.threadpool import ThreadPool  # type: ignore[import-untyped] # noqa: PLC0415

        _lanes.clear()  # a forked child has none of its parent's threads
        _lanes[pid] = ThreadPool(AT_ONCE)
    return _lanes[pid]
