"""The arrival log over the wire."""

from dataclasses import replace

import pytest

from schemas.common import WireId
from tests.desk import P2
from waylight.domain.reports import Want

WANTS_HUB = replace(
    P2, wants=(Want.HELP, Want.HUB, Want.POLICE), narrative="He got on at King's Cross."
)


def path(alert_id, *rest):
    return "/".join(["/v1/alerts", WireId.of("alert", alert_id), *rest])


def test_hub_logs_an_arrival_and_the_passenger_reads_it(desk, client, signed_in):
    report = desk.report(WANTS_HUB)
    alert, jo = desk.alert_of(desk.hub), signed_in["Jo"]
    read = client.get(path(alert), headers=jo)
    (expected,) = read.json["expects"]
    assert expected["walk"]["minutes_from"] == 0
    assert expected["walk"]["minutes_to"] == 10
    assert expected["report_id"] == WireId.of("report", report.id)
    assert "King's Cross" not in read.text
    assert "coordinates" not in read.text
    body = {"status": "arrived", "report_id": expected["report_id"]}
    logged = client.post(
        path(alert, "arrival"), json=body, headers=jo | {"If-Match": read.headers["ETag"]}
    )
    assert logged.status_code == 200, logged.text
    assert (logged.json["status"], logged.json["expects"][0]["status"]) == ("on_scene", "arrived")
    assert "King's Cross" not in logged.text
    assert "coordinates" not in logged.text
    mine = client.get("/v1/reports/mine", headers={"Authorization": f"Receipt {report.receipt}"})
    assert mine.json["timeline"][-1]["code"] == "arrived_at_hub"
    assert mine.json["timeline"][-1]["text"] == "You arrived at Hub."


def test_nobody_but_the_hub_logs_an_arrival(desk, client, signed_in):
    desk.report(WANTS_HUB)
    hub_alert, team_alert = desk.alert_of(desk.hub), desk.alert_of(desk.first)
    body = {"status": "arrived"}
    for name, alert, status in (
        ("Ali", hub_alert, 404),
        ("Casey", hub_alert, 403),
        ("Robin", hub_alert, 404),
        ("Robin", team_alert, 409),
        ("Jo", team_alert, 404),
    ):
        sent = client.post(path(alert, "arrival"), json=body, headers=signed_in[name])
        assert sent.status_code == status, (name, sent.text)
    assert client.post(path(hub_alert, "arrival"), json=body).status_code == 401
    assert desk.rows("select from hub_arrivals") == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/status"),
        ({"status": "fainted"}, "/status"),
        ({"status": "arrived", "note": "She cried."}, "/note"),
        ({"status": "arrived", "at": "now"}, "/at"),
        ({"status": "arrived", "report_id": "x"}, "/report_id"),
        ({"status": "arrived", "report_id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/report_id"),
    ],
)
def test_entry_that_cannot_be_used_is_refused_with_the_field(
    desk, client, signed_in, body, pointer
):
    desk.report(WANTS_HUB)
    sent = client.post(path(desk.alert_of(desk.hub), "arrival"), json=body, headers=signed_in["Jo"])
    assert sent.status_code == 422, sent.text
    assert sent.json["errors"][0]["pointer"] == pointer
