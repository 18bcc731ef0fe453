"""Packs that cannot be loaded change nothing."""

import pytest

from tests.services.packs.editing import TINYTOWN, append, edit, everything, load, replace, rows
from waylight.domain.errors import PackRejected
from waylight.services.packs.reading import FILES


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
        (
            lambda p: replace(
                p, "jurisdiction.yaml", "organisation: tiny-police", "organisation: null"
            ),
            "row 2: organisation is missing",
        ),
        (
            lambda p: edit(
                p, "jurisdiction.yaml", lambda rules: rules["rules"][1].update(body="The police")
            ),
            "row 2: name an organisation or a body, not both",
        ),
        (
            lambda p: replace(
                p, "jurisdiction.yaml", "organisation: tiny-police", "body: TINYTOWN police (demo)"
            ),
            "row 2: body 'TINYTOWN police (demo)' is an organisation: name its key",
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
