"""A worker over the city of the tests."""

from dataclasses import replace

import pytest

from tests.desk import NOW
from waylight import worker
from waylight.services.context import Waylight


@pytest.fixture
def make(desk):
    def make(channel, *, now=NOW, **changes):
        settings = replace(desk.settings, worker_poll_s=0.01, **changes)
        context = Waylight(settings, desk.database, desk.vault)
        return worker.Worker(context, channels={"console": channel}, clock=lambda: now)

    return make
