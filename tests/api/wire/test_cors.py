"""What a browser makes of the answers: which page may call what."""

from uuid import UUID

import pytest

from api.app import create_app
from api.wire.cors import REMEMBERED_S
from api.wire.limits import Spent
from tests.databases import settings_for
from waylight.domain.principals import Kind

PAGE = "https://app.example"
DESK = "https://desk.example"
SOMETHING = UUID("01936000-0000-7000-8000-000000000001")
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
IMPATIENT = {"WAYLIGHT_DATABASE_TIMEOUT_S": "0.2"}
"""Nobody is at home: each route would wait for it."""


@pytest.fixture
def nobody():
    """A client of an app that lets no page use the keys of staff, as by default; no database."""
    return create_app(settings_for(NOWHERE, **IMPATIENT)).test_client()


@pytest.fixture
def desks():
    """The same where two pages may."""
    origins = f"{DESK}, http://[::1]:3000"
    settings = settings_for(NOWHERE, WAYLIGHT_ALLOWED_ORIGINS=origins, **IMPATIENT)
    return create_app(settings).test_client()


def preflight(client, path, method, *headers, origin=PAGE):
    return client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(headers),
        },
    )


def lets(answer, method, *headers, origin):
    """Whether a browser would go on to send the request (fetch, CORS-preflight fetch)."""
    said = answer.headers
    allowed = {name.strip().lower() for name in _list(said, "Access-Control-Allow-Headers")}
    return (
        200 <= answer.status_code <= 299
        and said.get("Access-Control-Allow-Origin") in ("*", origin)
        and method in _list(said, "Access-Control-Allow-Methods")
        and {name.lower() for name in headers} <= allowed
    )


def _list(headers, name):
    return headers.get(name, "").split(", ")


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/v1/reports", "POST", ["Content-Type", "Idempotency-Key", "Accept-Language"]),
        ("/v1/reports", "POST", ["Authorization", "Content-Encoding", "X-Request-Id"]),
        ("/v1/reports", "POST", ["Content-Type", "traceparent", "baggage", "X-Made-Up"]),
        ("/v1/reports/mine", "GET", ["Authorization"]),
        ("/v1/hubs", "GET", ["If-None-Match"]),
    ],
)
def test_any_page_may_send_a_report_and_read_what_is_public(nobody, path, method, headers):
    answer = preflight(nobody, path, method, *headers)
    assert lets(answer, method, *headers, origin=PAGE)
    assert answer.status_code == 204
    assert answer.data == b""
    assert int(answer.headers["Access-Control-Max-Age"]) == REMEMBERED_S


def test_no_page_is_ever_sent_a_cookie_for(desks):
    for path in ("/v1/reports", "/v1/hubs", "/v1/alerts"):
        for origin in (PAGE, DESK):
            answer = preflight(desks, path, "GET", origin=origin)
            assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_public_answer_reads_the_same_for_every_page_and_for_none(nobody):
    """So that a cache that got it for a program may give it to a page."""
    with_page = nobody.get("/v1/categories", headers={"Origin": PAGE})
    without = nobody.get("/v1/categories")
    for answer in (with_page, without):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Origin" not in answer.headers["Vary"]
    exposed = _list(with_page.headers, "Access-Control-Expose-Headers")
    assert {"ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"} <= {
        *exposed
    }
    assert "X-Request-Id" in exposed


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/reports", b"{}", 422),
        ("/v1/reports", b"{", 400),
        ("/v1/reports", b'{"categories": ["other"]}', 503),
        ("/v1/reports", b"x" * 300_000, 413),
        ("/v1/nothing", b"{}", 404),
        ("/v1/places", b"{}", 405),
    ],
)
def test_a_page_can_read_every_error(nobody, path, body, status):
    answer = nobody.post(path, data=body, headers={"Origin": PAGE})
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_page_can_read_that_it_called_too_often():
    app = create_app(settings_for(NOWHERE, WAYLIGHT_EXEMPT_LOOPBACK="0"))
    limiter = app.extensions["waylight.limiter"]
    limiter.spend = lambda policy, _: Spent(policy, allowed=False, remaining=0, reset_in_s=60)
    answer = app.test_client().get("/v1/categories", headers={"Origin": PAGE})
    assert answer.status_code == 429
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in _list(answer.headers, "Access-Control-Expose-Headers")
    # Nor does asking whether one may count as a call.
    assert preflight(app.test_client(), "/v1/categories", "GET").status_code == 204


def test_no_page_may_use_a_key_of_the_staff_unless_the_operator_says_which(nobody, desks):
    headers = ["Authorization", "Content-Type", "If-Match"]
    for path, method in (("/v1/alerts", "GET"), ("/v1/teams", "GET")):
        assert not lets(preflight(nobody, path, method, *headers), method, *headers, origin=PAGE)
        assert not lets(preflight(desks, path, method, *headers), method, *headers, origin=PAGE)
        answer = preflight(desks, path, method, *headers, origin=DESK)
        assert lets(answer, method, *headers, origin=DESK)
        assert answer.headers["Access-Control-Allow-Origin"] == DESK
        assert "Origin" in answer.headers["Vary"]


def test_every_route_of_the_staff_is_closed_to_strange_pages(desks):
    app = desks.application
    closed = 0
    for rule in app.url_map.iter_rules():
        kinds = app.view_functions[rule.endpoint].required.kinds
        if kinds & {Kind.NOBODY, Kind.PASSENGER}:
            continue
        path = rule.build(dict.fromkeys(rule.arguments, SOMETHING))[1]
        for method in rule.methods - {"OPTIONS"}:
            answer = desks.open(path, method=method, headers={"Origin": PAGE})
            assert "Access-Control-Allow-Origin" not in answer.headers, path
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            closed += 1
    assert closed > 5


@pytest.mark.parametrize(
    "origin",
    [
        "https://desk.example.evil.example",
        "https://desk_example",
        "https://deskxexample",
        "http://desk.example",
        "https://desk.example:444",
        "https://evil.example/https://desk.example",
        "https://desk.example\t",
        "http://:",
        "null",
        "",
    ],
)
def test_an_origin_that_only_looks_like_an_allowed_one_is_not(desks, origin):
    answer = desks.get("/v1/alerts", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origin", [DESK, "HTTPS://DESK.example", "http://[::1]:3000"])
def test_an_allowed_origin_is_also_told_what_went_wrong(desks, origin):
    answer = desks.get("/v1/alerts", headers={"Origin": origin})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "WWW-Authenticate" in _list(answer.headers, "Access-Control-Expose-Headers")
