"""Deliveries on their way: claimed with a lease, sent by a channel, recorded.

No connection is held between `claim` and `record`: a slow provider must not use up the pool.
"""

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from typeid import TypeID
from uuid_utils import UUID as FastUUID  # noqa: N811 - the two classes share their name

from waylight import metrics
from waylight.db import events
from waylight.db.alerts import deliveries
from waylight.db.session import Database
from waylight.domain.alerts import Message, NextAttempt, Outcome, after_attempt

EVENTS = {
    "sent": "delivery.sent",
    "delivered": "delivery.delivered",
    "failed": "delivery.failed",
}
"""What is told of an attempt; one that is tried again is not."""


def claim(
    database: Database,
    worker_id: str,
    *,
    limit: int,
    lease_s: float,
    base_url: str,
    now: datetime,
) -> list[Message]:
    """Up to `limit` messages that are due, most urgent first, leased to this worker and committed.

    They come due for other workers when the lease ends. Raises Unavailable.
    """
    with database.intake() as conn:
        rows = deliveries.claim(
            conn, worker_id, limit=limit, lease=timedelta(seconds=lease_s), now=now
        )
    return [
        Message(
            delivery_id=row["id"],
            alert_id=row["alert_id"],
            attempt=row["attempts"],
            channel=row["channel"],
            kind=row["message"],
            recipient=row["recipient"],
            priority=row["priority"],
            category_groups=tuple(row["category_groups"]),
            exercise=row["exercise"],
            link=f"{base_url}/v1/alerts/{_wire_id(row['alert_id'])}",
        )
        for row in rows
    ]


def record(
    database: Database,
    message: Message,
    *,
    outcome: Outcome,
    worker_id: str,
    jitter: float,
    now: datetime,
) -> NextAttempt | None:
    """Writes what became of an attempt and what follows: done, given up, or again later.

    A team that could not be told at all is not waited for: a ladder at rest is due at once.
    Returns None, and writes nothing, when the lease had run out and somebody else took over.
    Raises Unavailable; the message is then sent again after its lease.
    """
    following = after_attempt(outcome, attempts=message.attempt, jitter=jitter, now=now)
    with database.intake() as conn:
        row = deliveries.record(
            conn, message, outcome=outcome, following=following, worker_id=worker_id, now=now
        )
        if row is None:
            metrics.count(metrics.DELIVERIES, message.channel, "lost")
            return None
        if row["status"] == "failed":
            deliveries.wake_ladder(conn, message.delivery_id, now=now)
        if row["status"] in EVENTS:
            events.write(
                conn,
                events.Event(
                    EVENTS[row["status"]],
                    now,
                    city_id=row["city_id"],
                    organisation_id=row["organisation_id"],
                    report_id=row["report_id"],
                    incident_id=row["incident_id"],
                    alert_id=row["alert_id"],
                    data={"channel": row["channel"], "message": row["message"]},
                    exercise=row["exercise"],
                ),
            )
    if not row["exercise"]:
        metrics.count(metrics.DELIVERIES, row["channel"], row["status"])
        if row["is_first"] and row["status"] in ("sent", "delivered"):
            waited = (now - row["decided_at"]).total_seconds()
            metrics.time(metrics.FIRST_DELIVERY, str(row["priority"]), took_s=waited)
    return following


def give_back(database: Database, worker_id: str, *, now: datetime) -> int:
    """Ends the leases of a worker that stops; returns how many there were. Raises Unavailable."""
    with database.intake() as conn:
        return deliveries.give_back(conn, worker_id, now=now)


def _wire_id(alert_id: UUID) -> str:
    return str(TypeID.from_uuid(cast("FastUUID", alert_id), "alert"))
