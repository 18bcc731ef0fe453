"""What the role of staff makes and removes by hand."""

import pytest


def test_staff_role_changes_its_own_organisation_alone_even_by_hand(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("update organisations set name = 'x'").rowcount == 1
        assert (
            conn.execute(
                "update organisations set escalation = null where id <> %s",
                [desk.police.organisation_id],
            ).rowcount
            == 0
        )


BY_HAND = {
    "a team of another organisation": "insert into teams (city_id, organisation_id, key, name,"
    " kind, base, capabilities, shifts, edited) select city_id, organisation_id, 'x', 'x', 'field',"
    " base, '{}', 'off', '{}' from teams where id = %(theirs)s",
    "a control room of one's own": "insert into teams (city_id, organisation_id, key, name, kind,"
    " base, capabilities, shifts, edited) select city_id, organisation_id, 'x', 'x',"
    " 'control_room', base, '{}', 'off', '{}' from teams where id = %(ours)s",
    "a hub of another organisation": "insert into hubs (city_id, organisation_id, key, name, kind,"
    " position, address, opening_hours, services, access, languages) select city_id,"
    " organisation_id, 'x', 'x', kind, position, '', 'off', '{}', '{}', '{}' from hubs",
    "a coverage of another's team": "insert into coverages (team_id, area_id)"
    " select %(theirs)s, id from areas",
    "an area of the city": "insert into areas (city_id, code, name, kind, geom)"
    " select city_id, 'x', 'x', 'coverage', geom from areas",
    "an area of another organisation": "insert into areas (city_id, code, name, kind, geom,"
    " organisation_id) select a.city_id, 'x', 'x', 'coverage', a.geom, t.organisation_id"
    " from areas a, teams t where t.id = %(theirs)s",
    "a borough": "insert into areas (city_id, code, name, kind, geom, organisation_id)"
    " select a.city_id, 'x', 'x', 'borough', a.geom, t.organisation_id"
    " from areas a, teams t where t.id = %(ours)s",
    "more of an area of the city": "insert into area_parts (area_id, part, geom)"
    " select area_id, 99, geom from area_parts",
}


@pytest.mark.parametrize("what", BY_HAND)
def test_staff_role_makes_by_hand_neither(desk, what):
    with (
        pytest.raises(Exception, match="row-level security"),
        desk.database.staff(desk.police.organisation_id) as conn,
    ):
        conn.execute(BY_HAND[what], {"ours": desk.first, "theirs": desk.second})


def test_staff_role_removes_nothing_of_the_city_or_another_by_hand(desk):
    with desk.database.staff(desk.police.organisation_id) as conn:
        assert conn.execute("delete from areas").rowcount == 0
        assert conn.execute("delete from area_parts").rowcount == 0
        gone = conn.execute("delete from coverages returning team_id").fetchall()
    assert {row[0] for row in gone} == {desk.first, desk.third}
