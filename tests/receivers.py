"""Receivers on loopback: servers of others, which do what a test says and nothing else."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `Retry_After` is the header Retry-After."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Receiver:
    """Reads one request per connection and answers with the next of `answers`.

    An answer is bytes, or what is called with the connection and `closing`, the event that the test
    is over. A connection that finds no answer left is a surprise.
    """

    answers: list[bytes | Callable[[socket.socket, threading.Event], None]]
    port: int = 0
    received: list[Received] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    forever: bool = False
    """Whether the last answer is for everything that still comes."""


@contextmanager
def receiving(
    *answers: bytes | Callable[[socket.socket, threading.Event], None],
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    forever: bool = False,
) -> Iterator[Receiver]:
    """A receiver that serves while this lasts, and fails the test for what it did not expect."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    receiver = Receiver(list(answers), forever=forever)
    receiver.port = listener.getsockname()[1]
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            receiver.connections += 1
            thread = threading.Thread(target=_talk, args=(receiver, line, tls), daemon=True)
            threads.append(thread)
            thread.start()

    threads.append(threading.Thread(target=serve, daemon=True))
    threads[0].start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(timeout=60)
    assert receiver.surprises == []


def _talk(receiver: Receiver, line: socket.socket, tls: ssl.SSLContext | None) -> None:
    with line:
        line.settimeout(10)
        try:
            talk = tls.wrap_socket(line, server_side=True) if tls else line
            with talk:
                request = _read(talk)
                if request is None:
                    return
                receiver.received.append(request)
                if not receiver.answers:
                    receiver.surprises.append(f"{request.method} {request.path}")
                    return
                last = receiver.forever and len(receiver.answers) == 1
                said = receiver.answers[0] if last else receiver.answers.pop(0)
                if isinstance(said, bytes):
                    talk.sendall(said)
                else:
                    said(talk, receiver.closing)
        except OSError:
            return


def _read(line: socket.socket) -> Received | None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = line.recv(65_536)
        if not piece:
            return None
        head += piece
    raw, _, body = head.partition(b"\r\n\r\n")
    first, *rest = raw.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)
    }
    while len(body) < int(headers.get("content-length", "0")):
        body += line.recv(65_536)
    method, path, _ = first.split(" ")
    return Received(method, path, headers, body)


def drip(head: bytes, piece: bytes = b"x") -> Callable[[socket.socket, threading.Event], None]:
    """Says `head`, then a byte every twentieth of a second until somebody has had enough."""

    def say(line: socket.socket, closing: threading.Event) -> None:
        line.sendall(head)
        while not closing.wait(0.05):
            line.sendall(piece)

    return say


def silent(line: socket.socket, closing: threading.Event) -> None:
    """Takes the request and says nothing."""
    closing.wait(60)


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, str]:
    """A server's TLS for these names, and the file of the authority that signed it: itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A receiver of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "receiver.pem", folder / "receiver.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, str(certificate_file)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
