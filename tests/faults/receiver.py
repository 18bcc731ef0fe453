"""The far side of a channel: takes messages over HTTP, and can be slow, silent or broken."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from waylight.domain.alerts import Message, Outcome, Result

LINE_TIMEOUT_S = 2.0
"""How long the channel of these tests waits for an answer: well within a lease."""

WELL, SLOW, BLACK_HOLE, BROKEN, CUT = "well", "slow", "black hole", "broken", "cut"


class Receiver:
    """Listens on the loopback interface; `taken` counts what it has confirmed, by delivery."""

    def __init__(self) -> None:
        self.mode = WELL
        self.taken: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.swallowed: set[tuple[str, int]] = set()
        """What came into the black hole, by delivery and attempt."""
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> int:
        """The answer to one message, as the mode has it; also one that was taken may go unheard."""
        mode = self.mode
        if mode == BROKEN:
            return 500
        if mode == BLACK_HOLE:
            came = json.loads(body)
            with self._lock:
                self.swallowed.add((came["delivery_id"], int(came["attempt"])))
            self._released.wait(LINE_TIMEOUT_S * 2)
            return 0
        if mode == SLOW:
            self._released.wait(LINE_TIMEOUT_S / 3)
        message = json.loads(body)
        with self._lock:
            if not message["kind"] or not message["delivery_id"]:
                self.unexpected.append(body.decode())
            self.taken[message["delivery_id"]] += 1
        return 0 if mode == CUT else 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with contextlib.suppress(OSError):
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    status = receiver.take(body)
                    if status:
                        self.send_response(status)
                        self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the tests look at what was taken."""

        return Handler


class Line:
    """The channel: `delivered` when the receiver has confirmed, and a failure for anything else."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, message: Message) -> Outcome:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LINE_TIMEOUT_S)
        try:
            said = {name: str(value) for name, value in asdict(message).items()}
            connection.request("POST", "/", body=json.dumps(said))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return Outcome(Result.FAILED, type(error).__name__)
        finally:
            connection.close()
        if status == 204:
            return Outcome(Result.DELIVERED if message.attempt % 2 else Result.SENT)
        return Outcome(Result.FAILED, f"status_{status}")
