"""What an organisation changes of itself, over the wire and by hand."""

import click
import pytest

from tests.api.administration.asking import NOBODYS, actions, any_version, codes, mine
from waylight.cli.organisations import organisation
from waylight.domain.alerts import BOUNDS
from waylight.services.packs.shapes import ORGANISATION_KINDS


def test_organisation_changes_its_name_and_contact_and_no_more(desk, client, robin):
    where = mine(client, robin)
    seen = client.get(where, headers=robin)
    changed = client.patch(
        where,
        json={"name": "Harbour Police", "contact": {"phone": "0800 40 50 40"}},
        headers={**robin, "If-Match": seen.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.text
    assert changed.json["contact"] == {"sms": None, "phone": "0800 40 50 40", "url": None}
    assert changed.json["set_by_staff"] == ["contact", "name"]
    late = client.patch(
        where, json={"name": "Late"}, headers={**robin, "If-Match": seen.headers["ETag"]}
    )
    assert (late.status_code, late.headers["ETag"]) == (412, changed.headers["ETag"])
    for body in ({"kind": "charity"}, {"city": "desk"}, {"demo": True}, {"key": "mine"}):
        assert "unknown" in {
            code for _, code in codes(client.patch(where, json=body, headers=robin))
        }
    assert "organisation.updated" in desk.kinds()
    assert actions(desk) == ["organisation.updated"]


@pytest.mark.parametrize("kind", sorted(ORGANISATION_KINDS))
def test_organisation_of_every_kind_that_a_pack_may_have_is_administered(desk, client, robin, kind):
    desk.do("update organisations set kind = %s where id = %s", kind, desk.police.organisation_id)
    (found,) = client.get("/v1/organisations", headers=robin).json["items"]
    assert found["kind"] == kind
    said = client.get("/openapi.json").json["components"]["schemas"]["Organisation"]
    assert kind in said["properties"]["kind"]["enum"]
    create = next(one for one in organisation.commands["create"].params if one.name == "kind")
    assert isinstance(create.type, click.Choice)
    assert kind in create.type.choices


def test_another_s_organisation_is_like_one_that_there_is_not(desk, client, signed_in):
    theirs, robin = mine(client, signed_in["Ali"]), signed_in["Robin"]
    before = client.get(theirs, headers=signed_in["Ali"]).json
    for where in (theirs, f"/v1/organisations/organisation_{NOBODYS}"):
        matched = any_version(robin)
        assert client.get(where, headers=robin).status_code == 404
        assert client.patch(where, json={"name": "x"}, headers=matched).status_code == 404
        assert client.get(f"{where}/escalation", headers=robin).status_code == 404
        times = {f"priority_{n}_s": None for n in BOUNDS}
        answer = client.put(f"{where}/escalation", json=times, headers=matched)
        assert answer.status_code == 404
    assert client.get(theirs, headers=signed_in["Ali"]).json == before
