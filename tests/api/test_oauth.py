"""The OAuth 2 token endpoint, as RFC 6749 (sections 4.4, 5.1 and 5.2) and RFC 8414 have it."""

import base64
from datetime import timedelta

import psycopg
import pytest

from api.wire import limits
from api.wire.limits import Limiter
from schemas.common import WireId
from tests.desk import NOW, keys_for
from tests.tokens import token
from waylight.services import keys

PATH = "/v1/oauth/token"
GRANT = {"grant_type": "client_credentials"}
PAGE = "https://app.example"


@pytest.fixture
def app_key(desk):
    """A client of the police that may see webhooks and nothing else that is asked for here."""
    return put_client(desk)


def put_client(desk, *, seed="a", scopes=("webhooks:manage", "alerts:read"), origins=()):
    secret = token("client", seed)
    (row,) = desk.rows(
        "insert into api_keys (kind, name, token_hash, organisation_id, scopes, allowed_origins)"
        " values ('client', 'App', %s, %s, %s, %s) returning id",
        desk.vault.hash_token(secret),
        desk.police.organisation_id,
        list(scopes),
        list(origins),
    )
    return WireId.of("client", row["id"]), secret


def basic(client_id, secret):
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def ask(client, pair, headers=None, **form):
    return client.post(PATH, data=GRANT | form, headers={**basic(*pair), **(headers or {})})


def call(client, access):
    headers = {"Authorization": f"Bearer {access}"}
    return client.get("/v1/webhooks", headers=headers).status_code


def refused(answer, error, status=400):
    assert (answer.status_code, answer.json["error"]) == (status, error), answer.text
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    return True


@pytest.mark.parametrize("way", ["basic", "post"])
def test_client_gets_a_short_lived_token_that_works(client, app_key, way):
    if way == "basic":
        answer = ask(client, app_key)
    else:
        client_id, secret = app_key
        form = GRANT | {"client_id": client_id, "client_secret": secret}
        answer = client.post(PATH, data=form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 900
    assert answer.json["scope"] == "alerts:read webhooks:manage"
    assert answer.json["access_token"].startswith("waylight_at_")
    assert "refresh_token" not in answer.json
    assert call(client, answer.json["access_token"]) == 200


def test_token_carries_the_scopes_that_were_asked_for_and_no_others(client, app_key):
    less = ask(client, app_key, scope="alerts:read").json
    assert less["scope"] == "alerts:read"
    assert call(client, less["access_token"]) == 403
    assert ask(client, app_key, scope="").json["scope"] == "alerts:read webhooks:manage"
    for scope in ("reports:original", "webhooks:manage reports:original", "\x00", "*"):
        assert refused(ask(client, app_key, scope=scope), "invalid_scope")


def test_scope_that_the_client_loses_is_lost_to_its_tokens(client, app_key, desk):
    access = ask(client, app_key).json["access_token"]
    desk.do("update api_keys set scopes = '{alerts:read}' where kind = 'client'")
    assert call(client, access) == 403


def test_only_the_hash_of_a_token_is_stored(client, app_key, desk):
    access = ask(client, app_key).json["access_token"]
    (row,) = desk.rows("select t::text as whole, token_hash from access_tokens t")
    assert bytes(row["token_hash"]) == desk.vault.hash_token(access)
    assert access not in row["whole"]


@pytest.mark.parametrize(
    "change",
    [
        "update access_tokens set expires_at = now()",
        "update api_keys set revoked_at = now() where kind = 'client'",
        "update api_keys set expires_at = now() where kind = 'client'",
        "delete from api_keys where kind = 'client'",
    ],
)
def test_token_ends_with_its_time_and_with_its_client(client, app_key, desk, change):
    access = ask(client, app_key).json["access_token"]
    assert call(client, access) == 200
    desk.do(change)
    assert call(client, access) == 401


def test_tokens_that_are_over_are_forgotten(client, app_key, desk):
    ask(client, app_key)
    desk.do("update access_tokens set expires_at = now() - interval '1 second'")
    ask(client, app_key)
    assert desk.rows("select count(*) as n from access_tokens")[0]["n"] == 1


def test_rotation_keeps_access_tokens_unless_the_secret_leaked(client, app_key, desk):
    access = ask(client, app_key).json["access_token"]
    client_id = WireId.read("client", app_key[0])
    for overlap, status in ((timedelta(hours=1), 200), (timedelta(0), 401)):
        keys.rotate_key(desk.database, desk.vault, client_id, overlap=overlap, now=NOW)
        assert call(client, access) == status


def test_both_secrets_get_tokens_while_a_rotation_overlaps(client, app_key, desk):
    client_id = WireId.read("client", app_key[0])
    issued = keys.rotate_key(
        desk.database, desk.vault, client_id, overlap=timedelta(hours=1), now=NOW
    )
    for secret in (app_key[1], issued.token):
        assert ask(client, (app_key[0], secret)).status_code == 200


def test_access_token_is_no_secret_for_another(client, app_key):
    access = ask(client, app_key).json["access_token"]
    assert refused(ask(client, (app_key[0], access)), "invalid_client", 401)


@pytest.mark.parametrize("way", ["basic", "post"])
def test_unknown_client_and_wrong_secret_are_one_answer_and_one_and_the_same_work(
    client, app_key, desk, way, monkeypatch
):
    other = put_client(desk, seed="b")
    run: list[str] = []
    execute = psycopg.Cursor.execute

    def counting(self, query, *args, **kwargs):
        run.append(str(query))
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    unknown = WireId.of("client", WireId.read("report", "report_01jdw2s4x0e6qv3t8k5n7b9c1d"))
    answers, work = [], []
    for pair in (
        (unknown, token("client", "nobody")),
        (app_key[0], token("client", "nobody")),
        (app_key[0], other[1]),  # a good secret of another
        ("nonsense", other[1]),
    ):
        run.clear()
        if way == "basic":
            answer = ask(client, pair)
        else:
            form = GRANT | {"client_id": pair[0], "client_secret": pair[1]}
            answer = client.post(PATH, data=form)
        assert refused(answer, "invalid_client", 401)
        answers.append(answer.json)
        work.append([one for one in run if "api_keys" in one])
    assert all(one == answers[0] for one in answers)
    assert all(one == work[0] and len(one) == 1 for one in work)


def test_staff_key_is_no_client(client, desk):
    secret = keys_for(desk, [desk.police])[desk.police]
    (row,) = desk.rows("select id from api_keys")
    pair = (WireId.of("client", row["id"]), secret)
    assert refused(ask(client, pair), "invalid_client", 401)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": "\x00é"}, "unsupported_grant_type"),
        ({"grant_type": ["client_credentials"] * 2}, "invalid_request"),
        (GRANT | {"scope": ["alerts:read"] * 2}, "invalid_request"),
        (GRANT | {"client_secret": "x"}, "invalid_request"),
    ],
)
def test_request_that_is_wrong_is_told_so_in_the_words_of_the_rfc(client, app_key, form, error):
    assert refused(client.post(PATH, data=form, headers=basic(*app_key)), error)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"x:\x00").decode()},
        {"Authorization": "Bearer " + token("client", "a")},
        {"Authorization": "Digest x"},
    ],
)
def test_caller_without_a_good_secret_is_no_client(client, app_key, headers):
    assert refused(client.post(PATH, data=GRANT, headers=headers), "invalid_client", 401)


def test_secret_in_the_address_is_not_read(client, app_key):
    client_id, secret = app_key
    query = f"?grant_type=client_credentials&client_id={client_id}&client_secret={secret}"
    assert refused(client.post(PATH + query), "invalid_request")
    assert refused(client.post(PATH + query, data=GRANT), "invalid_client", 401)


def test_json_is_no_form(client, app_key):
    answer = client.post(PATH, json=GRANT, headers=basic(*app_key))
    assert refused(answer, "invalid_request")


def test_page_gets_no_token_with_a_secret_that_is_not_for_it(client, desk):
    pair = put_client(desk, origins=[PAGE])
    access = ask(client, pair, {"Origin": PAGE}).json["access_token"]
    headers = {"Authorization": f"Bearer {access}"}
    for page, status in ((PAGE, 200), ("https://evil.example", 403)):
        answer = client.get("/v1/webhooks", headers=headers | {"Origin": page})
        assert answer.status_code == status
    answer = ask(client, pair, {"Origin": "https://evil.example"})
    assert refused(answer, "unauthorized_client")


def test_wrong_secrets_are_counted_and_end_in_429(app, client, app_key):
    app.extensions["waylight.limiter"] = Limiter()
    wrong = (app_key[0], token("client", "nobody"))
    seen = [ask(client, wrong).status_code for _ in range(limits.FAILED_KEYS.quota + 1)]
    assert (seen[0], seen[-1]) == (401, 429)
    assert ask(client, app_key).status_code == 200, "a right one is not refused for wrong ones"


def test_client_gets_only_so_many_tokens(app, client, app_key):
    app.extensions["waylight.limiter"] = Limiter()
    seen = [ask(client, app_key).status_code for _ in range(limits.ACCESS_TOKENS.quota + 1)]
    assert (seen[0], seen[-2], seen[-1]) == (200, 200, 429)


def test_server_says_where_tokens_are_to_be_had(client, settings):
    told = client.get("/.well-known/oauth-authorization-server").json
    assert told["issuer"] == settings.base_url.rstrip("/")
    assert told["token_endpoint"] == told["issuer"] + PATH
    assert told["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "client_secret_post",
    ]
    assert told["grant_types_supported"] == ["client_credentials"]
    assert set(told["scopes_supported"]) == set(keys.CLIENT_SCOPES)
