"""The one rule of names, at every door that takes one."""

from typing import Any

import pytest

from schemas.common import WireId
from tests.api.administration.asking import HUB, TEAM, codes
from tests.desk import NOW, headers_for
from tests.desk import SCOPES as DESK
from waylight.domain import roles
from waylight.domain.errors import InvalidRequest
from waylight.services import keys
from waylight.services.operations import organisations
from waylight.services.operations import staff as operations

ADMINISTRATOR = DESK | roles.scopes_of(["administrator"])
PERSON = {"email": "kim@police.example", "name": "Kim", "job": "officer", "roles": ["responder"]}
UNFIT = (
    "Police\u202eecilop",
    "A\u200bda",
    "\xa0",
    " ",
    "Ada\u0007",
    "\u0412ritish",
    "\u2066A\u2069",
)


@pytest.fixture
def robin(desk):
    return headers_for(desk, ADMINISTRATOR)["Robin"]


def doors(desk):
    """Where a name is taken: method, path, body, and the field."""
    organisation = WireId.of("organisation", desk.police.organisation_id)
    team = f"/v1/teams/{WireId.of('team', desk.first)}"
    address = {"channel": "sms", "address": "+44 7400 123456", "name": "On call"}
    client = {"name": "Night app", "scopes": ["alerts:read"]}
    return [
        ("PATCH", f"/v1/organisations/{organisation}", {}, "name"),
        ("POST", "/v1/teams", TEAM, "name"),
        ("PATCH", team, {}, "name"),
        ("POST", "/v1/hubs", HUB, "name"),
        ("POST", "/v1/hubs", HUB, "address"),
        ("POST", "/v1/clients", client, "name"),
        ("POST", f"{team}/coverages", {"area": "all"}, "name"),
        ("POST", f"{team}/addresses", address, "name"),
        ("POST", f"{team}/shifts", {"kind": "recurring", "rule": "24/7"}, "name"),
        ("POST", "/v1/staff", PERSON, "name"),
        ("POST", "/v1/staff", PERSON, "job"),
    ]


@pytest.mark.parametrize("name", UNFIT)
def test_no_door_takes_a_name_that_is_not_what_it_looks_like(desk, client, robin, name):
    headers = {**robin, "If-Match": "*"}
    for method, path, body, field in doors(desk):
        got = client.open(path, method=method, json={**body, field: name}, headers=headers)
        assert codes(got) == {(f"/{field}", "invalid")}, (path, field)


def test_persian_name_with_its_joiner_is_taken_and_kept_in_one_form(desk, client, robin):
    for name, kept in (("\u0645\u06cc\u200c\u0631\u0648\u0645",) * 2, ("Zoe\u0308", "Zo\u00eb")):
        made = client.post("/v1/teams", json={**TEAM, "name": name}, headers=robin)
        assert (made.status_code, made.json["name"]) == (201, kept)


@pytest.mark.parametrize("name", UNFIT)
def test_command_line_takes_no_such_name_either(desk, name):
    some: dict[str, Any] = {"database": desk.database, "vault": desk.vault, "now": NOW}
    ours: dict[str, Any] = {**some, "organisation": "police", "city": None}
    kim: dict[str, Any] = {"email": "kim@police.example", "roles": ["responder"], "password": None}
    new: dict[str, Any] = {"key": "new", "kind": "police", "city": None, "phone": None}
    for taken in (
        lambda: operations.create(**ours, **kim, name=name, job="officer"),
        lambda: operations.create(**ours, **kim, name="Kim", job=name),
        lambda: keys.create_staff_key(**ours, person=name, role="officer", scopes=()),
        lambda: keys.create_client_key(**ours, name=name, scopes=()),
        lambda: organisations.create(**some, **new, name=name),
    ):
        with pytest.raises(InvalidRequest):
            taken()


def test_new_organisation_looks_like_none_of_its_city(desk):
    with pytest.raises(InvalidRequest, match="another organisation"):
        organisations.create(
            *(desk.database, desk.vault),
            key="new",
            name="P\u00f3lice.",
            kind="police",
            city=None,
            phone=None,
            now=NOW,
        )


def test_address_that_a_colleague_has_is_named_in_the_refusal(client, robin):
    assert client.post("/v1/staff", json=PERSON, headers=robin).status_code == 201
    again = client.post("/v1/staff", json={**PERSON, "email": "KIM@police.example"}, headers=robin)
    assert codes(again, 409) == {("/email", "email_taken")}


@pytest.mark.parametrize(
    "email", ["\u0130@walk.example", "\uff2bim@walk.example", "kim@\uff37alk.example"]
)
def test_address_of_other_than_ascii_letters_is_refused_whichever_they_are(client, robin, email):
    got = client.post("/v1/staff", json={**PERSON, "email": email}, headers=robin)
    assert codes(got) == {("/email", "invalid")}
