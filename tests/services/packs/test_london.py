"""The London pack, whole."""

import threading

import pytest

from tests.lived import lived
from tests.services.packs.editing import LONDON, TINYTOWN, load, one, rows
from waylight.services.packs.reading import read_pack


def test_london_reads_without_a_rejected_row():
    pack = read_pack(LONDON)
    assert pack.rejected == ()
    kinds = {place.kind for place in pack.places}
    assert {"station", "bus_stop", "taxi_rank", "venue", "hospital", "alley"} <= kinds
    assert sum(place.kind == "station" for place in pack.places) == 457
    assert sum(place.kind == "bus_stop" for place in pack.places) == 17_831
    assert sum(area.kind == "borough" for area in pack.areas) == 33
    assert len(pack.teams) >= 120
    assert len(pack.hubs) >= 60
    assert sum(hub.mobile for hub in pack.hubs) >= 1
    assert all(team.demo for team in pack.teams)
    assert all(hub.demo for hub in pack.hubs)


def test_london_loads_with_all_counts(london):
    pack = read_pack(LONDON)
    (city,) = rows(london, "select * from cities")
    assert (city["slug"], city["time_zone"]) == ("london", "Europe/London")
    for table, expected in (
        ("areas", len(pack.areas)),
        ("places", len(pack.places)),
        ("lines", len(pack.lines)),
        ("line_stops", len(pack.line_stops)),
        ("organisations", len(pack.organisations)),
        ("teams", len(pack.teams)),
        ("coverages", sum(len(team.coverages) for team in pack.teams)),
        ("hubs", len(pack.hubs)),
    ):
        found = one(london, f"select count(*) as n from {table}")  # noqa: S608 - listed above
        assert found["n"] == expected, table
    room = one(london, "select key, kind from teams where id = %s", city["control_room_id"])
    assert room == {"key": pack.city.control_room, "kind": "control_room"}


def test_londons_pieces_are_small_and_add_up_to_their_areas(london):
    worst = one(
        london,
        """
        select max(st_npoints(p.geom)) as vertices, bool_and(st_isvalid(p.geom)) as valid
        from area_parts p
        """,
    )
    assert worst["vertices"] <= 128
    assert worst["valid"]
    off = rows(
        london,
        """
        select a.code from areas a join area_parts p on p.area_id = a.id group by a.id
        having abs(sum(st_area(p.geom)) / st_area(a.geom) - 1) > 1e-6
        """,
    )
    assert off == []


def test_london_again_is_quick_because_nothing_is_read(london):
    with lived() as seconds:
        report = load(london, LONDON)
        # A hundred times what it takes; reading and writing the pack would take longer than this.
        assert seconds() < 2
    assert not report.changed
    assert report.tables["places"].unchanged > 18_000


def test_every_london_hour_is_expanded(london):
    assert (
        rows(
            london,
            """
        select 'team', key from teams where on_shift_during is null or expanded_until is null
        union all
        select 'hub', key from hubs where open_during is null or expanded_until is null
        union all
        select 'coverage', id::text from coverages
        where (schedule is null) <> (active_during is null)
        """,
        )
        == []
    )


@pytest.mark.commits
def test_two_loads_at_once_are_one_after_the_other(database):
    reports = []

    def run():
        reports.append(load(database, TINYTOWN))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.changed for report in reports) == [False, False, True]
    assert len(rows(database, "select from teams")) == 3
