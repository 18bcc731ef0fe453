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
def reach(line):
    """Makes databases at the other end of the line, with so much patience and three connections."""
    made = []

    def reach(patience_s):
        settings = settings_for(
            line.url(), WAYLIGHT_DATABASE_TIMEOUT_S=str(patience_s), WAYLIGHT_POOL_SIZE="3"
        )
        made.append(Database(settings))
        return made[-1]

    yield reach
    line.resume()
    for database in made:
        database.close()


@pytest.fixture
def remote(reach):
    """One with little patience: where the server is to be given up."""
    return reach(PATIENCE_S)


@pytest.fixture
def patient(reach):
    """One with much of it: where the server is to answer, on a busy machine too."""
    return reach(20.0)


@pytest.fixture
def single(url):
    """A database of which a process keeps one connection for each role."""
    database = Database(settings_for(url, WAYLIGHT_POOL_SIZE="1"))
    yield database
    database.close()
