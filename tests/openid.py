"""OpenID providers on loopback: a hostile one that says what a test wants, and a real one."""

import base64
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

ROOT = Path(__file__).resolve().parents[1]
NODE = ROOT / "tools/openapi/node_modules/oidc-provider"
CLIENT = "waylight"
SECRET = "the secret: of our client+there"
DESK = "https://desk.police.example/signed-in"

Said = Callable[["Talk"], None]


@cache
def key_of(kid: str) -> RSAKey:
    """One key for each name: making one takes a tenth of a second."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@dataclass
class FakeProvider:
    """A provider that a test writes the answers of. `claims` go into its ID tokens."""

    port: int = 0
    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: key_of("first"))
    published: list[RSAKey] = field(default_factory=lambda: [key_of("first")])
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    says: dict[str, Said] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def document(self) -> dict[str, Any]:
        """What is found below the issuer."""
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            **({"userinfo_endpoint": f"{self.issuer}/userinfo"} if self.userinfo else {}),
        } | self.metadata
        return {name: value for name, value in found.items() if value is not None}

    def visit(self, url: str) -> dict[str, str]:
        """What a browser brings back from an address that we sent somebody to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = query["nonce"]
        return {"code": code, "state": query["state"]}

    def id_token(self, code: str) -> str:
        """The token of a code: good, but for what the test changed."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "robin",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonces.get(code, "none"),
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.key.kid} | self.header
        return signed(header, claims, self.key)

    def called(self, path: str) -> int:
        """How often something was asked of it."""
        return sum(one == path for one, _, _ in self.asked)


def signed(header: dict[str, Any], claims: dict[str, Any], key: RSAKey) -> str:
    """A token under any header: by the key, by nothing, or by its public half as a secret."""
    algorithm = header["alg"]
    if algorithm == "none":
        return f"{_base64url(header)}.{_base64url(claims)}."
    if algorithm.startswith("HS"):
        secret = OctKey.import_key(base64.b64encode(key.as_pem(private=False)).decode())
        return jwt.encode(header, claims, secret, algorithms=[algorithm])
    # By hand: the library signs no header that it would not read.
    body = f"{_base64url(header)}.{_base64url(claims)}"
    assert key.private_key is not None
    signature = key.private_key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _base64url(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class Talk(BaseHTTPRequestHandler):
    """One request to a fake provider."""

    provider: FakeProvider

    def do_GET(self) -> None:
        """Answers as the test says, else as a good provider does."""
        self._answer({})

    def do_POST(self) -> None:
        """The same of a form."""
        length = int(self.headers.get("Content-Length", "0"))
        self._answer(parse_qs(self.rfile.read(length).decode()))

    def _answer(self, form: dict[str, list[str]]) -> None:
        path, provider = urlsplit(self.path).path, self.provider
        provider.asked.append((path, form, dict(self.headers)))
        if path in provider.says:
            provider.says[path](self)
        elif path.endswith("/.well-known/openid-configuration"):
            self.say(provider.document())
        elif path.endswith("/keys"):
            self.say({"keys": [key.as_dict(private=False) for key in provider.published]})
        elif path.endswith("/token"):
            code = form["code"][0]
            token = {"access_token": "access", "token_type": "Bearer", "expires_in": 60}
            self.say({**token, "id_token": provider.id_token(code), **provider.token})
        elif path.endswith("/userinfo"):
            self.say(provider.userinfo)
        else:
            self.say({}, status=404)

    def say(self, body: object, *, status: int = 200, **headers: str) -> None:
        """A whole answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def fake_provider(path: str = "") -> Iterator[FakeProvider]:
    """A fake provider for the time of a test."""
    provider = FakeProvider()
    talk = type("OneTalk", (Talk,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", 0), talk) as server:
        server.daemon_threads = True
        provider.port = server.server_address[1]
        provider.issuer = f"http://127.0.0.1:{provider.port}{path}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            provider.closing.set()
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class RealProvider:
    """npm's oidc-provider, which is certified by the OpenID Foundation."""

    port: int
    issuer: str

    def visit(self, url: str, *, person: str, browser: requests.Session | None = None) -> str:
        """Signs somebody in with a browser, through its forms; returns where it sends them."""
        browser = browser or requests.Session()
        for _ in range(20):
            answer = browser.get(url, allow_redirects=False, timeout=120)
            if answer.status_code in (302, 303):
                url = requests.compat.urljoin(url, answer.headers["Location"])
            else:
                assert answer.status_code == 200, answer.text
                url = self._submit(browser, url, answer.text, person)
            if not url.startswith(self.issuer):
                return url
        raise AssertionError("it leads nowhere")

    def _submit(self, browser: requests.Session, url: str, page: str, person: str) -> str:
        action = re.search(r'<form[^>]*action="([^"]+)"', page)
        prompt = re.search(r'name="prompt" value="([^"]+)"', page)
        assert action, page
        assert prompt, page
        form = {"prompt": prompt[1], "login": person, "password": "anything"}
        to = requests.compat.urljoin(url, action[1])
        answer = browser.post(to, data=form, allow_redirects=False, timeout=120)
        assert answer.status_code in (302, 303), answer.text
        found: str = requests.compat.urljoin(to, answer.headers["Location"])
        return found


@contextmanager
def real_provider(people: dict[str, dict[str, Any]], **settings: Any) -> Iterator[RealProvider]:
    """The real provider, with these people and their claims, run by node on a free port."""
    given = {
        "people": people,
        "client": {"id": CLIENT, "secret": SECRET, "redirect_uris": [DESK]},
        **settings,
    }
    command = ["node", str(ROOT / "tests/openid_provider.mjs"), str(NODE / "lib/index.js")]
    environ = {"PATH": os.environ["PATH"], "GIVEN": json.dumps(given)}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if line.startswith("listening "):
                    port = int(line.split()[1])
                    # What it goes on to say must not fill the pipe.
                    rest = threading.Thread(target=process.stdout.read, daemon=True)
                    rest.start()
                    yield RealProvider(port, f"http://127.0.0.1:{port}")
                    break
            else:
                raise AssertionError("".join(said))
        finally:
            process.terminate()


def brought_back(url: str) -> dict[str, str]:
    """What a page finds in the address that the provider led to."""
    found = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return {name: found[name] for name in ("code", "state", "iss") if name in found}
