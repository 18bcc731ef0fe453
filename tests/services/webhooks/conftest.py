"""Webhooks of a desk, events for them, and what a worker does with the messages."""

import orjson
import pytest

from schemas.events import envelope
from tests.desk import NOW
from tests.services.webhooks.endpoints import DELIVERED, LEASE_S, VALUES
from waylight.services import alerts, webhooks
from waylight.services.operations import chores


@pytest.fixture
def make(desk):
    def make(who, *, ports=(), now=NOW, **changes):
        return webhooks.create_webhook(
            desk.database,
            desk.vault,
            who,
            values=VALUES | changes,
            channels=("webhook",),
            loopback_ports=ports,
            now=now,
        )

    return make


@pytest.fixture
def tell(desk):
    """Numbers and queues everything; returns how many messages were queued."""

    def tell(now=NOW):
        while chores.number_events(desk.database):
            pass
        queued = 0
        while True:
            told = webhooks.tell_webhooks(desk.database, now=now)
            queued += told.queued
            if not told.more:
                return queued

    return tell


@pytest.fixture
def claim(desk):
    def claim(worker="one", *, now=NOW, free=50):
        return [
            one
            for one in alerts.claim(
                desk.database,
                desk.vault,
                worker,
                free={"webhook": free},
                lease_s=LEASE_S,
                base_url="https://waylight.example",
                render=lambda event: orjson.dumps(
                    envelope(event, base_url="https://waylight.example")
                ),
                now=now,
            )
            if one.channel == "webhook"
        ]

    return claim


@pytest.fixture
def record(desk):
    def record(message, outcome, worker="one", *, now=NOW):
        return alerts.record(
            desk.database, message, outcome=outcome, worker_id=worker, jitter=0.0, now=now
        )

    return record


@pytest.fixture
def claim_all(claim, record):
    """Everything that is due, each delivered before more is taken."""

    def claim_all():
        found = []
        while taken := claim():
            for one in taken:
                record(one, DELIVERED)
            found += taken
        return found

    return claim_all
