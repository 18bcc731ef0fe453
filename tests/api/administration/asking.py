"""What administrators send, and what they are told is wrong with it."""

from typing import Any

from tests.desk import SPOT

HERE = {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}
FAR = {"type": "Point", "coordinates": [2.35, 48.85]}
TEAM = {"name": "Night team", "base": HERE, "capabilities": [{"capability": "first_aid"}]}
HUB: dict[str, Any] = {
    "name": "Lock hub",
    "kind": "safe_travel_hub",
    "position": HERE,
    "address": "Camden Lock Place",
    "opening_hours": "24/7",
    "services": ["water"],
}
NOBODYS = "01jdw2s4x0e6qv3t8k5n7b9c1d"


def any_version(headers):
    return {**headers, "If-Match": "*"}


def codes(answer, status=422):
    assert answer.status_code == status, answer.text
    return {(one["pointer"], one["code"]) for one in answer.json["errors"]}


def actions(desk):
    return [row["action"] for row in desk.rows("select action from audit_entries order by id")]


def mine(client, headers):
    (found,) = client.get("/v1/organisations", headers=headers).json["items"]
    return f"/v1/organisations/{found['id']}"
