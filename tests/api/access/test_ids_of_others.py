"""Ids of another organisation's things in every position where an id can stand.

Each is answered as one that nobody has: the same status and the same words, so that no answer says
what there is. The operator tries; the things are the police's.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from schemas.common import WireId
from tests.api.access.world import PROVIDER, STORY, WEST
from tests.desk import NOW
from tests.push_service import Browser
from tests.staff import person

NOBODYS = "01jdw2s4x0e6qv3t8k5n7b9c1d"
HOOK = {"url": "https://partner.example/hook"}
SHIFT = {"kind": "recurring", "rule": "24/7"}


@dataclass(frozen=True)
class Position:
    """One place for an id: `{theirs}` in it is the police's id, then one that nobody has."""

    method: str
    path: str
    thing: str
    body: Any = None


POSITIONS = {
    "path: a shift of theirs under our team": Position(
        "GET", "/v1/teams/{our_team}/shifts/{theirs}", "shift_id"
    ),
    "path: changing a shift of theirs under our team": Position(
        "PUT", "/v1/teams/{our_team}/shifts/{theirs}", "shift_id", SHIFT
    ),
    "path: deleting a shift of theirs under our team": Position(
        "DELETE", "/v1/teams/{our_team}/shifts/{theirs}", "shift_id"
    ),
    "path: a delivery of theirs under our webhook": Position(
        "POST", "/v1/webhooks/{our_webhook}/deliveries/{theirs}/replay", "delivery_id"
    ),
    "path: our delivery under a webhook of theirs": Position(
        "POST", "/v1/webhooks/{theirs}/deliveries/{our_delivery}/replay", "webhook_id"
    ),
    "path: the log of a webhook of theirs": Position(
        "GET", "/v1/webhooks/{theirs}/deliveries", "webhook_id"
    ),
    "path: a coverage of theirs under our team": Position(
        "GET", "/v1/teams/{our_team}/coverages/{theirs}", "coverage_id"
    ),
    "path: changing a coverage of theirs under our team": Position(
        "PUT", "/v1/teams/{our_team}/coverages/{theirs}", "coverage_id", {"area": "all"}
    ),
    "path: removing a coverage of theirs under our team": Position(
        "DELETE", "/v1/teams/{our_team}/coverages/{theirs}", "coverage_id"
    ),
    "path: a coverage for a team of theirs": Position(
        "POST", "/v1/teams/{theirs}/coverages", "team_id", {"area": "all"}
    ),
    "path: another name for a team of theirs": Position(
        "PATCH", "/v1/teams/{theirs}", "team_id", {"name": "Ours"}
    ),
    "path: retiring a team of theirs": Position("DELETE", "/v1/teams/{theirs}", "team_id"),
    "path: their organisation": Position("GET", "/v1/organisations/{theirs}", "organisation_id"),
    "path: another name for their organisation": Position(
        "PATCH", "/v1/organisations/{theirs}", "organisation_id", {"name": "Ours"}
    ),
    "path: slowing their ladder": Position(
        "PUT",
        "/v1/organisations/{theirs}/escalation",
        "organisation_id",
        {f"priority_{n}_s": None for n in (1, 2, 3)},
    ),
    "body: a dry-run with a team of theirs": Position(
        "POST",
        "/v1/routing/dry-runs",
        "team_id",
        {"teams": [{"team_id": "{theirs}", "retired": True}]},
    ),
    "body: a dry-run with a coverage of theirs": Position(
        "POST",
        "/v1/routing/dry-runs",
        "coverage_id",
        {"coverages": [{"team_id": "{our_team}", "coverage_id": "{theirs}"}]},
    ),
    "path: a person of theirs under our provider": Position(
        "DELETE", "/v1/identity-providers/{our_provider}/people/{theirs}", "staff_id"
    ),
    "path: a provider of theirs": Position("GET", "/v1/identity-providers/{theirs}", "provider_id"),
    "path: disabling a provider of theirs": Position(
        "PATCH", "/v1/identity-providers/{theirs}", "provider_id", {"enabled": False}
    ),
    "path: a report of theirs": Position("GET", "/v1/reports/{theirs}/original", "report_id"),
    "path: who reads a report of theirs": Position(
        "GET", "/v1/reports/{theirs}/grants", "report_id"
    ),
    "path: taking a report of theirs from us": Position(
        "POST",
        "/v1/reports/{theirs}/grants/{our_organisation}/revoke",
        "report_id",
        {"reason": "Ours."},
    ),
    "path: taking our report from them": Position(
        "POST",
        "/v1/reports/{our_report}/grants/{theirs}/revoke",
        "organisation_id",
        {"reason": "Ours."},
    ),
    "path: a report that is shared with them": Position(
        "GET", "/v1/shared-reports/{theirs}", "report_id"
    ),
    "path: what support workers wrote of theirs": Position(
        "GET", "/v1/shared-reports/{theirs}/support-notes", "report_id"
    ),
    "path: a key of a person as a client": Position(
        "POST", "/v1/clients/{theirs}/rotate", "staff_key_as_client", {}
    ),
    "query: the audit log about a report of theirs": Position(
        "GET", "/v1/audit?report={theirs}", "report_id"
    ),
    "query: the audit log about a person of theirs": Position(
        "GET", "/v1/audit?actor={theirs}", "staff_id"
    ),
    "query: exporting the audit log about a report of theirs": Position(
        "GET", "/v1/audit/export?report={theirs}", "report_id"
    ),
    "path: the sessions of a person of theirs": Position(
        "GET", "/v1/staff/{theirs}/sessions", "staff_id"
    ),
    "path: a session of theirs under our person": Position(
        "DELETE", "/v1/staff/{our_person}/sessions/{theirs}", "session_id"
    ),
    "path: a session of theirs as our own": Position(
        "DELETE", "/v1/sessions/{theirs}", "session_id"
    ),
    "path: a person of theirs": Position(
        "PATCH", "/v1/staff/{theirs}", "staff_id", {"roles": ["administrator"]}
    ),
    "path: inviting a person of theirs": Position(
        "POST", "/v1/staff/{theirs}/invitation", "staff_id", {}
    ),
    "path: our client as a person": Position("GET", "/v1/staff/{theirs}", "client_as_staff"),
    "path: an address of theirs": Position("POST", "/v1/addresses/{theirs}/test", "address_id"),
    "path: a device of theirs": Position("DELETE", "/v1/push/subscriptions/{theirs}", "device_id"),
    "body: handing our alert over to a team of theirs that is not told": Position(
        "POST",
        "/v1/alerts/{our_alert}/hand-over",
        "incident_as_team",
        {"to_team": "{theirs}", "reason": "Nearer."},
    ),
    "query: the inbox of a team of theirs": Position("GET", "/v1/alerts?team={theirs}", "team_id"),
    "query: the stream of a team of theirs": Position(
        "GET", "/v1/alerts/stream?team={theirs}", "team_id"
    ),
    "body: a stream ticket for a team of theirs": Position(
        "POST", "/v1/alerts/stream/tickets", "team_id", {"team": "{theirs}"}
    ),
    "body: our telephone for a team of theirs": Position(
        "POST", "/v1/push/subscriptions", "team_id", {"team": "{theirs}"}
    ),
    "body: our telephone for a hub of theirs": Position(
        "POST", "/v1/push/subscriptions", "hub_id", {"hub": "{theirs}"}
    ),
    "body: previewing our hours instead of a shift of theirs": Position(
        "POST",
        "/v1/teams/{our_team}/shifts/preview",
        "shift_id",
        {"shift": SHIFT, "instead_of": "{theirs}"},
    ),
    "body: merging our incident into one of theirs": Position(
        "POST", "/v1/incidents/{our_incident}/merge", "incident_id", {"into": "{theirs}"}
    ),
    "body: splitting a report of theirs off our incident": Position(
        "POST", "/v1/incidents/{our_incident}/split", "report_id", {"reports": ["{theirs}"]}
    ),
}


@pytest.fixture
def ours(world):
    """What the operator has of its own: a team, a webhook that was pinged, an incident."""
    desk, key = world.desk, world.key("operator")
    far = desk.report(STORY, at=WEST, now=NOW + timedelta(hours=1))
    (row,) = desk.rows("select incident_id from reports where id = %s", far.id)
    desk.do(
        "update alerts set organisation_id = %s, team_id = %s, state = 'acknowledged',"
        " acknowledged_at = now() where report_id = %s and team_id = %s",
        desk.operator.organisation_id,
        desk.second,
        far.id,
        desk.first,
    )
    desk.do(
        "update incidents i set held_by_alert_id = a.id from alerts a"
        " where a.report_id = %s and a.team_id = %s and i.id = a.incident_id",
        far.id,
        desk.second,
    )
    desk.do(
        "insert into grants select report_id, %s, cause, level, created_at, created_by"
        " from grants where report_id = %s and organisation_id = %s and cause = 'routing'",
        desk.operator.organisation_id,
        far.id,
        desk.police.organisation_id,
    )
    webhook = world.call("POST", "/v1/webhooks", key, HOOK).json["id"]
    provider = world.call("POST", "/v1/identity-providers", key, PROVIDER).json["id"]
    delivery = world.call("POST", f"/v1/webhooks/{webhook}/ping", key, None).json["id"]
    (staff_key,) = desk.rows(
        "select id from api_keys where staff_id = %s limit 1", desk.police.staff_id
    )
    world.ids["staff_key_as_client"] = WireId.of("client", staff_key["id"])
    kim = person(desk, "kim@operator.example", organisation="operator")
    client = world.call("POST", "/v1/clients", key, {"name": "App", "scopes": []}).json["id"]
    world.ids["client_as_staff"] = WireId.of("staff", WireId.read("client", client))
    world.ids["incident_as_team"] = WireId.of("team", world.rows["incident_id"])
    (alert,) = desk.rows(
        "select id from alerts where report_id = %s and team_id = %s", far.id, desk.second
    )
    return {
        "our_person": WireId.of("staff", kim.id),
        "our_alert": WireId.of("alert", alert["id"]),
        "our_team": WireId.of("team", desk.second),
        "our_webhook": webhook,
        "our_provider": provider,
        "our_delivery": delivery,
        "our_incident": WireId.of("incident", row["incident_id"]),
        "our_report": WireId.of("report", far.id),
        "our_organisation": WireId.of("organisation", desk.operator.organisation_id),
    }


def filled(value, names):
    """A body with the ids in their places."""
    if isinstance(value, dict):
        return {name: filled(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    return value.format_map(names) if isinstance(value, str) else value


def try_it(world, ours, position, theirs):
    body = filled(position.body, {**ours, "theirs": theirs})
    if position.path.endswith("subscriptions"):
        body = {**world.browser, **body, "name": "x"}
    with world.desk.database._conn.transaction(force_rollback=True):
        path = position.path.format_map({**ours, "theirs": theirs})
        return world.call(position.method, path.replace("{", "{{"), world.key("operator"), body)


@pytest.mark.parametrize("name", POSITIONS)
def test_id_of_another_s_thing_is_answered_as_one_that_nobody_has(world, ours, name):
    world.browser = Browser("https://push.example.net/push/ours").to_json()
    position = POSITIONS[name]
    theirs = world.ids[position.thing]
    prefix = theirs.rpartition("_")[0]
    got = try_it(world, ours, position, theirs)
    nobodys = try_it(world, ours, position, f"{prefix}_{NOBODYS}")
    assert got.status_code in (200, 404, 422), got.text
    if got.status_code == 200:  # a filter that finds nothing, or the lines of no entry
        assert position.path.startswith("/v1/audit")
        assert not (got.json or {"items": got.text})["items"]
    assert (got.status_code, got.json) == (nobodys.status_code, nobodys.json)
    assert theirs not in got.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/webhooks",
        "/v1/clients",
        "/v1/identity-providers",
        "/v1/alerts",
        "/v1/incidents",
        "/v1/webhooks/{}/deliveries",
        "/v1/audit",
        "/v1/staff",
        "/v1/teams",
    ],
)
def test_cursor_of_another_s_list_is_no_cursor(world, ours, path):
    police, operator = world.key("police"), world.key("operator")
    own = path.format(world.ids["webhook_id"])
    for number in range(2):
        new = {"email": f"{number}@police.example", "name": "New", "roles": ["responder"]}
        world.call("POST", "/v1/staff", police, new)
        world.call("POST", "/v1/webhooks", police, HOOK)
        world.call("POST", "/v1/clients", police, {"name": "App", "scopes": []})
        world.call("POST", "/v1/identity-providers", police, PROVIDER | {"client_id": str(number)})
        world.call("POST", f"/v1/webhooks/{world.ids['webhook_id']}/ping", police, None)
    first = world.call("GET", f"{own}?limit=1", police, None)
    cursor = first.json["next_cursor"]
    assert cursor, first.text
    assert world.call("GET", f"{own}?limit=1&cursor={cursor}", police, None).status_code == 200
    theirs = world.call(
        "GET", f"{path.format(ours['our_webhook'])}?cursor={cursor}", operator, None
    )
    if theirs.status_code == 200:  # an inbox: the cursor says where, the organisation what
        assert not re.search("|".join(world.secret_ids), theirs.text)
    else:
        assert (theirs.status_code, theirs.json["code"]) == (400, "invalid_cursor")


def test_organisation_named_in_a_body_is_an_unknown_field(world):
    police = WireId.of("organisation", world.desk.police.organisation_id)
    for path, body in (
        ("/v1/webhooks", HOOK),
        ("/v1/clients", {"name": "App", "scopes": []}),
        ("/v1/identity-providers", PROVIDER),
        ("/v1/alerts/stream/tickets", {}),
    ):
        answer = world.call("POST", path, world.key("operator"), body | {"organisation_id": police})
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown")


def test_nothing_of_the_police_s_was_changed_by_any_of_it(world, ours):
    whole = "select (select array_agg(t::text order by t::text) from {} t) as all_of_it"
    tables = (
        "webhooks",
        "api_keys",
        "identity_providers",
        "shifts",
        "addresses",
        "alerts",
        "incidents",
        "deliveries",
    )

    def state():
        return {table: world.desk.rows(whole.format(table))[0]["all_of_it"] for table in tables}

    world.browser = Browser("https://push.example.net/push/ours").to_json()
    before = state()
    for position in POSITIONS.values():
        names = {**ours, "theirs": world.ids[position.thing]}
        body = filled(position.body, names)
        if position.path.endswith("subscriptions"):
            body = {**world.browser, **body, "name": "x"}
        world.call(position.method, position.path.format_map(names), world.key("operator"), body)
    after = state()
    used = re.compile(r"\d{4}-\d\d-\d\d")
    for table in tables:
        assert [used.sub("", one) for one in after[table]] == [
            used.sub("", one) for one in before[table]
        ], table
