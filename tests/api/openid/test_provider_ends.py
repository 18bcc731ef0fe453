"""A provider is disabled, or there is none."""

from datetime import UTC, datetime, timedelta

from tests.api.openid.door import refused
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
