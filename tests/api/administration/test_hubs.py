"""Hubs as administrators found, change and retire them."""

import pytest

from schemas.common import WireId
from tests.api.administration.asking import FAR, HERE, HUB, any_version, codes
from tests.desk import SPOT


def test_new_hub_is_shown_to_passengers_and_retired_for_good(desk, client, robin):
    made = client.post("/v1/hubs", json=HUB, headers=robin)
    assert made.status_code == 201, made.text
    assert (made.json["open"], made.json["organisation"]) == (True, "Police")
    hub_id = made.json["id"]
    near = client.get(f"/v1/hubs/nearest?lat={SPOT.lat}&lon={SPOT.lon}").json["items"]
    assert hub_id in [one["id"] for one in near]
    moved = client.patch(
        f"/v1/hubs/{hub_id}",
        json={"name": "Round the corner", "position": {**HERE, "coordinates": [-0.15, 51.54]}},
        headers={**robin, "If-Match": made.headers["ETag"]},
    )
    assert moved.status_code == 200, moved.text
    assert (moved.json["name"], moved.json["location"]["coordinates"]) == (
        "Round the corner",
        [-0.15, 51.54],
    )
    late = client.delete(f"/v1/hubs/{hub_id}", headers={**robin, "If-Match": '"1"'})
    assert (late.status_code, late.headers["ETag"]) == (412, moved.headers["ETag"])
    assert client.delete(f"/v1/hubs/{hub_id}", headers=robin).status_code == 204
    assert client.get(f"/v1/hubs/{hub_id}").status_code == 404
    near = client.get(f"/v1/hubs/nearest?lat={SPOT.lat}&lon={SPOT.lon}").json["items"]
    assert hub_id not in [one["id"] for one in near]


def test_hub_is_in_the_city_unless_said_and_its_hours_are_read(desk, client, robin):
    body = {**HUB, "position": FAR, "opening_hours": "sometimes"}
    assert {("/position", "outside_city"), ("/opening_hours", "hours_unreadable")} <= codes(
        client.post("/v1/hubs", json=body, headers=robin)
    )
    body = {**HUB, "position": FAR, "outside_city": True}
    made = client.post("/v1/hubs", json=body, headers=robin)
    assert made.status_code == 201
    where = f"/v1/hubs/{made.json['id']}"
    assert ("/position", "outside_city") in codes(
        client.patch(where, json={"position": FAR}, headers=robin)
    )


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"phone": "abc"}, "/phone"),
        ({"phone": "020 7946\n0101"}, "/phone"),
        ({"languages": ["en", "klingonish"]}, "/languages/1"),
        ({"languages": ["e"]}, "/languages/0"),
    ],
)
def test_telephone_and_languages_of_a_hub_are_some(desk, client, robin, wrong, pointer):
    made = client.post("/v1/hubs", json={**HUB, **wrong}, headers=robin)
    assert codes(made) == {(pointer, "invalid")}
    fine = {**HUB, "phone": "+44 20 7946 0101", "languages": ["en", "pt-BR", "zh-Hant-TW", "bfi"]}
    hub = client.post("/v1/hubs", json=fine, headers=robin)
    assert hub.status_code == 201, hub.text
    where = f"/v1/hubs/{hub.json['id']}"
    changed = client.patch(where, json=wrong, headers=any_version(robin))
    assert codes(changed) == {(pointer, "invalid")}


def test_another_s_hub_is_neither_moved_nor_retired(desk, client, robin):
    where = f"/v1/hubs/{WireId.of('hub', desk.hub)}"
    assert client.patch(where, json={"position": HERE}, headers=robin).status_code == 403
    assert client.delete(where, headers=robin).status_code == 403
    assert client.get(where).status_code == 200
