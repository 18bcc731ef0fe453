"""Coverages over the API: what is refused and why, and that the next report is routed by them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, SPOT, headers_for
from tests.desk import SCOPES as DESK
from waylight.db import coverages as db
from waylight.domain import coverages
from waylight.domain.errors import StaleVersion
from waylight.domain.geo import Point
from waylight.domain.principals import Principal
from waylight.services import coverages as services

WHOLE = {"area": "all"}


@pytest.fixture(autouse=True)
def _time_to_look_at_shapes(monkeypatch):
    """A busy machine makes no shape intricate."""
    monkeypatch.setattr(services, "GEOMETRY_MS", 60_000)


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, DESK | {"organisation:manage"})


def path(team_id, *rest):
    return "/".join(["/v1/teams", WireId.of("team", team_id), "coverages", *rest])


def square(lon=SPOT.lon, lat=SPOT.lat, *, half=0.01):
    west, south, east, north = lon - half, lat - half, lon + half, lat + half
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def drawn(shape=None, **more):
    return {"name": "Round the spot", "shape": shape or square(), **more}


def only(desk, client, headers, team_id, *bodies):
    """Gives a team these coverages and no other; the answers."""
    for one in client.get(path(team_id), headers=headers).json["items"]:
        gone = client.delete(path(team_id, one["id"]), headers={**headers, "If-Match": "*"})
        assert gone.status_code == 204
    made = [client.post(path(team_id), json=body, headers=headers) for body in bodies]
    assert {answer.status_code for answer in made} <= {201}, [answer.text for answer in made]
    return made


def refused(answer, status=422):
    assert answer.status_code == status, answer.text
    return {(one["pointer"], one["code"]) for one in answer.json["errors"]}


# --- they count at once


def test_next_report_is_routed_by_a_coverage_that_was_just_drawn(desk, client, robin):
    only(desk, client, robin, desk.first, drawn(square(SPOT.lon + 0.1)))
    body = {
        "categories": ["being_followed"],
        "location": {"point": {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}},
    }
    told = client.post("/v1/reports", json=body).json["routed_to"]
    assert "First" not in str(told)
    client.post(path(desk.first), json=drawn(), headers=robin)
    body["categories"] = ["poor_lighting"]  # of another incident
    told = client.post("/v1/reports", json=body).json["routed_to"]
    (first,) = [one for one in told if (one["team"] or {}).get("name") == "First"]
    assert "Round the spot" in str(first)


def test_report_in_a_drawn_shape_is_in_no_other_area_for_that(desk, client, robin):
    only(desk, client, robin, desk.first, drawn())
    desk.report(P2)
    (row,) = desk.rows("select a.code from reports r join areas a on a.id = r.area_id")
    assert row["code"] == "all"
    (only_area,) = desk.rows("select routing->'jurisdiction' as job from reports")
    assert "coverage:" not in str(only_area)


def test_modes_routes_groups_and_schedule_narrow_it(desk, client, robin):
    desk.do(
        "insert into lines (city_id, line_id, name, mode) select id, '24', '24', 'bus' from cities"
    )
    body = drawn(modes=["bus"], routes=["24"], category_groups=["environment"], schedule="off")
    (made,) = only(desk, client, robin, desk.first, body)
    assert made.json["modes"] == ["bus"]
    assert made.json["routes"] == ["24"]
    assert made.json["active"] is False
    desk.report(P2)
    assert desk.first not in desk.states()


# --- the shape


def test_shape_is_answered_as_rfc_7946_winds_it(desk, client, robin):
    clockwise = square()
    clockwise["coordinates"][0].reverse()
    made = client.post(path(desk.first), json=drawn(clockwise), headers=robin)
    assert made.status_code == 201
    (((ring,),),) = (made.json["shape"]["coordinates"],)
    turned = sum((there[0] - here[0]) * (there[1] + here[1]) for here, there in pairwise(ring))
    assert turned < 0
    again = client.get(path(desk.first, made.json["id"]), headers=robin)
    assert again.json == made.json
    assert again.headers["ETag"] == made.headers["ETag"] == '"1"'


BOW = {
    "type": "Polygon",
    "coordinates": [
        [[-0.15, 51.53], [-0.13, 51.55], [-0.13, 51.53], [-0.15, 51.55], [-0.15, 51.53]]
    ],
}
OPEN = {
    "type": "Polygon",
    "coordinates": [[[-0.15, 51.53], [-0.13, 51.53], [-0.13, 51.55], [-0.15, 51.55]]],
}
HOLE_OUTSIDE = {
    "type": "Polygon",
    "coordinates": [square()["coordinates"][0], square(SPOT.lon + 0.1)["coordinates"][0]],
}
OVERLAP = {
    "type": "MultiPolygon",
    "coordinates": [square()["coordinates"], square(SPOT.lon + 0.005)["coordinates"]],
}


@pytest.mark.parametrize(
    ("shape", "pointer", "code"),
    [
        (BOW, "/shape/coordinates/0/0", "not_simple"),
        (OPEN, "/shape/coordinates/0/3", "ring_open"),
        (HOLE_OUTSIDE, None, "not_simple"),
        (OVERLAP, None, "not_simple"),
        ({"type": "Point", "coordinates": [0, 51]}, "/shape/type", "not_a_polygon"),
        ({"type": "Polygon", "coordinates": []}, "/shape/coordinates", "not_a_ring"),
        ({"type": "Polygon", "coordinates": [[]]}, "/shape/coordinates/0", "too_few_positions"),
        ({"type": "Polygon", "coordinates": [[[0, 51]] * 4]}, "/shape/coordinates/0",
         "too_few_positions"),
        ({"type": "Polygon", "coordinates": [[[0, 51], [1, 51], "x", [0, 51]]]},
         "/shape/coordinates/0/2", "not_a_position"),
        ({"type": "Polygon", "coordinates": [[[0, 51], [True, 51], [1, 52], [0, 51]]]},
         "/shape/coordinates/0/1", "not_a_position"),
        ({"type": "Polygon", "coordinates": [[[0, 51], [181, 51], [1, 52], [0, 51]]]},
         "/shape/coordinates/0/1", "not_a_position"),
        ({"type": "Polygon", "coordinates": [[[179.9, 51], [-179.9, 51], [-179.9, 52],
                                              [179.9, 52], [179.9, 51]]]},
         "/shape/coordinates/0/0", "crosses_antimeridian"),
        ({"type": "Polygon", "coordinates": [[[-5, 51], [5, 51], [5, 52], [-5, 51]]]},
         "/shape/coordinates", "too_wide"),
        ({**square(), "crs": {}}, "/shape/crs", "unknown"),
        (square(SPOT.lat, SPOT.lon), "/shape/coordinates", "outside_city"),
        (square(1.0), "/shape/coordinates", "outside_city"),
        (square(half=0.00001), "/shape/coordinates", "too_small"),
        ({"type": "Polygon", "coordinates": [[[0, 51], [0.1, 51], [0.2, 51], [0, 51]]]}, None,
         "not_simple"),
        ("a circle", "/shape", "invalid"),
    ],
)  # fmt: skip
def test_shape_that_cannot_be_used_is_refused_with_the_place(  # noqa: PLR0917 - fixtures
    desk, client, robin, shape, pointer, code
):
    got = refused(client.post(path(desk.first), json=drawn(shape), headers=robin))
    assert code in {one for _, one in got}
    assert pointer is None or (pointer, code) in got, got
    assert desk.rows("select from areas where organisation_id is not null") == []


@pytest.mark.parametrize(
    "ring",
    [
        f"[[0, 51], [1{'0' * 400}, 51], [1, 52], [0, 51]]",
        "[[0, 51], [1e308, 51], [1, 52], [0, 51]]",
        f"[[0, 51], [0.1, 51], [0.1, 51.1, 1{'0' * 400}], [0, 51]]",
        "[[0, 51.5], [5e-324, 51.5], [5e-324, 51.6], [0, 51.6], [0, 51.5]]",
        "[[0, 51.5], [1e-300, 51.5], [0, 51.50000000000001], [0, 51.5]]",
        "[[0, 51.5], [0, 51.6], [0, 51.5], [0, 51.6], [0, 51.5]]",
    ],
)
def test_numbers_at_the_edge_of_what_a_computer_holds_are_refused_like_any_other(
    desk, client, robin, ring
):
    """As text: json of Python would not write them."""
    shape = f'{{"type": "Polygon", "coordinates": [{ring}]}}'
    answer = client.post(
        path(desk.first),
        data=f'{{"name": "Edge", "shape": {shape}}}',
        headers={**robin, "Content-Type": "application/json"},
    )
    assert answer.status_code in (400, 422), answer.text
    assert desk.rows("select from areas where organisation_id is not null") == []


@pytest.mark.parametrize(
    "ring",
    [
        # A hole that touches the outer ring in one point, and positions that are there twice.
        [[[-0.16, 51.53], [-0.12, 51.53], [-0.12, 51.55], [-0.16, 51.55], [-0.16, 51.53]],
         [[-0.14, 51.53], [-0.145, 51.54], [-0.135, 51.54], [-0.14, 51.53]]],
        [[[-0.16, 51.53], [-0.16, 51.53], [-0.12, 51.53], [-0.12, 51.53, 7], [-0.12, 51.55],
          [-0.16, 51.53]]],
    ],
)  # fmt: skip
def test_shape_that_only_looks_odd_is_taken(desk, client, robin, ring):
    answer = client.post(
        path(desk.first), json=drawn({"type": "Polygon", "coordinates": ring}), headers=robin
    )
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "GeometryCollection", "geometries": [square()]},
        {"type": "Feature", "geometry": square(), "properties": {}},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": None},
        {"type": ["Polygon"], "coordinates": [[]]},
        {"coordinates": [[]]},
    ],
)
def test_what_is_no_polygon_is_refused(desk, client, robin, shape):
    assert refused(client.post(path(desk.first), json=drawn(shape), headers=robin))


def test_crossing_says_where_it_is(desk, client, robin):
    answer = client.post(path(desk.first), json=drawn(BOW), headers=robin)
    (said,) = [one["detail"] for one in answer.json["errors"]]
    assert "longitude -0.140000, latitude 51.540000" in said


def test_positions_beyond_the_limit_never_reach_the_database(desk, client, robin, monkeypatch):
    def asked(*_, **__):
        raise AssertionError("a shape over the limit was computed")

    monkeypatch.setattr(db, "fault", asked)
    for shape in (
        {"type": "Polygon", "coordinates": [[[0, 51]] * (coverages.MOST_POSITIONS + 1)]},
        {"type": "MultiPolygon", "coordinates": [[]] * (coverages.MOST_POLYGONS + 1)},
        {"type": "Polygon", "coordinates": [square()["coordinates"][0]] * 101},
    ):
        got = refused(client.post(path(desk.first), json=drawn(shape), headers=robin))
        assert "too_many" in {code for _, code in got}


def test_shape_that_takes_too_long_is_refused_and_leaves_the_connection_its_patience(
    desk, client, robin, monkeypatch
):
    monkeypatch.setattr(db, "FAULT", "select pg_sleep(60), %(shape)s::text")
    # Long enough for the way back from it, which has the same limit, on a busy machine.
    monkeypatch.setattr(services, "GEOMETRY_MS", 500)
    got = refused(client.post(path(desk.first), json=drawn(), headers=robin))
    assert ("/shape/coordinates", "too_intricate") in got


def test_shape_outside_the_city_is_taken_when_that_is_said(desk, client, robin):
    far = square(1.0)
    refused(client.post(path(desk.first), json=drawn(far), headers=robin))
    said = client.post(path(desk.first), json=drawn(far, outside_city=True), headers=robin)
    assert said.status_code == 201, said.text


def test_shape_never_reaches_into_another_city_that_is_served(desk, client, robin):
    with desk.database.owner() as conn:
        (city,) = conn.execute(
            "insert into cities (slug, name, country, time_zone, holidays, languages,"
            " outline_code, service_area_code, attribution, jurisdiction, contacts, bounds,"
            " pack_digest) select 'other', 'Other', 'GB', 'Europe/London', holidays, languages,"
            " 'far', 'far', '{}', '[]', contacts, '{2,51,3,52}', '' from cities returning id"
        ).fetchone()
        conn.execute(
            "insert into areas (city_id, code, name, kind, geom) values (%s, 'far', 'Far',"
            " 'service_area', 'SRID=4326;MULTIPOLYGON(((2 51, 3 51, 3 52, 2 52, 2 51)))')",
            [city],
        )
    body = drawn(square(2.5, 51.5), outside_city=True)
    got = refused(client.post(path(desk.first), json=body, headers=robin))
    assert ("/shape/coordinates", "other_city") in got


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"modes": []}, "/modes", "empty"),
        ({"modes": ["bus", "sledge"]}, "/modes/1", "unknown_value"),
        ({"routes": ["999"]}, "/routes/0", "unknown_value"),
        ({"category_groups": ["weather"]}, "/category_groups/0", "unknown_value"),
        ({"schedule": "whenever"}, "/schedule", "hours_unreadable"),
        ({"area": "all"}, "/shape", "one_of"),
        ({"shape": None}, "/shape", "one_of"),
        ({"shape": None, "area": "nowhere"}, "/area", "not_found"),
        ({"name": None}, "/name", "required"),
        ({"team_id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d"}, "/team_id", "unknown"),
    ],
)
def test_words_that_no_report_has_are_refused(  # noqa: PLR0917 - fixtures
    desk, client, robin, more, pointer, code
):
    body = {**drawn(), **more}
    assert (pointer, code) in refused(client.post(path(desk.first), json=body, headers=robin))


# --- two at once


def test_change_needs_the_version_that_was_read(desk, client, robin):
    (made,) = only(desk, client, robin, desk.first, drawn())
    one = path(desk.first, made.json["id"])
    assert client.put(one, json=drawn(), headers=robin).status_code == 428
    assert client.delete(one, headers=robin).status_code == 428
    changed = client.put(one, json=WHOLE, headers={**robin, "If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json["area"], changed.json["shape"]) == ("all", None)
    late = client.put(one, json=drawn(), headers={**robin, "If-Match": '"1"'})
    assert (late.status_code, late.headers["ETag"]) == (412, '"2"')
    assert client.delete(one, headers={**robin, "If-Match": '"1"'}).status_code == 412
    assert client.delete(one, headers={**robin, "If-Match": '"2"'}).status_code == 204
    # What nobody stands on any more is gone.
    assert desk.rows("select from areas where organisation_id is not null") == []


@pytest.mark.commits
def test_of_two_changes_at_once_one_is_told_that_it_came_second(desk):
    rule = coverages.Rule(area="all")
    who = Principal(**{**vars(desk.police), "scopes": frozenset()})
    made = services.add_coverage(
        desk.database, desk.vault, who, team_id=desk.first, rule=rule, now=NOW
    )
    start = threading.Barrier(4)

    def change(number):
        start.wait()
        try:
            services.change_coverage(
                desk.database,
                desk.vault,
                who,
                team_id=desk.first,
                coverage_id=made.id,
                rule=coverages.Rule(area="all", modes=("bus", "tube", "rail", "tram")[number:]),
                if_match=made.version,
                now=NOW,
            )
        except StaleVersion as error:
            return error.version
        return "done"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(change, range(4)))
    assert sorted(map(str, answers)) == ["2", "2", "2", "done"]


# --- whose they are


def test_another_s_team_is_like_one_that_there_is_not(desk, client, signed_in):
    ours, theirs = signed_in["Robin"], signed_in["Ali"]
    (made,) = only(desk, client, ours, desk.first, drawn())
    nobodys = "coverage_01jdw2s4x0e6qv3t8k5n7b9c1d"
    for team in (desk.first, desk.second):
        for coverage in (made.json["id"], nobodys):
            one, matched = path(team, coverage), {**theirs, "If-Match": "*"}
            assert client.get(one, headers=theirs).status_code == 404
            assert client.put(one, json=WHOLE, headers=matched).status_code == 404
            assert client.delete(one, headers=matched).status_code == 404
    assert client.post(path(desk.first), json=WHOLE, headers=theirs).status_code == 404
    assert client.get(path(desk.first, made.json["id"]), headers=ours).status_code == 200


def test_area_of_another_s_coverage_is_no_area_of_the_city(desk, client, signed_in):
    only(desk, client, signed_in["Robin"], desk.first, drawn())
    (row,) = desk.rows("select code from areas where organisation_id is not null")
    body = {"area": row["code"]}
    for who, team in (("Ali", desk.second), ("Robin", desk.first)):
        got = refused(client.post(path(team), json=body, headers=signed_in[who]))
        assert ("/area", "not_found") in got


def test_control_room_reads_the_coverages_of_its_city_and_changes_none(desk, client, signed_in):
    (made,) = only(desk, client, signed_in["Robin"], desk.first, drawn())
    casey = {**signed_in["Casey"], "If-Match": "*"}
    one = path(desk.first, made.json["id"])
    assert client.get(one, headers=casey).json["name"] == "Round the spot"
    assert client.put(one, json=WHOLE, headers=casey).status_code == 403
    assert client.delete(one, headers=casey).status_code == 403
    own = client.post(path(desk.room), json=WHOLE, headers=casey)
    assert own.status_code == 409


def test_every_change_is_told_and_audited_and_kept_from_the_pack(desk, client, robin):
    made = client.post(path(desk.first), json=drawn(), headers=robin).json
    one, matched = path(desk.first, made["id"]), {**robin, "If-Match": "*"}
    client.put(one, json=WHOLE, headers=matched)
    client.delete(one, headers=matched)
    told = desk.events("team.coverages_changed")
    assert [row["data"]["change"] for row in told] == ["added", "changed", "removed"]
    entries = desk.rows("select action, subject_id, staff_id from audit_entries order by id")
    assert [row["action"] for row in entries] == [
        f"coverage.{change}" for change in ("added", "changed", "removed")
    ]
    assert {row["staff_id"] for row in entries} == {desk.police.staff_id}
    (team,) = desk.rows("select edited, version from teams where id = %s", desk.first)
    assert team["edited"] == ["coverages"]


def test_team_has_a_limit_of_coverages(desk, client, robin, monkeypatch):
    monkeypatch.setattr(coverages, "MOST_OF_A_TEAM", 1)
    got = refused(client.post(path(desk.first), json=WHOLE, headers=robin))
    assert ("", "too_many") in got


def test_organisation_has_a_limit_of_shapes(desk, client, robin, monkeypatch):
    monkeypatch.setattr(coverages, "MOST_OF_AN_ORGANISATION", 1)
    assert client.post(path(desk.first), json=drawn(), headers=robin).status_code == 201
    got = refused(client.post(path(desk.third), json=drawn(), headers=robin))
    assert ("", "too_many") in got


def test_mode_that_the_city_had_not_is_known_from_the_next_report_on(desk, client, robin):
    body = {
        "categories": ["being_followed"],
        "journey": {"mode": "cable_car"},
        "location": {"point": {"type": "Point", "coordinates": [SPOT.lon, SPOT.lat]}},
    }
    first = client.post("/v1/reports", json=body).json
    assert "/journey/mode" in [one["pointer"] for one in first["warnings"]]
    only(desk, client, robin, desk.first, {**WHOLE, "modes": ["cable_car"]})
    then = client.post("/v1/reports", json={**body, "categories": ["poor_lighting"]}).json
    assert "/journey/mode" not in [one["pointer"] for one in then["warnings"]]
    assert then["routed_to"][0]["team"]["name"] == "First"


def test_list_goes_on_with_its_cursor(desk, client, robin):
    made = only(desk, client, robin, desk.first, WHOLE, drawn(), drawn(schedule="24/7"))
    first = client.get(f"{path(desk.first)}?limit=2", headers=robin).json
    rest = client.get(
        f"{path(desk.first)}?limit=2&cursor={first['next_cursor']}", headers=robin
    ).json
    assert {one["id"] for one in first["items"] + rest["items"]} == {one.json["id"] for one in made}
    assert rest["next_cursor"] is None


# --- the nearest edge


def test_pointer_names_the_edge_that_crosses():
    shape, problems = coverages.read_shape(BOW, "/shape")
    assert shape is not None
    assert not problems
    assert shape.nearest(Point(-0.13, 51.54)) == "/coordinates/0/1"
