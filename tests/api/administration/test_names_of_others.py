"""Names that would be taken for those of another organisation."""

import psycopg
import pytest

from tests.api.administration.asking import HUB, TEAM, any_version, codes, mine
from tests.by_hand import by_hand

JOB = '[{"organisation": "Rail police", "modes": ["train"], "code": "on_rails"}]'


@pytest.mark.parametrize(
    "name",
    [
        "Operator",
        "OPERATOR",
        "\uff2fper\u00e1t0r",
        "Rail police",
        "rail  Police",
        "Rail police Camden",
    ],
)
def test_organisation_takes_the_name_of_no_other(desk, client, robin, name):
    desk.do("update cities set jurisdiction = %s", JOB)
    where = mine(client, robin)
    got = client.patch(where, json={"name": name}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}
    same = client.patch(where, json={"name": "Police"}, headers=any_version(robin))
    assert same.status_code == 200


def test_name_that_looks_like_that_of_an_organisation_elsewhere_is_taken_too(desk, client, robin):
    desk.do(
        "insert into cities select (jsonb_populate_record(c, jsonb_build_object('id', uuid_v7(),"
        " 'slug', 'elsewhere', 'control_room_id', null))).* from cities c"
    )
    desk.do(
        "insert into organisations (city_id, key, name, kind)"
        " select id, 'far', 'Far Police', 'police' from cities where slug = 'elsewhere'"
    )
    got = client.patch(mine(client, robin), json={"name": "FAR-police"}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}


@pytest.mark.parametrize("noun", ["teams", "hubs"])
def test_no_team_and_no_hub_is_called_by_the_name_of_another_organisation(
    desk, client, robin, noun
):
    desk.do("update organisations set name = 'Harbour Lines' where name = 'Operator'")
    body = {**(TEAM if noun == "teams" else HUB), "name": "Harbour-lines Camden"}
    assert codes(client.post(f"/v1/{noun}", json=body, headers=robin)) == {("/name", "name_taken")}
    made = client.post(f"/v1/{noun}", json={**body, "name": "Harbour"}, headers=robin)
    where = f"/v1/{noun}/{made.json['id']}"
    got = client.patch(where, json={"name": "H\u00e1rbour Lines"}, headers=any_version(robin))
    assert codes(got) == {("/name", "name_taken")}


def test_nobody_gets_the_stories_of_those_whose_job_it_is_by_taking_their_name(desk, client, robin):
    """Consent for the police goes to whoever has the name that the city says whose job it is."""
    desk.do("update cities set jurisdiction = %s", JOB)
    where = mine(client, robin)
    client.patch(where, json={"name": "Rail police"}, headers=any_version(robin))
    with pytest.raises(psycopg.errors.CheckViolation):
        by_hand(desk, desk.police, "update organisations set name = 'Rail police'")
    assert desk.rows("select from organisations where name = 'Rail police'") == []


def test_name_by_which_reports_are_an_organisation_s_job_stays(desk, client, robin):
    desk.do("update cities set jurisdiction = replace(%s, 'Rail police', 'Police')::jsonb", JOB)
    where = mine(client, robin)
    got = client.patch(where, json={"name": "Harbour Police"}, headers=any_version(robin))
    assert codes(got) == {("/name", "whose_job")}
    with pytest.raises(psycopg.errors.CheckViolation):
        by_hand(desk, desk.police, "update organisations set name = 'Harbour Police'")
