import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.desk import P2, SPOT
from tests.proxy import soon
from tests.receivers import answer, receiving, silent
from tests.worker.channels import Recorder
from waylight import worker
from waylight.channels import open_channels
from waylight.domain.geo import Point
from waylight.domain.webhooks import IN_FLIGHT
from waylight.services import webhooks
from waylight.services.context import Waylight

pytestmark = pytest.mark.commits


def register(desk, settings, receiver, *event_types):
    return webhooks.create_webhook(
        desk.database,
        desk.vault,
        desk.control,
        values={
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "event_types": list(event_types),
            "description": "",
            "state": "active",
        },
        channels=settings.channels,
        loopback_ports=settings.allowed_loopback_ports,
        now=datetime.now(UTC),
    )


def sending_to(desk, *receivers):
    return replace(
        desk.settings,
        worker_poll_s=0.01,
        channels=("console", "webhook"),
        allowed_loopback_ports=tuple(one.port for one in receivers),
    )


@contextmanager
def working(desk, settings, *, workers):
    """That many workers at work, which have ended when this is left."""
    stop = threading.Event()
    context = Waylight(settings, desk.database, desk.vault)
    channels = open_channels(replace(settings, channels=("webhook",)))
    threads = [
        threading.Thread(
            target=worker.Worker(context, channels={"console": Recorder(), **channels}).run,
            args=(stop,),
        )
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


NOT_TAKEN = """
select from events e where e.kind = 'alert.created' and not exists (
    select from deliveries d where d.event_id = e.id and d.status = 'delivered')
"""


def test_events_reach_an_endpoint_once_however_many_workers_number_and_send(desk):
    now = datetime.now(UTC)
    with receiving(answer(204), forever=True) as receiver:
        settings = sending_to(desk, receiver)
        register(desk, settings, receiver, "alert.created")
        with working(desk, settings, workers=2):
            for n in range(10):
                desk.report(P2, at=Point(SPOT.lon, SPOT.lat + 0.05 * n), now=now)
            soon(lambda: desk.rows("select from alerts") and not desk.rows(NOT_TAKEN))
    sent = [one.headers["webhook-id"] for one in receiver.received]
    created = desk.rows("select from events where kind = 'alert.created'")
    assert len(sent) == len(set(sent)) == len(created) >= 10


def test_endpoint_that_does_not_answer_holds_two_senders_and_keeps_no_other_waiting(desk):
    with receiving(answer(204), forever=True) as well:
        with receiving(silent, forever=True) as hole:
            settings = sending_to(desk, hole, well)
            deaf, hears = (register(desk, settings, one, "hub.*") for one in (hole, well))
            for webhook in [deaf] * 12 + [hears] * 12:
                webhooks.ping_webhook(
                    desk.database, desk.control, webhook_id=webhook.id, now=datetime.now(UTC)
                )
            with working(desk, settings, workers=1):
                # No more: of those that hang some may have been given up meanwhile.
                soon(lambda: len(well.received) == 12 and hole.connections >= IN_FLIGHT)
                hole.closing.set()  # the worker need not wait for its time to be over
        assert hole.connections <= 2 * IN_FLIGHT
    assert len({one.headers["webhook-id"] for one in well.received}) == 12
