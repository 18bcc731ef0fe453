import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.wire import limits
from api.wire.limits import Limiter
from schemas.common import WireId
from tests.desk import NOW, P2
from waylight.db import shifts as db_shifts
from waylight.domain.errors import StaleVersion
from waylight.domain.shifts import Hours, ShiftKind
from waylight.services import schedules, shifts
from waylight.services.packs import load_pack

TINYTOWN = Path(__file__).parents[1] / "data" / "tinytown"


def path(team_id, *rest):
    return "/".join(["/v1/teams", WireId.of("team", team_id), "shifts", *rest])


def at(moment):
    return moment.isoformat()


def recurring(rule, **more):
    return {"kind": "recurring", "rule": rule, **more}


def stretch(kind, starts=timedelta(hours=-1), ends=timedelta(hours=6)):
    now = datetime.now(UTC)
    return {"kind": kind, "from": at(now + starts), "to": at(now + ends)}


def elsewhen():
    """A rule for another day of the week than today, whatever the zone."""
    return f"{(datetime.now(UTC) + timedelta(days=3)):%a}"[:2] + " 10:00-12:00"


def is_on_shift(client, team_id, headers):
    team = client.get(f"/v1/teams/{WireId.of('team', team_id)}", headers=headers)
    return team.json["on_shift"]


# --- they count at once


def test_rule_of_staff_takes_the_place_of_the_pack_s_at_once(desk, client, robin):
    made = client.post(path(desk.first), json=recurring(elsewhen(), name="Late"), headers=robin)
    assert made.status_code == 201
    assert made.headers["ETag"] == '"1"'
    assert (made.json["rule"], made.json["name"]) == (elsewhen(), "Late")
    assert made.json["created_by"] == "Robin"
    assert not is_on_shift(client, desk.first, robin)
    desk.report(P2)
    assert desk.states() == {desk.second: "pending"}
    gone = client.delete(path(desk.first, made.json["id"]), headers=robin)
    assert (gone.status_code, gone.data) == (204, b"")
    assert is_on_shift(client, desk.first, robin)


def test_team_shows_each_rule_that_counts_and_who_set_it(desk, client, robin):
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    before = client.get(team, headers=robin).json
    assert (before["shifts"], before["shifts_set_by"]) == ("24/7", "pack")
    for rule in ("Mo-Fr 06:00-14:00", "Mo-Fr 14:00-22:00"):
        client.post(path(desk.first), json=recurring(rule), headers=robin)
    after = client.get(team, headers=robin).json
    assert after["shifts"].split("\n") == ["Mo-Fr 06:00-14:00", "Mo-Fr 14:00-22:00"]
    assert after["shifts_set_by"] == "staff"
    assert after["version"] == before["version"] + 2


def test_cancelled_stretch_takes_a_team_off_and_an_extra_one_puts_it_on(desk, client, robin):
    cancelled = client.post(path(desk.first), json=stretch("cancelled"), headers=robin).json
    assert not is_on_shift(client, desk.first, robin)
    changed = client.put(
        path(desk.first, cancelled["id"]),
        json=stretch("cancelled", timedelta(hours=2), timedelta(hours=3)),
        headers=robin,
    )
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert is_on_shift(client, desk.first, robin)
    client.post(path(desk.first), json=recurring(elsewhen()), headers=robin)
    assert not is_on_shift(client, desk.first, robin)
    client.post(path(desk.first), json=stretch("extra"), headers=robin)
    assert is_on_shift(client, desk.first, robin)
    desk.report(P2)
    assert desk.states() == {desk.first: "pending"}


def test_worker_s_next_expansion_keeps_what_staff_set(desk, client, robin):
    client.post(path(desk.first), json=recurring(elsewhen()), headers=robin)
    schedules.expand_all(desk.database, now=datetime.now(UTC))
    assert not is_on_shift(client, desk.first, robin)


def test_shifts_that_were_never_expanded_are_worked_out_with_what_staff_set(desk, client, robin):
    client.post(path(desk.first), json=recurring(elsewhen()), headers=robin)
    client.post(path(desk.third), json=stretch("cancelled"), headers=robin)
    desk.do("update teams set on_shift_during = null, expanded_until = null")
    assert not is_on_shift(client, desk.first, robin)
    assert not is_on_shift(client, desk.third, robin)
    desk.report(P2)
    assert desk.states() == {desk.second: "pending"}


def test_each_change_is_an_event(desk, client, robin):
    made = client.post(path(desk.first), json=stretch("extra"), headers=robin).json
    client.put(path(desk.first, made["id"]), json=recurring("24/7"), headers=robin)
    client.delete(path(desk.first, made["id"]), headers=robin)
    told = desk.events("team.shifts_changed")
    assert [(e["data"]["change"], e["data"]["kind"]) for e in told] == [
        ("added", "extra"),
        ("changed", "recurring"),
        ("removed", "recurring"),
    ]
    assert {e["staff_id"] for e in told} == {desk.police.staff_id}
    assert {e["organisation_id"] for e in told} == {desk.police.organisation_id}


def test_list_goes_on_page_by_page(desk, client, robin):
    for hour in range(3):
        client.post(path(desk.first), json=recurring(f"Mo {hour:02}:00-23:00"), headers=robin)
    first = client.get(path(desk.first) + "?limit=2", headers=robin)
    link = first.headers["Link"]
    second = client.get(link[1 : link.index(">")], headers=robin)
    rules = [s["rule"][3:5] for page in (first, second) for s in page.json["items"]]
    assert rules == ["00", "01", "02"]


# --- a pack load


@pytest.fixture
def tinytown(database):
    load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    return database


def test_pack_load_leaves_alone_what_staff_set_and_says_so(tinytown):
    with tinytown.owner() as conn:
        team, before = conn.execute(
            "select id, shifts from teams where kind = 'field' order by key limit 1"
        ).fetchone()
        conn.execute(
            "insert into shifts (team_id, kind, rule, created_at)"
            " values (%s, 'recurring', 'Mo 03:00-04:00', now())",
            [team],
        )
        conn.execute(
            "update teams set staff_capabilities = '{\"first_aid\": null}' where id = %s", [team]
        )
        conn.execute("update cities set pack_digest = 'another'")
    report = load_pack(tinytown, TINYTOWN, now=NOW, progress=lambda _: None)
    assert any("set by staff" in note for note in report.notes)
    with tinytown.owner() as conn:
        shifts_now, held, hours = conn.execute(
            "select shifts, staff_capabilities, on_shift_during from teams where id = %s", [team]
        ).fetchone()
    assert shifts_now == before
    assert held == {"first_aid": None}
    assert {r.upper - r.lower for r in hours} == {timedelta(hours=1)}
    assert len(hours) in (6, 7)


# --- a mistake is seen


def test_preview_shows_the_coming_days_by_the_clocks_of_the_city(desk, client, robin):
    client.post(path(desk.first), json=recurring("Mo-Su 22:00-06:00"), headers=robin)
    client.post(path(desk.first), json=recurring("Mo-Su 12:00-13:00"), headers=robin)
    seen = client.get(path(desk.first, "preview") + "?days=3", headers=robin).json
    assert (seen["set_by"], seen["time_zone"]) == ("staff", "Europe/London")
    assert seen["rules"] == ["Mo-Su 22:00-06:00", "Mo-Su 12:00-13:00"]
    assert 6 <= len(seen["stretches"]) <= 7
    assert {(s["from_local"][11:16], s["to_local"][11:16]) for s in seen["stretches"]} == {
        ("22:00", "06:00"),
        ("12:00", "13:00"),
    }


def test_preview_shows_the_night_on_which_the_clocks_go_back(desk):
    night = datetime(2026, 10, 24, 12, tzinfo=UTC)
    seen = shifts.preview(
        desk.database,
        desk.police,
        team_id=desk.first,
        days=1,
        now=night,
        hours=Hours(ShiftKind.RECURRING, rule="Sa 22:00-06:00"),
    )
    (one,) = seen.stretches
    assert one.closes is not None
    assert one.closes - one.opens == timedelta(hours=9)
    assert (one.opens_locally, one.closes_locally) == (
        "2026-10-24T22:00+01:00",
        "2026-10-25T06:00+00:00",
    )


def test_team_that_is_always_on_is_shown_as_such(desk, client, robin):
    seen = client.get(path(desk.first, "preview"), headers=robin).json
    assert seen["set_by"] == "pack"
    (only,) = seen["stretches"]
    assert (only["to"], only["to_local"]) == (None, None)


def test_hours_are_tried_out_without_any_effect(desk, client, robin):
    have = client.post(path(desk.first), json=recurring("Mo-Su 10:00-12:00"), headers=robin).json
    body = {"shift": recurring("Mo-Su 20:00-21:00"), "days": 1}
    both = client.post(path(desk.first, "preview"), json=body, headers=robin).json
    assert both["rules"] == ["Mo-Su 10:00-12:00", "Mo-Su 20:00-21:00"]
    instead = client.post(
        path(desk.first, "preview"), json={**body, "instead_of": have["id"]}, headers=robin
    ).json
    assert instead["rules"] == ["Mo-Su 20:00-21:00"]
    listed = client.get(path(desk.first), headers=robin).json["items"]
    assert [s["rule"] for s in listed] == ["Mo-Su 10:00-12:00"]
    assert len(desk.events("team.shifts_changed")) == 1


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "/kind invalid"),
        ({"kind": "sometimes"}, "/kind invalid"),
        ({"kind": "recurring"}, "/rule missing"),
        (recurring("Mo-Fr 6 to 14"), "/rule invalid_hours"),
        (recurring("Mo-Su off"), "/rule never"),
        (recurring("2020 Jan 01 10:00-12:00"), "/rule never"),
        (recurring("24/7", name=""), "/name invalid"),
        (recurring("24/7", team="x"), "/team invalid"),
        ({"kind": "extra", "from": "2026-11-21T10:00:00Z"}, "/to missing"),
        ({"kind": "extra", "from": "now", "to": "2026-11-21T10:00:00Z"}, "/from invalid"),
        (stretch("extra", timedelta(days=-3), timedelta(days=-2)), "/to in_the_past"),
        (stretch("extra", timedelta(hours=2), timedelta(hours=1)), "/to before_from"),
    ],
)
def test_shift_that_means_nothing_is_422_with_the_field_and_the_fix(
    desk, client, robin, body, wrong
):
    pointer, code = wrong.split()
    for answer, at_field in (
        (client.post(path(desk.first), json=body, headers=robin), pointer),
        (
            client.post(path(desk.first, "preview"), json={"shift": body}, headers=robin),
            f"/shift{pointer}",
        ),
    ):
        assert answer.status_code == 422
        (problem,) = answer.json["errors"]
        assert problem["pointer"] == at_field
        if code != "invalid":
            assert problem["code"] == code
            assert len(problem["detail"]) > 20
    assert desk.rows("select from shifts") == []


def test_rule_that_cannot_be_read_says_where_and_what_would_do(desk, client, robin):
    answer = client.post(path(desk.first), json=recurring("Mo-Fr 6 to 14"), headers=robin)
    (problem,) = answer.json["errors"]
    assert "'6 to 14'" in problem["detail"]
    assert "Mo-Fr 06:00-14:00" in problem["detail"]


def test_more_shifts_than_anybody_needs_are_refused(desk, client, robin):
    desk.do(
        "insert into shifts (team_id, kind, starts_at, ends_at, created_at)"
        " select %s, 'extra', now(), now() + interval '1 hour', now()"
        " from generate_series(1, 200)",
        desk.first,
    )
    answer = client.post(path(desk.first), json=stretch("extra"), headers=robin)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "too_many")


# --- attacks


def short_stretches(number, since=0):
    """Hours that would be so many a day: 33,000 a year of the longest expression."""
    return "Mo-Su " + ",".join(
        f"{minute // 60:02}:{minute % 60:02}-{minute // 60:02}:{minute % 60 + 1:02}"
        for minute in range(since, since + 2 * number, 2)
    )


def test_rule_of_many_pieces_is_refused_before_it_is_worked_out(desk, client, robin, monkeypatch):
    monkeypatch.setattr("waylight.domain.shifts.expand", lambda *_, **__: pytest.fail("worked out"))
    for rule in (short_stretches(31), "; ".join(["Mo 10:00-11:00"] * 31)):
        for answer, pointer in (
            (client.post(path(desk.first), json=recurring(rule), headers=robin), "/rule"),
            (
                client.post(
                    path(desk.first, "preview"), json={"shift": recurring(rule)}, headers=robin
                ),
                "/shift/rule",
            ),
        ):
            assert answer.status_code == 422
            (problem,) = answer.json["errors"]
            assert (problem["pointer"], problem["code"]) == (pointer, "invalid_hours")
            assert "30 at most" in problem["detail"]
            assert "join days" in problem["detail"]


def test_rules_of_a_team_have_only_so_many_pieces_together(desk, client, robin, monkeypatch):
    first = client.post(path(desk.first), json=recurring(short_stretches(30)), headers=robin)
    assert first.status_code == 201
    more = recurring(short_stretches(11, since=120))
    with monkeypatch.context() as watched:
        watched.setattr("waylight.domain.shifts.expand", lambda *_, **__: pytest.fail("worked out"))
        refused = client.post(path(desk.first), json=more, headers=robin)
        tried = client.post(path(desk.first, "preview"), json={"shift": more}, headers=robin)
    for answer, pointer in ((refused, "/rule"), (tried, "/shift/rule")):
        (problem,) = answer.json["errors"]
        assert (problem["pointer"], problem["code"]) == (pointer, "too_many")
        assert "40" in problem["detail"]
    # In the place of the first it fits, and so does what stays within.
    instead = {"shift": more, "instead_of": first.json["id"]}
    tried = client.post(path(desk.first, "preview"), json=instead, headers=robin)
    assert tried.status_code == 200
    changed = client.put(path(desk.first, first.json["id"]), json=more, headers=robin)
    assert changed.status_code == 200
    other = recurring(short_stretches(29, since=240))
    assert client.post(path(desk.first), json=other, headers=robin).status_code == 201


def test_hours_are_worked_out_only_so_often_for_an_organisation(app, client, desk, signed_in):
    app.extensions["waylight.limiter"] = Limiter()
    body = {"shift": recurring("24/7")}
    for number in range(limits.HOURS.quota):
        preview = path(desk.first, "preview")
        answer = (
            client.post(preview, json=body, headers=signed_in["Robin"])
            if number % 2
            else client.get(preview, headers=signed_in["Robin"])
        )
        assert answer.status_code == 200
    refused = client.post(path(desk.first), json=recurring("24/7"), headers=signed_in["Robin"])
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    listed = client.get(path(desk.first), headers=signed_in["Robin"])
    assert listed.json["items"] == []
    assert client.get(path(desk.second, "preview"), headers=signed_in["Ali"]).status_code == 200


def calls(client, team, shift, headers):
    """Every route of the page, as somebody else would try it."""
    body = recurring("24/7")
    return {
        "list": client.get(path(team), headers=headers),
        "add": client.post(path(team), json=body, headers=headers),
        "preview": client.get(path(team, "preview"), headers=headers),
        "try": client.post(path(team, "preview"), json={"shift": body}, headers=headers),
        "one": client.get(path(team, shift), headers=headers),
        "change": client.put(path(team, shift), json=body, headers=headers),
        "remove": client.delete(path(team, shift), headers=headers),
    }


def test_another_organisation_s_team_is_404_in_every_place(desk, client, signed_in):
    made = client.post(path(desk.first), json=stretch("extra"), headers=signed_in["Robin"]).json
    for name, answer in calls(client, desk.first, made["id"], signed_in["Ali"]).items():
        assert answer.status_code == 404, name
    left = client.get(path(desk.first, made["id"]), headers=signed_in["Robin"])
    assert (left.json["version"], left.json["kind"]) == (1, "extra")


def test_shift_of_another_team_is_404_under_one_s_own(desk, client, signed_in):
    made = client.post(path(desk.first), json=stretch("extra"), headers=signed_in["Robin"]).json
    for team, who in ((desk.second, "Ali"), (desk.third, "Robin")):
        answers = calls(client, team, made["id"], signed_in[who])
        for name in ("one", "change", "remove"):
            assert answers[name].status_code == 404, name
        body = {"shift": recurring("24/7"), "instead_of": made["id"]}
        tried = client.post(path(team, "preview"), json=body, headers=signed_in[who])
        assert tried.status_code == 404
    assert client.get(path(desk.first, made["id"]), headers=signed_in["Robin"]).status_code == 200


def test_control_room_sees_the_shifts_of_its_city_and_changes_none(desk, client, signed_in):
    made = client.post(path(desk.first), json=stretch("extra"), headers=signed_in["Robin"]).json
    answers = calls(client, desk.first, made["id"], signed_in["Casey"])
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "list": 200,
        "add": 403,
        "preview": 200,
        "try": 200,
        "one": 200,
        "change": 403,
        "remove": 403,
    }
    assert answers["one"].json["created_by"] is None


def test_key_without_the_scope_changes_nothing(desk, client, signed_in):
    desk.do("update api_keys set scopes = '{alerts:read,alerts:act,teams:duty}'")
    answers = calls(client, desk.first, "shift_01jdw2s4x0e6qv3t8k5n7b9c1d", signed_in["Robin"])
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "list": 200,
        "add": 403,
        "preview": 200,
        "try": 200,
        "one": 404,
        "change": 403,
        "remove": 403,
    }
    assert answers["add"].json["errors"][0]["code"] == "missing_scope"
    assert desk.rows("select from shifts") == []


def test_hand_written_sql_of_another_organisation_sees_and_changes_nothing(desk, client, robin):
    client.post(path(desk.first), json=stretch("extra"), headers=robin)
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select from shifts").rowcount == 0
        assert conn.execute("update shifts set name = 'x'").rowcount == 0
        assert conn.execute("delete from shifts").rowcount == 0
    with pytest.raises(Exception, match="row-level security"):  # noqa: SIM117 - order matters
        with desk.database.staff(desk.operator.organisation_id) as conn:
            conn.execute(
                "insert into shifts (team_id, kind, rule, created_at)"
                " values (%s, 'recurring', '24/7', now())",
                [desk.first],
            )


def test_stale_version_is_412_and_changes_nothing(desk, client, robin):
    made = client.post(path(desk.first), json=recurring("24/7"), headers=robin).json
    one = path(desk.first, made["id"])
    client.put(one, json=recurring("Mo 10:00-12:00"), headers={**robin, "If-Match": '"1"'})
    for late in (
        client.put(one, json=recurring("Tu 10:00-12:00"), headers={**robin, "If-Match": '"1"'}),
        client.delete(one, headers={**robin, "If-Match": '"1"'}),
    ):
        assert (late.status_code, late.json["code"]) == (412, "stale_version")
    assert client.get(one, headers=robin).json["rule"] == "Mo 10:00-12:00"


@pytest.mark.commits
def test_of_two_who_change_a_shift_at_once_one_is_told_that_it_was_late(desk):
    made = shifts.add_shift(
        desk.database,
        desk.police,
        team_id=desk.first,
        hours=Hours(ShiftKind.RECURRING, rule="24/7"),
        now=NOW,
    )
    start = threading.Barrier(2)

    def change(rule):
        start.wait()
        try:
            return shifts.change_shift(
                desk.database,
                desk.police,
                team_id=desk.first,
                shift_id=made.id,
                hours=Hours(ShiftKind.RECURRING, rule=rule),
                if_match=1,
                now=NOW,
            ).hours.rule
        except StaleVersion:
            return None

    rules = ["Mo 10:00-12:00", "Tu 10:00-12:00"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(change, rules))
    assert sorted(done, key=str) in (
        [rules[0], None],
        [None, rules[0]],
        [None, rules[1]],
        [rules[1], None],
    )
    (kept,) = [rule for rule in done if rule]
    assert desk.rows("select rule, version from shifts") == [{"rule": kept, "version": 2}]


@pytest.mark.commits
def test_shift_set_while_a_worker_works_shifts_out_is_not_lost(desk, monkeypatch):
    """The worker has read the old shifts when staff set new ones: the new ones must win."""
    ready, go = threading.Event(), threading.Event()
    real = db_shifts.lock_teams

    def slowly(conn, team_ids):
        if threading.current_thread().name.startswith("worker"):
            ready.set()
            go.wait(120)
        real(conn, team_ids)

    monkeypatch.setattr(db_shifts, "lock_teams", slowly)
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        working = pool.submit(schedules.expand_all, desk.database, now=NOW)
        assert ready.wait(120)
        shifts.add_shift(
            desk.database,
            desk.police,
            team_id=desk.first,
            hours=Hours(ShiftKind.RECURRING, rule=elsewhen()),
            now=NOW,
        )
        go.set()
        working.result(30)
    (row,) = desk.rows(
        "select on_shift_during @> %s::timestamptz as on_shift from teams where id = %s",
        NOW,
        desk.first,
    )
    assert row["on_shift"] is False
