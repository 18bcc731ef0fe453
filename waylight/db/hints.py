"""Hints that there is something to do. A poll is the truth: nothing needs one to arrive (D3)."""

from collections.abc import Iterator
from typing import Any

from psycopg import Connection, sql

WORK = "waylight_work"
"""Something was written that the worker may have to deliver, climb or number."""

EVENTS = "waylight_events"
"""Events have got their numbers."""


def send(conn: Connection[Any], channel: str) -> None:
    """Wakes whoever listens; inside a transaction, when that commits.

    Never in a report's own: a NOTIFY takes a lock on all of the server's until the commit is on
    disk, and every other commit with one would wait.
    """
    conn.execute("select pg_notify(%s, '')", [channel])


def listen(conn: Connection[Any], channel: str, *, every_s: float) -> Iterator[bool]:
    """True for each hint that has come, False whenever there was none for `every_s` seconds.

    `conn` is in autocommit and for nothing else. Never ends by itself; raises
    psycopg.OperationalError when the connection is lost.
    """
    conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
    while True:
        # One that fell silent, as behind a firewall that forgot it, must not look like a quiet day.
        heard = False
        for _ in conn.notifies(timeout=every_s, stop_after=1):
            heard = True
        yield heard
        if not heard:
            conn.execute("select 1")
