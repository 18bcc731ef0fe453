"""Real fakes of the providers of text messages and e-mail, on loopback.

Each takes what the provider takes, checks it as the provider does, and fails the test for whatever
a provider would be surprised by.
"""

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import jwt
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.ports import free_port

SERVICE, SECRET = "8a0a1d9e-3f2e-4d3a-9d65-3f0e1c2b7a10", "5d3c2b1a-0f9e-4d8c-8b7a-6a5b4c3d2e1f"
NOTIFY_KEY = f"waylight-{SERVICE}-{SECRET}"
TEMPLATE = "1f2e3d4c-5b6a-4789-8abc-def012345678"
ACCOUNT, AUTH_TOKEN = "AC" + "0" * 32, "twilio-auth-token"
FROM = "+447700900900"

Behaviour = Callable[["Call"], None]


@dataclass
class Call:
    """One request, and how to answer it."""

    handler: BaseHTTPRequestHandler
    closing: threading.Event

    def answer(self, status: int, body: object, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", "application/json")
        self.handler.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(data)


def says(status: int, body: object = None, **headers: str) -> Behaviour:
    return lambda call: call.answer(status, body if body is not None else {}, **headers)


def never_answers(call: Call) -> None:
    call.closing.wait(30)


def resets(call: Call) -> None:
    """The line breaks: RST instead of an answer."""
    linger = struct.pack("ii", 1, 0)
    call.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    call.handler.connection.close()


def answers_half(call: Call) -> None:
    call.handler.wfile.write(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"id": "ab')
    call.handler.wfile.flush()
    call.handler.connection.shutdown(socket.SHUT_RDWR)


def drips(call: Call) -> None:
    """A byte now and then: no single read of it ever takes long."""
    call.handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 10000\r\n\r\n")
    while not call.closing.wait(0.05):
        call.handler.wfile.write(b" ")


def never_ends(call: Call) -> None:
    call.handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100000000\r\n\r\n")
    while not call.closing.is_set():
        call.handler.wfile.write(b" " * 65_536)


@dataclass
class Api:
    """An HTTP provider. It accepts, unless `next` says otherwise for the calls to come."""

    url: str = ""
    sent: list[dict[str, Any]] = field(default_factory=list)
    next: list[Behaviour] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    """What it called the messages that it took."""


@contextmanager
def notify() -> Iterator[Api]:
    """GOV.UK Notify, as its API documentation of 2025 has it."""

    def take(api: Api, handler: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        claims = jwt.decode(token, key=SECRET, algorithms=["HS256"], leeway=30)
        assert (scheme, claims["iss"]) == ("Bearer", SERVICE)
        kind = handler.path.removeprefix("/v2/notifications/")
        address = {"sms": "phone_number", "email": "email_address"}[kind]
        found: dict[str, Any] = json.loads(body)
        assert set(found) == {address, "template_id", "personalisation", "reference"}
        assert handler.headers["Content-type"] == "application/json"
        assert all(isinstance(value, str) for value in found["personalisation"].values())
        return found

    def accept(api: Api, call: Call) -> None:
        reference = f"740e5834-3a29-46b4-9a6f-{len(api.references):012x}"
        api.references.append(reference)
        call.answer(201, {"id": reference, "reference": None, "content": {}, "template": {}})

    with _serving(take, accept) as api:
        yield api


@contextmanager
def twilio() -> Iterator[Api]:
    """Twilio's Messages resource of 2010-04-01."""

    def take(api: Api, handler: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
        assert handler.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        login = base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        assert handler.headers["Authorization"] == f"Basic {login}"
        assert handler.headers["Content-Type"] == "application/x-www-form-urlencoded"
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
        found = dict(pairs)
        assert len(pairs) == len(found)
        assert set(found) - {"StatusCallback"} == {"To", "From", "Body"}
        assert found["To"].startswith("+")
        assert found["Body"]
        return found

    def accept(api: Api, call: Call) -> None:
        reference = f"SM{len(api.references):032x}"
        api.references.append(reference)
        call.answer(201, {"sid": reference, "status": "queued", "error_code": None})

    with _serving(take, accept) as api:
        yield api


@contextmanager
def _serving(
    take: Callable[[Api, BaseHTTPRequestHandler, bytes], dict[str, Any]],
    accept: Callable[[Api, Call], None],
) -> Iterator[Api]:
    api, closing = Api(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            call = Call(self, closing)
            try:
                found = take(api, self, body)
            except Exception as error:  # noqa: BLE001 - every one of them is told to the test
                api.surprises.append(f"{type(error).__name__}: {error}")
                call.answer(500, {"surprised": True})
                return
            api.sent.append(found)
            try:
                if api.next:
                    self.close_connection = True
                    api.next.pop(0)(call)
                else:
                    accept(api, call)
            except OSError:
                self.close_connection = True  # the client had no patience

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                api.surprises.append(f"{name} {self.path}")
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a connection that was cut on purpose

    server = Server(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert not api.surprises, api.surprises


@dataclass
class MailServer:
    """A mail server. `refuse` is what it says to RCPT, `refuse_data` to the message itself."""

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    password: bytes = b"right"
    refuse: str | None = None
    refuse_data: str | None = None


@contextmanager
def mail(*, tls: Any = None, security: str = "none", login: bool = False) -> Iterator[MailServer]:
    """A mail server (aiosmtpd), with `starttls`, `tls` from the first byte, or `none`."""
    server = MailServer()

    class Handler:
        async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
            self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
        ) -> str:
            if server.refuse:
                return server.refuse
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the same
            if server.refuse_data:
                return server.refuse_data
            found = BytesParser(policy=default).parsebytes(envelope.content)
            assert isinstance(found, EmailMessage)
            server.received.append(found)
            server.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
            return "250 OK"

    def authenticate(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        server.logins.append((data.login, data.password))
        return AuthResult(success=data.password == server.password, handled=False)

    options: dict[str, Any] = {}
    if security == "starttls":
        options = {"tls_context": tls, "require_starttls": True}
    elif security == "tls":
        options = {"ssl_context": tls}
    if login:
        # Over TLS from the first byte, of which the library does not think when it warns.
        upgraded = security == "starttls"
        options |= {"authenticator": authenticate}
        options |= {"auth_required": upgraded, "auth_require_tls": upgraded}
    server.port = free_port()
    # A busy machine is no dead server: its own patience is five seconds.
    options |= {"ready_timeout": 120}
    controller = Controller(Handler(), hostname="127.0.0.1", port=server.port, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
