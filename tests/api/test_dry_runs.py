"""Dry-runs over the API: what would differ, who may see it, and that nothing is written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from schemas.common import WireId
from tests.api.test_coverages import square
from tests.desk import NOW, P2, P4, SPOT, headers_for
from tests.desk import SCOPES as DESK
from waylight.db import dry_runs as db
from waylight.domain import dry_runs as domain
from waylight.domain.dry_runs import CoverageChange, Proposal, TeamChange
from waylight.domain.errors import Unavailable
from waylight.domain.geo import Point, rounded
from waylight.domain.reports import Want
from waylight.services import dry_runs

WHERE = "/v1/routing/dry-runs"
NOBODYS = "01jdw2s4x0e6qv3t8k5n7b9c1d"


@pytest.fixture(autouse=True)
def _time_to_look_back(monkeypatch):
    """A busy machine looks at no less."""
    monkeypatch.setattr(dry_runs, "BUDGET_S", 120.0)
    monkeypatch.setattr(dry_runs, "STATEMENT_S", 60.0)


@pytest.fixture
def signed_in(desk):
    return headers_for(desk, DESK | {"organisation:manage"})


def team(team_id):
    return WireId.of("team", team_id)


def coverage_of(desk, team_id):
    (row,) = desk.rows("select id from coverages where team_id = %s", team_id)
    return WireId.of("coverage", row["id"])


def without(desk, team_id):
    return {"coverages": [{"team_id": team(team_id), "coverage_id": coverage_of(desk, team_id)}]}


def instead(desk, team_id, rule):
    return {"coverages": [{**without(desk, team_id)["coverages"][0], "rule": rule}]}


def run(client, headers, body, status=200):
    answer = client.post(WHERE, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json


def moves(found):
    return [
        (
            one["was"] and one["was"]["name"],
            one["would_be"] and one["would_be"]["name"],
            one["because"],
        )
        for one in found["items"]
    ]


def everything(desk):
    """Every row of every table."""
    with desk.database.owner() as conn:
        names = [
            row[0]
            for row in conn.execute(
                "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
                " and relnamespace = 'public'::regnamespace and relname <> 'spatial_ref_sys'"
                " order by 1"
            )
        ]
        return {
            name: sorted(row[0] for row in conn.execute(f"select t::text from {name} t"))  # noqa: S608 - names of ours
            for name in names
        }


# --- what would differ


def test_report_goes_to_the_next_team_without_the_coverage_of_the_first(desk, client, robin):
    report = desk.report(P2)
    found = run(client, robin, without(desk, desk.first))
    assert moves(found) == [("First", "Second", "no_longer_covered")]
    assert found["items"][0]["report_id"] == WireId.of("report", report.id)
    assert (found["looked_at"], found["reports"], found["next_cursor"]) == (1, 1, None)
    assert {one["code"] for one in found["assumptions"]} == set(domain.ASSUMPTIONS)


def test_report_that_another_process_took_by_a_clock_ahead_counts(desk, client, robin):
    desk.report(P2, now=datetime.now(UTC) + timedelta(seconds=30))
    assert len(moves(run(client, robin, without(desk, desk.first)))) == 1


def test_proposal_that_changes_nothing_differs_in_nothing(desk, client, robin):
    desk.report(P2)
    assert moves(run(client, robin, instead(desk, desk.first, {"area": "all"}))) == []


def test_drawn_shape_moves_the_reports_within_and_no_others(desk, client, robin):
    desk.report(P2)
    desk.report(P2, at=Point(SPOT.lon + 0.5, SPOT.lat))
    rule = {"name": "Elsewhere", "shape": square(SPOT.lon + 0.5)}
    found = run(client, robin, instead(desk, desk.first, rule))
    assert moves(found) == [("First", "Second", "no_longer_covered")]
    assert found["looked_at"] == 2


def test_new_coverage_of_a_team_that_had_none(desk, client, robin):
    desk.do("delete from coverages where team_id = %s", desk.first)
    desk.report(P2)
    desk.do(
        "insert into grants (report_id, organisation_id, cause, level, created_at, created_by)"
        " select id, %s, 'hand_over', 'full', now(), 'x' from reports on conflict do nothing",
        desk.police.organisation_id,
    )
    rule = {"name": "Here", "shape": square(), "schedule": "24/7"}
    add = {"coverages": [{"team_id": team(desk.first), "rule": rule}]}
    assert moves(run(client, robin, add)) == [("Second", "First", "newly_covered")]
    never = {"coverages": [{"team_id": team(desk.first), "rule": {**rule, "schedule": "off"}}]}
    assert moves(run(client, robin, never)) == []


def test_team_that_is_retired_or_starts_from_elsewhere(desk, client, robin):
    desk.report(P2)
    gone = {"teams": [{"team_id": team(desk.first), "retired": True}]}
    assert moves(run(client, robin, gone)) == [("First", "Second", "no_longer_covered")]
    base = {"type": "Point", "coordinates": [SPOT.lon + 0.3, SPOT.lat]}
    moved = {"teams": [{"team_id": team(desk.first), "base": base}]}
    assert moves(run(client, robin, moved)) == [("First", "Second", "order_changed")]


def test_timetable_says_which_reports_would_have_climbed(desk, client, robin):
    desk.report(P2)
    alert = desk.alert_of(desk.first)
    desk.acknowledge(desk.police, alert, now=NOW + timedelta(seconds=100))
    quick = {"timetable": {"priority_1_s": None, "priority_2_s": 75, "priority_3_s": None}}
    assert moves(run(client, robin, quick)) == [("First", "First", "would_climb")]
    slow = {"timetable": {"priority_1_s": None, "priority_2_s": 240, "priority_3_s": None}}
    assert moves(run(client, robin, slow)) == []
    off = {"timetable": {"priority_1_s": None, "priority_2_s": 0, "priority_3_s": None}}
    (problem,) = run(client, robin, off, 422)["errors"]
    assert (problem["pointer"], problem["code"]) == ("/timetable/priority_2_s", "out_of_bounds")


def test_team_off_duty_today_counts_as_available(desk, client, robin):
    desk.report(P2)
    desk.do("update teams set duty_status = 'off' where id = %s", desk.first)
    assert moves(run(client, robin, without(desk, desk.first))) == [
        ("First", "Second", "no_longer_covered")
    ]


def test_agrees_with_what_a_real_report_is_told_once_it_is_done(desk, client, robin):
    desk.report(P2)
    rule = {"name": "Elsewhere", "shape": square(SPOT.lon + 0.5)}
    (said,) = run(client, robin, instead(desk, desk.first, rule))["items"]
    where = f"/v1/teams/{team(desk.first)}/coverages/{coverage_of(desk, desk.first)}"
    done = client.put(where, json=rule, headers={**robin, "If-Match": "*"})
    assert done.status_code == 200
    answer = desk.report(P2, now=NOW + timedelta(hours=1))
    assert answer.routed_to[0].name == said["would_be"]["name"] == "Second"


# --- what nobody learns by it


def test_organisation_learns_of_no_report_that_it_was_not_granted(desk, client, signed_in):
    desk.report(replace(P2, wants=(Want.HELP,)))  # police are not wanted
    desk.do("delete from grants where organisation_id = %s", desk.police.organisation_id)
    whole = {
        "name": "All",
        "shape": {
            "type": "Polygon",
            "coordinates": [[[-0.9, 51.1], [0.9, 51.1], [0.9, 51.9], [-0.9, 51.9], [-0.9, 51.1]]],
        },
    }
    for body in (
        {"coverages": [{"team_id": team(desk.first), "rule": whole}]},
        without(desk, desk.first),
        {"timetable": {f"priority_{n}_s": None for n in (1, 2, 3)}},
    ):
        found = run(client, signed_in["Robin"], body)
        assert (found["items"], found["looked_at"], found["reports"]) == ([], 0, 0)


def test_revoked_grant_and_a_heads_up_are_none(desk, client, robin):
    desk.report(P2)
    for change in ("level = 'heads_up'", "level = 'full', revoked_at = now()"):
        desk.do(f"update grants set {change}")  # noqa: S608 - ours
        found = run(client, robin, without(desk, desk.first))
        assert (found["items"], found["looked_at"]) == ([], 0)


def test_drill_a_withdrawn_report_and_one_that_tells_nobody_count_for_nothing(desk, client, robin):
    desk.report(replace(P2, exercise=True))
    desk.report(P2, now=NOW + timedelta(minutes=40))
    desk.do("update reports set withdrawn_at = now() where not exercise")
    assert moves(run(client, robin, without(desk, desk.first))) == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (
            lambda other: {"coverages": [{"team_id": other, "rule": {"area": "all"}}]},
            "/coverages/0",
        ),
        (lambda other: {"teams": [{"team_id": other, "retired": True}]}, "/teams/0"),
    ],
)
def test_another_s_team_in_the_body_is_like_one_that_there_is_not(
    desk, client, robin, change, pointer
):
    desk.report(P2)
    answers = [
        run(client, robin, change(other), 422) for other in (team(desk.second), f"team_{NOBODYS}")
    ]
    assert answers[0] == answers[1]
    assert [(p["pointer"], p["code"]) for p in answers[0]["errors"]] == [(pointer, "not_found")]


def test_another_s_coverage_in_the_body_is_like_one_that_there_is_not(desk, client, robin):
    answers = [
        run(
            client, robin, {"coverages": [{"team_id": team(desk.first), "coverage_id": other}]}, 422
        )
        for other in (coverage_of(desk, desk.second), f"coverage_{NOBODYS}")
    ]
    assert answers[0] == answers[1]


def test_answer_has_no_place_and_no_story(desk, client, robin):
    desk.report(P2)
    answer = client.post(WHERE, json=without(desk, desk.first), headers=robin)
    assert P2.narrative not in answer.text
    assert str(SPOT.lat)[:6] not in answer.text


def test_exact_place_cannot_be_found_by_one_shape_after_the_other(desk, client, robin):
    """Two reports in one cell of the analysts' grid, as far apart as they can be, answer alike.

    On another grid whoever holds the two lists against each other would find a smaller place.
    """
    here = rounded(SPOT)
    for number, east in enumerate((-0.00034, 0.00034)):
        desk.report(P2, at=Point(here.lon + east, here.lat), now=NOW - timedelta(hours=number))
    for edge in (-0.0005, -0.0003, -0.0001, 0.0001, 0.0003, 0.0005):
        rule = {"name": "West", "shape": square(here.lon + edge - 0.05, here.lat, half=0.05)}
        found = run(client, robin, instead(desk, desk.first, rule))
        assert len(found["items"]) in (0, 2), edge


# --- it only looks


def test_nothing_is_written_but_who_tried_and_what_they_were_shown(desk, client, robin):
    report = desk.report(P2)
    client.get("/v1/teams", headers=robin)  # notes the day on which the key was used
    before = everything(desk)
    base = {"type": "Point", "coordinates": [SPOT.lon + 0.3, SPOT.lat]}
    body = {
        "coverages": [
            {"team_id": team(desk.first), "rule": {"name": "N", "shape": square()}},
            without(desk, desk.third)["coverages"][0],
        ],
        "teams": [{"team_id": team(desk.first), "base": base, "capabilities": []}],
        "timetable": {f"priority_{n}_s": None for n in (1, 2, 3)},
    }
    assert run(client, robin, body)["items"]
    after = everything(desk)
    assert {name for name in before if before[name] != after[name]} == {"audit_entries"}
    run(client, robin, body)
    assert desk.rows("select action, report_id from audit_entries order by action") == [
        {"action": "report.listed", "report_id": report.id},
        *[{"action": "routing.dry_run", "report_id": None}] * 2,
    ]


def test_database_itself_refuses_to_write_in_it(desk, monkeypatch):
    desk.report(P2)
    real = db.surroundings

    def writes(conn, *args, **kwargs):
        conn.execute("update worker_heartbeats set pid = 1")
        return real(conn, *args, **kwargs)

    monkeypatch.setattr(db, "surroundings", writes)
    with pytest.raises(Unavailable) as refused:
        dry_runs.dry_run(
            desk.database,
            desk.vault,
            desk.police,
            proposal=Proposal(teams=(TeamChange(desk.first, retired=True),)),
            days=30,
            after=None,
            limit=10,
            now=NOW,
        )
    assert isinstance(refused.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)


@pytest.mark.commits
def test_report_is_taken_while_a_dry_run_holds_all_that_it_holds(desk):

    desk.report(P2)
    (row,) = desk.rows("select id from coverages where team_id = %s", desk.first)
    proposal = Proposal(coverages=(CoverageChange(desk.first, row["id"]),))
    real: Any = db.surroundings
    sent: list[Any] = []

    def meanwhile(conn, *args, **kwargs):
        found = real(conn, *args, **kwargs)
        sent.append(desk.report(P2, now=NOW + timedelta(hours=1 + len(sent))))
        return found

    db.surroundings = meanwhile
    try:
        found = dry_runs.dry_run(
            desk.database,
            desk.vault,
            desk.police,
            proposal=proposal,
            days=30,
            after=None,
            limit=10,
            now=NOW,
        )
    finally:
        db.surroundings = real
    assert [one.because for one in found.items] == ["no_longer_covered"]
    assert [answer.routed_to[0].name for answer in sent] == ["First", "First"]


# --- page after page, and its time


def test_pages_go_on_where_the_time_was_up(desk, client, robin, monkeypatch):
    for number in range(3):
        desk.report(P2, now=NOW - timedelta(hours=number))
    monkeypatch.setattr(dry_runs, "BUDGET_S", 0.0)
    monkeypatch.setattr(dry_runs, "BATCH", 2)
    body = without(desk, desk.first)
    first = run(client, robin, body)
    assert (first["looked_at"], first["cut_short"], first["reports"]) == (2, True, 3)
    rest = run(client, robin, {**body, "cursor": first["next_cursor"]})
    assert (rest["looked_at"], rest["cut_short"], rest["next_cursor"]) == (1, False, None)
    ids = {one["report_id"] for one in first["items"] + rest["items"]}
    assert len(ids) == 3


def test_cursor_belongs_to_its_proposal(desk, client, robin):
    for number in range(2):
        desk.report(P2, now=NOW - timedelta(hours=number))
    first = run(client, robin, {**without(desk, desk.first), "limit": 1})
    other = {**without(desk, desk.third), "limit": 1, "cursor": first["next_cursor"]}
    run(client, robin, other, 400)


def test_second_dry_run_at_once_is_told_to_come_back(desk, client, robin):
    with dry_runs._one_at_a_time():
        answer = client.post(WHERE, json=without(desk, desk.first), headers=robin)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_proposal_of_nothing_is_refused(client, robin):
    (problem,) = run(client, robin, {}, 422)["errors"]
    assert problem["code"] == "nothing_to_change"


def test_faults_of_a_shape_point_into_the_proposal(desk, client, robin):
    ring = square()["coordinates"][0][:-1]
    rule = {"name": "Open", "shape": {"type": "Polygon", "coordinates": [ring]}}
    body = {"coverages": [{"team_id": team(desk.first), "rule": rule}]}
    (problem,) = run(client, robin, body, 422)["errors"]
    assert problem["pointer"] == "/coverages/0/rule/shape/coordinates/0/3"


def test_priority_4_is_compared_as_well(desk, client, robin):
    desk.report(P4)
    assert moves(run(client, robin, without(desk, desk.first))) == [
        ("First", "Second", "no_longer_covered")
    ]
