"""Events queued once for each webhook that wants them, claimed with what is sent, and settled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events as db_events
from waylight.db.session import Database
from waylight.db.webhooks import queue
from waylight.domain.alerts import Message, Outcome, Result, Target
from waylight.domain.events import PublicEvent
from waylight.domain.webhooks import CHANNEL, PING, after_answer, wants
from waylight.log import get_logger
from waylight.services import events
from waylight.vault import Vault, VaultError

log = get_logger(__name__)

Render = Callable[[PublicEvent], bytes]
"""Makes the body that is sent: services know no wire."""

BATCH = 500
UNDATED_PRIORITY = 4
"""Of what has none, such as a hub that changed."""

REACHED_EVERY = timedelta(minutes=1)
"""How exactly the last success is known: no row is written for each message of a burst."""


@dataclass(frozen=True)
class Told:
    """How many messages were queued, and whether there are more events to look at."""

    queued: int = 0
    more: bool = False


def tell_webhooks(database: Database, *, now: datetime) -> Told:
    """Queues the next numbered events for the webhooks that want them.

    Each event once for each webhook, however many workers try: how far they are is written in the
    same transaction. Without a webhook it is one look. Raises Unavailable.
    """
    with database.intake() as conn:
        found = queue.following(conn)
        if found is None:
            return Told()
        after, webhooks = found
        batch = events.read_batch(conn, after, limit=BATCH)
        messages = [
            (
                webhook["id"],
                event.id,
                event.type,
                event.priority or UNDATED_PRIORITY,
                event.exercise,
            )
            for event in batch.events
            for webhook in webhooks
            if event.sequence > webhook["starts_after"]
            and event.concerns(webhook["organisation_id"])
            and wants(webhook["event_types"], event.type)
        ]
        queue.enqueue(conn, messages, now=now)
        if batch.last > after:
            queue.advance(conn, to=batch.last)
    return Told(len(messages), batch.is_full)


def claim(
    conn: Connection[Any],
    vault: Vault,
    worker_id: str,
    *,
    free: int,
    exercise: bool,
    lease: timedelta,
    render: Render,
    now: datetime,
) -> list[Message]:
    """Messages to endpoints that are due, leased to this worker, each with its body.

    What is sent is read now: whom an event concerns may have changed since it was queued. One that
    concerns the owner no more, and one whose endpoint cannot be opened, come without.
    """
    rows = queue.claim(conn, worker_id, free=free, exercise=exercise, lease=lease, now=now)
    read: dict[int, PublicEvent | None] = {}
    found = []
    for row in rows:
        event = _ping(row) if row["message"] == PING else _event(conn, row["sequence"], read)
        is_told = event is not None and event.concerns(row["organisation_id"])
        found.append(
            Message(
                delivery_id=row["id"],
                alert_id=None,
                attempt=row["attempts"],
                channel=CHANNEL,
                kind=row["message"],
                recipient="",
                priority=row["priority"],
                category_groups=(),
                exercise=row["exercise"],
                link="",
                target=_target(vault, row),
                event_id=row["event_id"],
                body=render(event) if event is not None and is_told else None,
            )
        )
    return found


def _ping(row: Mapping[str, Any]) -> PublicEvent:
    return PublicEvent(
        id=row["event_id"],
        sequence=0,
        type=PING,
        at=row["created_at"],
        audience=frozenset({row["organisation_id"]}),
        organisation_id=row["organisation_id"],
    )


def _event(
    conn: Connection[Any], sequence: int | None, read: dict[int, PublicEvent | None]
) -> PublicEvent | None:
    """The event with this number: the only one in the page after the number before."""
    if sequence is None:
        return None
    if sequence not in read:
        read[sequence] = next(iter(events.read_batch(conn, sequence - 1, limit=1).events), None)
    return read[sequence]


def _target(vault: Vault, row: Mapping[str, Any]) -> Target | None:
    def opened(field: str) -> str:
        return vault.open(
            row["target_id"], row["key_version"], row["wrapped_key"], field, row[field]
        )

    try:
        secrets = [opened("secret")]
        if row["old_secret"] is not None:
            secrets.append(opened("old_secret"))
        return Target(row["target_id"], {"url": opened("url"), "secrets": secrets})
    except VaultError:
        log.exception("webhook_unreadable", webhook_id=str(row["target_id"]))
        return None


def settle(
    conn: Connection[Any],
    message: Message,
    outcome: Outcome,
    *,
    now: datetime,
    record: Callable[[], Mapping[str, Any] | None],
) -> Mapping[str, Any] | None:
    """Writes an outcome by `record`, and what it says of the endpoint and of an alert.

    The endpoint is locked first, so that no two outcomes wait for each other in a circle. Returns
    what `record` does.
    """
    if message.target is None:
        return record()
    webhook = queue.lock(conn, message.target.id)
    if webhook is not None and outcome.result is Result.DELIVERED:
        _reach(conn, webhook["id"], message.event_id, now=now)
    row = record()
    if row is None or webhook is None:
        return row
    if webhook["state"] == "disabled":
        return row
    delivered = outcome.result is Result.DELIVERED
    last = webhook["last_delivered_at"]
    if delivered and not webhook["failures"] and last is not None and last > now - REACHED_EVERY:
        return row
    standing = after_answer(
        outcome, failures=webhook["failures"], failing_since=webhook["failing_since"], now=now
    )
    queue.stand(conn, webhook["id"], standing, delivered=delivered, now=now)
    if standing.disabled is not None:
        log.warning("webhook_disabled", webhook_id=str(webhook["id"]), reason=standing.disabled)
        db_events.write(
            conn,
            db_events.Event(
                "webhook.disabled",
                now,
                organisation_id=webhook["organisation_id"],
                data={"webhook_id": str(webhook["id"]), "reason": standing.disabled},
            ),
        )
    return row


def _reach(
    conn: Connection[Any], webhook_id: UUID, event_id: UUID | None, *, now: datetime
) -> None:
    alert = queue.reached(conn, webhook_id, event_id, now=now)
    if alert is None:
        return
    db_events.write(
        conn,
        db_events.Event(
            "delivery.delivered",
            now,
            city_id=alert["city_id"],
            organisation_id=alert["organisation_id"],
            report_id=alert["report_id"],
            incident_id=alert["incident_id"],
            alert_id=alert["alert_id"],
            data={"channel": CHANNEL, "message": "alert.created"},
            exercise=alert["exercise"],
        ),
    )
