"""Loading a pack, and loading it again."""

from tests.services.packs.editing import (
    NOW,
    TINYTOWN,
    append,
    edit,
    edit_areas,
    everything,
    load,
    one,
    replace,
    rows,
)
from waylight.domain.geo import Bounds
from waylight.services.cities import read_cities


def test_tinytown_loads_whole(database):
    said: list[str] = []
    report = load(database, TINYTOWN, said=said)
    assert {name: counts.added for name, counts in report.tables.items()} == {
        "areas": 3,
        "places": 7,
        "lines": 1,
        "line_stops": 2,
        "organisations": 3,
        "teams": 3,
        "coverages": 5,
        "hubs": 3,
    }
    assert report.rejected == ()
    assert report.changed
    assert "places without a stop_id: 3" in report.notes
    assert any("7 added" in line for line in said)
    with database.intake() as conn:
        (city,) = read_cities(conn)
    assert city.bounds == Bounds(west=174.74, south=-36.87, east=174.78, north=-36.83)
    assert city.control_room is not None
    assert city.control_room.name == "Tinytown control room (demo)"
    assert city.contacts_verified_at == "2026-11-01"
    assert city.holidays["extra_holidays"][0]["date"] == "2026-11-20"
    assert [rule["organisation"] for rule in city.jurisdiction] == [
        "Tinytown Transit (demo)",
        "Tinytown police (demo)",
    ]
    assert city.contacts["emergency"][0]["phone"] == "111"


def test_the_same_pack_again_changes_nothing(database):
    load(database, TINYTOWN)
    before = everything(database)
    again = load(database, TINYTOWN)
    assert not again.changed
    assert again.tables["places"].unchanged == 7
    assert everything(database) == before


def test_a_pack_whose_bytes_differ_but_not_its_rows_writes_no_row(database, pack):
    load(database, pack)
    before = everything(database)
    append(pack, "teams.yaml", "# a comment")
    again = load(database, pack)
    assert again.changed
    assert again.version == 2
    assert all(c.added == c.changed == c.retired == 0 for c in again.tables.values())
    after = everything(database)
    assert {k: v for k, v in after.items() if k != "cities"} == {
        k: v for k, v in before.items() if k != "cities"
    }


def test_ids_stay_when_rows_change(database, pack):
    load(database, pack)
    ids = {row["key"]: row["id"] for row in rows(database, "select key, id from teams")}
    edit(pack, "teams.yaml", lambda teams: teams[1].update(name="Wardens of the rails"))
    report = load(database, pack)
    assert (report.tables["teams"].changed, report.tables["teams"].unchanged) == (1, 2)
    assert {row["key"]: row["id"] for row in rows(database, "select key, id from teams")} == ids
    team = one(database, "select name, version from teams where key = 'tiny-transit-wardens'")
    assert team == {"name": "Wardens of the rails", "version": 2}


def test_what_staff_set_by_hand_survives_a_load(database, pack):
    load(database, pack)
    with database.owner() as conn:
        conn.execute(
            "update teams set duty_status = 'busy', duty_until = %s, position_at = %s,"
            " position = 'SRID=4326;POINT(174.76 -36.85)' where key = 'tiny-police-night'",
            [NOW, NOW],
        )
    edit(pack, "teams.yaml", lambda teams: teams[2].update(name="Night watch"))
    load(database, pack)
    team = one(
        database,
        "select name, duty_status, duty_until, position_at, st_x(position::geometry) as lon"
        " from teams where key = 'tiny-police-night'",
    )
    assert team == {
        "name": "Night watch",
        "duty_status": "busy",
        "duty_until": NOW,
        "position_at": NOW,
        "lon": 174.76,
    }


def test_teams_and_hubs_that_left_the_pack_are_retired_and_come_back(database, pack):
    load(database, pack)
    edit(pack, "teams.yaml", lambda teams: teams.pop(2))
    edit(pack, "hubs.yaml", lambda hubs: hubs.pop(2))
    report = load(database, pack)
    assert (report.tables["teams"].retired, report.tables["hubs"].retired) == (1, 1)
    assert report.tables["coverages"].retired == 2
    retired = "select key from teams where retired union select key from hubs where retired"
    assert {row["key"] for row in rows(database, retired)} == {"tiny-police-night", "tiny-hub-bus"}
    report = load(database, TINYTOWN)
    assert (report.tables["teams"].changed, report.tables["hubs"].changed) == (1, 1)
    assert rows(database, retired) == []


def test_rows_that_left_the_pack_are_removed_where_nothing_refers_to_them(database, pack):
    load(database, pack)
    replace(pack, "line_stops.csv", "tiny-line,2,tt-harbour\n", "")
    text = (pack / "places.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in text if not line.startswith(("tt-harbour", "tt-hall"))]
    (pack / "places.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    report = load(database, pack)
    assert report.tables["places"].retired == 2
    assert report.tables["line_stops"].retired == 1
    assert len(rows(database, "select from places")) == 5


def test_a_place_that_a_report_names_stays_and_is_noted(database, pack):
    load(database, pack)
    place = one(database, "select id from places where key = 'tt-hall'")["id"]
    with database.owner() as conn:
        conn.execute(
            """
            insert into reports (id, received_at, happened_estimated, happening, age_s, categories,
                category_groups, perspective, wants, needs, share_with, location_source, place_id,
                priority, urgency, severity, certainty, reasons, routing, warnings, status,
                exercise)
            values (uuid_v7(), now(), false, 'now', 0, '{other}', '{other}', 'experienced', '{}',
                '{}', '{}', 'stop', %s, 4, 'Past', 'Minor', 'Possible', '[]', '{}', '[]',
                'recorded', false)
            """,
            [place],
        )
    text = (pack / "places.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in text if not line.startswith("tt-hall")]
    (pack / "places.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    report = load(database, pack)
    assert report.tables["places"].retired == 0
    assert "places that left the pack but are referred to, and stay: 1" in report.notes
    assert one(database, "select name from places where id = %s", place)


def test_an_area_that_left_the_pack_is_gone_with_its_coverages(database, pack):
    load(database, pack)
    edit_areas(pack, lambda features: features.pop(2))
    replace(pack, "teams.yaml", "areas: [tiny-north, tiny-south]", "areas: [tiny-north]")
    (pack / "places.csv").write_text(
        (pack / "places.csv").read_text(encoding="utf-8").replace("tiny-south", ""),
        encoding="utf-8",
    )
    report = load(database, pack)
    assert report.rejected == ()
    assert report.tables["areas"].retired == 1
    assert (
        rows(
            database,
            "select from coverages c where not exists (select from areas a where a.id = c.area_id)",
        )
        == []
    )
    assert {r["code"] for r in rows(database, "select code from areas")} == {"tiny", "tiny-north"}


def test_a_moved_border_moves_the_pieces_that_answer_for_it(database, pack):
    def inside(code):
        return bool(
            rows(
                database,
                "select from area_parts p join areas a on a.id = p.area_id where a.code = %s"
                " and st_covers(p.geom, 'SRID=4326;POINT(174.745 -36.86)'::geometry)",
                code,
            )
        )

    load(database, pack)
    assert inside("tiny-south")
    edit_areas(
        pack,
        lambda features: features[2]["geometry"].update(
            type="Polygon",
            coordinates=[
                [
                    [174.75, -36.87],
                    [174.78, -36.87],
                    [174.78, -36.85],
                    [174.75, -36.85],
                    [174.75, -36.87],
                ]
            ],
        ),
    )
    report = load(database, pack)
    assert report.tables["areas"].changed == 1
    assert not inside("tiny-south")
    assert inside("tiny")


def test_hours_are_expanded_with_the_load_and_again_when_they_change(database, pack):
    load(database, pack)
    hub = (
        "select open_during, expanded_until > %s as ahead from hubs where key = 'tiny-hub-central'"
    )
    before = one(database, hub, NOW)
    assert before["ahead"]
    edit(pack, "hubs.yaml", lambda hubs: hubs[0].update(opening_hours="Mo 10:00-11:00"))
    load(database, pack)
    after = one(database, hub, NOW)
    assert after["ahead"]
    assert len(after["open_during"]) < len(before["open_during"])


def test_two_cities_stand_side_by_side(database, pack):
    load(database, TINYTOWN)
    replace(pack, "city.yaml", "slug: tinytown", "slug: twin")
    report = load(database, pack)
    assert report.tables["teams"].added == 3
    assert len(rows(database, "select from teams")) == 6
    edit(pack, "teams.yaml", lambda teams: teams.pop(2))
    load(database, pack)
    assert len(rows(database, "select from teams where retired")) == 1
