import json
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pytest
import yaml
from psycopg.rows import dict_row

from waylight.domain.errors import PackRejected
from waylight.domain.geo import Bounds, Point
from waylight.services.cities import read_cities
from waylight.services.packs import load_pack
from waylight.services.packs.areas import near, read_areas
from waylight.services.packs.reading import FILES, read_pack

ROOT = Path(__file__).parents[2]
TINYTOWN = ROOT / "tests" / "data" / "tinytown"
LONDON = ROOT / "data" / "london"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.fixture
def pack(tmp_path):
    """Tinytown in a folder that a test may change."""
    return Path(shutil.copytree(TINYTOWN, tmp_path / "tinytown"))


def load(database, path, *, now=NOW, said=None, allow_retire=False):
    progress = (said if said is not None else []).append
    return load_pack(database, path, now=now, progress=progress, allow_retire=allow_retire)


def edit(path, file, change):
    """Reads a YAML file of a pack, lets `change` change it, and writes it back."""
    document = yaml.safe_load((path / file).read_text(encoding="utf-8"))
    change(document)
    (path / file).write_text(yaml.safe_dump(document), encoding="utf-8")


def edit_areas(path, change):
    document = json.loads((path / "areas.geojson").read_text(encoding="utf-8"))
    change(document["features"])
    (path / "areas.geojson").write_text(json.dumps(document), encoding="utf-8")


def replace(path, file, old, new):
    text = (path / file).read_text(encoding="utf-8")
    assert old in text
    (path / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def append(path, file, line):
    with (path / file).open("a", encoding="utf-8") as end:
        end.write(line + "\n")


def rows(database, query, *values):
    with database.owner() as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def one(database, query, *values):
    (row,) = rows(database, query, *values)
    return row


def everything(database):
    """Every row that a pack makes, but for what a load itself counts up."""
    found = {}
    for table in ("areas", "places", "lines", "organisations", "teams", "coverages", "hubs"):
        found[table] = rows(database, f"select * from {table} order by 1, 2")  # noqa: S608 - listed
    found["parts"] = rows(database, "select * from area_parts order by 1, 2")
    found["stops"] = rows(database, "select * from line_stops order by 1, 2, 3")
    found["cities"] = rows(database, "select * from cities order by id")
    return found


# --- Loading ----------------------------------------------------------------------------------


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


# --- Rows with a fault ------------------------------------------------------------------------

BAD_ROWS = [
    ("places.csv", "bad,,Nowhere,station,abc,1,rail,,,,,true", 9, "no position"),
    ("places.csv", "bad,,Nowhere,station,,,rail,,,,,true", 9, "no position"),
    ("places.csv", "bad,,Nowhere,station,nan,inf,rail,,,,,true", 9, "no position"),
    ("places.csv", "bad,,Nowhere,station,-36.85,174.76,rail,,,,,true", 9, "the two look swapped"),
    ("places.csv", "bad,,Nowhere,station,0,0,rail,,,,,true", 9, "is far outside the service area"),
    ("places.csv", "bad,,Nowhere,station,174.76,-36.85,rail,,,atlantis,,true", 9, "atlantis"),
    ("places.csv", "bad,,Nowhere,station,174.76,-36.85,rail,ghost-line,,,,true", 9, "ghost-line"),
    ("places.csv", "bad,,Nowhere,castle,174.76,-36.85,rail,,,,,true", 9, "castle"),
    ("places.csv", "bad,,Nowhere,station,174.76,-36.85,zeppelin,,,,,true", 9, "zeppelin"),
    ("places.csv", "bad,,,station,174.76,-36.85,rail,,,,,true", 9, "name is missing"),
    ("places.csv", "tt-rank,,Twice,station,174.76,-36.85,rail,,,,,true", 9, "row 7"),
    ("places.csv", "bad,,Nowhere,station,174.76,-36.85,rail,,,,north,true", 9, "heading"),
    ("places.csv", "bad,,Nowhere,station,174.76,-36.85,rail,,,,,perhaps", 9, "demo"),
    ("places.csv", "bad", 9, "missing"),
    ("lines.csv", "ghost,Ghost line,zeppelin", 3, "zeppelin"),
    ("line_stops.csv", "tiny-line,3,nowhere", 4, "nowhere"),
    ("line_stops.csv", "ghost,1,tt-central", 4, "ghost"),
    ("line_stops.csv", "tiny-line,2,tt-central", 4, "row 3"),
    ("line_stops.csv", "tiny-line,third,tt-central", 4, "sequence"),
]


@pytest.mark.parametrize(("file", "line", "number", "reason"), BAD_ROWS)
def test_a_broken_line_is_rejected_with_its_reason_and_the_rest_loads(
    database, pack, *, file, line, number, reason
):
    append(pack, file, line)
    said: list[str] = []
    report = load(database, pack, said=said)
    (rejected,) = report.rejected
    assert (rejected.file, rejected.row) == (file, number)
    assert reason in rejected.reason
    assert any(f"rejected: {file}:{number}: " in text for text in said)
    assert (report.tables["places"].added, report.tables["line_stops"].added) == (7, 2)


BAD_ENTRIES = [
    ("teams.yaml", {"shifts": "whenever"}, "shifts: not opening hours"),
    ("teams.yaml", {"shifts": "Mo-Su 08:00-20:00; SH off"}, "school holidays"),
    ("teams.yaml", {"shifts": 1350}, "put it in quotes"),
    ("teams.yaml", {"shifts": None}, "shifts is missing"),
    ("teams.yaml", {"organisation": "ghosts"}, "no organisation 'ghosts'"),
    ("teams.yaml", {"base": "nowhere"}, "no place 'nowhere'"),
    ("teams.yaml", {"base": {"lon": 200, "lat": 0}}, "no position"),
    ("teams.yaml", {"base": {"lon": -36.85}}, "no position"),
    ("teams.yaml", {"base": {"lon": -0.1, "lat": 51.5}}, "far outside"),
    ("teams.yaml", {"capabilities": ["flying"]}, "'flying' is not known"),
    ("teams.yaml", {"kind": "orchestra"}, "orchestra"),
    ("teams.yaml", {"key": "tiny-control"}, "was there before, in row 1"),
    ("teams.yaml", {"coverages": "everything"}, "coverages must be a list"),
    ("teams.yaml", {"name": "Team\x07"}, "cannot be shown"),
    ("teams.yaml", {"name": "Team " * 20}, "longer than 60"),
    ("hubs.yaml", {"opening_hours": "17:00+"}, "closing time"),
    ("hubs.yaml", {"place": "nowhere"}, "no place 'nowhere'"),
    ("hubs.yaml", {"services": ["spa"]}, "spa"),
    ("hubs.yaml", {"access": "step_free|moat"}, "moat"),
    ("hubs.yaml", {"phone": 5551234}, "put it in quotes"),
    ("hubs.yaml", {"languages": [False]}, "put it in quotes"),
    ("hubs.yaml", {"mobile": "sometimes"}, "mobile"),
    ("organisations.yaml", {"kind": "dynasty"}, "dynasty"),
    ("organisations.yaml", {"contact": {"phone": 105}}, "put it in quotes"),
]


@pytest.mark.parametrize(("file", "change", "reason"), BAD_ENTRIES)
def test_a_broken_entry_is_rejected_with_its_reason_and_the_rest_loads(
    database, pack, *, file, change, reason
):
    def spoil(entries):
        entries.append({**entries[0], "key": "spoilt", **change})

    edit(pack, file, spoil)
    report = load(database, pack)
    (rejected,) = report.rejected
    assert (rejected.file, rejected.row) == (file, 4)
    assert reason in rejected.reason
    assert {report.tables[name].added for name in ("teams", "hubs", "organisations")} == {3}


def test_an_entry_that_is_no_mapping_is_rejected(database, pack):
    edit(pack, "hubs.yaml", lambda hubs: hubs.append("a hub"))
    report = load(database, pack)
    assert [(r.file, r.row) for r in report.rejected] == [("hubs.yaml", 4)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"areas": ["atlantis"]}, "coverage 2: there is no area 'atlantis'"),
        ({"areas": []}, "coverage 2: areas is missing"),
        ({"modes": ["zeppelin"]}, "coverage 2: modes 'zeppelin'"),
        ({"category_groups": ["weather"]}, "coverage 2: category_groups 'weather'"),
        ({"schedule": "at night"}, "coverage 2: schedule"),
    ],
)
def test_a_broken_coverage_is_rejected_and_its_team_stays(database, pack, change, reason):
    edit(
        pack,
        "teams.yaml",
        lambda teams: teams[0]["coverages"].append({**teams[0]["coverages"][0], **change}),
    )
    report = load(database, pack)
    (rejected,) = report.rejected
    assert (rejected.file, rejected.row) == ("teams.yaml", 1)
    assert rejected.reason.startswith(reason)
    assert (report.tables["teams"].added, report.tables["coverages"].added) == (3, 5)


def test_a_row_that_refers_to_a_rejected_row_is_rejected_too(database, pack):
    replace(pack, "places.csv", "174.7580,-36.8532", "174.7580,south")
    report = load(database, pack)
    assert [(r.file, r.row) for r in report.rejected] == [("places.csv", 5), ("teams.yaml", 3)]
    assert "no place 'bus:2'" in report.rejected[1].reason
    assert report.tables["teams"].added == 2


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"type": "Point", "coordinates": [174.7, -36.8]}, "Point"),
        ({"type": "Polygon", "coordinates": []}, "no rings"),
        ({"type": "MultiPolygon", "coordinates": []}, "empty"),
        ({"type": "Polygon", "coordinates": [[[174.7, -36.8], [174.8, -36.8]]]}, "not closed"),
        (
            {"type": "Polygon", "coordinates": [[[1, 1], [1, 2], [1, 3], [1, 1]]]},
            "nothing inside",
        ),
        (
            {"type": "Polygon", "coordinates": [[[-36, 174], [-36, 175], [-37, 175], [-36, 174]]]},
            "longitude first",
        ),
        (None, "geometry must be a mapping"),
    ],
)
def test_a_broken_area_is_rejected_with_its_reason(database, pack, geometry, reason):
    spoilt = {
        "type": "Feature",
        "properties": {"code": "spoilt", "name": "Spoilt", "kind": "borough"},
        "geometry": geometry,
    }
    edit_areas(pack, lambda features: features.append(spoilt))
    report = load(database, pack)
    (rejected,) = report.rejected
    assert (rejected.file, rejected.row) == ("areas.geojson", 4)
    assert reason in rejected.reason
    assert report.tables["areas"].added == 3


def test_an_area_that_crosses_itself_is_repaired_and_noted(database, pack):
    # A square with a loop at one corner.
    ring = [[174.75, -36.86], [174.77, -36.86], [174.77, -36.84], [174.76, -36.85]]
    ring += [[174.775, -36.85], [174.75, -36.84], [174.75, -36.86]]
    crossed = {
        "type": "Feature",
        "properties": {"code": "crossed", "name": "Crossed", "kind": "patrol_area"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    edit_areas(pack, lambda features: features.append(crossed))
    report = load(database, pack)
    assert report.rejected == ()
    assert any("area crossed was repaired: Self-intersection" in note for note in report.notes)
    area = one(database, "select st_isvalid(geom) as valid from areas where code = 'crossed'")
    assert area["valid"]


def test_names_with_line_breaks_are_tidied_and_the_source_is_kept(database, pack):
    append(pack, "places.csv", 'odd,,"Station\nRoad  <>",bus_stop,174.76,-36.85,bus,,,,,true')
    report = load(database, pack)
    assert report.rejected == ()
    place = one(database, "select name, source_name, stop_id from places where key = 'odd'")
    assert place == {
        "name": "Station Road <>",
        "source_name": "Station\nRoad  <>",
        "stop_id": None,
    }


def test_yaml_that_would_run_code_is_refused(database, pack):
    append(pack, "hubs.yaml", '- !!python/object/apply:os.system ["true"]')
    with pytest.raises(PackRejected, match=r"hubs\.yaml"):
        load(database, pack)


def test_codes_without_a_sentence_are_noted(database, pack):
    replace(pack, "jurisdiction.yaml", "tiny_rail_is_transit", "trains_have_their_own")
    report = load(database, pack)
    assert any("'trains_have_their_own' has no sentence" in note for note in report.notes)


# --- Packs that cannot be loaded ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        *[
            (lambda p, file=file: (p / file).unlink(), f"{file}: there is no such file")
            for file in FILES
        ],
        (lambda p: (p / "areas.geojson").unlink(), "no area 'tiny' (outline)"),
        (lambda p: (p / "teams.yaml").unlink(), "no control room 'tiny-control'"),
        (
            lambda p: edit(p, "jurisdiction.yaml", lambda rules: rules["rules"].pop()),
            "last rule must match everything",
        ),
        (
            lambda p: replace(p, "jurisdiction.yaml", "areas: [tiny]", "areas: [atlantis]"),
            "row 1: there is no area 'atlantis'",
        ),
        (
            lambda p: replace(
                p, "jurisdiction.yaml", "organisation: tiny-police", "organisation: x"
            ),
            "row 2: there is no organisation 'x'",
        ),
        (lambda p: edit(p, "contacts.yaml", lambda c: c.pop("emergency")), "no emergency contact"),
        (lambda p: edit(p, "contacts.yaml", lambda c: c.pop("verified_at")), "verified_at"),
        (
            lambda p: edit(p, "contacts.yaml", lambda c: c["emergency"][0].update(phone=111)),
            "row 1: phone must be text",
        ),
        (lambda p: replace(p, "city.yaml", "outline: tiny", "outline: big"), "no area 'big'"),
        (lambda p: replace(p, "city.yaml", "service_area: tiny", "service_area: x"), "area 'x'"),
        (lambda p: replace(p, "city.yaml", "tiny-control", "nobody"), "control room 'nobody'"),
        (lambda p: replace(p, "city.yaml", "tiny-control", "tiny-police-night"), "kind"),
        (lambda p: replace(p, "city.yaml", "Pacific/Auckland", "Mars/Olympus"), "Mars/Olympus"),
        (lambda p: replace(p, "city.yaml", "country: NZ, sub", "country: XX, sub"), "XX"),
        (lambda p: replace(p, "city.yaml", "2026-11-20", "soon"), "soon"),
        (lambda p: replace(p, "city.yaml", "format: 1", "format: 2"), "format must be 1"),
        (lambda p: replace(p, "city.yaml", "slug: tinytown", "slug: Tiny Town"), "lower-case"),
        (lambda p: append(p, "city.yaml", ": ]["), "no YAML"),
        (lambda p: (p / "teams.yaml").write_text("a: [", encoding="utf-8"), "teams.yaml"),
        (lambda p: (p / "teams.yaml").write_text("a: b", encoding="utf-8"), "must be a list"),
        (lambda p: (p / "places.csv").write_bytes(b"key,\xff\n"), "places.csv"),
        (lambda p: replace(p, "places.csv", "lon,lat", "x,y"), "header lacks lat, lon"),
        (lambda p: (p / "areas.geojson").write_text("[]", encoding="utf-8"), "FeatureCollection"),
        (lambda p: (p / "areas.geojson").write_text("{", encoding="utf-8"), "no JSON"),
        (
            lambda p: edit(p, "teams.yaml", lambda teams: teams[0].update(shifts="never mind")),
            "row 1: shifts: not opening hours",
        ),
    ],
)
def test_a_pack_without_its_essentials_is_refused_and_nothing_changes(database, pack, spoil, said):
    load(database, TINYTOWN)
    before = everything(database)
    spoil(pack)
    with pytest.raises(PackRejected) as refusal:
        load(database, pack)
    assert said in refusal.value.detail
    assert said in " ".join(f"{p.pointer}: {p.detail}" for p in refusal.value.problems)
    assert everything(database) == before


def test_all_problems_are_listed_at_once(database, tmp_path):
    (tmp_path / "city.yaml").write_text("format: 7\nslug: X Y\ntime_zone: Nowhere/Land\n")
    with pytest.raises(PackRejected) as refusal:
        load(database, tmp_path)
    assert {problem.pointer for problem in refusal.value.problems} >= {
        f"city.yaml#{name}"
        for name in ("format", "slug", "name", "time_zone", "outline", "control_room")
    }
    assert rows(database, "select from cities") == []


def test_a_folder_that_is_no_pack_is_refused(database, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PackRejected, match=r"city\.yaml"):
            load(database, folder)


# --- Files that lost too much -------------------------------------------------------------------


def widen(path, *, places=20, hubs=0):
    """Adds so many places and hubs to Tinytown, all good."""
    for number in range(places):
        position = f"174.76{number:03},-36.85"
        append(path, "places.csv", f"new:{number},,New {number},bus_stop,{position},bus,,,,,true")
    edit(
        path,
        "hubs.yaml",
        lambda entries: entries.extend(
            {**entries[0], "key": f"new-{number}"} for number in range(hubs)
        ),
    )


def keep_lines(path, file, count):
    lines = (path / file).read_text(encoding="utf-8").splitlines(keepends=True)
    (path / file).write_text("".join(lines[:count]), encoding="utf-8")


def swap(path, *keys):
    """Exchanges lon and lat in rows of places.csv, in all whose key starts so."""
    lines = (path / "places.csv").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith(keys):
            cells = line.split(",")
            cells[4], cells[5] = cells[5], cells[4]
            lines[number] = ",".join(cells)
    (path / "places.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def refused(database, pack):
    """The problems for which a pack is refused, by their file; nothing may have changed."""
    before = everything(database)
    with pytest.raises(PackRejected) as refusal:
        load(database, pack)
    assert everything(database) == before
    assert "--allow-retire" in refusal.value.detail
    return [f"{problem.pointer}: {problem.detail}" for problem in refusal.value.problems]


def test_a_truncated_file_empties_no_city_unless_that_is_meant(database, pack):
    widen(pack)
    load(database, pack)
    keep_lines(pack, "places.csv", 8)
    assert refused(database, pack) == [
        "places.csv: 20 of the 27 rows loaded before would be retired"
    ]
    report = load(database, pack, allow_retire=True)
    assert report.tables["places"].retired == 20


def test_ten_places_and_three_hubs_may_always_go(database, pack):
    widen(pack, places=20, hubs=4)
    load(database, pack)
    keep_lines(pack, "places.csv", 8 + 10)
    edit(pack, "hubs.yaml", lambda hubs: hubs.__delitem__(slice(4, None)))
    report = load(database, pack)
    assert (report.tables["places"].retired, report.tables["hubs"].retired) == (10, 3)


def test_four_hubs_of_seven_do_not_go_at_once(database, pack):
    widen(pack, places=0, hubs=4)
    load(database, pack)
    edit(pack, "hubs.yaml", lambda hubs: hubs.__delitem__(slice(3, None)))
    assert refused(database, pack) == ["hubs.yaml: 4 of the 7 rows loaded before would be retired"]


def test_a_tenth_of_a_large_file_may_go(database, pack):
    widen(pack, places=113)
    whole = (pack / "places.csv").read_text(encoding="utf-8")
    load(database, pack)
    keep_lines(pack, "places.csv", 1 + 120 - 13)
    assert "13 of the 120 rows" in refused(database, pack)[0]
    (pack / "places.csv").write_text(whole, encoding="utf-8")
    keep_lines(pack, "places.csv", 1 + 120 - 12)
    assert load(database, pack).tables["places"].retired == 12


def test_swapped_positions_are_recognised_and_retire_nothing(database, pack):
    widen(pack)
    load(database, pack)
    swap(pack, "new:")
    assert refused(database, pack) == [
        "places.csv: 20 of 27 rows are rejected: lon and lat look swapped",
        "places.csv: 20 of the 27 rows loaded before would be retired",
    ]


def test_a_new_city_is_refused_when_its_rows_are_rejected_in_bulk(database, pack):
    widen(pack)
    swap(pack, "new:")
    assert refused(database, pack) == [
        "places.csv: 20 of 27 rows are rejected: lon and lat look swapped"
    ]
    assert rows(database, "select from cities") == []
    report = load(database, pack, allow_retire=True)
    assert (report.tables["places"].added, len(report.rejected)) == (7, 20)


def test_rows_rejected_in_bulk_for_another_reason_are_not_called_swapped(database, pack):
    widen(pack)
    text = (pack / "places.csv").read_text(encoding="utf-8")
    (pack / "places.csv").write_text(text.replace("bus_stop,174.760", "bus_top,174.760"))
    (said,) = refused(database, pack)
    assert said.startswith(
        "places.csv: 20 of 27 rows are rejected: row 9: kind 'bus_top' is not known"
    )


def test_swapped_rows_are_named_also_when_they_take_the_control_room_away(database, pack):
    widen(pack)
    replace(pack, "city.yaml", "control_room: tiny-control", "control_room: none")
    swap(pack, "new:")
    with pytest.raises(PackRejected) as refusal:
        load(database, pack)
    assert {p.code for p in refusal.value.problems} == {"no_control_room", "too_many_rejected"}
    assert "look swapped" in refusal.value.detail


# --- Positions ----------------------------------------------------------------------------------


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "properties": {"code": f"{west},{south}", "name": "Square", "kind": "borough"},
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]},
    }


def bounds_of(tmp_path, *squares):
    """The bounds of one area made of squares."""
    feature = squares[0]
    for other in squares[1:]:
        feature["geometry"]["coordinates"] += other["geometry"]["coordinates"]
    (tmp_path / "areas.geojson").write_text(json.dumps({"features": [feature]}))
    ((area,), rejected) = read_areas(tmp_path)
    assert rejected == []
    return area.bounds


def test_bounds_across_the_antimeridian_are_narrow(tmp_path):
    bounds = bounds_of(tmp_path, square(178, -18, 180, -16), square(-180, -18, -179, -16))
    assert bounds == Bounds(west=178, south=-18, east=-179, north=-16)
    assert near(bounds, Point(179.9, -17))
    assert near(bounds, Point(-179.9, -17))
    assert near(bounds, Point(-178.6, -17))
    assert not near(bounds, Point(0, -17))
    assert not near(bounds, Point(177, -17))


def test_bounds_across_greenwich_are_narrow(tmp_path):
    bounds = bounds_of(tmp_path, square(-0.5, 51, -0.1, 52), square(0.1, 51, 0.4, 52))
    assert bounds == Bounds(west=-0.5, south=51, east=0.4, north=52)
    assert near(bounds, Point(0, 51.5))
    assert near(bounds, Point(0.8, 51.5))
    assert not near(bounds, Point(1.2, 51.5))
    assert not near(bounds, Point(51.5, 0))


# --- London -------------------------------------------------------------------------------------


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
    began = perf_counter()
    report = load(london, LONDON)
    assert not report.changed
    assert report.tables["places"].unchanged > 18_000
    # A hundred times what it takes; reading and writing the pack would take longer than this.
    assert perf_counter() - began < 2


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
