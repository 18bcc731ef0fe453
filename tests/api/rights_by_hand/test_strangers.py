"""Somebody of no organisation, at every table and column that there is."""

from uuid import uuid4

import pytest

from schemas.common import WireId
from tests.api.rights_by_hand.stories import WANTS_HUB


@pytest.fixture
def busy(desk, client, signed_in, step, note):
    """A night with a row in every table that staff write."""
    report = desk.report(WANTS_HUB)
    step("Jo", desk.hub, "acknowledge")
    step("Jo", desk.hub, "arrival", {"status": "arrived"})
    for name in ("acknowledge", "en-route", "on-scene"):
        step("Robin", desk.first, name)
    assert note("Robin", report, "Zmark.") == 201
    shift = {"kind": "recurring", "rule": "24/7"}
    team = f"/v1/teams/{WireId.of('team', desk.first)}/shifts"
    assert client.post(team, json=shift, headers=signed_in["Robin"]).status_code == 201
    square = [[[-0.2, 51.5], [-0.1, 51.5], [-0.1, 51.6], [-0.2, 51.6], [-0.2, 51.5]]]
    shape = {"type": "Polygon", "coordinates": square}
    drawn = client.post(
        team.replace("/shifts", "/coverages"),
        json={"name": "Ours", "shape": shape},
        headers=signed_in["Robin"],
    )
    assert drawn.status_code == 201


def test_stranger_reads_no_row_of_anything_that_belongs_to_somebody(desk, busy):
    readable = desk.rows(
        "select relname from pg_class where relrowsecurity and not relispartition"
        " and has_any_column_privilege('waylight_staff', oid, 'select')"
    )
    found = {}
    for row in readable:
        table = row["relname"]
        with desk.database.staff(uuid4()) as conn:
            found[table] = conn.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
    # Which organisations, teams and hubs there are is for everybody to know, and the city's areas.
    public = {"organisations", "teams", "hubs", "areas", "area_parts"}
    assert {table for table, rows in found.items() if rows} == public
    with desk.database.staff(uuid4()) as conn:
        assert conn.execute("select code from areas").fetchall() == [("all",)]
        assert conn.execute("select count(*) from area_parts").fetchone() == (1,)
    assert {"incident_notes", "check_ins", "engagements", "shifts", "hub_arrivals"} <= set(found)


def test_stranger_changes_no_row_and_takes_none_away(desk, busy):
    columns = desk.rows(
        "select relname, attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where relkind in ('r', 'p') and not relispartition and attnum > 0 and not attisdropped"
        " and has_column_privilege('waylight_staff', c.oid, attnum, 'update')"
    )
    tables = desk.rows(
        "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
        " and has_table_privilege('waylight_staff', oid, 'delete')"
    )
    tried = [f"update {row['relname']} set {row['attname']} = default" for row in columns]  # noqa: S608 - names of the catalogue
    tried += [f"delete from {row['relname']}" for row in tables]  # noqa: S608 - the same
    assert len(tried) > 40
    for statement in tried:
        with desk.database.staff(uuid4()) as conn:
            assert conn.execute(statement).rowcount == 0, statement
