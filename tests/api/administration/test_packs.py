"""A pack that is loaded once staff have changed what came of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.desk import NOW, SPOT
from waylight.domain.coverages import Rule
from waylight.domain.principals import Kind, Principal
from waylight.services import coverages, organisations, teams
from waylight.services.packs import load_pack

TINYTOWN = Path(__file__).parents[2] / "data" / "tinytown"


def test_pack_that_is_loaded_later_leaves_what_staff_set(database, vault, settings):
    load_pack(database, TINYTOWN, now=NOW, progress=print)
    with database.owner() as conn:
        team_id, organisation_id, city_id = conn.execute(
            "select t.id, t.organisation_id, t.city_id from teams t"
            " join organisations o on o.id = t.organisation_id and o.kind <> 'police'"
            " where t.kind = 'field' order by t.key limit 1"
        ).fetchone()
        (staff_id,) = conn.execute(
            "insert into staff (organisation_id, name, role) values (%s, 'A', 'a') returning id",
            [organisation_id],
        ).fetchone()
        west, south, _, _ = conn.execute(
            "select bounds[1], bounds[2], 0, 0 from cities where id = %s", [city_id]
        ).fetchone()
    who = replace(_staff(), organisation_id=organisation_id, staff_id=staff_id)
    base = type(SPOT)(west, south)
    more: dict[str, Any] = {"outside_city": False, "now": NOW}
    made = teams.found_team(database, vault, who, name="Ours", base=base, capabilities=(), **more)
    teams.edit_team(
        database, vault, who, team_id=team_id, name="Renamed", base=None, if_match=None, **more
    )
    organisations.edit_organisation(
        database,
        vault,
        who,
        organisation_id=organisation_id,
        values={"name": "Renamed too"},
        if_match=None,
        now=NOW,
    )
    teams.retire_team(database, vault, who, team_id=made.id, if_match=None, now=NOW)
    for one in coverages.list_coverages(
        database, who, team_id=team_id, after=None, limit=50, now=NOW
    ):
        assert one.set_by == "pack"
        coverages.remove_coverage(
            database, vault, who, team_id=team_id, coverage_id=one.id, if_match=1, now=NOW
        )
    with database.owner() as conn:
        (code,) = conn.execute(
            "select code from areas where city_id = %s order by code limit 1", [city_id]
        ).fetchone()
    added = coverages.add_coverage(
        database, vault, who, team_id=team_id, rule=Rule(area=code, modes=("bus",)), now=NOW
    )
    kept = teams.found_team(database, vault, who, name="Kept", base=base, capabilities=(), **more)
    with database.owner() as conn:
        conn.execute("update cities set pack_digest = 'another'")
    report = load_pack(database, TINYTOWN, now=NOW, progress=print)
    assert report.changed
    assert any("what its staff set stays: name" in note for note in report.notes)
    assert any("coverages were set by staff" in note for note in report.notes)
    left = coverages.list_coverages(database, who, team_id=team_id, after=None, limit=50, now=NOW)
    assert [(one.id, one.set_by) for one in left] == [(added.id, "staff")]
    with database.owner() as conn:
        rows = conn.execute(
            "select name, retired from teams where id = any (%s)", [[team_id, made.id, kept.id]]
        ).fetchall()
        (name,) = conn.execute(
            "select name from organisations where id = %s", [organisation_id]
        ).fetchone()
    assert sorted(rows) == [("Kept", False), ("Ours", True), ("Renamed", False)]
    assert name == "Renamed too"


def _staff():
    return Principal(kind=Kind.STAFF)
