"""Rows with a fault are rejected with their reason; the rest loads."""

import pytest

from tests.services.packs.editing import append, edit, edit_areas, load, one, replace
from waylight.domain.errors import PackRejected

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
