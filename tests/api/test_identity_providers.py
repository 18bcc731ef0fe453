"""OpenID providers over the wire, as administrators keep them."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from schemas.common import WireId
from tests.desk import Desk, open_desk
from tests.staff import PASSWORD, QUICK, administrator, person
from waylight.services import passwords
from waylight.services.operations import rotation, staff
from waylight.vault import Vault

SECRET = "s3cret of the client"
BODY = {
    "name": "Directory",
    "issuer": "https://id.police.example",
    "client_id": "waylight",
    "client_secret": SECRET,
    "redirect_uris": ["https://desk.police.example/signed-in"],
    "role_mapping": [{"claim": "groups", "value": "desk", "role": "responder"}],
    "email_domains": ["Police.example"],
}
PATH = "/v1/identity-providers"


@pytest.fixture
def desk(database, vault, settings, monkeypatch) -> Desk:
    monkeypatch.setattr(passwords, "HASHER", QUICK)
    return open_desk(database, vault, settings)


@pytest.fixture
def enter(client):
    def enter(who, *, stepped_up=True):
        code = who.code(datetime.now(UTC)) if who.secret else None
        body = {"email": who.email, "password": PASSWORD, "code": code}
        token = client.post("/v1/sessions", json=body).json["token"]
        headers = {"Authorization": f"Bearer {token}"}
        if stepped_up:
            path = "/v1/sessions/current/step-up"
            assert (
                client.post(path, json={"password": PASSWORD}, headers=headers).status_code == 200
            )
        return headers

    return enter


@pytest.fixture
def ada(desk, enter):
    return enter(administrator(desk, now=datetime.now(UTC)))


@pytest.fixture
def made(client, ada):
    answer = client.post(PATH, json=BODY, headers=ada)
    assert answer.status_code == 201, answer.text
    return answer


def test_a_provider_is_made_read_changed_and_taken_away(client, desk, ada, made):
    one = f"{PATH}/{made.json['id']}"
    assert made.json["email_domains"] == ["police.example"]
    assert client.get(one, headers=ada).json == made.json
    assert client.get(PATH, headers=ada).json["items"] == [made.json]
    changed = client.patch(one, json={"enabled": False}, headers=ada)
    assert (changed.json["enabled"], changed.json["version"]) == (False, 2)
    assert client.delete(one, headers=ada).status_code == 204
    assert client.get(one, headers=ada).status_code == 404
    kinds = ["identity_provider.created", "identity_provider.changed", "identity_provider.deleted"]
    assert [row["kind"] for row in desk.events(*kinds)] == kinds
    entries = desk.rows("select action from audit_entries where action like 'identity_provider.%%'")
    assert sorted(row["action"] for row in entries) == sorted(kinds)


def test_the_secret_is_sealed_and_in_no_answer(client, desk, ada, made):
    assert made.json["has_client_secret"] is True
    (row,) = desk.rows(
        "select client_secret, identity_providers::text as whole from identity_providers"
    )
    assert SECRET.encode() not in bytes(row["client_secret"])
    for answer in (made, client.get(PATH, headers=ada)):
        assert SECRET not in answer.text
    one = f"{PATH}/{made.json['id']}"
    gone = client.patch(one, json={"client_secret": None}, headers=ada)
    assert gone.json["has_client_secret"] is False


def test_a_stale_change_does_nothing(client, ada, made):
    one = f"{PATH}/{made.json['id']}"
    stale = ada | {"If-Match": made.headers["ETag"]}
    assert client.patch(one, json={"name": "New"}, headers=stale).status_code == 200
    assert client.patch(one, json={"name": "Old"}, headers=stale).status_code == 412
    assert client.delete(one, headers=stale).status_code == 412
    assert client.get(one, headers=ada).json["name"] == "New"


def test_whoever_has_not_stepped_up_changes_nothing(client, desk, enter, made):
    stale = enter(
        administrator(desk, "eve@police.example", now=datetime.now(UTC)), stepped_up=False
    )
    one = f"{PATH}/{made.json['id']}"
    answers = [
        client.post(PATH, json=BODY, headers=stale),
        client.patch(one, json={"enabled": False}, headers=stale),
        client.delete(one, headers=stale),
        client.delete(f"{one}/people/staff_01jdw2s4x0e6qv3t8k5n7b9c1d", headers=stale),
    ]
    assert [answer.json["code"] for answer in answers] == ["step_up_needed"] * 4
    assert client.get(one, headers=stale).status_code == 200


def test_nobody_but_administrators_sees_them(client, desk, enter, made):
    robin = enter(person(desk, roles=("dispatcher", "auditor")))
    assert client.get(PATH, headers=robin).status_code == 403
    assert client.post(PATH, json=BODY, headers=robin).status_code == 403


def test_those_of_another_organisation_are_nowhere(client, desk, enter, made):
    eve = enter(
        administrator(desk, "eve@operator.example", organisation="operator", now=datetime.now(UTC))
    )
    one = f"{PATH}/{made.json['id']}"
    assert client.get(PATH, headers=eve).json["items"] == []
    answers = [
        client.get(one, headers=eve),
        client.patch(one, json={"role_mapping": []}, headers=eve),
        client.delete(one, headers=eve),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    # The same client of the same issuer may be two organisations'.
    assert client.post(PATH, json=BODY, headers=eve).status_code == 201


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("issuer", "http://id.police.example", "https_only"),
        ("issuer", "https://169.254.169.254", "not_public"),
        ("issuer", "https://localhost:8443", "not_public"),
        ("issuer", "https://id.police.example/?tenant=1", "invalid_url"),
        ("issuer", "https://id.police.example/#", "invalid_url"),
        ("issuer", "https://name:word@id.police.example", "invalid_url"),
        ("redirect_uris", ["http://desk.police.example/"], "invalid_uri"),
        ("redirect_uris", ["https://desk.police.example/#x"], "invalid_uri"),
        ("redirect_uris", ["https://desk.police.example/?next=x"], "invalid_uri"),
        ("redirect_uris", ["javascript:alert(1)"], "invalid_uri"),
        ("redirect_uris", ["data:text/html,x"], "invalid_uri"),
        ("redirect_uris", ["desk:/x"], "invalid_uri"),
        ("redirect_uris", ["http://127.0.0.1.evil.example/"], "invalid_uri"),
        ("scopes", ["groups openid"], "invalid_scope"),
        ("scopes", ['"'], "invalid_scope"),
        *(
            ("role_mapping", [{"claim": claim, "value": "x", "role": "responder"}], "invalid")
            for claim in ("/a/~2", "/a~", "/~/b")
        ),
        ("email_domains", ["@police.example"], "invalid_domain"),
        ("email_domains", ["*"], "invalid_domain"),
    ],
)
def test_what_could_lead_elsewhere_is_not_taken(client, ada, field, value, code):
    answer = client.post(PATH, json=BODY | {field: value}, headers=ada)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["code"] == code
    assert answer.json["errors"][0]["pointer"].startswith(f"/{field}")


def test_issuer_inside_is_taken_once_whoever_runs_the_service_named_its_network(app, client, ada):
    def post(issuer):
        answer = client.post(PATH, json=BODY | {"issuer": issuer}, headers=ada)
        return answer.status_code, answer.json.get("errors", [{}])[0].get("code")

    inside = ["https://10.20.0.5/realms/house", "https://id.corp.internal/adfs"]
    assert [post(one) for one in inside] == [(422, "not_public")] * 2
    context = app.extensions["waylight"]
    named = replace(context.settings, openid_networks=(ip_network("10.20.0.0/16"),))
    app.extensions["waylight"] = replace(context, settings=named)
    assert [post(one) for one in inside] == [(201, None)] * 2
    beside = ["https://10.21.0.5/", "https://169.254.169.254/", "https://localhost/"]
    assert [post(one) for one in beside] == [(422, "not_public")] * 3
    # Nothing else that is given to us to call leads there.
    hook = {"url": "https://10.20.0.5/hook", "event_types": ["alert.created"]}
    assert client.post("/v1/webhooks", json=hook, headers=ada).json["errors"][0]["code"] == (
        "not_public"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "https://desk.police.example/signed-in",
        "https://desk.police.example:8443/a/b",
        "example.desk:/signed-in",
        "http://127.0.0.1:8099/signed-in",
        "http://localhost/signed-in",
        "http://[::1]:9/",
    ],
)
def test_pages_apps_and_programs_may_be_sent_back_to(client, ada, uri):
    answer = client.post(PATH, json=BODY | {"redirect_uris": [uri]}, headers=ada)
    assert answer.status_code == 201


def test_issuer_and_client_stay_as_they_are(client, ada, made):
    one = f"{PATH}/{made.json['id']}"
    for field in ("issuer", "client_id", "organisation_id", "id"):
        answer = client.patch(one, json={field: "https://id.evil.example"}, headers=ada)
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown")
    assert client.post(PATH, json=BODY, headers=ada).status_code == 409


def test_an_organisation_has_ten_at_most(client, ada):
    statuses = [
        client.post(PATH, json=BODY | {"client_id": str(at)}, headers=ada).status_code
        for at in range(11)
    ]
    assert statuses == [201] * 10 + [409]


def test_a_secret_is_wrapped_by_the_new_key_and_opens(database, settings, made):
    keys = {**settings.vault_keys, 7: b"k" * 32}
    rotated = Vault(replace(settings, vault_keys=keys, vault_key_version=7))
    done = rotation.rewrap(database, rotated, progress=lambda _: None)
    assert not done.failed
    with database.owner() as conn:
        row = conn.execute(
            "select id, key_version, wrapped_key, client_secret from identity_providers"
        ).fetchone()
    assert row is not None
    assert row[1] == 7
    assert rotated.open(row[0], 7, row[2], "client_secret", row[3]) == SECRET


def test_a_provider_whose_key_is_lost_takes_no_new_secret(client, desk, ada, made):
    desk.do("update identity_providers set key_version = 9")
    one = f"{PATH}/{made.json['id']}"
    refused = client.patch(one, json={"client_secret": "new"}, headers=ada)
    assert refused.status_code == 409
    assert client.patch(one, json={"enabled": False}, headers=ada).status_code == 200
    assert client.delete(one, headers=ada).status_code == 204


def test_the_operator_can_end_one_when_no_administrator_is_left(
    client, desk, database, vault, made
):
    (row,) = staff.providers(database)
    assert row["organisation_key"] == "police"
    staff.disable_provider(database, vault, row["id"], now=datetime.now(UTC))
    assert client.post(f"/v1/sign-in/{made.json['id']}").status_code == 404
    assert staff.providers(database)[0]["enabled"] is False
    (entry,) = desk.rows("select * from audit_entries where action = 'identity_provider.changed'")
    assert entry["staff_id"] is None
    assert entry["subject_id"] == WireId.read("provider", made.json["id"])
