"""The city of a test with one of everything, most of it the police's, and all who call."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.common import WireId
from tests.desk import NOW, P2, SPOT
from tests.push_service import Browser
from tests.staff import enter, person
from tests.tokens import token
from waylight.domain.addresses import Medium
from waylight.domain.geo import Point
from waylight.domain.reports import Want
from waylight.services import addresses, keys, oauth
from waylight.services.keys import SCOPES

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
LISTS_OF_ANYBODY = ("team_id", "hub_id")
"""Which teams and hubs there are is for everybody to know."""


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
