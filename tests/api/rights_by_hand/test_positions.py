"""Where a team is, over the wire and by hand."""

from datetime import timedelta

from schemas.common import WireId
from tests.by_hand import by_hand, refused
from tests.desk import NOW, SPOT


def test_where_a_team_is_is_read_by_its_organisation_and_its_control_room_alone(
    desk, client, signed_in
):
    put = client.put(
        f"/v1/teams/{WireId.of('team', desk.first)}/position",
        json={
            "position": {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]},
            "fixed_at": NOW.isoformat(),
        },
        headers=signed_in["Robin"],
    )
    assert put.status_code == 200, put.text
    address = f"/v1/teams/{WireId.of('team', desk.first)}"
    for who, status in (("Robin", 200), ("Casey", 200), ("Ali", 404), ("Jo", 404)):
        assert client.get(address, headers=signed_in[who]).status_code == status, who
    for column in ("position", "position_at", "position_accuracy_m", "*"):
        for who in (desk.operator, desk.police):
            refused(desk, who, f"select {column} from teams")  # noqa: S608 - names of this file
    refused(desk, desk.operator, "select t from teams t")
    refused(desk, desk.operator, "update teams set name = name where position_at > now()")
    asked = "select place.fixed_at is not null from place_of_team(%s) place"
    for who, shown in (
        (desk.police, True),
        (desk.control, True),
        (desk.operator, False),
        (desk.hub_host, False),
    ):
        assert by_hand(desk, who, asked, desk.first) == [(shown,)], who.name
    moved = "select move_team(%s, 'POINT(0 51)'::geography, %s, 1, %s)"
    later = NOW + timedelta(minutes=1)
    for who in (desk.operator, desk.control):
        assert by_hand(desk, who, moved, desk.first, later, later) == [(False,)], who.name
