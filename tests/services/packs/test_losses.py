"""Files that lost too much are refused."""

import pytest

from tests.services.packs.editing import append, edit, everything, load, replace, rows
from waylight.domain.errors import PackRejected


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
