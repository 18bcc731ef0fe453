"""A report from a moving vehicle: who can be ahead of it, and what staff read of its way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.desk import NOW, P1, P2, SPOT
from tests.services.hub_desk import codes
from waylight.db import journeys as db_journeys
from waylight.db import nearby
from waylight.domain.geo import Point
from waylight.domain.reports import Happening, Journey, LocationClaim, Submission, Want
from waylight.services.reports import submit_reports
from waylight.services.routing import ahead

STEP = 0.015
"""Degrees of longitude between two stops: 1.04 km, 124 s at the assumed pace with its stop."""

STOPS = {f"stop{n}": Point(SPOT.lon + (n - 3) * STEP, SPOT.lat) for n in range(9)}
"""From west to east; stop3 is the desk's spot."""

EAST = Journey(
    mode="tube",
    route_id="made",
    direction="eastbound",
    vehicle_id="123",
    boarded_stop_id="stop2",
    next_stop_id="stop3",
)
WEST = replace(EAST, direction="westbound", boarded_stop_id="stop4")


@pytest.fixture
def line(desk):
    """A line through the spot; the police's second team waits four stops to the east of it."""
    with desk.database.owner() as conn:
        conn.execute(
            "insert into lines (city_id, line_id, name, mode)"
            " select id, 'made', 'Made line', 'tube' from cities"
        )
        for n, (stop_id, point) in enumerate(STOPS.items()):
            conn.execute(
                """
                with place as (
                    insert into places (city_id, key, stop_id, name, source_name, kind, position,
                                        modes, lines, codes)
                    select id, %(id)s, %(id)s, %(name)s, '', 'station', %(at)s::geography, '{tube}',
                           '{made}', array[%(id)s || '-platform'] from cities
                    returning id, city_id)
                insert into line_stops (city_id, line_id, sequence, place_id)
                select city_id, 'made', %(n)s, id from place
                """,
                {"id": stop_id, "name": f"Stop {n}", "at": point.ewkt(), "n": n},
            )
        for team, base in (
            (desk.first, Point(SPOT.lon - 0.004, SPOT.lat)),
            (desk.third, STOPS["stop7"]),
        ):
            conn.execute("update teams set base = %s::geography where id = %s", [base.ewkt(), team])
    return desk


def told(answer):
    return [one.team_id for one in answer.routed_to if one.told == "now" and one.team_id]


def reasons(answer, team_id):
    (found,) = [one for one in answer.routed_to if one.team_id == team_id]
    return {reason.code: reason.params for reason in found.reasons}


def shortfalls(answer):
    return [reason.code for reason in answer.shortfalls]


def test_team_ahead_of_the_vehicle_is_told_before_a_nearer_one_behind_it(line):
    answer = line.report(replace(P2, journey=EAST))
    assert told(answer) == [line.third]
    why = reasons(answer, line.third)
    # Four legs of 124 s: at the soonest 0.7 of that, at the latest 1.4, a leg and a minute more.
    assert why["ahead_of_vehicle"] == {"stop": "Stop 7", "from_min": 5, "to_min": 15}
    assert "nearest" not in why
    assert "nearest" in reasons(answer, line.first)
    assert "no_team_ahead" not in shortfalls(answer)


def test_in_the_other_direction_that_team_is_behind_and_the_nearest_is_told(line):
    answer = line.report(replace(P2, journey=WEST))
    assert told(answer) == [line.first]
    assert "ahead_of_vehicle" not in str(answer.routed_to)
    assert shortfalls(answer) == ["no_team_ahead"]


@pytest.mark.parametrize(
    ("journey", "why"),
    [
        (replace(EAST, route_id="night-bus"), "no_line_order"),
        (replace(EAST, direction="outbound", boarded_stop_id=None), "direction_unknown"),
        (replace(EAST, direction=None, boarded_stop_id="elsewhere"), "direction_unknown"),
    ],
)
def test_where_the_way_is_not_known_it_says_so_and_goes_by_the_place(line, journey, why):
    answer = line.report(replace(P2, journey=journey))
    assert told(answer) == [line.first]
    assert shortfalls(answer) == [why]


def test_stops_of_another_line_say_nothing_of_this_one(line):
    far = Point(SPOT.lon, SPOT.lat + 0.02)
    journey = replace(EAST, boarded_stop_id="elsewhere", next_stop_id="nowhere")
    answer = line.report(replace(P2, journey=journey), at=far)
    assert shortfalls(answer) == ["stop_not_on_line"]


def test_line_that_has_no_vehicle_and_no_stop_claims_nothing(line):
    answer = line.report(replace(P2, journey=Journey(mode="tube", route_id="made")))
    assert told(answer) == [line.first]
    assert shortfalls(answer) == []


def test_what_happened_earlier_is_met_by_nobody(line):
    answer = line.report(replace(P2, journey=EAST, happening=Happening.EARLIER))
    assert told(answer) == [line.first]
    assert "ahead_of_vehicle" not in str(answer.routed_to)


def test_line_is_known_by_its_name_and_its_stops_by_their_other_ids(line):
    journey = replace(EAST, route_id=" MADE Line ", boarded_stop_id="stop2-platform")
    assert told(line.report(replace(P2, journey=journey))) == [line.third]


def test_line_of_another_city_is_not_known_here(line):
    line.do(
        "insert into cities (slug, name, country, time_zone, holidays, languages, outline_code,"
        " service_area_code, attribution, jurisdiction, contacts, bounds, pack_digest)"
        " values ('other', 'Other', 'GB', 'Europe/London', '{}', '{en}', 'x', 'x', '{}', '[]',"
        " '{}', '{5,5,6,6}', '')"
    )
    line.do(
        "insert into lines (city_id, line_id, name, mode)"
        " select id, 'theirs', 'Theirs', 'tube' from cities where slug = 'other'"
    )
    line.do(
        "insert into line_stops (city_id, line_id, sequence, place_id)"
        " select c.id, 'theirs', row_number() over (order by p.name), p.id"
        " from cities c, places p where c.slug = 'other'"
    )
    answer = line.report(replace(P2, journey=replace(EAST, route_id="theirs")))
    assert (told(answer), shortfalls(answer)) == ([line.first], ["no_line_order"])


def test_team_that_covers_only_a_stop_ahead_is_found(line):
    line.do(
        """
        with far as (
            insert into areas (city_id, code, name, kind, geom)
            select id, 'far', 'Far', 'borough', st_multi(st_buffer(%s::geometry, 0.004))
            from cities returning id, geom),
        part as (insert into area_parts select id, 0, (st_dump(geom)).geom from far)
        update coverages set area_id = (select id from far) where team_id = %s
        """,
        STOPS["stop7"].ewkt(),
        line.third,
    )
    answer = line.report(replace(P2, journey=EAST))
    assert told(answer) == [line.third]
    assert reasons(answer, line.third)["covers_area"] == {"area": "Far"}


def test_police_ahead_are_not_told_where_the_passenger_did_not_ask_for_them(line):
    answer = line.report(replace(P2, journey=EAST, wants=(Want.HELP,)))
    assert told(answer) == [line.second]
    assert "no_team_ahead" in shortfalls(answer)


def test_busy_team_ahead_comes_after_a_free_one(line):
    line.do("update teams set duty_status = 'busy' where id = %s", line.third)
    assert told(line.report(replace(P2, journey=EAST)))[0] == line.first


def test_report_without_a_line_asks_the_database_no_more_than_before(line, monkeypatch):
    asked, lines = [], []
    real, read = nearby.surroundings, db_journeys.ordered_stops

    def counted(conn, queries, **others):
        asked.append(len(queries))
        return real(conn, queries, **others)

    def counted_lines(conn, city_id):
        lines.append(city_id)
        return read(conn, city_id)

    monkeypatch.setattr(nearby, "surroundings", counted)
    monkeypatch.setattr(db_journeys, "ordered_stops", counted_lines)
    line.report(P2)
    line.report(replace(P2, journey=Journey(mode="bus", vehicle_id="9", next_stop_id="stop3")))
    assert (asked, lines) == ([1, 1], [])
    line.report(replace(P2, journey=replace(EAST, route_id="night-bus")))
    assert asked == [1, 1, 1]
    line.report(replace(P2, journey=EAST))
    assert asked == [1, 1, 1, 1, 6]
    # The order of a line is read once for each version of its pack.
    assert len(lines) <= 1


def test_fault_in_looking_ahead_costs_nothing_but_itself(line, monkeypatch):
    def broken(*_args, **_others):
        raise RuntimeError("broken")

    monkeypatch.setattr(ahead, "foresee", broken)
    answer = line.report(replace(P2, journey=EAST))
    assert told(answer) == [line.first]
    assert answer.alerting != "none"


def test_place_of_a_vehicle_may_be_known_by_its_stops_alone(line):
    submission = Submission(
        report=replace(P2, journey=EAST, location=LocationClaim()), received_at=NOW
    )
    (answer,) = submit_reports(line.database, line.vault, line.settings, [submission])
    assert answer.location.source == "journey"
    assert told(answer) == [line.third]


# --- the ladder


def test_next_rung_is_ahead_of_where_the_vehicle_is_by_then(line):
    line.do(
        "update teams set base = %s::geography where id = %s",
        STOPS["stop8"].ewkt(),
        line.second,
    )
    line.report(replace(P2, journey=EAST))
    line.climb(NOW + timedelta(minutes=3, seconds=1))
    (next_alert,) = line.rows("select reasons from alerts where team_id = %s", line.second)
    met = [r["params"] for r in next_alert["reasons"] if r["code"] == "ahead_of_vehicle"]
    assert [one["stop"] for one in met] == ["Stop 8"]
    # Minutes from then, not from the report.
    assert met[0]["from_min"] == 4


def test_rung_after_the_vehicle_s_last_stop_goes_by_distance(line):
    line.report(replace(P1, journey=EAST))
    for minutes in (70, 140):
        line.climb(NOW + timedelta(minutes=minutes))
    reasons_of_all = str(line.rows("select reasons from alerts where team_id = %s", line.first))
    assert "ahead_of_vehicle" not in reasons_of_all


# --- what staff read


def test_detail_has_the_stops_ahead_as_of_the_reading(line):
    line.report(replace(P2, journey=EAST))
    alert = line.alert_of(line.third)
    vehicle = line.read(line.police, alert).vehicle
    assert (vehicle.line, vehicle.towards, vehicle.age_s) == ("Made line", "Stop 8", 0)
    assert [one.stop.name for one in vehicle.stops] == [f"Stop {n}" for n in range(3, 9)]
    assert vehicle.pace.speed_kmh == 40
    assert "33 km/h" in vehicle.pace.source
    later = line.read(line.police, alert, now=NOW + timedelta(minutes=9)).vehicle
    assert later.age_s == 540
    assert [one.stop.name for one in later.stops] == ["Stop 5", "Stop 6", "Stop 7", "Stop 8"]
    # The bands do not move with the reading.
    assert later.stops[0] == vehicle.stops[2]
    over = line.read(line.police, alert, now=NOW + timedelta(minutes=30)).vehicle
    assert (over.over, over.stops, over.reason.code) == (True, (), "journey_over")


def test_second_report_from_further_along_joins_and_moves_the_prediction(line):
    line.report(replace(P2, journey=EAST))
    later = NOW + timedelta(minutes=4)
    further = replace(EAST, boarded_stop_id="stop4", next_stop_id="stop5")
    second = line.report(replace(P2, journey=further), at=STOPS["stop4"], now=later)
    assert second.joined
    vehicle = line.read(line.police, line.alert_of(line.third), now=later).vehicle
    assert vehicle.report_id == second.id
    assert vehicle.stops[0].stop.name == "Stop 5"
    assert vehicle.since == later


def test_detail_says_why_nothing_is_predicted(line):
    line.report(replace(P2, journey=replace(EAST, route_id="night-bus")))
    vehicle = line.read(line.police, line.alert_of(line.first)).vehicle
    assert (vehicle.route_id, vehicle.stops, vehicle.over) == ("night-bus", (), False)
    assert vehicle.reason.code == "no_line_order"


def test_report_without_a_vehicle_has_none(line):
    line.report(P2)
    assert line.read(line.police, line.alert_of(line.first)).vehicle is None


def test_hub_is_shown_no_way_of_the_vehicle(line):
    wants = (Want.HELP, Want.HUB, Want.POLICE)
    report = line.report(replace(P2, journey=EAST, wants=wants))
    assert "told" in codes(line, report.receipt)
    found = line.read(line.hub_host, line.alert_of(line.hub))
    assert found.vehicle is None
    assert "Stop" not in str(found)


def test_withdrawn_report_says_nothing_of_its_vehicle_any_more(line):
    line.report(replace(P2, journey=EAST))
    line.do("update reports set withdrawn_at = now()")
    assert line.read(line.police, line.alert_of(line.third)).vehicle is None
