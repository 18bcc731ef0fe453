"""What each kind of caller is answered by every route, by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.common import WireId
from tests.api.access.world import LATER, POINT, PROVIDER, SHIFT, SOON, STORY, World
from tests.desk import NOW, SPOT
from tests.push_service import Browser
from tests.tokens import token


@dataclass(frozen=True)
class Route:
    """What each kind of caller is answered.

    `own` is for somebody of the organisation that the object belongs to, `granted` for the control
    room that oversees it, `other` for an organisation that was told nothing. A client is one of the
    police.
    """

    scope: str | None = None
    own: int | None = None
    granted: int | None = None
    other: int | None = None
    owner: str = "police"
    clients: bool = False
    or_scope: str | None = None
    """Does in place of `scope`."""
    programs: int | None = None
    """For what any client may call and no person."""
    public: int | None = None
    passenger: tuple[int, int, int] | None = None
    """With no receipt, with that of the report, with that of another."""
    provider: int | None = None
    body: Any = None
    query: str = ""
    before: Callable[[World], Any] = field(default=lambda _: None)


def acked(world):
    world.desk.acknowledge(world.desk.police, world.rows["alert_id"])


def en_route(world):
    acked(world)
    done = world.call("POST", "/v1/alerts/{alert_id}/en-route", world.key("police"), None)
    assert done.status_code == 200, done.text


def acked_by_the_hub(world):
    world.desk.acknowledge(world.desk.hub_host, world.rows["hub_alert_id"])


def on_wheels(world):
    world.desk.do("update hubs set mobile = true")


def closed(world):
    acked(world)
    done = world.call("POST", "/v1/alerts/{alert_id}/close", world.key("police"), None)
    assert done.status_code == 200, done.text


def both_acked(world):
    acked(world)
    world.desk.acknowledge(world.desk.police, world.rows["west_alert_id"])


def shared_with_the_police(world):
    path = "/v1/reports/mine/consents/police"
    done = world.call("PUT", path, world.report.receipt, None, scheme="Receipt")
    assert done.status_code == 200, done.text


def another_report(world):
    world.desk.report(STORY, now=NOW)


def staff(scope, own, granted, other, **more):
    return Route(scope, own, granted, other, **more)


def either(own, granted, other, **more):
    return Route("webhooks:manage", own, granted, other, clients=True, **more)


def hub(scope, own, granted, other, **more):
    return Route(scope, own, granted, other, owner="hub_host", **more)


READ, ACT, RUN, DUTY = "alerts:read", "alerts:act", "teams:manage", "teams:duty"
HUBS, INCIDENTS, CLIENTS = "hubs:manage", "incidents:manage", "clients:manage"
PEOPLE = "staff:manage"
RULE = "organisation:manage"


def session(status, **more):
    """What a key is answered where a session is meant (tests/api/test_sessions.py)."""
    return Route(None, status, status, status, **more)


TABLE: Mapping[str, Route] = {
    "GET /": Route(public=200),
    "GET /.well-known/oauth-authorization-server": Route(public=200),
    "GET /docs": Route(public=200),
    "GET /docs/{name}": Route(public=200),
    "GET /healthz": Route(public=200),
    "GET /openapi.json": Route(public=200),
    "GET /openapi.yaml": Route(public=200),
    "GET /readyz": Route(public=503),  # no worker lives here
    "GET /v1/categories": Route(public=200),
    "GET /v1/hubs": Route(public=200),
    "GET /v1/hubs/{hub_id}": Route(public=200),
    "GET /v1/hubs/nearest": Route(public=200, query=f"?lat={SPOT.lat}&lon={SPOT.lon}"),
    "GET /v1/places": Route(public=200),
    "POST /v1/reports": Route(public=201, body={"in_danger": True}),
    "POST /v1/oauth/token": Route(public=400),  # whoever shows no secret
    "GET /v1/reports/mine": Route(passenger=(404, 200, 200)),
    "GET /v1/reports/{report_id}": Route(passenger=(404, 200, 404)),
    "GET /v1/reports/mine/consents": Route(passenger=(404, 200, 200)),
    "PUT /v1/reports/mine/consents/{recipient}": Route(passenger=(404, 200, 200)),
    "DELETE /v1/reports/mine/consents/{recipient}": Route(passenger=(404, 200, 200)),
    "GET /metrics": Route("metrics:read", 403, 403, 403, programs=200),
    "POST /v1/channels/notify/receipts": Route(
        provider=204, body={"id": "x", "status": "delivered"}
    ),
    "POST /v1/channels/notify/inbound": Route(
        provider=204,
        body={
            "id": "x",
            "source_number": "447400123456",
            "destination_number": "1",
            "message": "x",
            "date_received": LATER,
        },
    ),
    "POST /v1/channels/twilio/status": Route(provider=204),
    "POST /v1/channels/twilio/inbound": Route(provider=204),
    # addresses
    "GET /v1/addresses/{address_id}": staff(RUN, 200, 404, 404),
    "PATCH /v1/addresses/{address_id}": staff(RUN, 200, 404, 404, body={"name": "Night desk"}),
    "DELETE /v1/addresses/{address_id}": staff(RUN, 204, 404, 404),
    "POST /v1/addresses/{address_id}/test": staff(RUN, 202, 404, 404),
    "GET /v1/teams/{team_id}/addresses": staff(RUN, 200, 404, 404),
    "POST /v1/teams/{team_id}/addresses": staff(
        RUN, 201, 404, 404, body={"channel": "email", "address": "a@b.example", "name": "Desk"}
    ),
    "GET /v1/hubs/{hub_id}/addresses": hub(RUN, 200, 404, 404),
    "POST /v1/hubs/{hub_id}/addresses": hub(
        RUN, 201, 404, 404, body={"channel": "email", "address": "a@b.example", "name": "Desk"}
    ),
    # alerts
    "GET /v1/alerts": staff(READ, 200, 200, 200),
    "GET /v1/alerts/{alert_id}": staff(READ, 200, 200, 404),
    "POST /v1/alerts/{alert_id}/acknowledge": staff(ACT, 200, 403, 404),
    "POST /v1/alerts/{alert_id}/arrival": hub(
        ACT,
        200,
        403,
        404,
        body=lambda world: {"status": "arrived", "report_id": world.ids["report_id"]},
        before=acked_by_the_hub,
    ),
    "PUT /v1/alerts/{alert_id}/check-in": staff(
        ACT, 200, 403, 404, body={"due_in_s": 900}, before=en_route
    ),
    "DELETE /v1/alerts/{alert_id}/check-in": staff(ACT, 204, 403, 404, before=acked),
    "POST /v1/alerts/{alert_id}/close": staff(ACT, 200, 403, 404, before=acked),
    "POST /v1/alerts/{alert_id}/decline": staff(ACT, 200, 403, 404),
    "POST /v1/alerts/{alert_id}/en-route": staff(ACT, 200, 403, 404, before=acked),
    "POST /v1/alerts/{alert_id}/hand-over": staff(
        ACT,
        200,
        403,
        404,
        before=acked,
        body=lambda world: {"to_team": world.ids["second_team_id"], "reason": "Nearer."},
    ),
    "POST /v1/alerts/{alert_id}/on-scene": staff(ACT, 200, 403, 404, before=acked),
    "GET /v1/alerts/stream": staff(
        READ, None, None, None
    ),  # does not end: test_tickets, test_stream
    "POST /v1/alerts/stream/tickets": staff(READ, 201, 201, 201),
    # incidents and what is told in them
    "GET /v1/incidents": staff(READ, 200, 200, 200),
    "GET /v1/incidents/{incident_id}": staff(READ, 200, 200, 404),
    "GET /v1/incidents/{incident_id}/timeline": staff(READ, 200, 200, 404),
    "POST /v1/incidents/{incident_id}/notes": staff(ACT, 201, 201, 404, body={"text": "x"}),
    "POST /v1/incidents/{incident_id}/reopen": staff(
        ACT, 200, 200, 404, body={"reason": "x"}, before=closed
    ),
    "POST /v1/incidents/{incident_id}/merge": staff(
        INCIDENTS,
        200,
        200,
        404,
        body=lambda world: {"into": world.ids["west_incident_id"]},
        before=both_acked,
    ),
    "POST /v1/incidents/{incident_id}/split": staff(
        INCIDENTS,
        201,
        201,
        404,
        body=lambda world: {"reports": [world.ids["second_report_id"]]},
        before=acked,
    ),
    "GET /v1/analysed-reports": staff("reports:analyse", 200, 200, 200),
    "GET /v1/shared-reports": staff("reports:read", 200, 200, 200),
    "GET /v1/shared-reports/{report_id}": staff(
        "reports:read", 200, 404, 404, before=shared_with_the_police
    ),
    # Whose organisation is no support service finds nothing: tests/api/test_support.py.
    "GET /v1/shared-reports/{report_id}/support-notes": staff(
        "support:work", 404, 404, 404, before=shared_with_the_police
    ),
    "POST /v1/shared-reports/{report_id}/support-notes": staff(
        "support:work", 404, 404, 404, body={"text": "x"}, before=shared_with_the_police
    ),
    "DELETE /v1/reports/mine/support-notes": Route(passenger=(404, 204, 204)),
    "GET /v1/reports/{report_id}/original": staff("reports:original", 200, 200, 404),
    "POST /v1/reports/{report_id}/redactions": staff(
        "reports:redact",
        201,
        201,
        404,
        before=acked,
        body={"field": "narrative", "ranges": [[0, 2]], "reason": "A bystander."},
    ),
    "GET /v1/reports/{report_id}/grants": staff(INCIDENTS, 200, 200, 404),
    "POST /v1/reports/{report_id}/grants/{organisation_id}/revoke": staff(
        INCIDENTS, 200, 200, 404, before=closed, body={"reason": "It was not theirs."}
    ),
    # teams
    "GET /v1/check-ins/default": staff(READ, 200, 200, 200),
    "PUT /v1/check-ins/default": staff(RUN, 200, 200, 200, body={"due_in_s": 1200}),
    "GET /v1/organisations": staff(RULE, 200, 200, 200),
    "GET /v1/organisations/{organisation_id}": staff(RULE, 200, 404, 404),
    "PATCH /v1/organisations/{organisation_id}": staff(RULE, 200, 404, 404, body={"name": "We"}),
    "GET /v1/organisations/{organisation_id}/escalation": staff(RULE, 200, 404, 404),
    "PUT /v1/organisations/{organisation_id}/escalation": staff(
        RULE, 200, 404, 404, body={f"priority_{n}_s": None for n in (1, 2, 3)}
    ),
    "POST /v1/routing/dry-runs": staff(
        RULE,
        200,
        422,
        422,
        body=lambda world: {
            "teams": [{"team_id": WireId.of("team", world.desk.first), "retired": True}]
        },
    ),
    "GET /v1/teams/{team_id}/coverages": staff(RULE, 200, 200, 404),
    "POST /v1/teams/{team_id}/coverages": staff(RULE, 201, 403, 404, body={"area": "all"}),
    "GET /v1/teams/{team_id}/coverages/{coverage_id}": staff(RULE, 200, 200, 404),
    "PUT /v1/teams/{team_id}/coverages/{coverage_id}": staff(
        RULE, 200, 403, 404, body={"area": "all"}
    ),
    "DELETE /v1/teams/{team_id}/coverages/{coverage_id}": staff(RULE, 204, 403, 404),
    "GET /v1/teams": staff(READ, 200, 200, 200, or_scope=RUN),
    "POST /v1/teams": staff(RULE, 201, 201, 201, body={"name": "New", "base": POINT}),
    "GET /v1/teams/{team_id}": staff(READ, 200, 200, 404, or_scope=RUN),
    "PATCH /v1/teams/{team_id}": staff(RULE, 200, 403, 404, body={"name": "New"}),
    "DELETE /v1/teams/{team_id}": staff(RULE, 204, 403, 404),
    "PUT /v1/teams/{team_id}/capabilities": staff(RUN, 200, 403, 404, body={"capabilities": []}),
    "PUT /v1/teams/{team_id}/duty": staff(DUTY, 200, 403, 404, body={"status": "busy"}),
    "PUT /v1/teams/{team_id}/position": staff(
        DUTY, 200, 403, 404, body={"position": POINT, "fixed_at": NOW.isoformat()}
    ),
    "GET /v1/teams/{team_id}/shifts": staff(READ, 200, 200, 404, or_scope=RUN),
    "POST /v1/teams/{team_id}/shifts": staff(RUN, 201, 403, 404, body=SHIFT),
    "GET /v1/teams/{team_id}/shifts/{shift_id}": staff(READ, 200, 200, 404, or_scope=RUN),
    "PUT /v1/teams/{team_id}/shifts/{shift_id}": staff(RUN, 200, 403, 404, body=SHIFT),
    "DELETE /v1/teams/{team_id}/shifts/{shift_id}": staff(RUN, 204, 403, 404),
    "GET /v1/teams/{team_id}/shifts/preview": staff(READ, 200, 200, 404, or_scope=RUN),
    "POST /v1/teams/{team_id}/shifts/preview": staff(
        READ, 200, 200, 404, or_scope=RUN, body={"shift": SHIFT}
    ),
    # hubs
    "PATCH /v1/hubs/{hub_id}": hub(HUBS, 200, 403, 403, body={"address": "Round the corner"}),
    "POST /v1/hubs": staff(
        RULE,
        201,
        201,
        201,
        body={
            "name": "New",
            "kind": "station",
            "position": POINT,
            "address": "Here",
            "opening_hours": "24/7",
        },
    ),
    "DELETE /v1/hubs/{hub_id}": hub(RULE, 204, 403, 403),
    "GET /v1/hubs/{hub_id}/desk": hub(READ, 200, 403, 403, or_scope=HUBS),
    "PUT /v1/hubs/{hub_id}/override": hub(
        HUBS, 200, 403, 403, body={"status": "closed", "reason": "No first-aider.", "until": SOON}
    ),
    "DELETE /v1/hubs/{hub_id}/override": hub(HUBS, 200, 403, 403),
    "PUT /v1/hubs/{hub_id}/position": hub(
        HUBS, 200, 403, 403, before=on_wheels, body={"position": POINT}
    ),
    # devices
    "GET /v1/push/key": staff(READ, 200, 200, 200),
    "GET /v1/push/subscriptions": staff(READ, 200, 200, 200),
    "POST /v1/push/subscriptions": staff(
        READ,
        200,  # this device is there already
        422,
        422,
        body=lambda world: {**Browser().to_json(), "team": world.ids["team_id"], "name": "Mine"},
    ),
    "DELETE /v1/push/subscriptions/{device_id}": staff(READ, 204, 404, 404),
    # accounts, sessions and the audit log
    "POST /v1/sessions": Route(
        public=401,
        body={
            "organisation": "police",
            "email": "x@police.example",
            "password": "a long walk by night",
        },
    ),
    "GET /v1/sessions": session(200),
    "DELETE /v1/sessions": session(204),
    "DELETE /v1/sessions/{session_id}": Route(own=204, granted=404, other=404),
    "POST /v1/sessions/current/step-up": session(403, body={"password": "a long walk by night"}),
    "PUT /v1/account/password": session(403, body={"password": "a long walk by night"}),
    "POST /v1/account/recovery-codes": session(403),
    "POST /v1/account/totp": session(403),
    "POST /v1/account/totp/confirm": session(403, body={"code": "492039"}),
    "DELETE /v1/account/totp": session(403),
    "POST /v1/invitations/accept": Route(
        public=404, body={"token": token("invitation", "x"), "password": "a long walk by night"}
    ),
    "GET /v1/sign-in-policy": staff(PEOPLE, 200, 200, 200),
    "PUT /v1/sign-in-policy": staff(PEOPLE, 200, 200, 200, body={"requires_totp": True}),
    "GET /v1/staff": staff(PEOPLE, 200, 200, 200),
    "POST /v1/staff": staff(
        PEOPLE,
        201,
        201,
        201,
        body={"email": "new@police.example", "name": "New", "roles": ["responder"]},
    ),
    "GET /v1/staff/{staff_id}": staff(PEOPLE, 200, 404, 404),
    "PATCH /v1/staff/{staff_id}": staff(PEOPLE, 200, 404, 404, body={"name": "Robin"}),
    "POST /v1/staff/{staff_id}/invitation": staff(PEOPLE, 201, 404, 404, body={}),
    "GET /v1/staff/{staff_id}/sessions": staff(PEOPLE, 200, 404, 404),
    "DELETE /v1/staff/{staff_id}/sessions": staff(PEOPLE, 204, 404, 404),
    "DELETE /v1/staff/{staff_id}/sessions/{session_id}": staff(PEOPLE, 204, 404, 404),
    "GET /v1/audit": staff("audit:read", 200, 200, 200),
    "GET /v1/audit/export": staff("audit:read", 200, 200, 200),
    # OpenID
    "POST /v1/sign-in/{provider_id}": Route(public=503),  # the provider is nowhere
    "POST /v1/sessions/openid": Route(public=401, body={"sign_in": "x", "state": "x", "code": "x"}),
    "POST /v1/sessions/current/step-up/openid": session(
        403, body={"sign_in": "x", "state": "x", "code": "x"}
    ),
    "GET /v1/identity-providers": staff(PEOPLE, 200, 200, 200),
    "POST /v1/identity-providers": staff(
        PEOPLE, 201, 201, 201, body=PROVIDER | {"client_id": "another"}
    ),
    "GET /v1/identity-providers/{provider_id}": staff(PEOPLE, 200, 404, 404),
    "PATCH /v1/identity-providers/{provider_id}": staff(
        PEOPLE, 200, 404, 404, body={"name": "Directory"}
    ),
    "DELETE /v1/identity-providers/{provider_id}": staff(PEOPLE, 204, 404, 404),
    "DELETE /v1/identity-providers/{provider_id}/people/{staff_id}": staff(PEOPLE, 204, 404, 404),
    # clients and webhooks
    "GET /v1/clients": staff(CLIENTS, 200, 200, 200),
    "POST /v1/clients": staff(CLIENTS, 201, 201, 201, body={"name": "App", "scopes": []}),
    "GET /v1/clients/{client_id}": staff(CLIENTS, 200, 404, 404),
    "PATCH /v1/clients/{client_id}": staff(CLIENTS, 200, 404, 404, body={"name": "App"}),
    "POST /v1/clients/{client_id}/rotate": staff(CLIENTS, 200, 404, 404, body={}),
    "POST /v1/clients/{client_id}/revoke": staff(CLIENTS, 200, 404, 404),
    "GET /v1/webhooks": either(200, 200, 200),
    "POST /v1/webhooks": either(201, 201, 201, body={"url": "https://partner.example/hook"}),
    "GET /v1/webhooks/{webhook_id}": either(200, 404, 404),
    "PATCH /v1/webhooks/{webhook_id}": either(200, 404, 404, body={"description": "Wall"}),
    "DELETE /v1/webhooks/{webhook_id}": either(204, 404, 404),
    "GET /v1/webhooks/{webhook_id}/deliveries": either(200, 404, 404),
    "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": either(202, 404, 404),
    "POST /v1/webhooks/{webhook_id}/enable": either(200, 404, 404),
    "POST /v1/webhooks/{webhook_id}/ping": either(202, 404, 404),
    "POST /v1/webhooks/{webhook_id}/rotate-secret": either(200, 404, 404, body={}),
}
