"""A push service and the browsers behind it, on loopback, as RFC 8030, 8188, 8291 and 8292 have it.

What comes is read by code of its own, not by the libraries that wrote it.
"""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.receivers import Received, Receiver, answer, receiving

TAG = 16
BODY_AT_MOST = 4096

EXPECTED = {
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "authorization",
    "ttl",
    "urgency",
    "topic",
}


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text), text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


@dataclass
class Browser:
    """A browser that has subscribed: what it tells the application, and what it keeps."""

    endpoint: str = "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
    auth: bytes = bytes(range(16))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": base64url(point(self.private)), "auth": base64url(self.auth)}

    def to_json(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": self.keys}

    def decrypt(self, body: bytes) -> bytes:
        """One record of aes128gcm with the keys of RFC 8291."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert length == 65
        assert TAG < len(sealed) <= size, "more than one record (RFC 8291, 4)"
        shared = self.private.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        info = b"WebPush: info\0" + point(self.private) + sender
        secret = _hkdf(self.auth, shared, info, 32)
        key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\0", 12)
        text, mark, padding = AESGCM(key).decrypt(nonce, sealed, None).rpartition(b"\x02")
        assert mark == b"\x02"
        assert set(padding) <= {0}
        return text


@dataclass(frozen=True)
class Pushed:
    """One message as it reached a browser."""

    path: str
    headers: Mapping[str, str]
    claims: Mapping[str, Any]
    public_key: str
    body: bytes
    text: bytes

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found


@dataclass
class PushService:
    """What a test knows of the service: where it is, and what came, read and verified."""

    receiver: Receiver
    browsers: dict[str, Browser] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.receiver.port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def browser(self, name: str = "robin") -> Browser:
        """The browser of this name, with a subscription at this service."""
        return self.browsers.setdefault(f"/push/{name}", Browser(f"{self.origin}/push/{name}"))

    @property
    def pushed(self) -> list[Pushed]:
        return [self._read(one) for one in self.receiver.received]

    def _read(self, request: Received) -> Pushed:
        headers = request.headers
        assert request.method == "POST"
        assert set(headers) <= EXPECTED, set(headers) - EXPECTED
        assert headers["content-encoding"] == "aes128gcm"
        assert re.fullmatch(r"[0-9]{1,7}", headers["ttl"])
        assert headers["urgency"] in ("very-low", "low", "normal", "high")
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", headers.get("topic", "none"))
        assert len(request.body) <= BODY_AT_MOST
        public, claims = verified(headers["authorization"])
        assert claims["aud"] == self.origin
        assert 0 < claims["exp"] - time.time() <= 24 * 3600
        assert re.match(r"mailto:|https://", claims["sub"])
        return Pushed(
            path=request.path,
            headers=headers,
            claims=claims,
            public_key=public,
            body=request.body,
            text=self.browsers[request.path].decrypt(request.body),
        )


def verified(authorization: str) -> tuple[str, dict[str, Any]]:
    """The key and the claims of a signature of RFC 8292, which is checked."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert set(parts) == {"t", "k"}
    header, claims, signature = parts["t"].split(".")
    assert json.loads(from_base64url(header)) == {"typ": "JWT", "alg": "ES256"}
    raw = from_base64url(signature)
    assert len(raw) == 64
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(parts["k"])).verify(
        encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])),
        f"{header}.{claims}".encode(),
        ec.ECDSA(hashes.SHA256()),
    )
    found: dict[str, Any] = json.loads(from_base64url(claims))
    return parts["k"], found


@contextmanager
def push_service(*answers: Any, **how: Any) -> Iterator[PushService]:
    """A push service that gives these answers, 201 to everything without any."""
    if not answers:
        answers, how = (answer(201, Location="/message/1"),), {**how, "forever": True}
    with receiving(*answers, **how) as receiver:
        service = PushService(receiver)
        yield service
        _ = service.pushed  # whatever came was as it has to be
