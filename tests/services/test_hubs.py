"""What the staff of a hub change, and that it counts at once and outlives a pack."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.desk import NOW, P2, SPOT
from tests.services.hub_desk import override, put_hub, set_hours
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    StaleVersion,
    StateConflict,
)
from waylight.domain.geo import Point
from waylight.domain.hubs import Standing
from waylight.domain.principals import Kind, Principal
from waylight.domain.reports import Want
from waylight.services import hubs
from waylight.services.packs import load_pack
from waylight.services.schedules import expand_all, expand_due

TINYTOWN = Path(__file__).parents[1] / "data" / "tinytown"
HOUR = timedelta(hours=1)
WANTS_HUB = replace(P2, wants=(Want.HELP, Want.HUB))


def seen(desk, at, hub_id=None):
    """Whether a hub is open, and until when, as everybody reads it."""
    hub = hubs.one_hub(desk.database, hub_id or desk.hub, at=at)
    return hub.open, hub.open_until


def nearest(desk, at):
    return [
        found.hub.id
        for found in hubs.nearest_hubs(desk.database, SPOT, at=at, now=at, open_now=True, limit=5)
    ]


def test_hub_closed_by_its_staff_is_closed_for_everybody_and_opens_by_itself(desk):
    desk_view = override(desk, "closed", until=NOW + HOUR)
    assert (desk_view.hub.open, desk_view.version) == (False, 2)
    assert desk_view.override.reason == "Broken door"
    assert desk_view.override.set_by == "Jo"
    assert seen(desk, NOW) == (False, None)
    assert nearest(desk, NOW) == []
    assert desk.report(WANTS_HUB).hubs == ()
    assert seen(desk, NOW + HOUR) == (True, None)
    assert nearest(desk, NOW + HOUR) == [desk.hub]
    assert desk_now(desk, NOW + HOUR).override is None


def test_override_that_ends_by_itself_is_told_once_with_how_the_hub_stands_then(desk):
    set_hours(desk, desk.hub, "off")
    override(desk, "open", until=NOW + HOUR)
    assert hubs.tell_of_ended_overrides(desk.database, now=NOW + HOUR / 2) == 0
    for told in (1, 0):
        assert hubs.tell_of_ended_overrides(desk.database, now=NOW + HOUR) == told
    _, event = desk.events("hub.updated")
    assert (event["at"], event["staff_id"]) == (NOW + HOUR, None)
    assert event["organisation_id"] == desk.hub_host.organisation_id
    assert event["data"] == {
        "hub_id": str(desk.hub),
        "version": 2,
        "changed": ["override"],
        "open": False,
        "open_until": None,
    }


def test_override_that_was_lifted_or_replaced_is_not_told_of_again(desk):
    override(desk, "closed", until=NOW + HOUR)
    override(desk, "open", now=NOW + HOUR / 2, until=NOW + HOUR)
    hubs.lift_override(
        desk.database,
        desk.hub_host,
        hub_id=desk.hub,
        if_match=None,
        now=NOW + HOUR * 0.75,
        channels=desk.settings.channels,
    )
    assert hubs.tell_of_ended_overrides(desk.database, now=NOW + HOUR) == 0
    assert len(desk.events("hub.updated")) == 3


@pytest.mark.commits
def test_several_workers_tell_of_an_ended_override_once(desk):
    override(desk, "closed", until=NOW + HOUR)
    together = threading.Barrier(4)

    def work(_):
        together.wait()
        return hubs.tell_of_ended_overrides(desk.database, now=NOW + HOUR)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 1
    assert len(desk.events("hub.updated")) == 2


def desk_now(desk, now, who=None):
    return hubs.read_desk(desk.database, who or desk.hub_host, hub_id=desk.hub, now=now)


def test_hub_opened_by_its_staff_is_open_until_the_override_ends(desk):
    set_hours(desk, desk.hub, "off")
    assert seen(desk, NOW) == (False, None)
    override(desk, "open", until=NOW + HOUR)
    assert seen(desk, NOW) == (True, NOW + HOUR)
    assert nearest(desk, NOW + HOUR / 2) == [desk.hub]
    assert [hub.open_until for hub in desk.report(WANTS_HUB).hubs] == [NOW + HOUR]
    assert seen(desk, NOW + HOUR) == (False, None)


def test_next_override_replaces_the_one_before_and_the_last_word_counts(desk):
    override(desk, "closed", until=NOW + 2 * HOUR)
    override(desk, "open", now=NOW + HOUR / 2, until=NOW + HOUR)
    assert seen(desk, NOW + HOUR / 4) == (False, None)
    assert seen(desk, NOW + HOUR / 2)[0]
    # The first one ended when the second came, not when the second ended.
    assert seen(desk, NOW + 1.5 * HOUR) == (True, None)


def test_lifted_override_leaves_the_hours(desk):
    override(desk, "closed", until=NOW + HOUR)
    lifted = hubs.lift_override(
        desk.database,
        desk.hub_host,
        hub_id=desk.hub,
        if_match=2,
        now=NOW + HOUR / 4,
        channels=(),
    )
    assert (lifted.hub.open, lifted.override, lifted.version) == (True, None, 3)
    assert seen(desk, NOW + HOUR / 4) == (True, None)


def test_no_expansion_undoes_an_override(desk):
    override(desk, "closed", until=NOW + 20 * 24 * HOUR)
    expand_all(desk.database, now=NOW + HOUR)
    assert seen(desk, NOW + HOUR) == (False, None)
    assert expand_due(desk.database, now=NOW + 16 * 24 * HOUR) > 0
    assert seen(desk, NOW + 16 * 24 * HOUR) == (False, None)
    assert seen(desk, NOW + 20 * 24 * HOUR) == (True, None)


@pytest.mark.parametrize(
    ("hours", "at", "ends"),
    [
        # Past midnight it is still last night's hours that end.
        ("Fr-Sa 21:00-02:30", "2027-01-16 23:41", "2027-01-17 02:30"),
        ("Fr-Sa 21:00-02:30", "2027-01-17 01:10", "2027-01-17 02:30"),
        # The clocks go forward in the night of 28 March 2027, and back in that of 31 October.
        ("Mo-Su 20:00-04:00", "2027-03-27 23:00", "2027-03-28 03:00"),
        ("Mo-Su 20:00-04:00", "2027-10-30 22:30", "2027-10-31 04:00"),
        ("Mo-Su 20:00-01:30", "2027-10-30 22:30", "2027-10-31 00:30"),
    ],
)
def test_closing_early_ends_with_tonight_s_hours(desk, hours, at, ends):
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    ends_at = datetime.fromisoformat(ends).replace(tzinfo=UTC)
    set_hours(desk, desk.hub, hours, now=now)
    before = seen(desk, now)
    assert before == (True, ends_at)
    closed = override(desk, "closed", now=now, until=None)
    assert closed.override.ends_at == ends_at
    assert seen(desk, now) == (False, None)
    assert seen(desk, ends_at - timedelta(seconds=1)) == (False, None)
    next_night = ends_at + timedelta(hours=20)
    assert seen(desk, next_night)[0] == ("Mo-Su" in hours)


def test_opening_before_the_hours_runs_on_into_them(desk):
    now = datetime(2027, 1, 16, 17, 0, tzinfo=UTC)
    ends_at = datetime(2027, 1, 17, 2, 30, tzinfo=UTC)
    set_hours(desk, desk.hub, "Fr-Sa 21:00-02:30", now=now)
    override(desk, "open", now=now, until=None)
    assert seen(desk, now) == (True, ends_at)
    assert seen(desk, ends_at) == (False, None)
    override(desk, "open", now=now, until=now + 5 * HOUR)
    assert seen(desk, now) == (True, ends_at)


@pytest.mark.parametrize("hours", ["24/7", "off"])
def test_today_without_an_end_of_hours_needs_an_until(desk, hours):
    set_hours(desk, desk.hub, hours)
    with pytest.raises(InvalidRequest) as refused:
        override(desk, "closed", until=None)
    assert [(p.pointer, p.code) for p in refused.value.problems] == [("/until", "no_hours_today")]
    assert desk.rows("select from hub_overrides") == []
    assert desk.rows("select version from hubs")[0]["version"] == 1


@pytest.mark.parametrize(
    ("until", "code"), [(NOW, "in_the_past"), (NOW + timedelta(days=31), "too_far")]
)
def test_override_without_a_sensible_end_is_refused(desk, until, code):
    with pytest.raises(InvalidRequest) as refused:
        override(desk, "closed", until=until)
    assert [p.code for p in refused.value.problems] == [code]


def test_changed_hours_count_at_once(desk):
    changed = hubs.edit_hub(
        desk.database,
        desk.hub_host,
        hub_id=desk.hub,
        values={"opening_hours": "off", "services": ["water"]},
        if_match=1,
        now=NOW,
        channels=(),
    )
    assert (changed.hub.open, changed.edited) == (False, ("opening_hours", "services"))
    assert seen(desk, NOW) == (False, None)
    (event,) = desk.events("hub.updated")
    assert event["data"] == {
        "hub_id": str(desk.hub),
        "version": 2,
        "open": False,
        "open_until": None,
        "changed": ["opening_hours", "services"],
    }


def test_hours_that_cannot_be_read_change_nothing(desk):
    with pytest.raises(InvalidRequest) as refused:
        hubs.edit_hub(
            desk.database,
            desk.hub_host,
            hub_id=desk.hub,
            values={"opening_hours": "when we feel like it"},
            if_match=None,
            now=NOW,
            channels=(),
        )
    assert refused.value.problems[0].pointer == "/opening_hours"
    assert seen(desk, NOW) == (True, None)


def test_event_of_an_override_says_neither_why_nor_who(desk):
    override(desk, "closed", reason="Casey is ill")
    (event,) = desk.events("hub.updated")
    assert event["data"]["open"] is False
    assert "Casey" not in str(event["data"])
    assert set(event["data"]) == {"hub_id", "version", "open", "open_until", "changed"}


def test_version_that_somebody_changed_since_is_refused(desk):
    override(desk, "closed", if_match=1)
    with pytest.raises(StaleVersion):
        override(desk, "open", if_match=1)
    assert seen(desk, NOW) == (False, None)


# --- somebody else's hub


def test_only_the_hub_s_own_organisation_manages_it(desk):
    theirs = put_hub(desk, "Theirs", north=0.002)
    mine: dict[str, Any] = {"hub_id": theirs, "if_match": None, "now": NOW, "channels": ()}
    attempts = (
        lambda: hubs.read_desk(desk.database, desk.hub_host, hub_id=theirs, now=NOW),
        lambda: hubs.edit_hub(desk.database, desk.hub_host, values={"address": "x"}, **mine),
        lambda: hubs.override_hub(
            desk.database,
            desk.hub_host,
            status=Standing.CLOSED,
            until=NOW + HOUR,
            reason="x",
            **mine,
        ),
        lambda: hubs.lift_override(desk.database, desk.hub_host, **mine),
        lambda: hubs.move_hub(desk.database, desk.hub_host, here=SPOT, fixed_at=None, **mine),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            attempt()
    assert seen(desk, NOW, theirs) == (True, None)
    assert desk.events("hub.updated") == []
    with pytest.raises(NotAllowed):
        override(desk, "closed", who=desk.control)
    with pytest.raises(NotAllowed):
        override(desk, "closed", who=Principal(kind=Kind.CLIENT))
    with pytest.raises(NotFound):
        override(desk, "closed", hub_id=uuid4())


def test_retired_hub_is_managed_by_nobody(desk):
    desk.do("update hubs set retired = true")
    with pytest.raises(NotFound):
        override(desk, "closed")


def test_hand_written_sql_of_staff_reaches_no_other_organisation_s_hub(desk):
    theirs = put_hub(desk, "Theirs", north=0.002)
    override(desk, "closed", reason="Casey is ill")
    with desk.database.staff(desk.operator.organisation_id) as conn:
        assert conn.execute("select reason from hub_overrides").fetchall() == []
        assert conn.execute("update hub_overrides set ends_at = starts_at").rowcount == 0
        changed = conn.execute("update hubs set opening_hours = 'off' returning id").fetchall()
        assert changed == [(theirs,)]
    for hub, organisation in (
        (theirs, desk.hub_host.organisation_id),
        (desk.hub, desk.operator.organisation_id),
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            desk.database.staff(desk.hub_host.organisation_id) as conn,
        ):
            conn.execute(
                "insert into hub_overrides (hub_id, organisation_id, status, starts_at, ends_at,"
                " reason, set_by) values (%s, %s, 'closed', %s, %s, 'x', %s)",
                [hub, organisation, NOW, NOW + HOUR, desk.hub_host.staff_id],
            )


@pytest.mark.parametrize(
    "statement",
    [
        "update hubs set key = 'mine'",
        "update hubs set mobile = true",
        "delete from hubs",
        "update hubs set organisation_id = acting_organisation()",
        "delete from hub_overrides",
        "update hub_overrides set reason = ''",
        "update hub_arrivals set status = 'arrived'",
        "delete from hub_arrivals",
    ],
)
def test_staff_may_not(desk, statement):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        desk.database.staff(desk.hub_host.organisation_id) as conn,
    ):
        conn.execute(statement)


def test_staff_of_another_organisation_rename_and_retire_no_hub_by_hand(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("update hubs set name = 'Mine'").rowcount == 0
        assert conn.execute("update hubs set retired = true").rowcount == 0


# --- a mobile hub


def move(desk, here, *, now=NOW, fixed_at=None, hub_id=None):
    return hubs.move_hub(
        desk.database,
        desk.hub_host,
        hub_id=hub_id or desk.hub,
        here=here,
        fixed_at=fixed_at,
        if_match=None,
        now=now,
        channels=desk.settings.channels,
    )


def test_mobile_hub_is_where_it_says_it_is(desk):
    desk.do("update hubs set mobile = true")
    there = Point(SPOT.lon, SPOT.lat + 0.01)
    moved = move(desk, there, fixed_at=NOW - timedelta(minutes=1))
    assert (moved.hub.point, moved.hub.position_at) == (there, NOW - timedelta(minutes=1))
    assert not moved.hub.position_stale
    (found,) = hubs.nearest_hubs(desk.database, SPOT, at=NOW, now=NOW, limit=1)
    assert found.distance_m == pytest.approx(1112.6, abs=1)


def test_older_fix_does_not_move_a_hub_back(desk):
    desk.do("update hubs set mobile = true")
    here, there = Point(SPOT.lon, SPOT.lat + 0.01), Point(SPOT.lon, SPOT.lat + 0.02)
    move(desk, there, fixed_at=NOW)
    late = move(desk, here, fixed_at=NOW - timedelta(minutes=2), now=NOW + timedelta(seconds=5))
    assert (late.hub.point, late.hub.position_at) == (there, NOW)


def test_fix_from_the_future_and_a_hub_that_does_not_move_are_refused(desk):
    with pytest.raises(StateConflict):
        move(desk, SPOT)
    desk.do("update hubs set mobile = true")
    with pytest.raises(InvalidRequest) as refused:
        move(desk, SPOT, fixed_at=NOW + timedelta(minutes=5))
    assert [p.code for p in refused.value.problems] == ["in_the_future"]


def test_silent_mobile_hub_is_marked_and_ranked_behind_one_that_is_surely_there(desk):
    sure = put_hub(desk, "Sure", north=0.02)
    desk.do("update hubs set mobile = true where id = %s", desk.hub)
    move(desk, Point(SPOT.lon, SPOT.lat + 0.001), fixed_at=NOW)
    assert nearest(desk, NOW + timedelta(minutes=30)) == [desk.hub, sure]
    silent_at = NOW + timedelta(minutes=31)
    assert nearest(desk, silent_at) == [sure, desk.hub]
    found = hubs.nearest_hubs(desk.database, SPOT, at=silent_at, now=silent_at, limit=5)
    assert [one.hub.position_stale for one in found] == [False, True]
    # The published place of a hub that never said where it is counts as it stands.
    desk.do("update hubs set position_at = null")
    assert nearest(desk, silent_at) == [desk.hub, sure]


# --- packs


@pytest.fixture
def tinytown(database, tmp_path):
    pack = tmp_path / "tinytown"
    shutil.copytree(TINYTOWN, pack)
    load_pack(database, pack, now=NOW, progress=lambda _: None)
    return pack


def test_pack_loaded_again_undoes_neither_an_override_nor_what_staff_set(database, tinytown):
    with database.owner() as conn:
        hub, organisation = conn.execute(
            "select id, organisation_id from hubs where key = 'tiny-hub-hospital'"
        ).fetchone()
        (staff,) = conn.execute(
            "insert into staff (organisation_id, name, role) values (%s, 'Jo', 'hub_host')"
            " returning id",
            [organisation],
        ).fetchone()
    jo = Principal(kind=Kind.STAFF, organisation_id=organisation, staff_id=staff, name="Jo")
    common: dict[str, Any] = {"hub_id": hub, "if_match": None, "now": NOW, "channels": ()}
    hubs.edit_hub(
        database, jo, values={"opening_hours": "24/7; Dec 25 off", "phone": None}, **common
    )
    hubs.override_hub(
        database, jo, status=Standing.CLOSED, until=NOW + HOUR, reason="Flood", **common
    )
    path = tinytown / "hubs.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "opening_hours: 24/7", "opening_hours: Mo 10:00-11:00"
        ),
        encoding="utf-8",
    )
    told: list[str] = []
    load_pack(database, tinytown, now=NOW + timedelta(minutes=1), progress=told.append)
    assert any("tiny-hub-hospital" in line and "opening_hours" in line for line in told)
    found = hubs.read_desk(database, jo, hub_id=hub, now=NOW + timedelta(minutes=1))
    assert (found.hub.opening_hours, found.hub.phone) == ("24/7; Dec 25 off", None)
    assert not found.hub.open
    assert found.override is not None
    assert hubs.one_hub(database, hub, at=NOW + HOUR).open
