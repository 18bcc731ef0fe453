"""A provider that breaks, leads elsewhere, or takes its time."""

import tracemalloc
from contextlib import suppress

import pytest

from tests.api.openid.door import speaking
from tests.openid import CLIENT, DESK
from waylight.channels.guard import Guard
from waylight.channels.openid import OpenIdProviders
from waylight.domain.identity_providers import Asked, RelyingParty

BROKEN = {
    "answers 500": lambda talk: talk.say({}, status=500),
    "answers 404": lambda talk: talk.say({}, status=404),
    "is no JSON": lambda talk: talk.say(b"<html>"),
    "is a list": lambda talk: talk.say([]),
    "is deep": lambda talk: talk.say(b"[" * 100_000),
    "is huge": lambda talk: talk.say({"issuer": "x" * 200_000}),
    "leads to an address inside": lambda talk: talk.say(
        {}, status=302, Location="http://169.254.169.254/latest/meta-data"
    ),
    "says another issuer": lambda talk: talk.say({"issuer": "https://id.evil.example"}),
    "breaks off": lambda talk: talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_provider_whose_document_is_broken_is_away(at, name):
    at.fake.says["/.well-known/openid-configuration"] = BROKEN[name]
    answer = at.begin()
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    # The next do not wait for it, for a moment.
    asked = len(at.fake.asked)
    assert at.begin().status_code == 503
    assert len(at.fake.asked) == asked


@pytest.mark.parametrize("path", ["/token", "/keys", "/userinfo"])
@pytest.mark.parametrize("name", [one for one in BROKEN if "issuer" not in one])
def test_provider_that_breaks_later_is_away_or_refuses(at, path, name):
    at.fake.userinfo = {"sub": "robin", "groups": ["desk"]}
    del at.fake.claims["groups"]
    begun = at.begin()
    at.fake.says[path] = BROKEN[name]
    answer = at.end(begun, at.fake.visit(begun.json["url"]))
    assert answer.status_code in (401, 503), answer.text
    assert answer.json["code"] in ("sign_in_refused", "unavailable")
    assert at.fake.called("/latest/meta-data") == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:5432/",
        "https://localhost/",
        "file:///etc/passwd",
        "https://10.0.0.1/",
        "http://id.police.example/",
        "javascript:alert(1)",
        5,
        None,
    ],
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_endpoints_that_lead_inside_are_never_called_nor_given_to_a_browser(at, name, url):
    at.fake.metadata[name] = url
    answer = at.begin()
    if answer.status_code == 201:
        answer = at.end(answer, at.fake.visit(answer.json["url"]))
        assert at.why() == [f"no_{name}"]
    assert answer.status_code == 503, answer.text


def test_slow_provider_is_given_up(at, app, monkeypatch):
    speaks = speaking(app, monkeypatch, at.fake.port, total_s=30.0)
    begun = at.begin()
    at.fake.says["/token"] = lambda _talk: at.fake.closing.wait(30)
    speaks._session._guard._total_s = 0.1  # once its documents are here
    assert at.end(begun, at.fake.visit(begun.json["url"])).status_code == 503
    assert at.why() == ["timed_out"]


def test_dripping_provider_is_given_up(at, app, monkeypatch):
    speaking(app, monkeypatch, at.fake.port, total_s=0.3)

    def drip(talk):
        talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(OSError):
            while not at.fake.closing.wait(0.02):
                talk.wfile.write(b" ")

    at.fake.says["/.well-known/openid-configuration"] = drip
    assert at.begin().status_code == 503


@pytest.mark.parametrize("path", ["/token", "/userinfo"])
@pytest.mark.parametrize("name", ["answers 500", "is no JSON", "breaks off"])
def test_provider_that_stumbles_over_one_persons_code_goes_on_serving_the_others(at, path, name):
    """Anybody may bring any code: a firewall before the provider answers some in its own way."""
    at.fake.userinfo = {"sub": "robin", "groups": ["desk"]}
    del at.fake.claims["groups"]
    at.fake.says[path] = BROKEN[name]
    assert at.enter().status_code == 503
    del at.fake.says[path]
    assert at.enter().status_code == 201
    assert at.fake.called("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize(
    "said",
    [
        5,
        "error",
        ["error"],
        {"error": 5},
        {"error": ["invalid_client"]},
        {"expires_in": "soon"},
        {"expires_in": float("inf")},
        {"expires_at": []},
        {"id_token": {}},
    ],
)
def test_token_answer_that_a_library_stumbles_over_is_no_fault_of_ours(at, said):
    def say(talk):
        good = {"access_token": "access", "id_token": at.fake.id_token("code-0")}
        talk.say({**good, **said} if isinstance(said, dict) else said)

    at.fake.says["/token"] = say
    assert at.enter().status_code in (401, 503)


def test_documents_of_a_hostile_provider_fill_no_memory(fake):
    """One of 130 kB has 43,000 lists: read, they are twenty times as large."""
    asked = Asked(DESK, "state", "nonce", "verifier" * 8, fresh=False)
    fake.metadata["x"] = [[]] * 30_000
    speaks = OpenIdProviders(Guard(loopback_ports=[fake.port], total_s=5.0))
    tracemalloc.start()
    try:
        for path in range(4):
            issuer = fake.metadata["issuer"] = f"{fake.issuer}/{path}"
            speaks.authorization_url(RelyingParty(issuer, CLIENT, None), asked, scopes=[])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
