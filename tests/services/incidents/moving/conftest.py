from dataclasses import replace

import pytest

from tests.desk import P2


@pytest.fixture
def two(desk, room, west):
    """Two incidents of one evening: the police's first team was told of both."""
    here, there = desk.report(P2), desk.report(replace(P2, narrative="By the bus."), at=west)
    assert room.of(here) != room.of(there)
    return here, there
