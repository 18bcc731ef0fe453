from datetime import UTC, datetime, timedelta

import pytest

from schemas.common import WireId
from tests.desk import NOW, P2, SPOT
from waylight.domain.errors import InvalidRequest
from waylight.domain.geo import Point
from waylight.domain.teams import Fix
from waylight.services import teams
from waylight.services.operations import chores

NEAR = Point(SPOT.lon - 0.0001, SPOT.lat)


def path(team_id, *rest):
    return "/".join(["/v1/teams", WireId.of("team", team_id), *rest])


def beat(point=NEAR, *, ago=timedelta(0), **more):
    fixed_at = (datetime.now(UTC) - ago).isoformat()
    return {
        "position": {"type": "Point", "coordinates": [point.lon, point.lat]},
        "fixed_at": fixed_at,
        **more,
    }


def reasons(desk, team_id):
    (row,) = desk.rows("select reasons from alerts where team_id = %s", team_id)
    return {reason["code"]: reason["params"] for reason in row["reasons"]}


def move(desk, team_id, point, *, at=NOW, now=NOW, **more):
    return teams.set_position(
        desk.database,
        desk.police,
        team_id=team_id,
        fix=Fix(point=point, fixed_at=at, **more),
        now=now,
    )


def test_team_is_where_it_says_and_shows_how_long_ago(desk, client, robin):
    put = client.put(
        path(desk.third, "position"),
        json=beat(ago=timedelta(seconds=40), accuracy_m=12),
        headers=robin,
    )
    assert put.status_code == 200
    assert put.json["ignored"] is None
    seen = client.get(path(desk.third), headers=robin).json["position"]
    assert seen["point"]["coordinates"] == [NEAR.lon, NEAR.lat]
    assert (seen["accuracy_m"], seen["stale"]) == (12.0, False)
    assert 40 <= seen["age_s"] < 300


def test_nearest_is_told_from_where_it_is_not_from_its_base(desk):
    move(desk, desk.third, NEAR, at=NOW - timedelta(seconds=70))
    desk.report(P2)
    assert desk.states() == {desk.third: "pending"}
    assert reasons(desk, desk.third)["from_position"] == {"age_s": 70}


def test_team_that_never_said_where_it_is_counts_from_its_base_and_has_no_old_position(desk):
    desk.report(P2)
    (told,) = desk.states()
    said = reasons(desk, told)
    assert said["from_base"] == {}
    assert "position_stale" not in said


def test_stale_position_counts_from_the_base_and_says_so(desk):
    move(desk, desk.third, NEAR, at=NOW - timedelta(minutes=15))
    move(desk, desk.first, Point(SPOT.lon + 0.5, SPOT.lat), at=NOW - timedelta(minutes=21))
    desk.report(P2)
    assert desk.states() == {desk.first: "pending"}
    said = reasons(desk, desk.first)
    assert said["position_stale"] == {"age_s": 1260, "age_min": 21}
    assert not {"from_base", "from_position"} & set(said)


def test_stale_position_is_shown_as_such(desk, client, robin):
    client.put(path(desk.first, "position"), json=beat(ago=timedelta(minutes=16)), headers=robin)
    assert client.get(path(desk.first), headers=robin).json["position"]["stale"]


def test_fix_that_comes_out_of_order_is_ignored_and_says_so(desk):
    move(desk, desk.first, NEAR, at=NOW)
    late = move(desk, desk.first, SPOT, at=NOW - timedelta(seconds=10))
    assert late.ignored == "older"
    assert late.position.point == NEAR
    again = move(desk, desk.first, SPOT, at=NOW)
    assert again.ignored == "older"


def test_device_s_clock_is_corrected_by_the_time_it_sent(desk):
    slow = timedelta(minutes=40)
    done = move(
        desk,
        desk.first,
        NEAR,
        at=NOW - slow - timedelta(seconds=20),
        sent_at=NOW - slow,
    )
    assert done.position.age_s == 20
    ahead = move(
        desk,
        desk.first,
        SPOT,
        at=NOW + slow - timedelta(seconds=5),
        sent_at=NOW + slow,
    )
    assert (ahead.ignored, ahead.position.age_s) == (None, 5)


def test_device_a_little_ahead_means_now(desk):
    done = move(desk, desk.first, NEAR, at=NOW + timedelta(seconds=90))
    assert done.position.fixed_at == NOW
    later = NOW + timedelta(seconds=10)
    assert move(desk, desk.first, SPOT, at=later, now=later).ignored is None


def test_position_written_while_our_clock_was_ahead_gives_way_and_does_not_count(desk):
    """The server's clock jumped an hour ahead and came back."""
    hour = NOW + timedelta(hours=1)
    move(desk, desk.third, NEAR, at=hour, now=hour)
    desk.report(P2)
    assert desk.states() == {desk.first: "pending"}
    seen = teams.read_team(desk.database, desk.police, team_id=desk.third, now=NOW).position
    assert seen is not None
    assert seen.stale
    assert move(desk, desk.third, NEAR, at=NOW, now=NOW).ignored is None


@pytest.mark.parametrize(
    ("fix", "wrong"),
    [
        (Fix(Point(0.0, 0.0), NOW), "/position null_island"),
        (Fix(Point(SPOT.lat, SPOT.lon), NOW), "/position too_far"),
        (Fix(Point(2.35, 48.85), NOW), "/position too_far"),
        (Fix(NEAR, NOW, accuracy_m=6000), "/accuracy_m too_vague"),
        (Fix(NEAR, NOW + timedelta(minutes=3)), "/fixed_at clock_ahead"),
        (Fix(NEAR, NOW - timedelta(hours=25)), "/fixed_at too_old"),
        (Fix(NEAR, NOW, sent_at=NOW - timedelta(days=2)), "/sent_at clock_absurd"),
        (Fix(NEAR, NOW + timedelta(minutes=9), sent_at=NOW), "/fixed_at clock_ahead"),
    ],
)
def test_position_that_cannot_be_right_is_refused_with_the_reason(desk, fix, wrong):
    with pytest.raises(InvalidRequest) as refused:
        teams.set_position(desk.database, desk.police, team_id=desk.first, fix=fix, now=NOW)
    (problem,) = refused.value.problems
    assert f"{problem.pointer} {problem.code}" == wrong
    assert len(problem.detail) > 20
    assert desk.rows("select from teams where position is not null") == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/fixed_at"),
        (beat() | {"position": {"type": "Point", "coordinates": [181, 0]}}, "/position"),
        (beat() | {"position": [-0.1, 51.5]}, "/position"),
        (beat(accuracy_m=-1), "/accuracy_m"),
        (beat(accuracy_m="12"), "/accuracy_m"),
        (beat(speed=3), "/speed"),
        (beat() | {"fixed_at": "today"}, "/fixed_at"),
    ],
)
def test_position_that_cannot_be_understood_is_422(desk, client, robin, body, pointer):
    put = client.put(path(desk.first, "position"), json=body, headers=robin)
    assert put.status_code == 422
    assert pointer in [error["pointer"] for error in put.json["errors"]]


def test_heartbeat_leaves_no_event_no_history_and_no_new_version(desk, client, robin):
    for second in range(3):
        body = beat(ago=timedelta(seconds=3 - second))
        assert (
            client.put(path(desk.first, "position"), json=body, headers=robin).json["ignored"]
            is None
        )
    assert desk.kinds() == []
    read = client.get(path(desk.first), headers=robin)
    assert read.headers["ETag"] == '"1"'
    columns = desk.rows(
        "select table_name::text from information_schema.columns"
        " where table_schema = 'public' and column_name like '%%position%%'"
        " and table_name ~ '(history|track|log)'"
    )
    assert columns == []


def test_team_that_goes_off_duty_is_known_to_be_nowhere(desk, client, robin):
    client.put(path(desk.first, "position"), json=beat(), headers=robin)
    off = client.put(path(desk.first, "duty"), json={"status": "off"}, headers=robin)
    assert off.json["position"] is None


def test_position_is_forgotten_after_a_day(desk):
    move(desk, desk.first, NEAR)
    chores.purge(desk.database, now=NOW + timedelta(hours=23))
    assert len(desk.rows("select from teams where position is not null")) == 1
    chores.purge(desk.database, now=NOW + timedelta(hours=25))
    assert desk.rows("select from teams where position is not null") == []
    assert desk.rows("select from teams where position_at is not null") == []


def test_another_organisation_does_not_say_where_a_team_is(desk, client, signed_in):
    for who, status in (("Ali", 404), ("Casey", 403)):
        put = client.put(path(desk.first, "position"), json=beat(), headers=signed_in[who])
        assert put.status_code == status, who
    with desk.database.staff(desk.operator.organisation_id) as conn:
        changed = conn.execute("update teams set position = base, position_at = now()")
    assert changed.rowcount == 1
    placed = desk.rows("select id from teams where position is not null")
    assert [row["id"] for row in placed] == [desk.second]


def test_key_without_the_scope_does_not_say_where_a_team_is(desk, client, robin):
    desk.do("update api_keys set scopes = '{alerts:read,teams:manage}'")
    put = client.put(path(desk.first, "position"), json=beat(), headers=robin)
    assert (put.status_code, put.json["errors"][0]["code"]) == (403, "missing_scope")
