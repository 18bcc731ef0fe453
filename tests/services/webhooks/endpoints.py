"""What tests of webhooks share."""

from tests.desk import NOW, SPOT
from waylight.domain.alerts import Outcome, Result
from waylight.domain.geo import Point
from waylight.services import webhooks

LEASE_S = 30.0

ELSEWHERE = Point(SPOT.lon - 0.05, SPOT.lat)

DELIVERED = Outcome(Result.DELIVERED, "http_204")

FAILED = Outcome(Result.FAILED, "http_500")

GONE = Outcome(Result.GONE, "http_410")

VALUES = {
    "url": "https://partner.example/hook?token=s3cret",
    "event_types": ["*"],
    "description": "",
    "state": "active",
}


def read(desk, webhook, who=None):
    return webhooks.read_webhook(
        desk.database, desk.vault, who or desk.police, webhook_id=webhook.id
    )


def log(desk, webhook, who=None):
    return webhooks.list_deliveries(
        desk.database, who or desk.police, webhook_id=webhook.id, before=None, limit=100
    )


def one_for(desk, message):
    (row,) = desk.rows(
        "select a.organisation_id from events e join alerts a on a.id = e.alert_id where e.id = %s",
        message.event_id,
    )
    return row["organisation_id"]


def ping(desk, webhook, who=None, *, times=1):
    for _ in range(times):
        webhooks.ping_webhook(desk.database, who or desk.police, webhook_id=webhook.id, now=NOW)
