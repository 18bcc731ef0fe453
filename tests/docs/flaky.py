"""A bad line between a phone and the API: answers that are lost, and 503."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Line:
    """What went over it: the key and the body of each request, in order."""

    url: str = ""
    requests: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def flaky(upstream: str, mishaps: Sequence[str]) -> Iterator[Line]:
    """A line on which the first requests have these mishaps, and all others none.

    `lost`: the API answers, and the answer does not arrive. `503`: it does not get that far.
    """
    line, left = Line(), list(mishaps)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            line.requests.append((self.headers["Idempotency-Key"], body))
            mishap = left.pop(0) if left else None
            if mishap == "503":
                self.send_response(503)
                self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = HTTPConnection(urlsplit(upstream).netloc, timeout=120)
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            if mishap == "lost":
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Encoding"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    line.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
