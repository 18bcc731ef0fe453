"""API clients over the wire: made and changed by staff, and called with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from schemas.common import WireId
from tests.desk import NOW, SCOPES, keys_for
from waylight.domain.clients import MOST
from waylight.services import clients

MANAGING = SCOPES | {"clients:manage"}
NEW = {"name": "Night bus app", "scopes": ["webhooks:manage"]}
PAGE, OTHER = "https://app.example", "https://evil.example"


@pytest.fixture
def signed_in(desk):
    people = [replace(one, scopes=MANAGING) for one in (desk.police, desk.operator, desk.control)]
    return {
        one.name: {"Authorization": f"Bearer {secret}"}
        for one, secret in keys_for(desk, people).items()
    }


def create(client, headers, **changes):
    made = client.post("/v1/clients", json=NEW | changes, headers=headers)
    assert made.status_code == 201, made.text
    return made.json


def path(made, *rest):
    return "/".join(["/v1/clients", made["id"], *rest])


def call(client, secret, **headers):
    """What a program with this token is answered where its scope is asked for."""
    headers["Authorization"] = f"Bearer {secret}"
    return client.get("/v1/webhooks", headers=headers)


def test_token_is_shown_once_and_works_at_once(client, robin):
    made = create(client, robin)
    assert made["token"].startswith("waylight_ck_")
    before = datetime.now(UTC).date()
    assert call(client, made["token"]).status_code == 200
    days = {str(before), str(datetime.now(UTC).date())}  # one, unless it is midnight
    listed = client.get("/v1/clients", headers=robin)
    assert made["token"] not in listed.text
    (one,) = listed.json["items"]
    assert (one["id"], one["state"], one["scopes"]) == (made["id"], "active", ["webhooks:manage"])
    assert one["last_used_on"] in days
    assert made["token"] not in client.get(path(made), headers=robin).text


def test_old_token_works_beside_the_new_one_until_its_time_and_no_longer(client, robin, desk):
    made = create(client, robin)
    rotated = client.post(path(made, "rotate"), json={"overlap_s": 600}, headers=robin)
    assert rotated.status_code == 200
    assert rotated.json["old_token_until"] is not None
    fresh = rotated.json["token"]
    assert [call(client, one).status_code for one in (made["token"], fresh)] == [200, 200]
    desk.do("update api_keys set old_token_until = now() where old_token_until is not null")
    assert [call(client, one).status_code for one in (made["token"], fresh)] == [401, 200]


def test_rotation_without_overlap_ends_every_older_token(client, robin):
    made = create(client, robin)
    second = client.post(path(made, "rotate"), json={"overlap_s": 600}, headers=robin).json
    third = client.post(path(made, "rotate"), json={"overlap_s": 0}, headers=robin).json
    secrets = (made["token"], second["token"], third["token"])
    assert [call(client, one).status_code for one in secrets] == [401, 401, 200]
    assert third["old_token_until"] is None


def test_second_rotation_ends_the_token_before_the_one_before(client, robin):
    made = create(client, robin)
    second = client.post(path(made, "rotate"), json={}, headers=robin).json
    third = client.post(path(made, "rotate"), json={}, headers=robin).json
    secrets = (made["token"], second["token"], third["token"])
    assert [call(client, one).status_code for one in secrets] == [401, 200, 200]


def test_revoked_client_is_nobody_at_once_with_both_its_tokens_and_stays_so(client, robin):
    made = create(client, robin)
    fresh = client.post(path(made, "rotate"), json={}, headers=robin).json["token"]
    revoked = client.post(path(made, "revoke"), headers=robin)
    assert (revoked.status_code, revoked.json["state"]) == (200, "revoked")
    assert [call(client, one).status_code for one in (made["token"], fresh)] == [401, 401]
    assert client.post(path(made, "revoke"), headers=robin).json == revoked.json
    for answer in (
        client.patch(path(made), json={"name": "x"}, headers=robin),
        client.post(path(made, "rotate"), json={}, headers=robin),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "state_conflict")


def test_client_ends_by_itself_and_cannot_be_made_over(client, robin, desk):
    ends = NOW + timedelta(hours=1)
    made = create(client, robin, expires_at=ends.isoformat())
    assert call(client, made["token"]).status_code == 200
    desk.do("update api_keys set expires_at = now() where kind = 'client'")
    assert call(client, made["token"]).status_code == 401
    assert client.get(path(made), headers=robin).json["state"] == "expired"
    past = client.post(
        "/v1/clients", json=NEW | {"expires_at": "2020-01-01T00:00:00Z"}, headers=robin
    )
    assert (past.status_code, past.json["errors"][0]["pointer"]) == (422, "/expires_at")


def test_change_by_a_version_that_is_over_does_nothing(client, robin):
    made = create(client, robin)
    first = client.patch(path(made), json={"name": "Day bus app"}, headers=robin)
    assert (first.status_code, first.json["name"]) == (200, "Day bus app")
    old = robin | {"If-Match": '"1"'}
    for answer in (
        client.patch(path(made), json={"name": "x"}, headers=old),
        client.post(path(made, "rotate"), json={}, headers=old),
        client.post(path(made, "revoke"), headers=old),
    ):
        assert (answer.status_code, answer.json["code"]) == (412, "stale_version")
    assert call(client, made["token"]).status_code == 200


def test_faults_of_a_body_are_named(client, robin):
    for changes, pointer, code in (
        ({"scopes": ["exercise", "root"]}, "/scopes/1", "unknown_scope"),
        ({"scopes": ["exercise", "alerts:read"]}, "/scopes/1", "unknown_scope"),
        ({"scopes": ["reports:submit"]}, "/scopes/0", "unknown_scope"),
        ({"allowed_origins": [PAGE, "*"]}, "/allowed_origins/1", "not_an_origin"),
        ({"name": " "}, "/name", "invalid"),
        ({"organisation_id": WireId.of("organisation", uuid4())}, "/organisation_id", "unknown"),
        ({"kind": "staff"}, "/kind", "unknown"),
    ):
        answer = client.post("/v1/clients", json=NEW | changes, headers=robin)
        (error,) = answer.json["errors"]
        assert (answer.status_code, error["pointer"], error["code"]) == (422, pointer, code)
    made = create(client, robin)
    nothing = client.patch(path(made), json={}, headers=robin)
    assert nothing.json["errors"][0]["code"] == "nothing_to_change"


def test_organisation_has_only_so_many(client, robin, desk):
    made = create(client, robin)
    desk.do(
        "insert into api_keys (kind, name, token_hash, organisation_id, scopes)"
        " select 'client', 'x', n::text::bytea, %s, '{}' from generate_series(2, %s) n",
        desk.police.organisation_id,
        MOST,
    )
    assert client.post("/v1/clients", json=NEW, headers=robin).status_code == 409
    client.post(path(made, "revoke"), headers=robin)
    assert client.post("/v1/clients", json=NEW, headers=robin).status_code == 201


def test_every_change_is_an_event_and_an_entry_of_the_audit_log(client, robin, desk):
    made = create(client, robin)
    client.patch(path(made), json={"name": "x"}, headers=robin)
    client.post(path(made, "rotate"), json={}, headers=robin)
    client.post(path(made, "revoke"), headers=robin)
    client.post(path(made, "revoke"), headers=robin)
    done = ["client.created", "client.updated", "client.rotated", "client.revoked"]
    told = [one for one in desk.events() if one["kind"].startswith("client.")]
    assert [one["kind"] for one in told] == done
    assert {one["staff_id"] for one in told} == {desk.police.staff_id}
    assert {WireId.of("client", UUID(one["data"]["client_id"])) for one in told} == {made["id"]}
    assert [
        row["action"]
        for row in desk.rows("select action from audit_entries order by id")
        if row["action"].startswith("client.")
    ] == done


# --- nobody gives what they have not got


def test_nobody_gives_a_scope_that_they_have_not_got(client, robin, desk):
    for scopes in (["metrics:read"], ["webhooks:manage", "metrics:read"]):
        refused = client.post("/v1/clients", json=NEW | {"scopes": scopes}, headers=robin)
        assert (refused.status_code, refused.json["errors"][0]["code"]) == (403, "scope_not_held")
    made = create(client, robin)
    refused = client.patch(path(made), json={"scopes": ["metrics:read"]}, headers=robin)
    assert refused.status_code == 403
    assert client.get(path(made), headers=robin).json["scopes"] == ["webhooks:manage"]


def test_nobody_gets_the_token_of_a_client_that_may_do_more_than_they(client, robin, desk):
    made = create(client, robin)
    desk.do(
        "update api_keys set scopes = '{reports:original,webhooks:manage}' where kind = 'client'"
    )
    later = (NOW + timedelta(days=9)).isoformat()
    for answer in (
        client.post(path(made, "rotate"), json={}, headers=robin),
        client.patch(path(made), json={"allowed_origins": [OTHER]}, headers=robin),
        client.patch(path(made), json={"expires_at": later}, headers=robin),
    ):
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (403, "scope_not_held")
    assert call(client, made["token"]).status_code == 200
    less = client.patch(path(made), json={"scopes": ["webhooks:manage"]}, headers=robin)
    assert less.status_code == 200
    desk.do("update api_keys set scopes = '{reports:original}' where kind = 'client'")
    assert client.post(path(made, "revoke"), headers=robin).status_code == 200


def test_client_manages_no_clients_whatever_it_was_given(client, robin, desk):
    made = create(client, robin)
    desk.do("update api_keys set scopes = '{clients:manage}' where kind = 'client'")
    answer = client.get("/v1/clients", headers={"Authorization": f"Bearer {made['token']}"})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (403, "wrong_kind")


# --- another organisation's


def test_clients_of_another_organisation_are_not_there(client, signed_in, desk):
    made = create(client, signed_in["Robin"], scopes=[])
    for who in ("Ali", "Casey"):
        headers = signed_in[who]
        assert client.get("/v1/clients", headers=headers).json["items"] == []
        for answer in (
            client.get(path(made), headers=headers),
            client.patch(path(made), json={"name": "ours"}, headers=headers),
            client.post(path(made, "rotate"), json={}, headers=headers),
            client.post(path(made, "revoke"), headers=headers),
        ):
            assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert client.get(path(made), headers=signed_in["Robin"]).json["version"] == 1


def test_key_of_a_colleague_is_no_client(client, robin, desk):
    (row,) = desk.rows("select id from api_keys where staff_id = %s", desk.police.staff_id)
    made = {"id": WireId.of("client", row["id"])}
    assert client.get(path(made), headers=robin).status_code == 404
    assert client.post(path(made, "rotate"), json={}, headers=robin).status_code == 404
    assert client.post(path(made, "revoke"), headers=robin).status_code == 404


def test_staff_role_reaches_no_key_but_its_own_clients_whatever_sql_it_is_given(
    client, signed_in, desk
):
    made = create(client, signed_in["Robin"])
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select count(id) from api_keys").fetchone() == (0,)
        for statement in (
            "update api_keys set scopes = '{exercise}'",
            "update api_keys set revoked_at = now()",
        ):
            assert conn.execute(statement).rowcount == 0
        id_ = _uuid_of(made)
        assert conn.execute("select rotate_client(%s, '', null, now())", [id_]).fetchone() == (
            False,
        )
    columns = "insert into api_keys (kind, name, token_hash, organisation_id, scopes) values"
    for statement, values in (
        (f"{columns} ('client', '', 'x', %s, '{{}}')", [desk.police.organisation_id]),
        (f"{columns} ('client', '', 'x', null, '{{}}')", []),
        (f"{columns} ('staff', '', 'x', %s, '{{}}')", [desk.operator.organisation_id]),
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            desk.database.staff(desk.operator.organisation_id) as conn,
        ):
            conn.execute(statement, values)
    assert call(client, made["token"]).status_code == 200


def test_service_alone_hides_clients_of_others(client, signed_in, desk, monkeypatch):
    """The first lock by itself: as the owner of the tables, whom no policy binds."""
    made = create(client, signed_in["Robin"])
    monkeypatch.setattr(desk.database, "staff", lambda _: desk.database.owner())
    found = clients.list_clients(desk.database, desk.operator, after=None, limit=9, now=NOW)
    assert found == []
    headers = signed_in["Ali"]
    assert client.get(path(made), headers=headers).status_code == 404
    assert client.post(path(made, "rotate"), json={}, headers=headers).status_code == 404


# --- pages


def preflight(client, page, address="/v1/webhooks"):
    return client.options(
        address,
        headers={
            "Origin": page,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        },
    ).headers.get("Access-Control-Allow-Origin")


def test_key_works_from_the_pages_it_names_and_from_no_other(client, robin):
    made = create(client, robin, allowed_origins=["HTTPS://App.example:443"])
    assert made["allowed_origins"] == [PAGE]
    answer = call(client, made["token"], Origin=PAGE)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert "Origin" in answer.headers["Vary"]
    for page in (OTHER, "null", "http://app.example", "https://app.example.evil.example", ""):
        refused = call(client, made["token"], Origin=page)
        assert (refused.status_code, refused.json["errors"][0]["code"]) == (
            403,
            "origin_not_allowed",
        )
        assert "Access-Control-Allow-Origin" not in refused.headers
    assert call(client, made["token"]).status_code == 200


def test_key_without_pages_is_for_no_browser(client, robin):
    made = create(client, robin)
    assert call(client, made["token"], Origin=PAGE).status_code == 403
    assert preflight(client, PAGE) is None


def test_preflight_lets_through_the_pages_that_live_clients_name(client, robin):
    assert preflight(client, PAGE) is None
    made = create(client, robin, allowed_origins=[PAGE])
    assert preflight(client, PAGE) == PAGE
    assert preflight(client, OTHER) is None
    assert preflight(client, PAGE, "/v1/clients") is None  # for staff alone
    client.post(path(made, "revoke"), headers=robin)
    assert preflight(client, PAGE) is None


def test_key_of_a_person_is_for_our_own_pages_whatever_page_a_client_names(client, robin):
    create(client, robin, allowed_origins=[PAGE])
    assert client.get("/v1/webhooks", headers=robin | {"Origin": PAGE}).status_code == 403
    assert (
        client.get("/v1/webhooks", headers=robin | {"Origin": "http://localhost"}).status_code
        == 200
    )


def test_report_from_a_page_where_its_key_does_not_belong_is_taken_from_nobody(client, robin, desk):
    made = create(client, robin, scopes=["exercise"])
    told = {"in_danger": True, "exercise": True}
    headers = {"Authorization": f"Bearer {made['token']}", "Origin": OTHER}
    answer = client.post("/v1/reports", json=told, headers=headers)
    assert answer.status_code == 201
    assert {row["exercise"] for row in desk.rows("select exercise from reports")} == {False}


def _uuid_of(made):
    return WireId.read("client", made["id"])
