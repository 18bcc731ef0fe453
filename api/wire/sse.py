"""A response that does not end: Server-Sent Events (html.spec.whatwg.org, 9.2) over WSGI."""

import secrets
import select
import socket
from collections.abc import Generator, Iterator
from contextlib import suppress
from time import monotonic
from uuid import UUID

from flask import request
from gevent.monkey import get_original  # type: ignore[import-untyped] # it publishes none

from schemas.common import WireId
from schemas.stream import CLOSING, HEARTBEAT, LONGEST_ID, OPEN, PLACE, RESET, stream_block
from waylight.domain.errors import Unavailable
from waylight.domain.stream import HEARTBEAT_S, RETRY_S, SIGN_EVERY, End, Lost
from waylight.services.stream import Feed, Follower
from waylight.vault import Vault, VaultError

PLACE_PREFIX = "place_"
SEND_BUFFER = 262_144
"""Bytes that the system keeps for one client: what is beyond waits where it is counted."""

SILENT_MS = 60_000
"""How long a client may leave what was sent unconfirmed: one whose phone fell into the water never
says goodbye, and the system's own patience is a quarter of an hour."""

# gevent's own waits; a look that does not wait needs the real one.
_poll = get_original("select", "poll")
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0x2000)


class SocketLine:
    """The connection under a response; none where there is no real server."""

    def __init__(self, found: socket.socket | None) -> None:
        self._socket = found
        if found is not None:
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)

    def has_hung_up(self) -> bool:
        """Whether the client has closed its side: we read nothing more, so nobody else notices."""
        if self._socket is None:
            return False
        number = self._socket.fileno()
        if number < 0:
            return True
        look = _poll()
        look.register(number, _HUNG_UP)
        return bool(look.poll(0))

    def cut(self) -> None:
        """Ends the connection, also under a greenlet that is waiting to write."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def resume_from(given: str | None, vault: Vault) -> UUID | int | Lost | None:
    """The event or the place that a client asks to go on after; Lost for what was never one."""
    text = request.headers.get("Last-Event-ID") or given
    if not text:
        return None
    if len(text) > LONGEST_ID:
        return Lost.UNKNOWN
    try:
        if text.startswith(PLACE_PREFIX):
            return vault.open_number("place", text.removeprefix(PLACE_PREFIX))
        return WireId.read("event", text)
    except (ValueError, VaultError):
        return Lost.UNKNOWN


class EventStream:
    """The body of one stream. Whoever serves it must `close` it, begun or not (PEP 3333)."""

    def __init__(
        self, feed: Feed, follower: Follower, *, vault: Vault, resuming: bool, inbox: str
    ) -> None:
        self._feed = feed
        self._follower = follower
        self._vault = vault
        self._resuming = resuming
        self._inbox = inbox
        self._parts = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Makes room for another client, and ends the connection.

        The server would keep it for the next request, and a process that stops would wait for it.
        What has been sent still arrives.
        """
        self._parts.close()
        self._feed.leave(self._follower)
        self._follower.line.cut()

    def _run(self) -> Generator[bytes]:
        follower = self._follower
        yield self._opening()
        due = monotonic() + HEARTBEAT_S
        try:
            for missed in self._feed.catch_up(follower):
                if missed or monotonic() >= due:
                    yield b"".join(missed) or HEARTBEAT
                    due = monotonic() + HEARTBEAT_S
        except Unavailable:
            follower.finish(End.DATABASE_LOST)
        while True:
            blocks = follower.take(due - monotonic())
            if blocks:
                yield b"".join(blocks)
            elif follower.end is not None:
                break
            elif monotonic() >= due:
                yield self._heartbeat()
            else:
                continue
            due = monotonic() + HEARTBEAT_S
        if follower.end not in (End.LEFT, End.TOO_SLOW):
            yield stream_block(CLOSING, retry_ms=_retry_ms(), reason=follower.end)

    def _opening(self) -> bytes:
        lost = self._follower.lost
        place = None if self._resuming and lost is None else self._place(self._follower.after)
        said: dict[str, object] = {"heartbeat_s": round(HEARTBEAT_S)}
        opening = stream_block(OPEN, id=place, retry_ms=_retry_ms(), **said)
        if lost is not None:
            opening += stream_block(RESET, id=place, reason=lost, link=self._inbox)
        return opening

    def _heartbeat(self) -> bytes:
        last = self._feed.last
        missed = self._follower.take(0)
        if missed:
            return b"".join(missed)
        if last - self._follower.after < SIGN_EVERY:
            return HEARTBEAT
        self._follower.after = last
        return stream_block(PLACE, id=self._place(last))

    def _place(self, number: int) -> str:
        return PLACE_PREFIX + self._vault.seal_number("place", number)


def _retry_ms() -> int:
    shortest, longest = (round(1000 * limit) for limit in RETRY_S)
    return shortest + secrets.randbelow(longest - shortest)
