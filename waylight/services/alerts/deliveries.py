"""Deliveries on their way: claimed with a lease, sent by a channel, recorded.

No connection is held between `claim` and `record`: a slow provider must not use up the pool.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection

from waylight import metrics
from waylight.db import events, notices
from waylight.db.alerts import deliveries
from waylight.db.push import CHANNEL as WEB_PUSH
from waylight.db.session import Database
from waylight.domain.alerts import (
    LONG,
    SHORT,
    Message,
    NextAttempt,
    Outcome,
    Target,
    after_attempt,
)
from waylight.domain.alerts.replies import CODE_LIVES, CODED
from waylight.domain.errors import Unavailable
from waylight.domain.push import rests_for_s
from waylight.domain.webhooks import CHANNEL as WEBHOOK
from waylight.ids import wire_id
from waylight.log import get_logger
from waylight.services.alerts.replies import new_codes
from waylight.services.webhooks import queue as webhooks
from waylight.vault import Vault, VaultError

log = get_logger(__name__)

EVENTS = {
    "sent": "delivery.sent",
    "delivered": "delivery.delivered",
    "failed": "delivery.failed",
}
"""What is told of an attempt; one that is tried again is not."""


ORPHANED_AFTER = timedelta(minutes=5)


def claim(
    database: Database,
    vault: Vault,
    worker_id: str,
    *,
    free: Mapping[str, int],
    drills: Mapping[str, int] | None = None,
    lease_s: float,
    base_url: str,
    render: webhooks.Render | None = None,
    now: datetime,
) -> list[Message]:
    """Messages that are due, most urgent first, leased to this worker and committed.

    Of each channel at most as many as are `free`, and of its drills, which come last, as many as
    `drills` says, else the same number. They come due for other workers when the lease ends. With
    `render`, which makes the body of an event, those to endpoints of partners have one. Raises
    Unavailable.
    """
    drills = free if drills is None else drills
    lease = timedelta(seconds=lease_s)
    with database.intake() as conn:
        rows = deliveries.claim(
            conn,
            worker_id,
            free=_others(free, render),
            drills=_others(drills, render),
            lease=lease,
            now=now,
        )
        uncoded = [row for row in rows if _wants_code(row)]
        if uncoded:
            notices.give_codes(
                conn, uncoded, new_codes(2 * len(uncoded) + 8), since=now - CODE_LIVES
            )
    to_endpoints: list[Message] = []
    if render is not None:
        for room, exercise in ((free, False), (drills, True)):
            to_endpoints += _to_endpoints(
                database,
                vault,
                worker_id,
                free=room.get(WEBHOOK, 0),
                exercise=exercise,
                lease=lease,
                render=render,
                now=now,
            )
    return [
        Message(
            delivery_id=row["id"],
            alert_id=row["alert_id"],
            attempt=row["attempts"],
            channel=row["channel"],
            kind=row["message"],
            recipient=row["recipient"] or "",
            priority=row["priority"],
            category_groups=tuple(row["category_groups"] or ()),
            exercise=row["exercise"],
            link=f"{base_url}/v1/alerts/{wire_id('alert', row['alert_id'])}"
            if row["alert_id"]
            else "",
            target=_target(vault, row),
            reply_code=row["reply_code"],
            incident_id=row["incident_id"],
            event_id=row["event_id"],
            rests_s=rests_for_s(row["rests_until"], now=now),
        )
        for row in rows
    ] + to_endpoints


def _others(room: Mapping[str, int], render: webhooks.Render | None) -> Mapping[str, int]:
    """The channels that are claimed from one queue.

    Without `render` nobody sends to endpoints, and what waits for them is claimed like the rest, to
    be given up.
    """
    return room if render is None else {c: n for c, n in room.items() if c != WEBHOOK}


def _to_endpoints(database: Database, *args: Any, free: int, **kwargs: Any) -> list[Message]:  # noqa: ANN401 - those of webhooks.claim
    """What is due to the endpoints of partners.

    No failure there keeps back the rest, which is leased to this worker already.
    """
    if not free:
        return []
    try:
        with database.intake() as conn:
            return webhooks.claim(conn, *args, free=free, **kwargs)
    except Exception:
        log.exception("webhooks_not_claimed")
        return []


def _wants_code(row: Mapping[str, Any]) -> bool:
    """Whether a message by text asks for an answer and has nothing yet to answer with."""
    return (
        row["channel"] == "sms"
        and row["message"] in CODED
        and row["reply_code"] is None
        and row["address"] is not None
    )


def _target(vault: Vault, row: Mapping[str, Any]) -> Target | None:
    """Where a message goes. None where that cannot be read: the channel refuses it by name."""
    if row["address"] is None or row["wrapped_key"] is None:
        return None
    try:
        opened = vault.open(
            row["target_id"], row["key_version"], row["wrapped_key"], "address", row["address"]
        )
    except VaultError:
        log.exception("address_unreadable", address_id=str(row["target_id"]))
        return None
    address = orjson.loads(opened)
    if row["channel"] != WEB_PUSH:
        return Target(row["target_id"], address)
    return Target(row["target_id"], address, row["staff_id"], row["organisation_id"])


def orphaned_channels(
    database: Database, *, known: Sequence[str], now: datetime
) -> tuple[str, ...]:
    """Channels not `known` here whose messages have waited for `ORPHANED_AFTER`.

    A worker with other channels would have taken them. Raises Unavailable.
    """
    with database.intake() as conn:
        return tuple(deliveries.late_channels(conn, known=known, before=now - ORPHANED_AFTER))


def record(
    database: Database,
    message: Message,
    *,
    outcome: Outcome,
    worker_id: str,
    jitter: float,
    took_s: float = 0.0,
    now: datetime,
) -> NextAttempt | None:
    """Writes what became of an attempt of `took_s` seconds and what follows.

    It is done, given up, or sent again later. An address that is gone is used no more.

    A team that could not be told at all is not waited for: a ladder at rest is due at once.
    Returns None, and writes nothing, when the lease had run out and somebody else took over.
    Raises Unavailable; the message is then sent again after its lease.
    """
    following = _after(message, outcome, jitter=jitter, now=now)
    early = None
    with database.intake() as conn:
        if outcome.provider and outcome.provider_ref:
            notices.lock_reference(conn, outcome.provider, outcome.provider_ref)
            early = notices.early_receipt(conn, outcome.provider, outcome.provider_ref)

        def write() -> dict[str, Any] | None:
            return deliveries.record(
                conn,
                message,
                outcome=outcome,
                following=following,
                worker_id=worker_id,
                took=timedelta(seconds=took_s),
                has_receipt=early is not None,
                now=now,
            )

        row = (
            webhooks.settle(conn, message, outcome, now=now, record=write)
            if message.channel == WEBHOOK
            else write()
        )
        if row is None:
            metrics.count(metrics.DELIVERIES, message.channel, "lost")
            return None
        if row["status"] == "failed":
            deliveries.wake_ladder(conn, message.delivery_id, now=now)
        _tell(conn, row, now=now)
        if early is not None:
            _confirm(conn, outcome.provider or "", outcome.provider_ref or "", **early, now=now)
    _count(row, now=now)
    return following


def record_all(
    database: Database,
    outcomes: Sequence[tuple[Message, Outcome, float]],
    *,
    worker_id: str,
    jitter: Callable[[], float],
    now: datetime,
) -> dict[UUID, NextAttempt | None]:
    """As `record`, for many: each with the seconds it took. Returns what follows for each delivery.

    What channels took and what is tried again is written in one transaction; what moves an alert or
    ends a delivery takes locks of its own, each in its turn. When the database goes away in the
    middle, what is not in the answer is not written. Raises Unavailable when nothing is.
    """
    follow_ups = [
        _after(message, outcome, jitter=jitter(), now=now) for message, outcome, _ in outcomes
    ]
    plain = [
        (message, outcome, following, timedelta(seconds=took_s))
        for (message, outcome, took_s), following in zip(outcomes, follow_ups, strict=True)
        if _is_plain(message, outcome, following)
    ]
    found: dict[UUID, NextAttempt | None] = {}
    if plain:
        with database.intake() as conn:
            rows = {
                row["id"]: row
                for row in deliveries.record_all(conn, plain, worker_id=worker_id, now=now)
            }
            _tell(conn, *rows.values(), now=now)
        told = set[UUID]()
        for message, _, following, _ in plain:
            row = rows.get(message.delivery_id)
            found[message.delivery_id] = following if row else None
            if row is None:
                metrics.count(metrics.DELIVERIES, message.channel, "lost")
                continue
            _count(row | {"is_first": row["is_first"] and row["alert_id"] not in told}, now=now)
            told.add(row["alert_id"])
    for (message, outcome, took_s), following in zip(outcomes, follow_ups, strict=True):
        if _is_plain(message, outcome, following):
            continue
        try:
            found[message.delivery_id] = record(
                database,
                message,
                outcome=outcome,
                worker_id=worker_id,
                jitter=jitter(),
                took_s=took_s,
                now=now,
            )
        except Unavailable:
            if not found:
                raise
            break
    return found


def _after(message: Message, outcome: Outcome, *, jitter: float, now: datetime) -> NextAttempt:
    return after_attempt(
        outcome,
        attempts=message.attempt,
        jitter=jitter,
        now=now,
        waits_s=LONG if message.channel == WEBHOOK else SHORT,
    )


def _is_plain(message: Message, outcome: Outcome, following: NextAttempt) -> bool:
    """Whether its outcome is written with others: it asks for no lock but on its own row.

    One with a provider's name for it waits for a receipt that may be here already.
    """
    return (
        following.status in ("sent", "queued")
        and message.channel != WEBHOOK
        and outcome.provider_ref is None
    )


def _count(row: Mapping[str, Any], *, now: datetime) -> None:
    if row["exercise"]:
        return
    metrics.count(metrics.DELIVERIES, row["channel"], row["status"])
    if row["alert_id"] and row["is_first"] and row["status"] in ("sent", "delivered"):
        waited = (now - row["decided_at"]).total_seconds()
        metrics.time(metrics.FIRST_DELIVERY, str(row["priority"]), took_s=waited)


def confirm(
    database: Database,
    provider: str,
    provider_ref: str,
    *,
    delivered: bool,
    detail: str | None = None,
    now: datetime,
) -> bool:
    """A provider's receipt for a message that it took: the far side has it, or never will.

    True when that was news. One that is here before the outcome of its attempt is kept until that
    is written. A message nobody got wakes the ladder as a failed attempt does. Raises Unavailable.
    """
    with database.intake() as conn:
        notices.lock_reference(conn, provider, provider_ref)
        if _confirm(conn, provider, provider_ref, delivered=delivered, detail=detail, now=now):
            return True
        notices.keep_receipt(
            conn, provider, provider_ref, delivered=delivered, detail=detail, now=now
        )
    return False


def _confirm(
    conn: Connection[Any],
    provider: str,
    provider_ref: str,
    *,
    delivered: bool,
    detail: str | None,
    now: datetime,
) -> bool:
    row = deliveries.confirm(
        conn, provider, provider_ref, delivered=delivered, detail=detail, now=now
    )
    if row is None:
        return False
    if not delivered:
        deliveries.wake_ladder(conn, row["id"], now=now)
    _tell(conn, row, now=now)
    if not row["exercise"]:
        metrics.count(metrics.DELIVERIES, row["channel"], row["status"])
    return True


def _tell(conn: Connection[Any], *rows: Mapping[str, Any], now: datetime) -> None:
    events.write(
        conn,
        *(
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
            )
            for row in rows
            if row["status"] in EVENTS and row["alert_id"] is not None
        ),
    )


def give_back(
    database: Database,
    worker_id: str,
    *,
    due_at: datetime,
    only: Sequence[Message] | None = None,
) -> int:
    """Ends the leases of a worker that stops, or of some messages it cannot send soon.

    They are due again at an instant, now or soon. Returns how many there were. Raises Unavailable.
    """
    ids = None if only is None else [message.delivery_id for message in only]
    with database.intake() as conn:
        return deliveries.give_back(conn, worker_id, due_at=due_at, only=ids)
