from datetime import timedelta

import pytest

from tests.desk import NOW
from waylight.services import alerts

LEASE_S = 30.0
SOON = NOW + timedelta(seconds=1)


@pytest.fixture
def claim(desk):
    def claim(worker="one", *, now=NOW, limit=50):
        return alerts.claim(
            desk.database,
            desk.vault,
            worker,
            free={"console": limit},
            lease_s=LEASE_S,
            base_url="https://waylight.example",
            now=now,
        )

    return claim


@pytest.fixture
def record(desk):
    def record(message, outcome, worker="one", *, now=SOON, jitter=0.0):
        return alerts.record(
            desk.database, message, outcome=outcome, worker_id=worker, jitter=jitter, now=now
        )

    return record
