"""Fuzzes every operation of the document: what it says is accepted is, and nothing breaks."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.openapi import openapi_document
from tests.tokens import token
from waylight.domain import roles
from waylight.services import keys, packs

TINYTOWN = Path(__file__).resolve().parents[1] / "data/tinytown"

contract = schemathesis.openapi.from_dict(
    openapi_document(),
    # NUL is refused in every text, which JSON Schema has no short way to say.
    config=schemathesis.Config.from_dict({"generation": {"allow-x00": False}}),
)

# By everybody: no more than what hypothesis finds, without the hundreds of edges of each field.
briefly = schemathesis.openapi.from_dict(
    openapi_document(),
    config=schemathesis.Config.from_dict(
        {
            "generation": {"allow-x00": False},
            "phases": {"coverage": {"enabled": False}, "examples": {"enabled": True}},
        }
    ),
)

NOT_CHECKED = {
    # A report is refused only when there is nothing to act on (design, D12): what the document
    # calls wrong is taken with a warning, and a report that says nothing is refused.
    ("POST", "/v1/reports"): [negative_data_rejection, positive_data_acceptance],
    # That the south of a box lies below its north is nothing that a schema can say.
    ("GET", "/v1/hubs"): [positive_data_acceptance],
    # That it is not ready is one of its two answers: there is no worker here.
    ("GET", "/readyz"): [not_a_server_error],
    # Nor is whether a moment is still to come.
    ("PUT", "/v1/teams/{team_id}/duty"): [positive_data_acceptance],
    ("PUT", "/v1/teams/{team_id}/capabilities"): [positive_data_acceptance],
    # Nor what its version is.
    ("PUT", "/v1/check-ins/default"): [positive_data_acceptance],
    # Nor which fields a kind of shift needs, and whether its rule can be read.
    ("POST", "/v1/teams/{team_id}/shifts"): [positive_data_acceptance],
    ("PUT", "/v1/teams/{team_id}/shifts/{shift_id}"): [positive_data_acceptance],
    ("POST", "/v1/teams/{team_id}/shifts/preview"): [positive_data_acceptance],
    # Nor whether a number or a mailbox is one.
    ("POST", "/v1/teams/{team_id}/addresses"): [positive_data_acceptance],
    ("POST", "/v1/hubs/{hub_id}/addresses"): [positive_data_acceptance],
    # Nor whether a URL leads outside.
    ("POST", "/v1/webhooks"): [positive_data_acceptance],
    ("PATCH", "/v1/webhooks/{webhook_id}"): [positive_data_acceptance],
    # Nor that a redaction says one of two things.
    ("POST", "/v1/reports/{report_id}/redactions"): [positive_data_acceptance],
    # Nor that an account is somebody's, that a step-up is by one proof, that a change changes.
    ("POST", "/v1/staff"): [positive_data_acceptance],
    ("PATCH", "/v1/staff/{staff_id}"): [positive_data_acceptance],
    ("POST", "/v1/sessions/current/step-up"): [positive_data_acceptance],
    # Nor what its version is; nor that one moment is before another.
    ("PUT", "/v1/sign-in-policy"): [positive_data_acceptance],
    ("GET", "/v1/audit"): [positive_data_acceptance],
    ("GET", "/v1/analysed-reports"): [positive_data_acceptance],
    ("GET", "/v1/audit/export"): [positive_data_acceptance],
    # Nor whose secret it is, which is asked first.
    ("POST", "/v1/oauth/token"): [positive_data_acceptance, negative_data_rejection],
    # Nor whether something is an origin, a scope, or a moment to come.
    ("POST", "/v1/clients"): [positive_data_acceptance],
    ("PATCH", "/v1/clients/{client_id}"): [positive_data_acceptance],
    # Nor whether something is an issuer, or where an app of somebody's is.
    ("POST", "/v1/identity-providers"): [positive_data_acceptance],
    ("PATCH", "/v1/identity-providers/{provider_id}"): [positive_data_acceptance],
    # Nor whether rings close without crossings and within the city, and that a change changes.
    ("POST", "/v1/teams/{team_id}/coverages"): [positive_data_acceptance],
    ("PUT", "/v1/teams/{team_id}/coverages/{coverage_id}"): [positive_data_acceptance],
    ("POST", "/v1/routing/dry-runs"): [positive_data_acceptance],
    ("POST", "/v1/teams"): [positive_data_acceptance],
    ("PATCH", "/v1/teams/{team_id}"): [positive_data_acceptance],
    ("POST", "/v1/hubs"): [positive_data_acceptance],
    ("PATCH", "/v1/organisations/{organisation_id}"): [positive_data_acceptance],
    # Only Twilio can sign what it sends.
    ("POST", "/v1/channels/twilio/status"): [positive_data_acceptance, negative_data_rejection],
    ("POST", "/v1/channels/twilio/inbound"): [positive_data_acceptance, negative_data_rejection],
    ("PUT", "/v1/hubs/{hub_id}/override"): [positive_data_acceptance],
    ("PUT", "/v1/hubs/{hub_id}/position"): [positive_data_acceptance],
    # Nor whether opening hours can be read.
    ("PATCH", "/v1/hubs/{hub_id}"): [positive_data_acceptance],
    # Nor that a name has nothing in it that cannot be seen.
    ("POST", "/v1/push/subscriptions"): [positive_data_acceptance],
    ("PATCH", "/v1/addresses/{address_id}"): [positive_data_acceptance],
}
"""Checks that would contradict the design, by operation."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
    ignored_auth,
]


@pytest.fixture
def authorizations(database, vault):
    """What to send as `Authorization`, by security scheme."""
    now = datetime.now(UTC)
    packs.load_pack(database, TINYTOWN, now=now, progress=lambda _: None)
    key = keys.create_staff_key(
        database,
        vault,
        organisation="tiny-transit",
        person="Ana Tuhoe",
        role="control_room",
        scopes=keys.SCOPES,
        now=now,
    )
    return {
        "bearerAuth": f"Bearer {key.token}",
        "receipt": "Receipt K7QD-0000",
        "clientBasic": "Basic bm9ib2R5OnNlY3JldA==",
        "providerToken": "Bearer notify-callback-token",
        "twilioSignature": "",
    }


@pytest.mark.contract
@pytest.mark.slow
# A stream does not end: it has its own tests, over real sockets.
@contract.exclude(path="/v1/alerts/stream", method="GET").parametrize()
@hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize="HYPOTHESIS_PROFILE" not in os.environ,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_an_operation_keeps_to_the_document(case, app, authorizations):
    operation = case.operation
    operation.schema.app = app
    if case.meta.generation.mode.is_positive:
        # A cursor is an opaque text that only the page before gives out; any other is a 400.
        case.query.pop("cursor", None)
    schemes = [name for scheme in operation.definition.raw["security"] for name in scheme]
    # Called without a network, schemathesis asks for compressed answers and reads them as they are.
    headers = {"Accept-Encoding": "identity"}
    if schemes:
        headers["Authorization"] = authorizations[schemes[-1]]
    not_checked = NOT_CHECKED.get((operation.method.upper(), operation.path), [])
    case.call_and_validate(
        app=app, headers=headers, checks=[check for check in CHECKS if check not in not_checked]
    )


# --- as everybody else

BREAKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""What holds whoever calls."""


@pytest.fixture
def everybody(database, vault, client):
    """What each kind of caller sends as `Authorization`, and the scopes that go with it.

    People have sessions, proved to be theirs a moment ago. The caller of the test above has every
    scope and no session.
    """
    now = datetime.now(UTC)
    packs.load_pack(database, TINYTOWN, now=now, progress=lambda _: None)
    receipt = client.post("/v1/reports", json={"in_danger": True}).json["receipt"]
    found: dict[str, tuple[str | None, frozenset[str]]] = {
        "nobody": (None, frozenset()),
        "passenger": (f"Receipt {receipt}", frozenset()),
        "key that nobody has": (f"Bearer {token('staff', 'nobody')}", frozenset()),
    }
    with database.owner() as conn:

        def one(statement, *values):
            return conn.execute(statement, values).fetchone()[0]

        ours = one("select id from organisations where key = 'tiny-transit'")
        theirs = one("select id from organisations where id <> %s order by id limit 1", ours)

        def key(kind, works_for, scopes, *, person=None):
            secret = token(kind, (kind, works_for, person))
            made = one(
                "insert into api_keys (kind, name, token_hash, organisation_id, staff_id, scopes,"
                " expires_at) values (%s, 'x', %s, %s, %s, %s, %s) returning id",
                "client" if kind == "client" else "staff",
                vault.hash_token(secret),
                works_for,
                person,
                list(scopes),
                now + timedelta(hours=1),
            )
            return made, f"Bearer {secret}"

        def person(role, totp_since):
            hired = one(
                "insert into staff (organisation_id, name, role) values (%s, %s, 'x') returning id",
                ours,
                role,
            )
            sealed = vault.seal(hired, {"email": "x@tiny.example"})
            conn.execute(
                "insert into accounts (staff_id, organisation_id, login_hash, key_version,"
                " wrapped_key, email, roles, totp_since, password_set_at, created_at, updated_at)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, now(), now(), now())",
                [
                    hired,
                    ours,
                    hired.bytes,
                    sealed.key_version,
                    sealed.wrapped_key,
                    sealed.ciphertexts["email"],
                    [role],
                    totp_since,
                ],
            )
            made, bearer = key("session", ours, [], person=hired)
            conn.execute(
                "insert into sessions (id, staff_id, organisation_id, created_at, last_used_at,"
                " idle_s, fresh_until) values (%s, %s, %s, now(), %s, 3600, %s)",
                [made, hired, ours, now, now + timedelta(hours=1)],
            )
            return bearer

        for role in roles.Role:
            found[role] = (person(role, now), roles.scopes_of([role]))
        found["administrator without a factor"] = (person("administrator", None), frozenset())
        given = frozenset({"webhooks:manage", "exercise"})
        client_id, bearer = key("client", ours, given)
        found["client"] = (bearer, given)
        access = token("access token", client_id)
        conn.execute(
            "insert into access_tokens (token_hash, key_id, scopes, created_at, expires_at)"
            " values (%s, %s, %s, %s, %s)",
            [vault.hash_token(access), client_id, list(given), now, now + timedelta(hours=1)],
        )
        found["access token"] = (f"Bearer {access}", given)
        stranger = one(
            "insert into staff (organisation_id, name, role) values (%s, 'x', 'x') returning id",
            theirs,
        )
        everything = frozenset(keys.SCOPES)
        found["key of another organisation"] = (
            key("staff", theirs, everything, person=stranger)[1],
            everything,
        )
    return found


@pytest.mark.contract
@pytest.mark.slow
@briefly.exclude(path="/v1/alerts/stream", method="GET").parametrize()
@hypothesis.settings(
    max_examples=2,
    deadline=None,
    derandomize="HYPOTHESIS_PROFILE" not in os.environ,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_nothing_breaks_and_nothing_opens_whoever_calls(case, app, database, everybody):
    """The same call by everybody: each undone before the next."""
    operation = case.operation
    operation.schema.app = app
    security = operation.definition.raw["security"]
    wanted = [set(one["bearerAuth"]) for one in security if "bearerAuth" in one]
    is_open = {} in security or not wanted
    not_checked = NOT_CHECKED.get((operation.method.upper(), operation.path), [])
    checks = [check for check in BREAKS if check not in not_checked]
    for who, (authorization, scopes) in everybody.items():
        headers = {"Accept-Encoding": "identity"}
        if authorization is not None:
            headers["Authorization"] = authorization
        with database._conn.transaction(force_rollback=True):
            response = case.call(app=app, headers=headers)
        case.validate_response(response, checks=checks)
        if not is_open and not (authorization and any(scopes >= one for one in wanted)):
            assert response.status_code >= 400, who
