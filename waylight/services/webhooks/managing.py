"""What the owner of webhooks reads and changes: people on the staff, and API clients."""

import base64
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils import uuid7

from waylight.db import events
from waylight.db.session import Database
from waylight.db.webhooks import managing as db
from waylight.domain.changes import check_says_something, check_version
from waylight.domain.endpoints import problem_with
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StateConflict,
)
from waylight.domain.principals import Principal
from waylight.domain.webhooks import (
    CHANNEL,
    LOWEST_PRIORITY,
    MOST,
    PING,
    Attempt,
    Delivery,
    Reason,
    State,
    Webhook,
    answered,
)
from waylight.log import get_logger
from waylight.services import audit
from waylight.vault import Vault, VaultError

log = get_logger(__name__)

SECRET_BYTES = 32
"""Standard Webhooks 1.0 wants 24 to 64."""


def create_webhook(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    values: Mapping[str, Any],
    channels: Collection[str],
    loopback_ports: Collection[int],
    now: datetime,
) -> Webhook:
    """A new endpoint, told of what happens from now on; its secret is in this answer alone.

    `values` are `url`, `event_types`, `description` and `state`. Raises InvalidRequest for a URL
    that may not be called, StateConflict for one too many and where no webhooks are sent,
    NotAllowed for a key without an organisation.
    """
    organisation_id = _organisation_of(principal)
    _check_url(values["url"], loopback_ports)
    if CHANNEL not in channels:
        raise StateConflict("This deployment sends no webhooks: its WAYLIGHT_CHANNELS lacks them.")
    webhook_id, secret = UUID(bytes=uuid7().bytes), _new_secret()
    sealed = vault.seal(webhook_id, {"url": values["url"], "secret": secret})
    with database.staff(organisation_id) as conn:
        if db.count(conn, organisation_id) >= MOST:
            raise StateConflict(f"An organisation has at most {MOST} webhooks: delete one first.")
        row = db.insert(
            conn,
            webhook_id,
            organisation_id=organisation_id,
            values={
                **values,
                **sealed.ciphertexts,
                "key_version": sealed.key_version,
                "wrapped_key": sealed.wrapped_key,
            },
            now=now,
        )
        _tell(conn, vault, principal, webhook_id, "webhook.created", now=now)
    return _webhook(vault, row, secret=secret)


def list_webhooks(
    database: Database, vault: Vault, principal: Principal, *, after: UUID | None, limit: int
) -> Sequence[Webhook]:
    """Those of the caller's organisation, the oldest first. Raises NotAllowed."""
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db.page(conn, organisation_id, after=after, limit=limit)
    return [_webhook(vault, row) for row in rows]


def read_webhook(
    database: Database, vault: Vault, principal: Principal, *, webhook_id: UUID
) -> Webhook:
    """One of them. Raises NotFound, also for one of another organisation, and NotAllowed."""
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        return _webhook(vault, _own(conn, organisation_id, webhook_id))


def edit_webhook(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    webhook_id: UUID,
    values: Mapping[str, Any],
    loopback_ports: Collection[int],
    if_match: int | None,
    now: datetime,
) -> Webhook:
    """Changes its URL, event types, description, or whether it is `active` or `paused`.

    Of what happened while it was paused nothing is sent. Raises as `read_webhook`, StaleVersion,
    InvalidRequest, and StateConflict for the state of one that is disabled and for one that cannot
    be opened, as every change but taking it away does.
    """
    check_says_something(is_empty=not values)
    if "url" in values:
        _check_url(values["url"], loopback_ports)

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        state = values.get("state", row["state"])
        if state != row["state"] and row["state"] == State.DISABLED:
            raise StateConflict("It is disabled: POST to its `enable` when it works again.")
        if state == State.ACTIVE and row["state"] != State.ACTIVE:
            db.start_from_now(conn, webhook_id)
        if "url" not in values:
            return values
        sealed = vault.seal_more(
            webhook_id, row["key_version"], row["wrapped_key"], {"url": values["url"]}
        )
        # What the old address did says nothing about the new one.
        rested = {"failures": 0, "failing_since": None, "rests_until": None}
        return {**values, **sealed, **rested}

    return _change(
        database,
        vault,
        principal,
        webhook_id,
        change,
        kind="webhook.updated",
        if_match=if_match,
        now=now,
        data={"changed": sorted(values)},
    )


def rotate_secret(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    webhook_id: UUID,
    overlap: timedelta,
    if_match: int | None,
    now: datetime,
) -> Webhook:
    """A new secret, in this answer alone; the one before signs beside it for `overlap`.

    One older than that ends at once, and with no overlap both do. Raises as `read_webhook` and
    StaleVersion.
    """
    secret = _new_secret()

    def change(_conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        texts = {"secret": secret}
        if overlap:
            texts["old_secret"] = vault.open(
                webhook_id, row["key_version"], row["wrapped_key"], "secret", row["secret"]
            )
        sealed = vault.seal_more(webhook_id, row["key_version"], row["wrapped_key"], texts)
        until = now + overlap if overlap else None
        return {"old_secret": None, **sealed, "old_secret_until": until}

    return _change(
        database,
        vault,
        principal,
        webhook_id,
        change,
        kind="webhook.secret_rotated",
        if_match=if_match,
        now=now,
        secret=secret,
    )


def enable_webhook(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    webhook_id: UUID,
    if_match: int | None,
    now: datetime,
) -> Webhook:
    """Active again, whatever it was, as if it had never failed; from what happens now on.

    Raises as `read_webhook` and StaleVersion.
    """

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        if row["state"] != State.ACTIVE:
            db.start_from_now(conn, webhook_id)
        return {
            "state": State.ACTIVE,
            "failures": 0,
            "failing_since": None,
            "rests_until": None,
            "disabled_at": None,
            "disabled_reason": None,
        }

    return _change(
        database,
        vault,
        principal,
        webhook_id,
        change,
        kind="webhook.enabled",
        if_match=if_match,
        now=now,
    )


def delete_webhook(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    webhook_id: UUID,
    if_match: int | None,
    now: datetime,
) -> None:
    """Takes it away, with its secrets and with what waits. Raises as `edit_webhook`."""
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _own(conn, organisation_id, webhook_id, lock=True)
        check_version(if_match, row["version"])
        db.delete(conn, webhook_id)
        _tell(conn, vault, principal, webhook_id, "webhook.deleted", now=now)


def ping_webhook(
    database: Database, principal: Principal, *, webhook_id: UUID, now: datetime
) -> Delivery:
    """Queues an event that says nothing happened, the way of every other.

    Raises as `read_webhook`, and StateConflict for one that is not active.
    """
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        _active(_own(conn, organisation_id, webhook_id, lock=True))
        delivery_id = db.enqueue(
            conn,
            webhook_id,
            event_id=None,
            type_=PING,
            priority=LOWEST_PRIORITY,
            exercise=False,
            now=now,
        )
        return _logged(conn, webhook_id, delivery_id)


def list_deliveries(
    database: Database,
    principal: Principal,
    *,
    webhook_id: UUID,
    before: UUID | None,
    limit: int,
) -> Sequence[Delivery]:
    """What was sent to it and what became of every attempt, the newest first.

    Raises as `read_webhook`.
    """
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        _own(conn, organisation_id, webhook_id)
        return [_delivery(row) for row in db.log(conn, webhook_id, before=before, limit=limit)]


def replay_delivery(
    database: Database,
    principal: Principal,
    *,
    webhook_id: UUID,
    delivery_id: UUID,
    now: datetime,
) -> Delivery:
    """Queues the event of a delivery again: a delivery of its own, with the event's same id.

    It goes behind what happens meanwhile. Raises as `read_webhook`, and StateConflict while the
    event is on its way already, by this delivery or a replay of it, and for a webhook that is not
    active.
    """
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        _active(_own(conn, organisation_id, webhook_id, lock=True))
        found = db.delivery(conn, webhook_id, delivery_id)
        if found is None:
            raise NotFound
        if db.is_waiting(conn, webhook_id, found["event_id"]):
            raise StateConflict(
                "This event is on its way already, and is tried again by itself: see the log for"
                " when (`next_attempt_at`)."
            )
        again = db.enqueue(
            conn,
            webhook_id,
            event_id=found["event_id"],
            type_=found["message"],
            priority=LOWEST_PRIORITY,
            exercise=found["exercise"],
            now=now,
        )
        return _logged(conn, webhook_id, again)


def _change(
    database: Database,
    vault: Vault,
    principal: Principal,
    webhook_id: UUID,
    change: Callable[[Connection[Any], Mapping[str, Any]], Mapping[str, Any]],
    *,
    kind: str,
    if_match: int | None,
    now: datetime,
    data: Mapping[str, Any] | None = None,
    secret: str | None = None,
) -> Webhook:
    organisation_id = _organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _own(conn, organisation_id, webhook_id, lock=True)
        check_version(if_match, row["version"])
        if url_of(vault, row) is None:
            raise StateConflict(
                "It cannot be opened any more, because a key of the operator's was lost: delete it"
                " and make it anew."
            )
        changed = db.change(conn, webhook_id, change(conn, row), now=now)
        _tell(conn, vault, principal, webhook_id, kind, now=now, **(data or {}))
    return _webhook(vault, changed, secret=secret)


def _organisation_of(principal: Principal) -> UUID:
    if principal.organisation_id is None:
        raise NotAllowed("A webhook belongs to an organisation, and this key to none.")
    return principal.organisation_id


def _own(
    conn: Connection[Any], organisation_id: UUID, webhook_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    row = db.find(conn, webhook_id, organisation_id, lock=lock)
    if row is None:
        raise NotFound
    return row


def _active(row: Mapping[str, Any]) -> None:
    if row["state"] != State.ACTIVE:
        raise StateConflict(f"It is {row['state']}: nothing is sent to it.")


def _check_url(url: str, loopback_ports: Collection[int]) -> None:
    problem = problem_with(url, loopback_ports=loopback_ports)
    if problem is not None:
        code, detail = problem
        raise InvalidRequest(problems=[Problem("/url", code, detail)])


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _tell(
    conn: Connection[Any],
    vault: Vault,
    principal: Principal,
    webhook_id: UUID,
    kind: str,
    *,
    now: datetime,
    **data: Any,  # noqa: ANN401 - whatever the event says
) -> None:
    said = {"webhook_id": str(webhook_id), **data}
    if principal.staff_id is None:
        said["key_id"] = str(principal.key_id)
    events.write(
        conn,
        events.Event(
            kind,
            now,
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data=said,
        ),
    )
    audit.write(conn, vault, kind, principal=principal, subject_id=webhook_id, now=now)


def url_of(vault: Vault, row: Mapping[str, Any]) -> str | None:
    """Where a webhook leads; None where that or its secret cannot be opened: a key was lost."""
    sealed_by = row["id"], row["key_version"], row["wrapped_key"]
    try:
        vault.open(*sealed_by, "secret", row["secret"])
        return vault.open(*sealed_by, "url", row["url"])
    except VaultError:
        return None


def _webhook(vault: Vault, row: Mapping[str, Any], *, secret: str | None = None) -> Webhook:
    """As its owner sees it.

    One that cannot be opened is told as disabled and not written so: the key may be found again.
    """
    url, reason = url_of(vault, row), row["disabled_reason"]
    if url is None:
        log.error("webhook_unreadable", webhook_id=str(row["id"]))
        row, reason = {**row, "state": State.DISABLED}, Reason.UNREADABLE
    return Webhook(
        id=row["id"],
        organisation_id=row["organisation_id"],
        url=url,
        event_types=tuple(row["event_types"]),
        description=row["description"],
        state=State(row["state"]),
        disabled_at=row["disabled_at"],
        disabled_reason=Reason(reason) if reason else None,
        failures=row["failures"],
        failing_since=row["failing_since"],
        rests_until=row["rests_until"],
        last_delivered_at=row["last_delivered_at"],
        old_secret_until=row["old_secret_until"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        secret=secret,
    )


def _logged(conn: Connection[Any], webhook_id: UUID, delivery_id: UUID) -> Delivery:
    (row,) = db.log(conn, webhook_id, only=delivery_id, limit=1)
    return _delivery(row)


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=row["id"],
        event_id=row["event_id"],
        event_type=row["message"],
        status=row["status"],
        created_at=row["created_at"],
        next_attempt_at=row["next_attempt_at"],
        delivered_at=row["delivered_at"],
        attempts=tuple(
            Attempt(
                at=datetime.fromtimestamp(one["at"], UTC),
                outcome=one["outcome"],
                duration_ms=one["duration_ms"],
                answered=answered(one["detail"]),
                detail=one["detail"],
            )
            for one in row["attempts"]
        ),
    )
