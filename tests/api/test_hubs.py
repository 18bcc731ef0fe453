import random
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from geographiclib.geodesic import Geodesic

from schemas.common import WireId
from tests.api.city import found_city, put_hub, utc
from waylight.db import hubs as db_hubs
from waylight.domain.geo import Point
from waylight.domain.reports import Need
from waylight.services.hubs import reading
from waylight.services.schedules import expand_all

LONDON = ZoneInfo("Europe/London")
BANK_HOLIDAYS = {
    date(2026, 4, 3),
    date(2026, 4, 6),
    date(2026, 5, 4),
    date(2026, 5, 25),
    date(2026, 8, 31),
    date(2026, 12, 25),
    date(2026, 12, 28),
    date(2027, 1, 1),
    date(2027, 3, 26),
    date(2027, 3, 29),
}
"""England, from gov.uk/bank-holidays, 2026 and the first of 2027."""

EVERY_DAY = frozenset(range(7))
HOURS: dict[str, list[tuple[Any, Any, Any]]] = {
    "24/7": [(EVERY_DAY, 0, 1440)],
    "Mo-Fr 07:00-19:00": [(frozenset(range(5)), 420, 1140)],
    "Mo-Su 18:00-04:00": [(EVERY_DAY, 1080, 1680)],
    "Fr-Sa 21:00-02:30": [(frozenset({4, 5}), 1260, 1590)],
    "Sa,Su 01:30-02:30": [(frozenset({5, 6}), 90, 150)],
    "Mo-Su 08:00-20:00; PH off": [(EVERY_DAY, 480, 1200), ("PH", None, None)],
    "Mo-Fr 09:00-17:00; PH 10:00-16:00": [(frozenset(range(5)), 540, 1020), ("PH", 600, 960)],
    "Th-Sa 22:00-03:00; PH off": [(frozenset({3, 4, 5}), 1320, 1620), ("PH", None, None)],
}
"""Expressions, and the same as rows of weekdays and minutes for the brute force to read."""

INSTANTS = [
    utc("2026-11-21 23:30"),  # a Saturday night
    utc("2026-11-22 02:29"),
    utc("2026-11-22 02:30"),
    utc("2026-11-23 04:00"),
    utc("2026-03-29 00:45"),  # the clocks skip 01:00 to 02:00
    utc("2026-03-29 00:59"),
    utc("2026-03-29 01:00"),
    utc("2026-03-29 01:30"),
    utc("2026-03-29 02:15"),
    utc("2026-10-25 00:30"),  # 01:00 to 02:00 comes twice
    utc("2026-10-25 00:59"),
    utc("2026-10-25 01:30"),
    utc("2026-10-25 02:15"),
    utc("2026-10-25 02:45"),
    utc("2026-12-24 23:30"),  # before, on and after Christmas
    utc("2026-12-25 01:00"),
    utc("2026-12-25 10:30"),
    utc("2026-12-26 01:00"),
    utc("2026-12-28 10:30"),
    utc("2027-01-01 00:30"),
    utc("2027-01-01 12:00"),
    utc("2027-03-28 00:45"),  # Easter Sunday, and the clocks skip an hour
    utc("2027-03-29 09:30"),
    utc("2026-08-31 09:30"),
    utc("2026-06-30 20:00"),
]


def instant_of(wall: datetime) -> datetime:
    """The first minute at which the clocks of London show at least this."""
    minute = wall.replace(tzinfo=UTC) - timedelta(hours=2)
    while minute.astimezone(LONDON).replace(tzinfo=None) < wall:
        minute += timedelta(minutes=1)
    return minute


def is_open(hours: str, at: datetime) -> bool:
    today = at.astimezone(LONDON).date()
    for day in (today - timedelta(days=1), today):
        special = [row for row in HOURS[hours] if row[0] == "PH"]
        rows = HOURS[hours]
        if day in BANK_HOLIDAYS and special:
            rows = [row for row in special if row[1] is not None]
        midnight = datetime.combine(day, datetime.min.time())
        for days, opens, closes in rows:
            applies = (
                days == "PH"
                if day in BANK_HOLIDAYS and special
                else (days != "PH" and day.weekday() in days)
            )
            if applies and (
                instant_of(midnight + timedelta(minutes=opens))
                <= at
                < instant_of(midnight + timedelta(minutes=closes))
            ):
                return True
    return False


def metres(here: Point, there: Point) -> float:
    line = Geodesic.WGS84.Inverse(here.lat, here.lon, there.lat, there.lon)
    found: float = line["s12"]
    return found


def nearest(client, here: Point, **query):
    answer = client.get("/v1/hubs/nearest", query_string={"lat": here.lat, "lon": here.lon} | query)
    assert answer.status_code == 200, answer.text
    return answer.json["items"]


@pytest.fixture
def organisation(database):
    return found_city(database)


@pytest.fixture
def scattered(database, organisation):
    """Eighty hubs in and around London, with every kind of hours."""
    rng = random.Random(26)
    hubs = {}
    for number in range(80):
        point = Point(round(rng.uniform(-0.5, 0.3), 6), round(rng.uniform(51.3, 51.7), 6))
        hours = list(HOURS)[number % len(HOURS)]
        name = f"Hub {number}"
        put_hub(database, organisation, point, name=name, hours=hours)
        hubs[name] = (point, hours)
    return hubs


@pytest.mark.parametrize("at", INSTANTS, ids=str)
@pytest.mark.parametrize("expanded", [False, True], ids=["computed", "expanded"])
def test_nearest_open_hubs_are_those_of_a_brute_force(client, database, scattered, at, expanded):
    if expanded:
        expand_all(database, now=at - timedelta(days=1))
    rng = random.Random(str(at))
    for _ in range(4):
        here = Point(round(rng.uniform(-0.55, 0.35), 6), round(rng.uniform(51.25, 51.75), 6))
        brute = sorted(
            (metres(here, point), name)
            for name, (point, hours) in scattered.items()
            if is_open(hours, at)
        )[:7]
        found = nearest(client, here, limit=7, at=at.isoformat())
        assert [hub["name"] for hub in found] == [name for _, name in brute]
        assert [hub["distance_m"] for hub in found] == [round(distance) for distance, _ in brute]
        assert all(hub["open"] for hub in found)


def test_some_hub_is_open_and_some_closed_at_nearly_every_instant():
    """Otherwise the brute force would compare nothing."""
    counts = [sum(is_open(hours, at) for hours in HOURS) for at in INSTANTS]
    assert all(1 <= count < len(HOURS) for count in counts)
    assert len(set(counts)) > 2


EDGES = {
    "negative longitude": Point(-118.24, 34.05),
    "null island": Point(0.0, 0.0),
    "north pole": Point(12.0, 90.0),
    "near the south pole": Point(-150.0, -89.9),
    "antimeridian from the east": Point(179.99, -16.8),
    "antimeridian from the west": Point(-179.99, -16.8),
    "on the antimeridian": Point(180.0, 0.0),
    "mid-Thames": Point(0.1, 51.48),
}


@pytest.mark.parametrize("here", EDGES.values(), ids=EDGES)
def test_nearest_is_right_at_the_edges_of_the_map(client, database, organisation, here):
    rng = random.Random(9)
    hubs = {}
    for number in range(60):
        spread = rng.choice([0.05, 1.0, 20.0])
        lat = here.lat + rng.uniform(-spread, spread)
        lat = lat if abs(lat) <= 90 else 180 * (1 if lat > 0 else -1) - lat
        lon = (here.lon + rng.uniform(-spread, spread) * 3 + 180) % 360 - 180
        hubs[f"Hub {number}"] = point = Point(round(lon, 6), round(lat, 6))
        put_hub(database, organisation, point, name=f"Hub {number}")
    brute = sorted((metres(here, point), name) for name, point in hubs.items())[:10]
    found = nearest(client, here, limit=10)
    assert [hub["name"] for hub in found] == [name for _, name in brute]


def test_the_ellipsoid_decides_where_the_sphere_is_wrong(client, database, organisation):
    """North to south a degree is shorter, at the equator by 0.67 %, than east to west."""
    put_hub(database, organisation, Point(0.0, 1.003), name="north")
    put_hub(database, organisation, Point(1.0, 0.0), name="east")
    found = nearest(client, Point(0.0, 0.0), limit=1)
    assert [hub["name"] for hub in found] == ["north"]


def test_closed_hubs_are_shown_as_closed_when_asked_for(client, database, organisation):
    put_hub(database, organisation, Point(-0.1, 51.5), name="near", hours="Mo 09:00-10:00")
    put_hub(database, organisation, Point(-0.2, 51.5), name="far")
    query = {"at": "2026-11-22T12:00:00Z"}
    found = nearest(client, Point(-0.1, 51.5), open_now="false", **query)
    assert [(hub["name"], hub["open"], hub["open_until"]) for hub in found] == [
        ("near", False, None),
        ("far", True, None),
    ]
    assert [hub["name"] for hub in nearest(client, Point(-0.1, 51.5), **query)] == ["far"]


def test_open_until_is_the_real_closing_time(client, database, organisation):
    put_hub(database, organisation, Point(-0.1, 51.5), hours="Fr-Sa 21:00-02:30")
    for expanded in (False, True):
        if expanded:
            expand_all(database, now=utc("2026-11-20 12:00"))
        (hub,) = nearest(client, Point(-0.1, 51.5), at="2026-11-21T23:30:00Z")
        assert hub["open_until"] == "2026-11-22T02:30:00Z"


def test_a_stale_expansion_closes_no_hub(client, database, organisation):
    put_hub(
        database,
        organisation,
        Point(-0.1, 51.5),
        open_during=[],
        expanded_until=utc("2026-01-01 00:00"),
    )
    assert len(nearest(client, Point(-0.1, 51.5))) == 1


def test_an_instant_before_now_is_not_answered_from_ranges_that_begin_today(
    client, database, organisation
):
    put_hub(database, organisation, Point(-0.1, 51.5), hours="Sa 10:00-12:00")
    expand_all(database, now=datetime.now(UTC))
    assert len(nearest(client, Point(-0.1, 51.5), at="2024-06-01T09:30:00Z")) == 1
    assert nearest(client, Point(-0.1, 51.5), at="2024-06-01T11:30:00Z") == []


def test_hubs_that_meet_every_need_come_first_and_nobody_is_left_without(
    client, database, organisation
):
    here = Point(-0.1, 51.5)
    put_hub(database, organisation, Point(-0.1, 51.501), name="nothing")
    put_hub(database, organisation, Point(-0.1, 51.502), name="ramp", access=["step_free"])
    put_hub(
        database,
        organisation,
        Point(-0.1, 51.503),
        name="all",
        access=["step_free", "text_relay"],
        services=["women_only_space", "trained_staff"],
    )
    found = nearest(client, here, needs="step_free,women_only,text_only")
    assert [(hub["name"], hub["needs_met"], hub["needs_unmet"]) for hub in found] == [
        ("all", ["step_free", "women_only", "text_only"], []),
        ("nothing", [], ["step_free", "women_only", "text_only"]),
        ("ramp", ["step_free"], ["women_only", "text_only"]),
    ]
    assert [hub["name"] for hub in nearest(client, here, needs="step_free", limit=2)] == [
        "ramp",
        "all",
    ]


@pytest.mark.parametrize("need", list(Need))
def test_every_need_can_be_asked_for(client, database, organisation, need):
    put_hub(database, organisation, Point(-0.1, 51.5))
    (hub,) = nearest(client, Point(-0.1, 51.5), needs=str(need))
    assert hub["needs_unmet"] == [need]


def test_a_retired_hub_is_nowhere(client, database, organisation):
    gone = put_hub(database, organisation, Point(-0.1, 51.5), retired=True)
    assert nearest(client, Point(-0.1, 51.5)) == []
    assert client.get("/v1/hubs").json["items"] == []
    assert client.get(f"/v1/hubs/{WireId.of('hub', gone)}").status_code == 404


def test_every_hub_is_listed_once_however_short_the_pages(client, scattered):
    seen: list[str] = []
    url: str | None = "/v1/hubs?limit=7"
    while url:
        answer = client.get(url)
        page = answer.json
        seen += [hub["name"] for hub in page["items"]]
        assert ("Link" in answer.headers) == (page["next_cursor"] is not None)
        url = None
        if page["next_cursor"]:
            url = answer.headers["Link"].partition(">")[0].removeprefix("<")
    assert len(seen) == len(set(seen)) == len(scattered)
    assert set(seen) == set(scattered)


def test_a_hub_that_comes_meanwhile_neither_repeats_nor_hides_another(
    client, database, organisation, scattered
):
    first = client.get("/v1/hubs?limit=40").json
    put_hub(database, organisation, Point(-0.1, 51.5), name="new")
    second = client.get(f"/v1/hubs?limit=1000&cursor={first['next_cursor']}").json
    names = [hub["name"] for hub in first["items"] + second["items"]]
    assert len(names) == len(set(names))
    assert set(names) == {*scattered, "new"}


@pytest.mark.parametrize(
    "cursor",
    ["abc", "", "=", "%00", "A" * 40, "A" * 1000, "../../etc", "\u00e9"],
)
def test_a_made_up_cursor_is_refused(client, scattered, cursor):
    answer = client.get("/v1/hubs", query_string={"cursor": cursor})
    assert answer.status_code in (400, 422)


def test_a_changed_cursor_is_refused(client, scattered):
    good = client.get("/v1/hubs?limit=2").json["next_cursor"]
    for at in range(len(good)):
        bad = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        answer = client.get("/v1/hubs", query_string={"limit": 2, "cursor": bad})
        assert answer.status_code == 400, bad
        assert answer.json["code"] == "invalid_cursor"


def test_a_cursor_of_another_list_or_other_filters_is_refused(client, scattered):
    cursor = client.get("/v1/hubs?limit=2").json["next_cursor"]
    assert client.get(f"/v1/places?cursor={cursor}").status_code == 400
    assert client.get(f"/v1/hubs?cursor={cursor}&bbox=-1,51,1,52").status_code == 400
    assert client.get(f"/v1/hubs?cursor={cursor}&limit=5").status_code == 200


def test_a_box_holds_what_lies_in_it(client, scattered):
    items = client.get("/v1/hubs?bbox=-0.2,51.4,0.0,51.6&limit=1000").json["items"]
    inside = {
        name
        for name, (point, _) in scattered.items()
        if -0.2 <= point.lon <= 0.0 and 51.4 <= point.lat <= 51.6
    }
    assert {hub["name"] for hub in items} == inside
    assert inside


def test_a_box_may_cross_the_antimeridian(client, database, organisation):
    put_hub(database, organisation, Point(179.5, -17.0), name="east")
    put_hub(database, organisation, Point(-179.5, -17.0), name="west")
    put_hub(database, organisation, Point(0.0, -17.0), name="far")
    items = client.get("/v1/hubs?bbox=179,-18,-179,-16").json["items"]
    assert {hub["name"] for hub in items} == {"east", "west"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "lat=51.5",
        "lat=51.5&lon=abc",
        "lat=51.5&lon=NaN",
        "lat=51.5&lon=Infinity",
        "lat=51.5&lon=1e400",
        "lat=51.5&lon=1_0",
        "lat=51.5&lon=%D9%A1",
        "lat=51.5&lon=181",
        "lat=-90.1&lon=0",
        "lat=51.5&lon=0&lon=1",
        "lat=51.5&lon=0&limit=0",
        "lat=51.5&lon=0&limit=101",
        "lat=51.5&lon=0&limit=1.5",
        "lat=51.5&lon=0&limit=99999999999999999999",
        "lat=51.5&lon=0&open_now=perhaps",
        "lat=51.5&lon=0&needs=magic",
        "lat=51.5&lon=0&needs=",
        "lat=51.5&lon=0&at=yesterday",
        "lat=51.5&lon=0&at=2026-11-21T23:00:00",
        "lat=51.5&lon=0&at=2026-13-21T23:00:00Z",
        "lat=51.5&lon=0&at=0001-01-01T00:00:00%2B14:00",
        "lat=51.5&lon=0&openow=true",
    ],
)
def test_a_question_that_makes_no_sense_is_told_what_is_wrong(client, database, query):
    answer = client.get(f"/v1/hubs/nearest?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"]
    assert all(error["pointer"] and error["detail"] for error in answer.json["errors"])


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_the_ends_of_the_calendar_break_nothing(client, database, organisation, at):
    put_hub(database, organisation, Point(-0.1, 51.5), hours="Mo-Su 00:00-24:00")
    answer = client.get("/v1/hubs/nearest", query_string={"lat": 51.5, "lon": 0, "at": at})
    assert (answer.status_code, answer.json.get("code", "")) in [
        (200, ""),
        (422, "invalid_request"),
    ]


@pytest.mark.parametrize("path", ["/v1/hubs", "/v1/hubs/nearest?lat=51.5&lon=-0.1"])
def test_an_unchanged_answer_is_not_sent_again(client, database, organisation, path):
    put_hub(database, organisation, Point(-0.1, 51.5))
    first = client.get(path)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')  # the same for every coding
    second = client.get(path, headers={"If-None-Match": etag})
    assert (second.status_code, second.data) == (304, b"")
    assert second.headers["ETag"] == etag
    assert second.headers["Cache-Control"] == first.headers["Cache-Control"]
    put_hub(database, organisation, Point(-0.1, 51.51))
    third = client.get(path, headers={"If-None-Match": etag})
    assert third.status_code == 200
    assert third.headers["ETag"] != etag


def test_where_somebody_stands_is_kept_out_of_shared_caches(client, database):
    assert "private" in client.get("/v1/hubs/nearest?lat=51.5&lon=0").headers["Cache-Control"]
    assert "private" in client.get("/v1/places?near=0,51.5").headers["Cache-Control"]
    assert "public" in client.get("/v1/hubs").headers["Cache-Control"]


@pytest.mark.parametrize(
    "name",
    ["hub_1", "place_01jdw2s4x0e6qv3t8k5n7b9c1d", "hub_81jdw2s4x0e6qv3t8k5n7b9c1d", "%00", "HUB"],
)
def test_what_is_no_hub_id_is_not_found(client, database, name):
    answer = client.get(f"/v1/hubs/{name}")
    assert answer.status_code == 404
    assert answer.json["code"] == "not_found"


def test_one_hub_is_the_one_of_the_list(client, scattered):
    listed = client.get("/v1/hubs?limit=3").json["items"][-1]
    assert client.get(f"/v1/hubs/{listed['id']}").json == listed


def test_the_link_to_a_map_says_nothing_of_the_caller(client, database, organisation):
    put_hub(database, organisation, Point(-0.25, 51.25))
    (hub,) = nearest(client, Point(-0.123456, 51.456789))
    assert "51.250000%2C-0.250000" in hub["directions_url"]
    assert "456789" not in hub["directions_url"]


def test_when_hours_are_expanded_one_statement_answers(client, database, scattered, monkeypatch):
    expand_all(database, now=datetime.now(UTC))
    asked = []

    def counted(*args, **kwargs):
        asked.append(kwargs["limit"])
        return db_hubs.nearest(*args, **kwargs)

    monkeypatch.setattr(reading, "db_hubs", SimpleNamespace(nearest=counted))
    monkeypatch.setattr(reading, "read_cities", lambda _: pytest.fail("asked for the calendars"))
    assert len(nearest(client, Point(-0.1, 51.5), limit=5)) == 5
    assert len(asked) == 1
