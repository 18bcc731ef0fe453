import csv
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.geo import Point
from waylight.domain.journeys import (
    FASTER,
    SLOWER,
    UNSURE,
    Line,
    Passing,
    Prediction,
    Ride,
    Stop,
    meeting,
    metres,
    predict,
)
from waylight.domain.reports import Reason

LONDON = Path(__file__).parents[2] / "data" / "london"
NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


def london() -> dict[str, Line]:
    """The five lines of the London pack, as the loader would have them."""

    def rows(name: str) -> list[dict[str, str]]:
        return list(csv.DictReader((LONDON / name).read_text(encoding="utf-8").splitlines()))

    places = {row["key"]: row for row in rows("places.csv")}
    found: dict[str, list[Stop]] = {}
    for n, row in enumerate(
        sorted(rows("line_stops.csv"), key=lambda r: (r["line_id"], int(r["sequence"])))
    ):
        place = places[row["place_key"]]
        stop = Stop(
            place_id=UUID(int=n + 1),
            id=place["stop_id"],
            name=place["name"],
            point=Point(float(place["lon"]), float(place["lat"])),
            ids=frozenset({place["stop_id"], *place["codes"].split("|")}),
        )
        found.setdefault(row["line_id"], []).append(stop)
    return {key: Line(key, key, "tube", tuple(stops)) for key, stops in found.items()}


LINES = london()
VICTORIA = LINES["victoria"]


def made(*names: str, lat: float = 0.0, mode: str = "tube") -> Line:
    """A line that runs east, a stop every 1.1 km; a name that comes again is the same stop."""
    numbers = {name: n for n, name in reversed(list(enumerate(names)))}
    return Line(
        "made",
        "Made line",
        mode,
        tuple(
            Stop(
                UUID(int=numbers[n] + 1),
                n,
                f"{n} Station",
                Point(numbers[n] / 100, lat),
                frozenset({n}),
            )
            for n in names
        ),
    )


def ride(**others):
    return Ride(at=NOW, **others)


def names(found) -> list[str]:
    assert isinstance(found, Prediction), found
    return [one.stop.id for one in found.passings]


def test_next_stop_and_a_compass_word_predict_the_stops_to_the_end_of_the_line():
    found = predict(VICTORIA, ride(direction="southbound", next="940GZZLUGPK"))
    assert isinstance(found, Prediction)
    assert [one.stop.name for one in found.passings] == [
        "Green Park",
        "Victoria",
        "Pimlico",
        "Vauxhall",
        "Stockwell",
        "Brixton",
    ]
    assert found.towards.name == "Brixton"
    assert found.passings[0].earliest == NOW
    north = predict(VICTORIA, ride(direction="northbound", next="940GZZLUGPK"))
    assert isinstance(north, Prediction)
    assert (north.passings[1].stop.name, north.towards.name) == (
        "Oxford Circus",
        "Walthamstow Central",
    )


@pytest.mark.parametrize(
    ("line", "word", "towards"),
    [
        ("victoria", "southbound", "Brixton"),
        ("victoria", "towards Brixton", "Brixton"),
        ("victoria", "Brixton", "Brixton"),
        ("victoria", "940GZZLUBXN", "Brixton"),
        ("victoria", "to Walthamstow", "Walthamstow Central"),
        ("victoria", "NB", "Walthamstow Central"),
        ("jubilee", "eastbound", "Stratford"),
        ("jubilee", "Southbound", "Stratford"),
        ("jubilee", "west", "Stanmore"),
        ("bakerloo", "south", "Elephant & Castle"),
        ("bakerloo", "Elephant and Castle", "Elephant & Castle"),
        ("bakerloo", "Harrow", "Harrow & Wealdstone"),
        ("hammersmith-city", "westbound", "Hammersmith"),
        ("hammersmith-city", "Barking", "Barking"),
        ("waterloo-city", "Bank", "Bank"),
    ],
)
def test_direction_in_a_passenger_s_words(line, word, towards):
    stops = LINES[line].stops
    middle = stops[len(stops) // 2]
    boarded = stops[0] if line == "waterloo-city" else middle
    found = predict(LINES[line], ride(direction=word, boarded=boarded.id))
    assert isinstance(found, Prediction), found
    assert found.towards.name == towards


@pytest.mark.parametrize("word", [None, "", "outbound", "forwards", "Atlantis", "to", "up", "🚇"])
def test_word_that_says_nothing_leaves_the_direction_unknown(word):
    found = predict(VICTORIA, ride(direction=word, next="940GZZLUGPK"))
    assert found == Reason("direction_unknown")


def test_compass_word_says_nothing_of_a_line_that_hardly_runs_that_way():
    hammersmith = LINES["hammersmith-city"]
    found = predict(hammersmith, ride(direction="northbound", boarded="940GZZLUBST"))
    assert found == Reason("direction_unknown")


def test_two_stops_say_the_direction_and_more_than_a_word_does():
    found = predict(
        VICTORIA, ride(boarded="940GZZLUOXC", next="940GZZLUGPK", direction="northbound")
    )
    assert isinstance(found, Prediction)
    assert found.towards.name == "Brixton"


def test_word_for_a_stop_on_the_way_says_the_direction_seen_from_where_they_are():
    found = predict(VICTORIA, ride(boarded="940GZZLUOXC", direction="towards Stockwell"))
    assert isinstance(found, Prediction)
    assert found.towards.name == "Brixton"
    back = predict(VICTORIA, ride(boarded="940GZZLUSKW", direction="Oxford Circus"))
    assert isinstance(back, Prediction)
    assert back.towards.name == "Walthamstow Central"


def test_stop_boarded_at_is_taken_to_have_just_been_left():
    found = predict(VICTORIA, ride(boarded="HUBVIC", direction="southbound"))
    assert isinstance(found, Prediction)
    assert found.passings[0].stop.name == "Pimlico"
    assert found.passings[0].earliest == NOW


def test_child_id_of_a_station_is_that_station():
    found = predict(VICTORIA, ride(boarded="940GZZLUVIC", direction="southbound"))
    assert isinstance(found, Prediction)
    assert found.passings[0].stop.name == "Pimlico"


def test_vehicle_at_its_last_stop_has_no_stops_ahead():
    assert predict(VICTORIA, ride(boarded="HUBBRX", direction="southbound")) == Reason(
        "direction_unknown"
    )
    last = predict(VICTORIA, ride(boarded="940GZZLUSKW", next="HUBBRX"))
    assert names(last) == ["HUBBRX"]


def test_stop_that_is_not_on_the_line_is_left_aside():
    found = predict(VICTORIA, ride(boarded="940GZZLUCTN", direction="southbound"))
    assert found == Reason("stop_not_on_line")
    # One that is on the line is enough.
    mixed = predict(VICTORIA, ride(boarded="940GZZLUCTN", next="940GZZLUGPK", direction="south"))
    assert names(mixed)[0] == "940GZZLUGPK"


def test_without_the_order_of_stops_nothing_is_predicted():
    assert predict(None, ride(next="x", direction="south")) == Reason("no_line_order")
    assert predict(made("only"), ride(next="only")) == Reason("no_line_order")


def test_position_near_the_line_places_a_vehicle_between_two_stops():
    oxford, green = VICTORIA.stops[9].point, VICTORIA.stops[10].point
    middle = Point((oxford.lon + green.lon) / 2, (oxford.lat + green.lat) / 2)
    south = predict(VICTORIA, ride(direction="southbound", point=middle))
    assert isinstance(south, Prediction)
    assert south.passings[0].stop.name == "Green Park"
    north = predict(VICTORIA, ride(direction="northbound", point=middle))
    assert isinstance(north, Prediction)
    assert north.passings[0].stop.name == "Oxford Circus"


def test_position_far_from_the_line_places_nothing():
    camden = Point(-0.1426, 51.539)
    assert predict(VICTORIA, ride(direction="southbound", point=camden)) == Reason(
        "stop_not_on_line"
    )


def test_position_behind_the_stop_boarded_at_is_not_believed():
    behind = VICTORIA.stops[2].point
    found = predict(VICTORIA, ride(direction="south", boarded="940GZZLUOXC", point=behind))
    assert names(found)[0] == "940GZZLUGPK"


@pytest.mark.parametrize(
    ("line", "minutes"),
    [
        ("victoria", 36),
        ("jubilee", 62),
        ("bakerloo", 43),
        ("hammersmith-city", 58),
        ("waterloo-city", 4),
    ],
)
def test_known_end_to_end_times_lie_within_the_bands(line, minutes):
    # London Underground's own route finder, 2003.
    stops = LINES[line].stops
    for boarded, following in ((stops[0], stops[1]), (stops[-1], stops[-2])):
        found = predict(LINES[line], ride(boarded=boarded.id, next=following.id))
        assert isinstance(found, Prediction)
        end = found.passings[-1]
        # From leaving the first stop: its first leg is in the band's end.
        assert end.earliest <= NOW + timedelta(minutes=minutes) <= end.latest


# --- loops and stops passed twice

LOOP = made("A", "B", "C", "D", "A")
LOLLIPOP = made("A", "B", "C", "D", "B")


def test_loop_goes_round_once_and_past_its_first_stop():
    assert names(predict(LOOP, ride(boarded="C", next="D"))) == ["D", "A", "B", "C"]
    assert names(predict(LOOP, ride(boarded="A", next="D"))) == ["D", "C", "B", "A"]
    assert names(predict(LOOP, ride(boarded="D", next="A"))) == ["A", "B", "C", "D"]


def test_two_stops_far_apart_on_a_loop_do_not_say_which_way_round():
    assert predict(LOOP, ride(boarded="A", next="C")) == Reason("direction_unknown")
    assert predict(LOOP, ride(next="C", direction="eastbound")) == Reason("direction_unknown")


def test_stop_that_is_passed_twice_is_the_one_that_fits():
    assert names(predict(LOLLIPOP, ride(boarded="A", next="B"))) == ["B", "C", "D", "B"]
    assert names(predict(LOLLIPOP, ride(boarded="D", next="B"))) == ["B"]


# --- properties


@given(st.data())
def test_stops_come_in_order_without_gap_to_the_end_in_both_directions(data):
    line = LINES[data.draw(st.sampled_from(sorted(LINES)))]
    at = data.draw(st.integers(0, len(line.stops) - 1))
    to = data.draw(st.integers(0, len(line.stops) - 1).filter(lambda n: n != at))
    found = predict(line, ride(boarded=line.stops[at].id, next=line.stops[to].id))
    way = 1 if to > at else -1
    expected = line.stops[to:] if way > 0 else line.stops[to::-1]
    assert isinstance(found, Prediction)
    assert [one.stop for one in found.passings] == list(expected)
    assert found.towards == expected[-1]
    for one, following in pairwise(found.passings):
        assert one.earliest < following.earliest
        assert one.latest < following.latest
        # The band grows with the way, by the stated factors.
        drive = metres(one.stop.point, following.stop.point) / (40 / 3.6) + 30
        assert following.earliest - one.earliest == pytest.approx(
            timedelta(seconds=drive * FASTER), abs=timedelta(milliseconds=1)
        )
        assert following.latest - one.latest == pytest.approx(
            timedelta(seconds=drive * SLOWER), abs=timedelta(milliseconds=1)
        )
    for one in found.passings:
        assert NOW <= one.earliest < one.latest
        assert one.latest - one.earliest >= UNSURE


@given(st.integers(0, 200), st.sampled_from(sorted(LINES)))
def test_what_is_ahead_only_shrinks_and_ends(minutes, key):
    line = LINES[key]
    found = predict(line, ride(boarded=line.stops[0].id, next=line.stops[1].id))
    assert isinstance(found, Prediction)
    later = NOW + timedelta(minutes=minutes)
    ahead = found.ahead(later)
    assert ahead == found.passings[len(found.passings) - len(ahead) :]
    assert all(one.latest + timedelta(seconds=60) > later for one in ahead)
    assert not found.ahead(found.passings[-1].latest + timedelta(minutes=1))


STOP_IDS = st.sampled_from([stop.id for stop in VICTORIA.stops] + ["940GZZLUCTN", "", "x"])


RIDES = st.builds(
    Ride,
    at=st.just(NOW),
    direction=st.none()
    | st.text(max_size=30)
    | st.sampled_from(["south", "towards Brixton", "Euston"]),
    boarded=st.none() | STOP_IDS,
    next=st.none() | STOP_IDS,
    here=st.none() | STOP_IDS,
    point=st.none() | st.builds(Point, st.floats(-180, 180), st.floats(-90, 90)),
)
SHAPES = [VICTORIA, LOOP, LOLLIPOP, made("A", "B"), made("A", "A"), made("A", "B", "A")]


@given(RIDES, st.sampled_from(SHAPES))
def test_predicting_never_breaks(ridden, line):
    found = predict(line, ridden)
    if isinstance(found, Reason):
        assert found.code in ("no_line_order", "stop_not_on_line", "direction_unknown")
    else:
        assert found.passings
        assert len(found.passings) <= len(line.stops)


# --- a team ahead


def passing(minutes: float) -> Passing:
    return Passing(
        VICTORIA.stops[0],
        NOW + timedelta(minutes=minutes),
        NOW + timedelta(minutes=2 * minutes),
    )


def test_team_meets_the_vehicle_at_the_first_stop_it_surely_reaches_before_it():
    # 1 km is 2 minutes to set off and 3.9 on the way.
    assert meeting([(passing(5.9), 1000.0)], now=NOW) is not None
    assert meeting([(passing(5.8), 1000.0)], now=NOW) is None
    found = meeting([(passing(3), 1000.0), (passing(7), 1100.0), (passing(20), 160.0)], now=NOW)
    assert found is not None
    assert (found.from_min, found.to_min) == (7, 14)


def test_team_that_stands_at_the_next_stop_is_ahead_of_a_vehicle_about_to_arrive():
    assert meeting([(passing(0), 150.0)], now=NOW) is not None
    assert meeting([(passing(0), 151.0)], now=NOW) is None


@given(st.floats(0, 60), st.floats(0, 20_000), st.floats(0, 30))
def test_team_that_is_late_now_is_not_in_time_later(minutes, distance_m, later):
    if meeting([(passing(minutes), distance_m)], now=NOW) is None:
        assert meeting([(passing(minutes), distance_m)], now=NOW + timedelta(minutes=later)) is None
