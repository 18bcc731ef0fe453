"""The stream as it is served: real processes, real sockets."""

import pytest

from tests.desk import P1
from tests.processes import serving
from tests.proxy import soon
from tests.streams import following

pytestmark = [pytest.mark.commits, pytest.mark.slow, pytest.mark.usefixtures("numbered")]


@pytest.fixture
def server(desk, tokens, database, tmp_path):
    with serving(database._settings.database_url, tmp_path) as server:
        yield server


def test_team_is_told_of_its_alert_the_moment_it_is_raised(server, desk, tokens):
    with following(server.port, token=tokens["Robin"]) as robin:
        assert robin.head["content-type"].startswith("text/event-stream")
        assert robin.head["cache-control"] == "no-store, no-transform"
        assert robin.head["x-accel-buffering"] == "no"
        assert "content-encoding" not in robin.head
        report = desk.report(P1)
        soon(lambda: robin.events("alert.created"))
        (told,) = robin.events()
        assert told.id == told.data["id"]
        assert told.data["data"]["team"]["name"] == "First"
        assert str(report.id) not in str(told)
