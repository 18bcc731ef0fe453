"""How long each rung of the ladder waits, as its organisation says."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from schemas.common import WireId
from tests.api.administration.asking import actions, any_version, codes, mine
from tests.desk import NOW, P1, P2
from waylight.domain.alerts import BOUNDS
from waylight.domain.errors import StaleVersion
from waylight.services import organisations


def timetable(client, headers, **waits):
    times = {**{f"priority_{n}_s": None for n in BOUNDS}, **waits}
    return client.put(
        f"{mine(client, headers)}/escalation", json=times, headers=any_version(headers)
    )


def due_in(desk):
    (row,) = desk.rows("select extract(epoch from escalate_at)::float8 as at from incidents")
    return round(row["at"] - NOW.timestamp())


def test_next_report_waits_as_long_as_its_first_team_s_organisation_says(desk, client, robin):
    changed = timetable(client, robin, priority_2_s=75)
    assert changed.status_code == 200, changed.text
    (second,) = [one for one in changed.json["waits"] if one["priority"] == 2]
    assert (second["wait_s"], second["default_s"], second["set_by_staff"]) == (75, 180, True)
    desk.report(P2)
    assert due_in(desk) == 75


def test_each_rung_waits_as_long_as_its_own_organisation_says(desk, client, signed_in):
    timetable(client, signed_in["Robin"], priority_2_s=75)
    timetable(client, signed_in["Ali"], priority_2_s=240)
    desk.report(P2)
    at = NOW + timedelta(seconds=76)
    assert desk.climb(at) == 1
    assert due_in(desk) == 76 + 240
    timetable(client, signed_in["Robin"], priority_2_s=90)
    at += timedelta(seconds=241)
    desk.climb(at)
    assert due_in(desk) == 76 + 241 + 90


def test_control_room_s_own_time_counts_where_it_is_told_first(desk, client, signed_in):
    timetable(client, signed_in["Casey"], priority_2_s=120)
    desk.do("update teams set duty_status = 'off' where kind = 'field'")
    desk.report(P2)
    assert due_in(desk) == 120


def test_report_takes_the_same_statements_with_a_timetable_and_a_drawn_shape(
    desk, client, robin, monkeypatch
):
    sent = []
    cursor = desk.database._conn.cursor_factory
    execute = cursor.execute

    def counting(self, query, *args, **kwargs):
        sent.append(str(query)[:200])
        return execute(self, query, *args, **kwargs)

    def statements(now):
        desk.report(P2, now=now)  # what is remembered of the city is read
        with monkeypatch.context() as patched:
            patched.setattr(cursor, "execute", counting)
            desk.report(P2, now=now + timedelta(hours=1))
        found, sent[:] = list(sent), []
        return [one for one in found if "savepoint" not in one.lower()]

    before = statements(NOW)
    timetable(client, robin, priority_2_s=75)
    square = [[[-0.2, 51.5], [-0.1, 51.5], [-0.1, 51.6], [-0.2, 51.6], [-0.2, 51.5]]]
    drawn = {"name": "Ours", "shape": {"type": "Polygon", "coordinates": square}}
    where = f"/v1/teams/{WireId.of('team', desk.first)}/coverages"
    assert client.post(where, json=drawn, headers=robin).status_code == 201
    assert statements(NOW + timedelta(hours=4)) == before
    assert before


@pytest.mark.parametrize("priority", BOUNDS)
def test_no_ladder_is_switched_off(desk, client, robin, priority):
    bound = BOUNDS[priority]
    for wait in (0, -1, bound.least_s - 1, bound.most_s + 1, 10**9):
        name = f"priority_{priority}_s"
        answer = timetable(client, robin, **{name: int(wait)})
        assert (f"/{name}", "out_of_bounds") in codes(answer)
        assert bound.why in answer.text
    for wait in (bound.least_s, bound.most_s):
        assert timetable(client, robin, **{f"priority_{priority}_s": int(wait)}).status_code == 200


@pytest.mark.parametrize("priority", BOUNDS)
def test_bounds_of_the_database_are_those_of_the_domain(desk, priority):
    bound = BOUNDS[priority]
    for wait, fits in (
        (bound.least_s, True),
        (bound.most_s, True),
        (bound.least_s - 1, False),
        (bound.most_s + 1, False),
    ):
        with desk.database.owner() as conn:
            row = conn.execute(
                "select pg_get_constraintdef(oid) from pg_constraint"
                " where conname = 'ck_organisations_escalation'"
            ).fetchone()
            check = row[0].removeprefix("CHECK ")
            (found,) = conn.execute(
                f"select {check} from (select jsonb_build_object(%s::text, %s::numeric)"  # noqa: S608 - ours
                " as escalation) o",
                [str(priority), wait],
            ).fetchone()
        assert found is fits


def test_priority_1_reaches_the_control_room_at_once_whatever_is_said(desk, client, signed_in):
    for name in ("Robin", "Ali", "Casey"):
        timetable(client, signed_in[name], priority_1_s=90)
    desk.report(P1)
    assert desk.states() == {desk.first: "pending", desk.room: "pending"}
    assert due_in(desk) == 90


def test_timetable_needs_the_version_that_was_read(desk, client, robin):
    where = f"{mine(client, robin)}/escalation"
    times = {f"priority_{n}_s": None for n in BOUNDS}
    assert client.put(where, json=times, headers=robin).status_code == 428
    seen = client.get(where, headers=robin).headers["ETag"]
    done = client.put(where, json=times, headers={**robin, "If-Match": seen})
    assert done.status_code == 200
    late = client.put(where, json=times, headers={**robin, "If-Match": seen})
    assert (late.status_code, late.headers["ETag"]) == (412, done.headers["ETag"])
    assert desk.kinds().count("escalation.changed") == 1
    assert actions(desk) == ["escalation.changed"]


@pytest.mark.commits
def test_of_two_timetables_at_once_one_is_told_that_it_came_second(desk):
    start = threading.Barrier(4)
    own = desk.police.organisation_id

    def change(number):
        start.wait()
        try:
            organisations.set_timetable(
                desk.database,
                desk.vault,
                desk.police,
                organisation_id=own,
                waits_s={2: 100.0 + number},
                if_match=1,
                now=NOW,
            )
        except StaleVersion as error:
            return error.version
        return "done"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(change, range(4)))
    assert sorted(map(str, answers)) == ["2", "2", "2", "done"]
