"""The front door with a provider behind it, and what is asked of both."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from structlog.testing import capture_logs

from api import openid as door
from tests.desk import Desk
from tests.openid import CLIENT, DESK, SECRET, FakeProvider
from tests.staff import Person, enter, holder
from waylight.channels.guard import Guard
from waylight.channels.openid import OpenIdProviders
from waylight.domain.principals import Principal
from waylight.services import identity_providers

ROBIN = {"email": "robin@police.example", "email_verified": True, "name": "Robin Shah"}
DESKS = {"claim": "groups", "value": "desk", "role": "responder"}
HEADS = {"claim": "/access/roles", "value": "head", "role": "administrator"}
VALUES: dict[str, Any] = {
    "name": "Directory",
    "client_id": CLIENT,
    "client_secret": SECRET,
    "redirect_uris": [DESK, "example.desk:/signed-in"],
    "scopes": [],
    "role_mapping": [DESKS, HEADS],
    "email_domains": [],
    "second_factor_values": ["mfa"],
    "enabled": True,
}


@dataclass
class Door:
    """The front door with one provider of the police behind it."""

    client: Any
    desk: Desk
    fake: FakeProvider
    ada: Person
    caller: Principal
    id: str
    row: Any
    logs: list[Any] = field(default_factory=list)

    def begin(self, provider=None, **body):
        return self.client.post(f"/v1/sign-in/{provider or self.id}", json=body)

    def end(self, begun, back, **over):
        body = {"sign_in": begun.json["sign_in"], **back, **over}
        with capture_logs() as self.logs:
            return self.client.post("/v1/sessions/openid", json=body)

    def enter(self, *, begin=None, **over):
        begun = self.begin(**(begin or {}))
        assert begun.status_code == 201, begun.text
        return self.end(begun, self.fake.visit(begun.json["url"]), **over)

    def why(self):
        """The reason of the last refusal, as the operator reads it."""
        return [one["reason"] for one in self.logs if "reason" in one]

    def get(self, path, session):
        return self.client.get(path, headers=bearer(session))


def bearer(session):
    return {"Authorization": f"Bearer {session.json['token']}"}


def made(desk, fake, caller, **values):
    return identity_providers.create_provider(
        desk.database,
        desk.vault,
        caller,
        values={**VALUES, "issuer": fake.issuer, **values},
        loopback_ports=[fake.port],
        now=datetime.now(UTC),
    )


def speaking(app, monkeypatch, *ports, total_s=5.0, **more):
    speaks = OpenIdProviders(Guard(loopback_ports=ports, total_s=total_s), **more)
    monkeypatch.setitem(app.extensions, door.EXTENSION, speaks)
    return speaks


def caller_of(desk, who):
    now = datetime.now(UTC)
    return holder(desk, enter(desk, who, now=now).token, now=now)


def refused(answer):
    assert (answer.status_code, answer.json["code"]) == (401, "sign_in_refused"), answer.text
    return {name: value for name, value in answer.json.items() if name != "instance"}


def accounts_of(desk):
    return {
        row["name"]: row["roles"]
        for row in desk.rows(
            "select s.name, a.roles from accounts a join staff s on s.id = staff_id"
        )
    }
