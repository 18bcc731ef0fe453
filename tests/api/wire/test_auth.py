from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.app import create_app
from api.wire import limits
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from tests.api.city import found_city
from tests.tokens import token
from waylight.domain.principals import Kind
from waylight.services import keys
from waylight.services.context import Waylight

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def organisation(database):
    return found_city(database)


@pytest.fixture
def app(database, settings, vault):
    """The app with one route for each way of saying who may call."""
    app = create_app(settings, context=Waylight(settings, database, vault))
    blueprint = Blueprint("asking", __name__)

    def answer():
        caller = principal()
        return {"kind": caller.kind, "name": caller.name, "receipt": caller.receipt}

    routes = {
        "nobody": require(Kind.NOBODY),
        "staff": require(Kind.STAFF, scopes=("alerts:read",)),
        "either": require(Kind.STAFF, Kind.CLIENT),
        "anybody": require(Kind.NOBODY, Kind.CLIENT, scopes=("exercise",)),
        "passenger": require(Kind.PASSENGER),
    }
    for name, guard in routes.items():
        blueprint.add_url_rule(f"/{name}", endpoint=name, view_func=guard(answer))
    app.extensions["waylight.api"].register_blueprint(blueprint)
    return app


@pytest.fixture
def ask(app):
    def ask(path, authorization=None):
        headers = {"Authorization": authorization} if authorization is not None else {}
        return app.test_client().get(path, headers=headers)

    return ask


@pytest.fixture
def staff_key(database, vault, organisation):
    return keys.create_staff_key(
        database,
        vault,
        organisation="friends",
        person="Sam Okafor",
        role="control_room",
        scopes=("alerts:read",),
        now=LONG_AGO,
    )


@pytest.fixture
def client_key(database, vault, organisation):
    return keys.create_client_key(
        database, vault, name="Journey app", scopes=("exercise",), now=LONG_AGO
    )


def test_a_right_key_opens_the_route_it_has_the_scope_for(ask, staff_key):
    answer = ask("/staff", f"Bearer {staff_key.token}")
    assert answer.json == {"kind": "staff", "name": "Sam Okafor", "receipt": None}


def test_the_scheme_may_be_written_in_any_case(ask, staff_key):
    assert ask("/staff", f"bearer  {staff_key.token} ").status_code == 200
    assert ask("/staff", f"BEARER {staff_key.token}").status_code == 200


def test_a_key_of_the_wrong_kind_is_told_so(ask, client_key):
    answer = ask("/staff", f"Bearer {client_key.token}")
    assert answer.status_code == 403
    assert answer.json["errors"][0]["code"] == "wrong_kind"
    assert ask("/either", f"Bearer {client_key.token}").status_code == 200


def test_a_key_without_the_scope_is_told_which(ask, database, vault, organisation):
    poor = keys.create_staff_key(
        database,
        vault,
        organisation="friends",
        person="Sam Okafor",
        role="officer",
        scopes=("teams:duty",),
        now=LONG_AGO,
    )
    answer = ask("/staff", f"Bearer {poor.token}")
    assert answer.status_code == 403
    assert answer.json["code"] == "not_allowed"
    assert "alerts:read" in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer " + token("staff", "nobody"),
        "Bearer nonsense",
        "Bearer \x00",
        "Bearer " + "x" * 5000,
        "Basic c2FtOnNlY3JldA==",
        "Receipt K7QD-1234",
    ],
)
def test_no_key_and_any_wrong_key_get_the_same_401(ask, organisation, authorization):
    answer = ask("/staff", authorization)
    assert answer.status_code == 401
    assert answer.json == ask("/staff").json
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="waylight"'


def test_a_revoked_or_expired_key_is_a_wrong_key(ask, database, vault, staff_key, organisation):
    keys.revoke_key(database, vault, staff_key.id, now=datetime.now(UTC))
    assert ask("/staff", f"Bearer {staff_key.token}").status_code == 401
    expired = keys.create_client_key(
        database,
        vault,
        name="Old app",
        scopes=(),
        now=LONG_AGO,
        expires_at=LONG_AGO + timedelta(days=1),
    )
    assert ask("/either", f"Bearer {expired.token}").status_code == 401


def test_where_nobody_may_call_a_wrong_key_makes_its_caller_nobody(ask, client_key, staff_key):
    assert ask("/anybody", f"Bearer {client_key.token}").json["name"] == "Journey app"
    for wrong in ("Bearer nonsense", f"Bearer {staff_key.token}", "Basic x", "Receipt x", None):
        assert ask("/anybody", wrong).json["kind"] == "nobody"


def test_a_receipt_is_passed_on_as_it_was_typed(ask):
    assert ask("/passenger", "Receipt k7qd 1234 5678").json["receipt"] == "k7qd 1234 5678"


@pytest.mark.parametrize("authorization", [None, "Receipt", "Receipt  ", "Bearer x"])
def test_a_missing_receipt_is_asked_for(ask, authorization):
    answer = ask("/passenger", authorization)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Receipt realm="waylight"'


def test_a_route_for_nobody_looks_at_no_key(ask, database, monkeypatch):
    monkeypatch.setattr(keys, "authenticate", lambda *_a, **_k: pytest.fail("asked"))
    assert ask("/nobody", "Bearer " + token("staff", "nobody")).json["kind"] == "nobody"


def test_a_right_key_is_never_refused_for_the_wrong_ones_of_its_neighbours(
    app, staff_key, monkeypatch
):
    monkeypatch.setattr(limits, "FAILED_KEYS", replace(limits.FAILED_KEYS, quota=1))
    app.extensions["waylight.limiter"] = limits.Limiter()

    def ask(token):
        return app.test_client().get("/staff", headers={"Authorization": f"Bearer {token}"})

    wrong = token("staff", "nobody")
    assert [ask(wrong).status_code for _ in range(3)] == [401, 429, 429]
    assert ask(staff_key.token).status_code == 200


def test_a_key_has_a_limit_of_its_own_not_that_of_its_address(app, staff_key, monkeypatch):
    monkeypatch.setattr(limits, "PUBLIC", replace(limits.PUBLIC, quota=1))
    app.extensions["waylight.limiter"] = limits.Limiter()
    headers = {"Authorization": f"Bearer {staff_key.token}"}
    for _ in range(3):
        answer = app.test_client().get("/staff", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["RateLimit"].startswith('"keys";')
