"""A provider is disabled, or there is none."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.api.openid.door import DESKS, HEADS, refused
from tests.staff import PASSWORD, holder
from waylight.services import identity_providers


def test_disabled_provider_ends_its_sessions_at_once_and_no_others(at):
    session = at.enter()
    own = at.client.post(
        "/v1/sessions",
        json={
            "email": at.ada.email,
            "password": PASSWORD,
            "code": at.ada.code(datetime.now(UTC) + timedelta(seconds=30)),
        },
    )
    begun = at.begin()
    back = at.fake.visit(begun.json["url"])
    identity_providers.edit_provider(
        at.desk.database,
        at.desk.vault,
        holder(at.desk, own.json["token"], now=datetime.now(UTC)),
        provider_id=at.row.id,
        values={"enabled": False},
        if_match=None,
        now=datetime.now(UTC),
    )
    assert at.get("/v1/alerts", session).status_code == 401
    assert at.get("/v1/staff", own).status_code == 200
    assert at.begin().status_code == 404
    refused(at.end(begun, back))
    assert at.why() == ["provider_gone"]


def test_provider_that_nobody_has_looks_like_a_disabled_one(at):
    nobodys = at.begin("provider_01jdw2s4x0e6qv3t8k5n7b9c1d")
    at.desk.do("update identity_providers set enabled = false")
    disabled = at.begin()
    assert nobodys.status_code == disabled.status_code == 404
    assert nobodys.json == disabled.json


def edit(at, **values):
    identity_providers.edit_provider(
        at.desk.database,
        at.desk.vault,
        at.caller,
        provider_id=at.row.id,
        values=values,
        if_match=None,
        now=datetime.now(UTC),
    )


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({"role_mapping": [HEADS]}, True),
        ({"role_mapping": []}, True),
        ({"role_mapping": [{**DESKS, "role": "dispatcher"}, HEADS]}, True),
        ({"role_mapping": [HEADS, DESKS, {**DESKS, "value": "night"}]}, False),
        ({"second_factor_values": []}, True),
        ({"second_factor_values": ["mfa", "hwk"]}, False),
        ({"email_domains": ["police.example"]}, True),
        ({"name": "Another", "scopes": ["groups"], "client_secret": "new"}, False),
    ],
)
def test_provider_that_vouches_for_less_than_before_ends_its_sessions(at, values, ends):
    session = at.enter()
    edit(at, **values)
    assert at.get("/v1/alerts", session).status_code == (401 if ends else 200)


def test_domain_that_is_taken_away_ends_sessions_and_one_more_does_not(at):
    edit(at, email_domains=["police.example", "met.example"])
    session = at.enter()
    edit(at, email_domains=["met.example", "police.example", "btp.example"])
    assert at.get("/v1/alerts", session).status_code == 200
    edit(at, email_domains=[])
    assert at.get("/v1/alerts", session).status_code == 200
    edit(at, email_domains=["police.example", "met.example"])
    session = at.enter()
    edit(at, email_domains=["police.example"])
    assert at.get("/v1/alerts", session).status_code == 401


def test_change_that_comes_while_the_provider_is_asked_is_not_got_round(at):
    def say(talk):
        edit(at, role_mapping=[HEADS])
        del at.fake.says["/token"]
        talk.say({"access_token": "access", "id_token": at.fake.id_token("code-0")})

    at.fake.says["/token"] = say
    refused(at.enter())
    assert at.why() == ["provider_changed"]
    assert not at.desk.rows("select from sessions where identity_provider_id is not null")
