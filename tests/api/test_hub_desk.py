"""Hubs run by their staff, over the wire."""

from datetime import timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2
from tests.services.hub_desk import put_hub

UNTIL = (NOW + timedelta(hours=3)).isoformat()
CLOSE = {"status": "closed", "until": UNTIL, "reason": "Jo fell ill at the door"}


def path(hub_id, *rest):
    return "/".join(["/v1/hubs", WireId.of("hub", hub_id), *rest])


def test_hub_closed_early_is_closed_in_every_public_answer_and_opens_again(desk, client, signed_in):
    jo = signed_in["Jo"]
    before = client.get(path(desk.hub))
    assert before.json["open"] is True
    assert before.headers["Cache-Control"] == "public, no-cache"
    closed = client.put(path(desk.hub, "override"), json=CLOSE, headers=jo)
    assert closed.status_code == 200, closed.text
    assert closed.headers["ETag"] == '"2"'
    assert closed.headers["Cache-Control"] == "no-store"
    assert (closed.json["open"], closed.json["override"]["reason"]) == (False, CLOSE["reason"])
    # A copy that somebody kept is asked about, and is out of date.
    again = client.get(path(desk.hub), headers={"If-None-Match": before.headers["ETag"]})
    assert (again.status_code, again.json["open"], again.json["open_until"]) == (200, False, None)
    assert client.get("/v1/hubs").json["items"][0]["open"] is False
    here = {"lat": 51.539, "lon": -0.1426}
    near = client.get("/v1/hubs/nearest", query_string=here)
    assert near.json["items"] == []
    assert near.headers["Cache-Control"] == "private, no-cache"
    assert client.get(path(desk.hub, "desk"), headers=jo).json["override"]["set_by"] == "Jo"
    lifted = client.delete(
        path(desk.hub, "override"), headers=jo | {"If-Match": closed.headers["ETag"]}
    )
    assert (lifted.status_code, lifted.json["override"], lifted.json["open"]) == (200, None, True)
    assert len(client.get("/v1/hubs/nearest", query_string=here).json["items"]) == 1


def test_public_caller_reads_neither_the_reason_nor_the_name_behind_an_override(
    desk, client, signed_in
):
    client.put(path(desk.hub, "override"), json=CLOSE, headers=signed_in["Jo"])
    for address in (path(desk.hub), "/v1/hubs", "/v1/hubs/nearest?lat=51.5&lon=0&open_now=false"):
        for headers in (dict[str, str](), signed_in["Robin"], signed_in["Jo"]):
            text = client.get(address, headers=headers).text
            assert "fell ill" not in text
            assert "override" not in text
    assert client.get(path(desk.hub, "desk")).status_code == 401
    assert client.get(path(desk.hub, "desk"), headers=signed_in["Robin"]).status_code == 403


def test_other_organisation_s_hub_is_not_managed(desk, client, signed_in):
    for name in ("Robin", "Casey", "Ali"):
        headers = signed_in[name]
        refused = [
            client.put(path(desk.hub, "override"), json=CLOSE, headers=headers),
            client.delete(path(desk.hub, "override"), headers=headers),
            client.patch(path(desk.hub), json={"opening_hours": "off"}, headers=headers),
            client.put(
                path(desk.hub, "position"),
                json={"position": {"type": "Point", "coordinates": [0, 51]}},
                headers=headers,
            ),
        ]
        assert [(one.status_code, one.json["code"]) for one in refused] == [
            (403, "not_allowed")
        ] * 4
    assert client.get(path(desk.hub)).json["open"] is True


def test_body_that_names_another_hub_or_organisation_is_refused(desk, client, signed_in):
    theirs = put_hub(desk, "Theirs", north=0.002)
    jo = signed_in["Jo"]
    for more in (
        {"hub_id": WireId.of("hub", theirs)},
        {"id": WireId.of("hub", theirs)},
        {"organisation_id": "organisation_x"},
        {"set_by": "Casey"},
    ):
        put = client.put(path(desk.hub, "override"), json=CLOSE | more, headers=jo)
        assert put.status_code == 422
        patch = client.patch(path(desk.hub), json={"address": "Here", **more}, headers=jo)
        assert patch.status_code == 422
    assert desk.rows("select from hub_overrides") == []


def test_key_without_the_scope_closes_no_hub(desk, client, signed_in):
    desk.do("update api_keys set scopes = '{alerts:read,alerts:act}'")
    put = client.put(path(desk.hub, "override"), json=CLOSE, headers=signed_in["Jo"])
    assert (put.status_code, put.json["errors"][0]["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "ajar", "reason": "x", "until": UNTIL}, "/status"),
        ({"status": "closed", "until": UNTIL}, "/reason"),
        ({"status": "closed", "until": UNTIL, "reason": "  "}, "/reason"),
        ({"status": "closed", "until": UNTIL, "reason": "x" * 201}, "/reason"),
        ({"status": "closed", "until": "tonight", "reason": "x"}, "/until"),
        ({"status": "closed", "until": "2020-01-01T00:00:00Z", "reason": "x"}, "/until"),
        ({"status": "closed", "until": "2200-01-01T00:00:00Z", "reason": "x"}, "/until"),
        ({"status": "closed", "reason": "x"}, "/until"),
    ],
)
def test_override_that_cannot_be_meant_is_refused_with_the_field(
    desk, client, signed_in, body, pointer
):
    refused = client.put(path(desk.hub, "override"), json=body, headers=signed_in["Jo"])
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == pointer
    assert client.get(path(desk.hub)).json["open"] is True


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"opening_hours": "whenever"}, "/opening_hours"),
        ({"opening_hours": "Mo-Su sunrise-sunset"}, "/opening_hours"),
        ({"services": ["Free drinks!"]}, "/services/0"),
        ({"kind": "station"}, "/kind"),
        ({"name": ""}, "/name"),
    ],
)
def test_edit_that_cannot_be_used_is_refused_with_the_field(desk, client, signed_in, body, pointer):
    refused = client.patch(path(desk.hub), json=body, headers=signed_in["Jo"])
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == pointer


def test_stale_version_changes_nothing(desk, client, signed_in):
    jo = signed_in["Jo"]
    edited = client.patch(
        path(desk.hub), json={"opening_hours": "off"}, headers=jo | {"If-Match": '"1"'}
    )
    assert (edited.status_code, edited.json["set_by_staff"]) == (200, ["opening_hours"])
    stale = client.put(path(desk.hub, "override"), json=CLOSE, headers=jo | {"If-Match": '"1"'})
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    assert client.get(path(desk.hub, "desk"), headers=jo).json["override"] is None


def test_mobile_hub_sends_its_position_and_everybody_sees_since_when(desk, client, signed_in):
    jo = signed_in["Jo"]
    body = {"position": {"type": "Point", "coordinates": [-0.1273, 51.5074]}}
    assert client.put(path(desk.hub, "position"), json=body, headers=jo).status_code == 409
    desk.do("update hubs set mobile = true")
    moved = client.put(path(desk.hub, "position"), json=body, headers=jo)
    assert moved.status_code == 200, moved.text
    public = client.get(path(desk.hub)).json
    assert public["location"] == body["position"]
    assert public["position_at"] == moved.json["position_at"] is not None
    assert public["position_stale"] is False
    for wrong in ([200, 51], [51.5], ["x", 51], None):
        bad = {"position": {"type": "Point", "coordinates": wrong}}
        refused = client.put(path(desk.hub, "position"), json=bad, headers=jo)
        assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/position")


@pytest.mark.parametrize(
    ("place", "fix"),
    [
        ([0, 0], "Wait for a fix"),
        ([-3.1883, 55.9533], "Wait for a fix"),
        ([1.001, 51.5], "longitude -1 to 1, latitude 51 to 52"),
        ([51.5074, -0.1273], "Longitude comes first: swap the two."),
        ([179.9, 51.5], "outside Desk"),
    ],
)
def test_mobile_hub_outside_its_city_is_refused_and_stays_where_it_was(
    desk, client, signed_in, place, fix
):
    desk.do("update hubs set mobile = true")
    before = client.get(path(desk.hub)).json
    body = {"position": {"type": "Point", "coordinates": place}}
    refused = client.put(path(desk.hub, "position"), json=body, headers=signed_in["Jo"])
    assert refused.status_code == 422
    (problem,) = refused.json["errors"]
    assert (problem["pointer"], problem["code"]) == ("/position", "outside_city")
    assert fix in problem["detail"]
    assert client.get(path(desk.hub)).json == before
    assert desk.events("hub.updated") == []


def test_report_after_a_hub_closed_is_sent_to_no_closed_hub(desk, client, signed_in):
    client.put(path(desk.hub, "override"), json=CLOSE, headers=signed_in["Jo"])
    body = {
        "categories": list(P2.categories),
        "wants": ["help", "hub"],
        "location": {"point": {"type": "Point", "coordinates": [-0.1426, 51.539]}},
    }
    sent = client.post("/v1/reports", json=body)
    assert sent.status_code == 201, sent.text
    assert sent.json["hubs"] == []
    assert "no_hub_near" in [reason["code"] for reason in sent.json["shortfalls"]]
