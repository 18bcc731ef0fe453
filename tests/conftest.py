"""Fixtures that every test may use.

`database` is migrated and empty, `london` has the London pack in it. Both are rolled back after
the test; a test marked `commits` gets a clone of its own instead. `settings` and `vault` go with
whichever of the two the test asked for.
"""

import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.databases import (
    Cluster,
    RolledBack,
    empty_template,
    london_template,
    rolled_back,
    settings_for,
)
from tests.desk import Desk, open_desk
from waylight.config import Settings
from waylight.db.session import Database
from waylight.vault import Vault

URL = "WAYLIGHT_TEST_DATABASE_URL"

# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile(
    "waylight",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("waylight"), max_examples=2000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "waylight"))


def pytest_report_header() -> str:
    if URL not in os.environ:
        return f"PostgreSQL: none, {URL} is not set; bin/test starts one"
    return f"PostgreSQL: {Cluster(os.environ[URL]).version()}"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    if URL not in os.environ:
        pytest.fail(f"{URL} is not set: run bin/test, which starts a cluster for the tests")
    return Cluster(os.environ[URL])


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """The settings of the database of this test; of none, for a test without one."""
    for name in ("database", "london"):
        if name in request.fixturenames:
            found: Database = request.getfixturevalue(name)
            return found._settings
    return settings_for("postgresql://nobody@127.0.0.1:1/none")


@pytest.fixture
def vault(settings: Settings) -> Vault:
    return Vault(settings)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated, empty database."""
    yield from _database(request, "_empty")


@pytest.fixture
def london(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with the London pack loaded."""
    yield from _database(request, "_london")


@pytest.fixture
def desk(database: Database, vault: Vault, settings: Settings) -> Desk:
    """A small city with its teams, a hub and people, in `database`."""
    return open_desk(database, vault, settings)


def _database(request: pytest.FixtureRequest, kind: str) -> Iterator[Database]:
    if request.node.get_closest_marker("commits"):
        cluster: Cluster = request.getfixturevalue("cluster")
        with cluster.clone(request.getfixturevalue(f"{kind}_template")) as name:
            own = Database(settings_for(cluster.url(name)))
            yield own
            own.close()
    else:
        url, make = request.getfixturevalue(f"{kind}_shared")
        shared: RolledBack = make(settings_for(url))
        yield shared
        shared._conn.end()


@pytest.fixture(scope="session")
def _empty_template(cluster: Cluster) -> str:
    return empty_template(cluster)


@pytest.fixture(scope="session")
def _london_template(cluster: Cluster) -> str:
    return london_template(cluster)


Shared = tuple[str, Callable[[Settings], RolledBack]]


@pytest.fixture(scope="session")
def _empty_shared(cluster: Cluster, _empty_template: str) -> Iterator[Shared]:
    yield from _shared(cluster, _empty_template)


@pytest.fixture(scope="session")
def _london_shared(cluster: Cluster, _london_template: str) -> Iterator[Shared]:
    yield from _shared(cluster, _london_template)


def _shared(cluster: Cluster, template: str) -> Iterator[Shared]:
    with cluster.clone(template) as name, rolled_back(cluster.url(name)) as make:
        yield cluster.url(name), make
