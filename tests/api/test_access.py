"""Every endpoint called by every kind of caller, for what is theirs, granted and another's.

A route that is not in TABLE fails. What is expected stands here by hand, not as the routes declare
it: a route that opens by mistake fails too. Every call is undone before the next.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.wire.limits import Limiter
from api.wire.providers import twilio_signature
from schemas.common import WireId
from tests.desk import NOW, P2, SPOT, open_desk
from tests.push_service import Browser, from_base64url
from tests.staff import enter, person
from tests.tokens import token
from waylight.domain.addresses import Medium
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import addresses, keys, oauth
from waylight.services.context import Waylight
from waylight.services.keys import SCOPES
from waylight.vault import Vault

STORY = replace(
    P2, narrative="He got on at King's Cross.", wants=(Want.HELP, Want.POLICE, Want.HUB)
)
WEST = Point(SPOT.lon - 0.05, SPOT.lat)
NOTIFY = "notify-callback-token"
SOON = (NOW + timedelta(hours=2)).isoformat()
LATER = "2030-01-01T00:00:00Z"
POINT = {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}
PROVIDER = {
    "name": "Directory",
    "issuer": "http://127.0.0.1:9",
    "client_id": "waylight",
    "redirect_uris": ["https://desk.police.example/signed-in"],
}
SHIFT = {"kind": "recurring", "rule": "24/7"}
PARTS = 4
"""So that several processes share the work."""

LISTS_OF_ANYBODY = ("team_id", "hub_id")
"""Which teams and hubs there are is for everybody to know."""


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
    before: Callable[["World"], Any] = field(default=lambda _: None)


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


class World:
    """The city of a test with one of everything, most of it the police's, and all who call."""

    def __init__(self, app, client, desk):
        self.desk, self.client, self.app = desk, client, app
        self.report = desk.report(STORY)
        self.other_report = desk.report(STORY, at=WEST)
        second = desk.report(STORY)
        self.people = {
            "police": desk.police,
            "control": desk.control,
            "operator": desk.operator,
            "hub_host": desk.hub_host,
        }
        self._keys: dict[Any, str] = {}
        self.rows = self._things() | {"report_id": self.report.id, "second_report_id": second.id}
        self.ids = {name: self._wire(name, row) for name, row in self.rows.items()}
        self.ids["name"], self.ids["recipient"] = "page.css", "operator"

    def _things(self):
        desk = self.desk
        rows = {
            "alert_id": self._one(
                "select id from alerts where report_id = %s and team_id = %s",
                self.report.id,
                desk.first,
            ),
            "hub_alert_id": self._one(
                "select id from alerts where report_id = %s and hub_id = %s",
                self.report.id,
                desk.hub,
            ),
            "west_alert_id": self._one(
                "select id from alerts where report_id = %s and team_id is not null",
                self.other_report.id,
            ),
            "incident_id": self._one(
                "select incident_id as id from reports where id = %s", self.report.id
            ),
            "west_incident_id": self._one(
                "select incident_id as id from reports where id = %s", self.other_report.id
            ),
            "team_id": desk.first,
            "second_team_id": desk.third,
            "hub_id": desk.hub,
        }
        address, _ = addresses.add_address(
            desk.database,
            desk.vault,
            desk.police,
            team_id=desk.first,
            channel=Medium.EMAIL,
            address="desk@police.example",
            name="Desk",
            now=NOW,
        )
        self.key("police")
        rows["address_id"] = address.id
        made = self._make(
            "/v1/push/subscriptions", **Browser().to_json(), team=_team(desk), name="x"
        )
        rows["device_id"] = WireId.read("device", made["id"])
        made = self._make(f"/v1/teams/{_team(desk)}/shifts", **SHIFT)
        rows["shift_id"] = WireId.read("shift", made["id"])
        made = self._make("/v1/webhooks", url="https://partner.example/hook")
        rows["webhook_id"] = WireId.read("webhook", made["id"])
        made = self._make(f"/v1/webhooks/{made['id']}/ping")
        rows["delivery_id"] = WireId.read("delivery", made["id"])
        desk.do("update deliveries set status = 'failed' where id = %s", rows["delivery_id"])
        rows["organisation_id"] = desk.police.organisation_id
        rows["coverage_id"] = self._one("select id from coverages where team_id = %s", desk.first)
        made = self._make("/v1/clients", name="App", scopes=[])
        rows["client_id"] = WireId.read("client", made["id"])
        made = self._make("/v1/identity-providers", **PROVIDER)
        rows["provider_id"] = WireId.read("provider", made["id"])
        robin = person(desk)
        enter(desk, robin)
        rows["staff_id"] = robin.id
        desk.do(
            "insert into identities select %s, '\\x01', staff_id, organisation_id, now(), now()"
            " from accounts where staff_id = %s",
            rows["provider_id"],
            robin.id,
        )
        rows["session_id"] = self._one("select id from sessions where staff_id = %s", robin.id)
        return rows

    def _make(self, path, **body):
        answer = self.client.post(path, json=body or None, headers=_bearer(self.key("police")))
        assert answer.status_code in (201, 202), answer.text
        return answer.json

    def _one(self, statement, *values):
        return self.desk.rows(statement, *values)[0]["id"]

    def _wire(self, name, row):
        prefix = name.removesuffix("_id").removeprefix("second_").removeprefix("west_")
        return WireId.of(prefix.removeprefix("hub_") if prefix == "hub_alert" else prefix, row)

    def key(self, who, scopes=SCOPES):
        """A token of a person or, for `client`, of a program of the police, with these scopes."""
        asked = (who, tuple(sorted(scopes)))
        if asked not in self._keys:
            secret = token("client" if "client" in who else "staff", asked)
            person = self.people.get(who)
            works_for = {
                "client": self.desk.police.organisation_id,
                "client of another": self.desk.operator.organisation_id,
            }
            self.desk.do(
                "insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes)"
                " values (%s, %s, %s, %s, %s, %s)",
                "staff" if person else "client",
                who,
                self.desk.vault.hash_token(secret),
                person.staff_id if person else None,
                person.organisation_id if person else works_for[who],
                sorted(scopes),
            )
            self._keys[asked] = secret
        return self._keys[asked]

    def access_token(self, scopes):
        """What the program gets by OAuth; of this moment, for it lasts a quarter of an hour."""
        now = datetime.now(UTC)
        caller = keys.authenticate(
            self.desk.database, self.desk.vault, self.key("client", scopes), now=now
        )
        assert caller is not None
        return oauth.issue_access_token(
            self.desk.database, self.desk.vault, caller, scopes=scopes, now=now
        )

    def call(self, method, path, secret, body, *, scheme="Bearer", form=None, **headers):
        """One call; ids are filled in from the world."""
        if secret is not None:
            headers["Authorization"] = f"{scheme} {secret}"
        if method in ("PUT", "DELETE") and ("/coverages" in path or "/escalation" in path):
            headers["If-Match"] = "*"
        body = body(self) if callable(body) else body
        return self.client.open(
            path.format_map(self.ids), method=method, json=body, data=form, headers=headers
        )

    @property
    def secret_ids(self):
        """What nobody may find in an answer who was not told of it."""
        return {
            row
            for name, row in self.ids.items()
            if name not in ("name", "recipient", *LISTS_OF_ANYBODY)
        } - {self.ids["second_team_id"]}


def _team(desk):
    return WireId.of("team", desk.first)


def _bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def world(app, client, database, settings):
    used = replace(
        settings,
        channels=("console", "webhook", "email", "web_push"),
        vapid_keys=(from_base64url(Vault.new_push_key()[0]),),
        vapid_subject="mailto:desk@waylight.example",
        allowed_loopback_ports=(9,),
    )
    vault = Vault(used)
    app.extensions["waylight"] = Waylight(used, database, vault)
    app.extensions["waylight.limiter"] = Limiter(exempt_loopback=True)
    return World(app, client, open_desk(database, vault, used))


@dataclass(frozen=True)
class Call:
    """One caller, and what they are answered; `sees` if they may read the ids of the world."""

    who: str
    status: int | None
    secret: str | None
    scheme: str = "Bearer"
    sees: bool = False


def of_a_public_route(world, route):
    yield Call("nobody", route.public, None)
    yield Call("receipt", route.public, world.report.receipt, "Receipt")
    yield Call("wrong key", route.public, token("staff", "nobody"))
    for who in ("police", "client"):
        yield Call(who, route.public, world.key(who))


def of_the_passenger_s(world, route):
    without, own, another = route.passenger
    yield Call("own receipt", own, world.report.receipt, "Receipt", sees=True)
    yield Call("receipt of another", another, world.other_report.receipt, "Receipt")
    yield Call("nobody", without, None)
    yield Call("nonsense", without, "K7QD-0000", "Receipt")
    for who in ("police", "control", "operator", "client"):
        yield Call(who, without, world.key(who))


def of_those_who_are_nobody(world, _route):
    yield Call("nobody", 401, None)
    yield Call("own receipt", 401, world.report.receipt, "Receipt")
    yield Call("receipt of another", 401, world.other_report.receipt, "Receipt")
    yield Call("wrong key", 401, token("staff", "nobody"))


def of_a_provider_s(world, route):
    yield from of_those_who_are_nobody(world, route)
    for who in ("police", "client"):
        yield Call(who, 401, world.key(who))


def of_programs(world, route):
    less = [scope for scope in SCOPES if scope not in (route.scope, route.or_scope)]
    yield Call("client without the scope", 403, world.key("client", less))
    yield Call("access token without the scope", 403, world.access_token(less))
    own, other = (route.own, route.other) if route.clients else (route.programs or 403,) * 2
    yield Call("client", own, world.key("client"), sees=True)
    yield Call("access token", own, world.access_token(SCOPES), sees=True)
    yield Call("client of another", other, world.key("client of another"))


def of_staff(world, route):
    yield Call("provider", 401, NOTIFY)
    less = [scope for scope in SCOPES if scope not in (route.scope, route.or_scope)]
    if route.scope is not None:
        yield Call(f"{route.owner} without the scope", 403, world.key(route.owner, less))
    yield Call(route.owner, route.own, world.key(route.owner), sees=True)
    yield Call("control", route.granted, world.key("control"), sees=True)
    yield Call("operator", route.other, world.key("operator"))


def calls(world, route):
    if route.public is not None:
        return of_a_public_route(world, route)
    if route.passenger is not None:
        return of_the_passenger_s(world, route)
    if route.provider is not None:
        return of_a_provider_s(world, route)
    return (
        call
        for group in (of_those_who_are_nobody, of_programs, of_staff)
        for call in group(world, route)
    )


def answer_to(world, name, route, call):
    """One call, undone again: what is wrong with its answer."""
    method, path = name.split(" ")
    path = path.replace("{alert_id}", "{hub_alert_id}") if route.owner == "hub_host" else path
    with world.desk.database._conn.transaction(force_rollback=True):
        route.before(world)
        answer = world.call(method, path + route.query, call.secret, route.body, scheme=call.scheme)
    what = f"{name} for {call.who}"
    if answer.status_code != call.status:
        yield f"{what}: {answer.status_code} and not {call.status}: {answer.text[:200]}"
    if not call.sees and route.public is None:
        asked = set(re.findall(r"[a-z]+_[0-9a-z]{26}", path.format_map(world.ids)))
        told = [one for one in world.secret_ids - asked if one in answer.text]
        if call.scheme == "Receipt":  # whom a city has for what is no secret to passengers
            told = [one for one in told if not one.startswith("organisation_")]
        if told:
            yield f"{what}: tells {sorted(told)}"


def test_every_route_is_in_the_table(app):
    there = set()
    for rule in app.url_map.iter_rules():
        path = "".join(f"{{{part}}}" if dynamic else part for dynamic, part in rule._trace)
        methods = rule.methods - {"HEAD", "OPTIONS"}
        there |= {f"{method} {path.removeprefix('|')}" for method in methods}
    assert there == set(TABLE)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_endpoint_answers_every_kind_of_caller_as_the_table_has_it(world, part):
    wrong = [
        fault
        for name in sorted(TABLE)[part::PARTS]
        for call in calls(world, TABLE[name])
        if call.status is not None
        for fault in answer_to(world, name, TABLE[name], call)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_only_providers_are_taken_for_providers(world):
    for name, route in TABLE.items():
        if route.provider is None:
            continue
        method, path = name.split(" ")
        if "notify" in path:
            answer = world.call(method, path, NOTIFY, route.body)
        else:
            form = {
                "MessageSid": "SM1",
                "MessageStatus": "sent",
                "From": "+447400123456",
                "Body": "x",
            }
            base = world.desk.settings.base_url.rstrip("/")
            signature = twilio_signature("twilio-auth-token", base + path, form.items())
            headers = {"X-Twilio-Signature": signature}
            answer = world.call(method, path, None, None, form=form, **headers)
            forged = world.call(method, path, None, None, form=form | {"Body": "y"}, **headers)
            assert forged.status_code == 401
        assert answer.status_code == route.provider, answer.text
