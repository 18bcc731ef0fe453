import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from waylight.domain.errors import NotFound
from waylight.domain.principals import Kind
from waylight.services import keys, packs
from waylight.services.operations import demo

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)
NAMES = {demo.name for demo in demo.DEMOS}
TINYTOWN = Path(__file__).parents[2] / "data/tinytown"


def write(database, vault, path, *, city=None):
    return demo.write_demo_keys(
        database, vault, path, base_url="http://127.0.0.1:8000", city=city, now=NOW
    )


def read(path):
    return json.loads(path.read_text())


def test_the_file_holds_a_working_key_for_each_role_of_london(london, vault, tmp_path):
    path = tmp_path / "new" / "demo.json"
    report = write(london, vault, path)
    assert set(report.made) == NAMES
    assert not report.kept + report.missing
    content = read(path)
    assert content["base_url"] == "http://127.0.0.1:8000"
    assert set(content["keys"]) == NAMES
    for entry in content["keys"].values():
        assert set(entry) == {"token", "organisation", "role", "person", "scopes"}
        caller = keys.authenticate(london, vault, entry["token"], now=NOW)
        assert caller is not None
        assert caller.kind is Kind.STAFF
        assert (caller.name, caller.role) == (entry["person"], entry["role"])
        assert caller.scopes == set(entry["scopes"])
    organisations = {name: entry["organisation"] for name, entry in content["keys"].items()}
    assert organisations["british_transport_police"] == "British Transport Police"
    assert organisations["tfl"] == "Transport for London"
    assert organisations["analyst"] == organisations["control_room"]
    assert len(set(organisations.values())) == len(NAMES) - 1


def test_nobody_else_on_the_machine_can_read_it(london, vault, tmp_path):
    path = tmp_path / "demo.json"
    write(london, vault, path)
    assert path.stat().st_mode & 0o077 == 0
    assert [found.name for found in tmp_path.iterdir()] == ["demo.json"]


def test_the_hubs_key_is_of_an_organisation_that_runs_hubs(london, vault, tmp_path):
    write(london, vault, tmp_path / "demo.json")
    name = read(tmp_path / "demo.json")["keys"]["hub"]["organisation"]
    with london.owner() as conn:
        (hubs,) = conn.execute(
            "select count(*) from hubs join organisations o on o.id = organisation_id"
            " where o.name = %s",
            [name],
        ).fetchone()
    assert hubs > 0


def test_people_of_the_demo_are_marked_as_such(london, vault, tmp_path):
    write(london, vault, tmp_path / "demo.json")
    with london.owner() as conn:
        assert conn.execute("select bool_and(demo) from staff").fetchone() == (True,)


def test_keys_that_still_work_are_kept(london, vault, tmp_path):
    path = tmp_path / "demo.json"
    write(london, vault, path)
    before = read(path)
    report = write(london, vault, path)
    assert set(report.kept) == NAMES
    assert not report.made
    assert read(path) == before


def test_only_the_key_that_no_longer_works_is_made_anew(london, vault, tmp_path):
    path = tmp_path / "demo.json"
    write(london, vault, path)
    before = read(path)["keys"]
    tfl = keys.authenticate(london, vault, before["tfl"]["token"], now=NOW)
    assert tfl is not None
    assert tfl.key_id is not None
    keys.revoke_key(london, vault, tfl.key_id, now=NOW)
    assert write(london, vault, path).made == ("tfl",)
    after = read(path)["keys"]
    assert {name for name in NAMES if after[name] != before[name]} == {"tfl"}
    assert keys.authenticate(london, vault, after["tfl"]["token"], now=NOW) is not None


def test_a_key_whose_scopes_have_changed_is_made_anew(london, vault, tmp_path, monkeypatch):
    path = tmp_path / "demo.json"
    write(london, vault, path)
    fewer = tuple(
        replace(one, scopes=one.scopes[:1]) if one.name == "hub" else one for one in demo.DEMOS
    )
    monkeypatch.setattr(demo, "DEMOS", fewer)
    assert write(london, vault, path).made == ("hub",)
    assert read(path)["keys"]["hub"]["scopes"] == ["alerts:read"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"keys": []}',
        '{"keys": {"tfl": "x", "hub": {"token": 7}, "control_room": {"token": "waylight_sk_x"}}}',
    ],
)
def test_a_spoilt_file_is_written_anew(london, vault, tmp_path, content):
    path = tmp_path / "demo.json"
    path.write_text(content)
    assert set(write(london, vault, path).made) == NAMES


def test_a_lost_file_ends_the_keys_that_were_in_it(london, vault, tmp_path):
    path = tmp_path / "demo.json"
    write(london, vault, path)
    lost = [entry["token"] for entry in read(path)["keys"].values()]
    path.unlink()
    write(london, vault, path)
    assert not any(keys.authenticate(london, vault, token, now=NOW) for token in lost)
    live = [record for record in keys.list_keys(london) if record.revoked_at is None]
    assert len(live) == len(NAMES)


def test_another_city_gets_what_it_has_organisations_for(database, vault, tmp_path):
    with pytest.raises(NotFound):
        write(database, vault, tmp_path / "demo.json")
    packs.load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    report = write(database, vault, tmp_path / "demo.json")
    assert report.made == ("hub",)
    assert set(report.missing) == NAMES - {"hub"}
    assert set(read(tmp_path / "demo.json")["keys"]) == {"hub"}
    with pytest.raises(NotFound):
        write(database, vault, tmp_path / "demo.json", city="elsewhere")
