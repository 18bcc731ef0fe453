from dataclasses import replace
from datetime import UTC, datetime, timedelta

from waylight.domain.geo import Bounds, Point
from waylight.domain.location import Spot, locate, sources, unknown_stops
from waylight.domain.reports import Journey, LocationClaim, PlaceRef

LONDON = Bounds(west=-0.52, south=51.28, east=0.34, north=51.70)
CAMDEN = Point(-0.1426, 51.5390)
SWAPPED = Point(51.5390, -0.1426)
NOW = datetime(2026, 11, 21, 23, 41, 10, tzinfo=UTC)


def kinds(claim, journey=None):
    found, warnings = sources(claim, journey or Journey(), served=[LONDON])
    return [(s.kind, s.stop_id) for s in found], [w.code for w in warnings]


def test_a_precise_point_comes_before_every_stop():
    claim = LocationClaim(point=CAMDEN, accuracy_m=25, stop_id="CTN")
    order, warnings = kinds(claim, Journey(next_stop_id="MTC", boarded_stop_id="CTN"))
    assert order == [("point", None), ("stop", "CTN"), ("journey", "MTC"), ("journey", "CTN")]
    assert warnings == []


def test_a_point_of_two_hundred_metres_still_beats_a_stop_and_a_worse_one_does_not():
    claim = LocationClaim(point=CAMDEN, accuracy_m=200, stop_id="CTN")
    assert kinds(claim)[0][0] == ("point", None)
    order, warnings = kinds(replace(claim, accuracy_m=201))
    assert order == [("stop", "CTN"), ("point", None)]
    assert warnings == ["inaccurate_point"]


def test_a_worse_point_alone_is_still_used():
    assert kinds(LocationClaim(point=CAMDEN, accuracy_m=5_000)) == ([("point", None)], [])


def test_swapped_coordinates_are_swapped_back_when_that_lands_in_a_served_city():
    found, warnings = sources(
        LocationClaim(point=SWAPPED, swapped=CAMDEN), Journey(), served=[LONDON]
    )
    assert found[0].point == CAMDEN
    assert [w.code for w in warnings] == ["swapped_coordinates"]


def test_a_point_outside_every_city_is_left_as_it_is_when_swapping_does_not_help():
    auckland = LocationClaim(point=Point(174.76, -36.85), swapped=None)
    found, warnings = sources(auckland, Journey(), served=[LONDON])
    assert found[0].point == auckland.point
    assert warnings == ()


def test_a_point_in_the_city_is_never_swapped():
    found, _ = sources(LocationClaim(point=CAMDEN, swapped=SWAPPED), Journey(), served=[LONDON])
    assert found[0].point == CAMDEN


def test_null_island_yields_to_the_stop_and_counts_as_no_fix():
    claim = LocationClaim(point=Point(0.0, 0.0), swapped=Point(0.0, 0.0), stop_id="CTN")
    assert kinds(claim) == ([("stop", "CTN")], ["null_island"])
    assert kinds(replace(claim, stop_id=None)) == ([], ["null_island"])


def test_coordinates_that_are_possible_only_swapped_and_serve_no_city_are_named():
    claim = LocationClaim(point=None, swapped=Point(151.2, -33.8))
    assert kinds(claim) == ([], ["impossible_position"])


def test_the_result_carries_radius_method_and_age():
    claim = LocationClaim(
        point=CAMDEN, accuracy_m=25, method="gnss", fixed_at=NOW - timedelta(seconds=10)
    )
    found, _ = sources(claim, Journey(), served=[LONDON])
    place = PlaceRef(id="940GZZLUCTN", name="Camden Town")
    located = locate(claim, found, Spot(0, CAMDEN, place), now=NOW)
    assert (located.source, located.radius_m, located.method, located.age_s) == (
        "point",
        25,
        "gnss",
        10,
    )
    assert located.place == place


def test_a_fix_from_the_future_has_age_zero():
    claim = LocationClaim(point=CAMDEN, fixed_at=NOW + timedelta(hours=1))
    found, _ = sources(claim, Journey(), served=[LONDON])
    assert locate(claim, found, Spot(0, CAMDEN), now=NOW).age_s == 0


def test_words_alone_have_no_position_and_say_so():
    assert locate(LocationClaim(description="by the stairs"), [], None, now=NOW).source == "words"
    assert locate(LocationClaim(), [], None, now=NOW).source == "nothing"


def test_stops_that_nobody_knows_are_named_by_their_field():
    claim, journey = LocationClaim(stop_id="A"), Journey(next_stop_id="B", boarded_stop_id="C")
    warnings = unknown_stops(claim, journey, ["B"])
    assert [w.pointer for w in warnings] == ["/location/stop_id", "/journey/boarded_stop_id"]
