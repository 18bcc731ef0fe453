from dataclasses import replace
from uuid import uuid4

import pytest
from flask import request

from api.app import create_app
from api.wire import limits
from api.wire.limits import (
    FAILED_KEYS,
    FAILED_RECEIPTS,
    KEYS,
    PUBLIC,
    Counters,
    Limiter,
    network_of,
)
from tests.api.checked_client import check_every_answer
from tests.tokens import token
from waylight.domain.errors import TooManyRequests
from waylight.services.context import Waylight


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def limited(database, settings, vault, clock):
    """An app that limits loopback callers too, with a clock of its own."""
    settings = replace(settings, exempt_loopback=False)
    app = create_app(settings, context=Waylight(settings, database, vault))
    app.extensions["waylight.limiter"] = Limiter(clock=clock)
    check_every_answer(app)
    return app


def call(app, path="/v1/categories", *, address="203.0.113.7", method="GET", **kwargs):
    return app.test_client().open(
        path, method=method, environ_overrides={"REMOTE_ADDR": address}, **kwargs
    )


@pytest.fixture
def small(monkeypatch):
    """Quotas that a test can use up."""
    monkeypatch.setattr(limits, "PUBLIC", replace(PUBLIC, quota=3))
    monkeypatch.setattr(limits, "KEYS", replace(KEYS, quota=3))
    monkeypatch.setattr(limits, "FAILED_KEYS", replace(FAILED_KEYS, quota=2))
    monkeypatch.setattr(limits, "FAILED_RECEIPTS", replace(FAILED_RECEIPTS, quota=2))


def test_a_limit_announces_itself(limited):
    answer = call(limited)
    assert answer.headers["RateLimit-Policy"] == f'"public";q={PUBLIC.quota};w=60'
    assert answer.headers["RateLimit"] == f'"public";r={PUBLIC.quota - 1};t=60'


def test_too_many_calls_are_told_when_to_come_back(limited, small, clock):
    assert [call(limited).status_code for _ in range(4)] == [200, 200, 200, 429]
    clock.now += 20
    answer = call(limited)
    assert answer.status_code == 429
    assert answer.json["code"] == "too_many_requests"
    assert answer.headers["Retry-After"] == "40"
    assert answer.headers["RateLimit"] == '"public";r=0;t=40'
    clock.now += 40
    assert call(limited).status_code == 200


def test_one_caller_does_not_use_up_anothers_limit(limited, small):
    for _ in range(5):
        call(limited)
    assert call(limited).status_code == 429
    assert call(limited, address="203.0.113.8").status_code == 200


def test_a_household_is_one_caller_and_its_neighbour_another(limited, small):
    for host in range(1, 4):
        assert call(limited, address=f"2001:db8:0:1::{host}").status_code == 200
    assert call(limited, address="2001:db8:0:1:ffff::1").status_code == 429
    assert call(limited, address="2001:db8:0:2::1").status_code == 200


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("127.8.8.8", "127.0.0.0/8"),
        ("::1", "::1/128"),
        ("::ffff:127.0.0.1", "127.0.0.0/8"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        (None, None),
        ("not an address", None),
    ],
)
def test_what_counts_as_one_caller(address, network):
    assert network_of(address) == network


def test_reports_are_never_limited(limited, small):
    for _ in range(6):
        answer = call(limited, "/v1/reports", method="POST", data=b"nothing")
        assert answer.status_code == 400
        assert "RateLimit" not in answer.headers
    assert call(limited).status_code == 200


def test_reports_with_wrong_keys_are_never_limited(limited, small):
    headers = {"Authorization": "Bearer " + token("client", "nobody")}
    for _ in range(6):
        answer = call(limited, "/v1/reports", method="POST", data=b"nothing", headers=headers)
        assert answer.status_code == 400


def test_wrong_receipts_are_limited_sooner_than_right_calls(limited, small, monkeypatch):
    monkeypatch.setattr(limits, "PUBLIC", replace(PUBLIC, quota=100))
    headers = {"Authorization": "Receipt K7QD-WRONG"}
    found = [call(limited, "/v1/reports/mine", headers=headers).status_code for _ in range(4)]
    assert found == [404, 404, 429, 429]
    assert call(limited).status_code == 200


def test_wrong_keys_are_limited_sooner_than_right_calls(limited, small):
    headers = {"Authorization": "Bearer " + token("staff", "nobody")}
    found = [call(limited, "/v1/alerts", headers=headers).status_code for _ in range(4)]
    assert found == [401, 401, 429, 429]


def test_the_quotas_for_failures_are_the_stricter_ones():
    for failures in (FAILED_KEYS, FAILED_RECEIPTS):
        assert failures.quota / failures.window_s < PUBLIC.quota / PUBLIC.window_s / 10


def test_loopback_is_exempt_only_by_the_setting(clock):
    for exempt in (True, False):
        limiter = Limiter(exempt_loopback=exempt, clock=clock)
        for address in ("127.0.0.1", "::1"):
            spent = limiter.spend(PUBLIC, network_of(address))
            assert (spent is None) == exempt
        assert limiter.spend(PUBLIC, network_of("203.0.113.7")) is not None


def test_a_broken_limiter_stops_nobody(limited, small, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(Counters, "incr", broken)
    assert [call(limited).status_code for _ in range(6)] == [200] * 6


def test_a_caller_without_an_address_is_not_limited(limited, small):
    assert [call(limited, address="").status_code for _ in range(6)] == [200] * 6


def test_an_address_is_nowhere_in_memory(clock):
    limiter = Limiter(clock=clock)
    limiter.spend(PUBLIC, network_of("203.0.113.7"))
    (key,) = limiter._counters._counts
    assert "203.0.113" not in key
    assert len(key) > 32


def test_the_salt_is_thrown_away_every_day_with_all_that_it_hashed(clock):
    limiter = Limiter(clock=clock)
    limiter.spend(PUBLIC, "203.0.113.7/32")
    first = limiter._hashed("203.0.113.7/32")
    salt = limiter._salt
    assert limiter._hashed("203.0.113.7/32") == first
    clock.now += 86_400
    assert limiter._hashed("203.0.113.7/32") != first
    assert limiter._salt != salt
    assert limiter._counters._counts == {}


def test_two_processes_do_not_share_a_salt(clock):
    one, other = Limiter(clock=clock), Limiter(clock=clock)
    assert one._hashed("203.0.113.7/32") != other._hashed("203.0.113.7/32")


def test_a_flood_of_addresses_does_not_fill_the_memory(clock, monkeypatch):
    monkeypatch.setattr(limits, "MOST_COUNTERS", 100)
    counters = Counters(clock=clock)
    for number in range(1000):
        counters.incr(f"key {number}", 60)
        assert len(counters._counts) <= 100


def test_counters_that_have_ended_make_room_first(clock, monkeypatch):
    monkeypatch.setattr(limits, "MOST_COUNTERS", 100)
    counters = Counters(clock=clock)
    for number in range(99):
        counters.incr(f"old {number}", 10)
    counters.incr("young", 1000)
    clock.now += 20
    counters.incr("new", 60)
    assert counters.get("young") == 1
    assert len(counters._counts) == 2


def test_a_forwarded_address_is_believed_only_behind_a_trusted_proxy(database, settings, vault):
    seen: dict[str, str | None] = {}
    for hops in (0, 1):
        behind = replace(settings, trusted_proxies=hops, exempt_loopback=False)
        app = create_app(behind, context=Waylight(behind, database, vault))
        app.before_request(lambda: seen.update(address=network_of(request.remote_addr)))
        headers = {"X-Forwarded-For": "127.0.0.1, 198.51.100.9"}
        app.test_client().get(
            "/v1/categories", headers=headers, environ_overrides={"REMOTE_ADDR": "10.0.0.1"}
        )
        assert seen["address"] == ("198.51.100.9/32" if hops else "10.0.0.1/32")


def test_all_keys_of_an_organisation_share_a_quota_and_another_one_has_its_own(limited, clock):
    policy = replace(KEYS, name="dear", quota=2)
    organisation, other = uuid4(), uuid4()

    def used(organisation_id, address="203.0.113.7"):
        with limited.test_request_context(environ_overrides={"REMOTE_ADDR": address}):
            try:
                limits.count_use(policy, organisation_id)
            except TooManyRequests as error:
                return error.retry_after_s
        return None

    assert [used(organisation, f"203.0.113.{n}") for n in range(3)] == [None, None, 60]
    assert used(other) is None
    assert used(None) is None
    clock.now += 60
    assert used(organisation) is None
