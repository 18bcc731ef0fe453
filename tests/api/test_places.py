import random
from urllib.parse import urlencode

import pytest
from geographiclib.geodesic import Geodesic

from tests.api.city import found_city, put_place
from waylight.domain.geo import Point


@pytest.fixture
def organisation(database):
    return found_city(database)


def find(client, **query):
    answer = client.get("/v1/places", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["items"]


def walk(client, url):
    """Every item of a list, page by page along `Link`."""
    items = []
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        items += answer.json["items"]
        link = answer.headers.get("Link", "")
        url = link.partition(">")[0].removeprefix("<") if link else None
    return items


def metres(here, place):
    lon, lat = place["location"]["coordinates"]
    return Geodesic.WGS84.Inverse(here.lat, here.lon, lat, lon)["s12"]


def test_a_stop_is_found_by_any_words_of_its_name_in_any_order(client, database, organisation):
    put_place(database, organisation, Point(-0.14, 51.54), name="Camden Town Station / Stop C")
    for q in ("camden", "CAMDEN TOWN", "town camden", "station  camden", "stop c"):
        assert len(find(client, q=q)) == 1, q
    assert find(client, q="camden lock") == []


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("King's Cross", "kings cross"),
        ("King's Cross", "king\u2019s cross"),
        ("King\u2019s Cross", "king's cross"),
        ("Kings Cross", "king's cross"),
        ("Elephant & Castle", "elephant and castle"),
        ("Elephant and Castle", "elephant & castle"),
        ("St. Pancras", "st pancras"),
        ("St. Pancras", "saint pancras"),
        ("Mile End Road", "mile end rd"),
        ("Earl's Court", "earls court"),
        ("100% Club", "100%"),
        ("A_B House", "a_b"),
        ("Back\\slash", "back\\slash"),
    ],
)
def test_the_spelling_of_a_timetable_need_not_be_known(client, database, organisation, name, typed):
    put_place(database, organisation, Point(-0.14, 51.54), name=name)
    assert [place["name"] for place in find(client, q=typed)] == [name]


@pytest.mark.parametrize(
    "q", ["%", "_", "%%%", "a%b", "\\", "'; drop table places; --", "(((", "[["]
)
def test_signs_of_patterns_are_only_signs(client, database, organisation, q):
    put_place(database, organisation, Point(-0.14, 51.54), name="Plain Street")
    assert find(client, q=q) == []


def test_the_best_fit_comes_first(client, database, organisation):
    here = Point(-0.14, 51.54)
    put_place(database, organisation, here, name="New Bank Lane", kind="bus_stop")
    put_place(database, organisation, here, name="Bank Street", kind="bus_stop")
    put_place(database, organisation, here, name="South Bank", kind="station")
    put_place(database, organisation, here, name="Bank & Monument", kind="station")
    put_place(database, organisation, here, name="Bank", kind="station")
    put_place(database, organisation, here, name="Elsewhere", kind="bus_stop", codes=["bank"])
    assert [place["name"] for place in find(client, q="bank")] == [
        "Elsewhere",
        "Bank",
        "Bank & Monument",
        "Bank Street",
        "South Bank",
        "New Bank Lane",
    ]


def test_a_stop_is_found_by_its_id_and_by_any_code(client, database, organisation):
    put_place(
        database,
        organisation,
        Point(-0.14, 51.54),
        name="Somewhere",
        stop_id="940GZZLUCTN",
        codes=["1000036", "71234"],
    )
    for q in ("940GZZLUCTN", "940gzzluctn", "71234", " 1000036 "):
        assert len(find(client, q=q)) == 1, q
    assert len(find(client, stop_id="940GZZLUCTN")) == 1
    assert find(client, stop_id="71234") == []


def test_blank_and_repeated_stop_ids_hide_nobody(client, database, organisation):
    here = Point(-0.14, 51.54)
    put_place(database, organisation, here, name="Twin north", stop_id="TWIN")
    put_place(database, organisation, here, name="Twin south", stop_id="TWIN")
    put_place(database, organisation, here, name="Nameless code", stop_id=None)
    assert [place["name"] for place in find(client, stop_id="TWIN")] == ["Twin north", "Twin south"]
    assert [place["stop_id"] for place in find(client, q="nameless")] == [None]
    assert len({place["id"] for place in find(client)}) == 3


def test_kind_and_words_and_place_narrow_together(client, database, organisation):
    put_place(database, organisation, Point(-0.14, 51.54), name="Oak A", kind="station")
    put_place(database, organisation, Point(-0.15, 51.54), name="Oak B", kind="bus_stop")
    put_place(database, organisation, Point(-0.16, 51.54), name="Elm", kind="station")
    assert [p["name"] for p in find(client, q="oak", kind="station")] == ["Oak A"]
    assert [p["name"] for p in find(client, near="-0.16,51.54", kind="station")] == [
        "Elm",
        "Oak A",
    ]
    assert [p["name"] for p in find(client, near="-0.16,51.54", q="oak")] == ["Oak B", "Oak A"]


EDGES = {
    "London": Point(-0.1426, 51.539),
    "negative longitude": Point(-118.24, 34.05),
    "antimeridian": Point(-179.995, -16.8),
    "north pole": Point(0.0, 89.95),
}


@pytest.mark.parametrize("here", EDGES.values(), ids=EDGES)
def test_near_goes_outwards_page_by_page(client, database, organisation, here):
    rng = random.Random(4)
    for number in range(57):
        lon = (here.lon + rng.uniform(-0.3, 0.3) + 180) % 360 - 180
        lat = here.lat + rng.uniform(-0.05, 0.05)
        put_place(
            database, organisation, Point(round(lon, 6), round(lat, 6)), name=f"Stop {number}"
        )
    found = walk(client, f"/v1/places?near={here.lon},{here.lat}&limit=10")
    assert len({place["id"] for place in found}) == len(found) == 57
    exact = [metres(here, place) for place in found]
    assert exact == sorted(exact)
    assert [place["distance_m"] for place in found] == [round(metres) for metres in exact]


def test_stops_at_the_very_same_point_are_each_shown_once(client, database, organisation):
    here = Point(-0.14, 51.54)
    for number in range(25):
        put_place(database, organisation, here, name=f"Bay {number}")
    found = walk(client, "/v1/places?near=-0.14,51.54&limit=4")
    assert len({place["id"] for place in found}) == len(found) == 25


@pytest.mark.parametrize("path", ["/v1/places?limit=3", "/v1/places?q=stop&limit=3"])
def test_every_place_is_listed_once_however_short_the_pages(client, database, organisation, path):
    rng = random.Random(5)
    for number in range(20):
        put_place(
            database,
            organisation,
            Point(-0.14, 51.54),
            name=rng.choice(["Stop", "Stop it", "A stop", "The stop"]),
            kind=rng.choice(["station", "bus_stop", "alley"]),
            stop_id=f"S{number}",
        )
    found = walk(client, path)
    assert sorted(place["stop_id"] for place in found) == sorted(f"S{n}" for n in range(20))


@pytest.mark.parametrize(
    "query",
    [
        "near=51.5",
        "near=abc",
        "near=0,91",
        "near=181,0",
        "near=0,0,0",
        "near=nan,nan",
        "kind=Bus%20Stop",
        "kind=zz",
        "kind=",
        "stop_id=",
        "limit=1001",
        "limit=-1",
        "q=a%00b",
        f"q={'x' * 201}",
        "q=a&q=b",
        "nearby=0,0",
    ],
)
def test_a_question_that_makes_no_sense_is_told_what_is_wrong(client, database, query):
    answer = client.get(f"/v1/places?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == query.partition("=")[0]


def test_an_empty_search_box_is_no_condition(client, database, organisation):
    put_place(database, organisation, Point(-0.14, 51.54))
    assert len(find(client, q="")) == len(find(client, q="   ")) == 1


@pytest.mark.slow
def test_all_stops_of_london_are_found_by_name_and_by_id(client, london):
    with london.intake() as conn:
        rows = conn.execute("select id, stop_id, name, kind from places").fetchall()
    assert sum(kind == "bus_stop" for *_, kind in rows) == 17_831
    listed = walk(client, "/v1/places?limit=1000")
    assert len(listed) == len(rows)
    assert len({place["id"] for place in listed}) == len(rows)
    blank = [row for row in rows if row[1] is None and row[3] == "bus_stop"]
    assert blank
    for _, stop_id, name, kind in [*random.Random(1).sample(rows, 60), *blank[:20]]:
        found = walk(client, "/v1/places?limit=1000&" + urlencode({"q": name, "kind": kind}))
        assert (stop_id, name) in {(place["stop_id"], place["name"]) for place in found}
