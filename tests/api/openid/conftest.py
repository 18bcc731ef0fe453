from datetime import UTC, datetime

import pytest

from schemas.common import WireId
from tests.api.openid.door import ROBIN, Door, caller_of, made, speaking
from tests.openid import fake_provider
from tests.staff import QUICK, administrator
from waylight.services import passwords


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", QUICK)


@pytest.fixture
def fake():
    with fake_provider() as provider:
        provider.claims = {**ROBIN, "groups": ["desk"]}
        yield provider


@pytest.fixture
def at(app, client, desk, fake, monkeypatch) -> Door:
    speaking(app, monkeypatch, fake.port, searched_every_s=0)
    ada = administrator(desk, now=datetime.now(UTC))
    caller = caller_of(desk, ada)
    row = made(desk, fake, caller)
    return Door(client, desk, fake, ada, caller, WireId.of("provider", row.id), row)


@pytest.fixture
def hostile(at, app, monkeypatch):
    """The operator's administrator runs a provider of their own."""
    with fake_provider() as fake:
        speaking(app, monkeypatch, at.fake.port, fake.port, searched_every_s=0)
        eve = administrator(
            at.desk, "eve@operator.example", organisation="operator", now=datetime.now(UTC)
        )
        caller = caller_of(at.desk, eve)
        row = made(at.desk, fake, caller)
        yield Door(at.client, at.desk, fake, eve, caller, WireId.of("provider", row.id), row)
