"""A database at the end of a line, for tests of what happens when it is away."""

import psycopg
import pytest

from tests.databases import settings_for
from tests.proxy import Line
from waylight.db.session import Database

PATIENCE_S = 0.6


@pytest.fixture(scope="session")
def _shared_url(cluster, _empty_template):
    with cluster.clone(_empty_template) as name:
        yield cluster.url(name)


@pytest.fixture
def url(_shared_url):
    """A database in which no test has left anything."""
    yield _shared_url
    with psycopg.connect(_shared_url) as conn:
        conn.execute("truncate worker_heartbeats")


@pytest.fixture
def line(url):
    line = Line(url)
    yield line
    line.close()


@pytest.fixture
def remote(line):
    """A database at the other end of the line, with little patience and three connections."""
    settings = settings_for(
        line.url(),
        WAYLIGHT_DATABASE_TIMEOUT_S=str(PATIENCE_S),
        WAYLIGHT_POOL_SIZE="3",
    )
    database = Database(settings)
    yield database
    line.resume()
    database.close()


@pytest.fixture
def single(url):
    """A database of which a process keeps one connection for each role."""
    database = Database(settings_for(url, WAYLIGHT_POOL_SIZE="1"))
    yield database
    database.close()
