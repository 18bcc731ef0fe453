"""A client of the live stream for tests: a plain socket, so that nobody reads behind our back."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.processes import PATIENCE_S
from tests.proxy import soon

PATH = "/v1/alerts/stream"


@dataclass(frozen=True)
class Told:
    """One event of a stream, as it stood there."""

    type: str
    id: str | None
    data: dict[str, Any]
    retry_ms: int | None


class Stream:
    """One connection. `head` is there when this returns; events arrive in `told` by themselves."""

    def __init__(
        self,
        port: int,
        *,
        token: str | None = None,
        path: str = PATH,
        last_event_id: str | None = None,
        headers: str = "",
        reading: bool = True,
        buffer: int | None = None,
        method: str = "GET",
    ) -> None:
        self.told: list[Told] = []
        self.comments = 0
        self.problem: dict[str, Any] = {}
        self.ended = threading.Event()
        self._socket = socket.socket()
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(PATIENCE_S)
        self._file = self._socket.makefile("rb")
        self.head: dict[str, str] = {}
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Accept: text/event-stream"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if last_event_id is not None:
            lines.append(f"Last-Event-ID: {last_event_id}")
        try:
            self._socket.connect(("127.0.0.1", port))
            self._socket.sendall(("\r\n".join(lines) + f"\r\n{headers}\r\n").encode())
            self.status = int(self._file.readline().split()[1])
            for line in iter(self._file.readline, b"\r\n"):
                name, _, value = line.decode().partition(":")
                self.head[name.lower()] = value.strip()
        except (OSError, ValueError, IndexError):
            self.close()  # a server that was killed in the middle of its head, among others
            raise
        if self.status != 200:
            length = int(self.head["content-length"]) if method != "HEAD" else 0
            self.problem = json.loads(self._file.read(length)) if length else {}
            self.close()
        elif method == "HEAD":
            self.close()
        elif reading:
            threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()

    def events(self, *types: str) -> list[Told]:
        """Those that are not about the stream itself, of these types if any are named."""
        found = [one for one in list(self.told) if not one.type.startswith("stream.")]
        return [one for one in found if not types or one.type in types]

    def about(self, kind: str) -> list[Told]:
        """Those about the stream itself."""
        return [one for one in list(self.told) if one.type == kind]

    def opened(self) -> "Stream":
        """Itself, once it is among those who are told."""
        soon(lambda: self.about("stream.open"))
        return self

    @property
    def last_id(self) -> str:
        """What a browser would send as `Last-Event-ID`."""
        return next(one.id for one in reversed(self.told) if one.id is not None)

    def _read(self) -> None:
        try:
            block: list[str] = []
            for lines in self._lines():
                told: list[Told] = []
                for line in lines:
                    if line:
                        block.append(line)
                    else:
                        told += self._read_block(block)
                        block = []
                # At once: what the server says in one breath nobody sees half of.
                self.told += told
        except (OSError, ValueError):
            pass  # cut, by the server or by us
        finally:
            self.ended.set()

    def _read_block(self, block: list[str]) -> list[Told]:
        fields: dict[str, str] = {}
        for line in block:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        if "" in fields:
            self.comments += 1
        if "data" not in fields:
            return []
        retry = fields.get("retry")
        return [
            Told(
                fields["event"],
                fields.get("id"),
                json.loads(fields["data"]),
                None if retry is None else int(retry),
            )
        ]

    def _lines(self) -> Iterator[list[str]]:
        """The lines of one chunk after the other."""
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield [line.decode() for line in lines]

    def _chunks(self) -> Iterator[bytes]:
        assert self.head["transfer-encoding"] == "chunked"
        while size := int(self._file.readline() or b"0", 16):
            yield self._file.read(size)
            self._file.readline()


@contextlib.contextmanager
def following(port: int, **how: Any) -> Iterator[Stream]:
    """A stream that is open, and closed in the end."""
    stream = Stream(port, **how)
    try:
        yield stream.opened() if stream.status == 200 else stream
    finally:
        stream.close()
