"""A line to the database that a test can let hang, cut, or take away."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.ports import free_port


class Line:
    """Forwards connections from a loopback port to PostgreSQL, until told otherwise.

    A hanging server and a hanging line look the same to a client: the socket is open, and nothing
    comes out of it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        target = conninfo_to_dict(url)
        host, port = str(target.get("host") or "127.0.0.1"), int(target.get("port") or 5432)
        self._address = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._port = free_port()  # which it comes back to: `start`
        self._listener = self._listen(self._port)

    def url(self) -> str:
        return make_conninfo(self._url, host="127.0.0.1", port=self._port, sslmode="disable")

    def hang(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Ends every connection there is; new ones are welcome, as after a quick restart."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Cuts, and refuses new connections until `start`."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def start(self) -> None:
        self._listener = self._listen(self._port)

    def close(self) -> None:
        self._closed = True
        self._flowing.set()
        self.stop()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(50)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, listener), daemon=True).start()

    def _carry(self, client: socket.socket, listener: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        with client, socket.socket(family) as server:
            self._open |= {client, server}
            if listener.fileno() < 0:
                return  # stopped before this connection was there to be cut
            with contextlib.suppress(OSError):
                self._flowing.wait()
                server.connect(self._address)
                other = {client: server, server: client}
                while not self._closed:
                    readable, _, _ = select.select([client, server], [], [], 0.5)
                    self._flowing.wait()
                    for end in readable:
                        data = end.recv(65536)
                        if not data:
                            return
                        other[end].sendall(data)
            self._open -= {client, server}


def soon(happens: Callable[[], object]) -> None:
    """Waits for what a thread or process is about to do; as long only when it fails."""
    give_up_at = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
