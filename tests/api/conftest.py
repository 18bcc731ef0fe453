"""The app in front of the database of a test, with every answer held against the document."""

import pytest
from flask import Flask

from api.app import create_app
from api.stream import open_feed
from api.wire.auth import LastKnown
from api.wire.cors import Pages
from api.wire.limits import Limiter
from tests.api.checked_client import CheckedClient, check_every_answer
from tests.databases import settings_for
from tests.desk import keys_for
from waylight.config import Settings
from waylight.db.session import Database
from waylight.services.context import Waylight
from waylight.services.operations.health import Readiness
from waylight.services.operations.metrics import Scrape
from waylight.vault import Vault


@pytest.fixture(scope="session")
def _one_app() -> Flask:
    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    check_every_answer(app)
    return app


@pytest.fixture
def app(request: pytest.FixtureRequest, _one_app: Flask, settings: Settings, vault: Vault) -> Flask:
    """The app over `london` where the test asks for it, else over `database`."""
    name = "london" if "london" in request.fixturenames else "database"
    database: Database = request.getfixturevalue(name)
    _one_app.extensions["waylight"] = Waylight(settings, database, vault)
    _one_app.extensions["waylight.limiter"] = Limiter(exempt_loopback=settings.exempt_loopback)
    _one_app.extensions["waylight.last_known"] = LastKnown()
    _one_app.extensions["waylight.pages"] = Pages()
    _one_app.extensions["waylight.readiness"] = Readiness()
    _one_app.extensions["waylight.scrape"] = Scrape()
    feed = open_feed(_one_app.extensions["waylight"], _one_app.extensions["waylight.readiness"])
    feed._die = lambda: None  # this process is the test's
    _one_app.extensions["waylight.feed"] = feed
    return _one_app


@pytest.fixture
def client(app: Flask) -> CheckedClient:
    found = app.test_client()
    assert isinstance(found, CheckedClient)
    return found


@pytest.fixture
def signed_in(desk):
    """The headers of each person of the city, by name."""
    people = (desk.police, desk.operator, desk.control, desk.hub_host)
    tokens = keys_for(desk, people)
    return {person.name: {"Authorization": f"Bearer {token}"} for person, token in tokens.items()}


@pytest.fixture
def robin(signed_in):
    """The headers of an officer of the police."""
    return signed_in["Robin"]
