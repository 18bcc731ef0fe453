"""What the owners of webhooks read and change. As staff, whose policies hide those of others."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

LOCK = 0x5741_5948

QUEUE_LOCK = 0x5741_594C_5748_4B31
"""Key of the advisory lock under which events are queued for webhooks ("WAYLWHK1"). Whoever says
from which event on one is told, or that it is told no more, holds it until that is committed: in
between, an event might be passed by, or left waiting."""

INSERT = """
insert into webhooks (id, organisation_id, key_version, wrapped_key, url, secret, event_types,
                      description, state, starts_after, created_at, updated_at)
select %(id)s, %(organisation_id)s, %(key_version)s, %(wrapped_key)s, %(url)s, %(secret)s,
       %(event_types)s, %(description)s, %(state)s, last_event_number(),
       %(now)s, %(now)s
returning *
"""

LOG = """
select d.id, d.event_id, d.message, d.status, d.created_at, d.next_attempt_at, d.delivered_at,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'at', extract(epoch from t.at), 'outcome', t.outcome,
                    'duration_ms', t.duration_ms, 'detail', t.detail) order by t.id)
                 from delivery_attempts t where t.delivery_id = d.id), '[]') as attempts
from deliveries d
where d.target_id = %(webhook)s and d.channel = 'webhook'
  and (%(before)s::uuid is null or d.id < %(before)s)
  and (%(only)s::uuid is null or d.id = %(only)s)
order by d.id desc limit %(limit)s
"""


def count(conn: Connection[Any], organisation_id: UUID) -> int:
    """How many an organisation has; until the transaction ends nobody else adds one to them."""
    conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organisation_id)])
    row = conn.execute(
        "select count(*) from webhooks where organisation_id = %s", [organisation_id]
    ).fetchone()
    return int(row[0]) if row else 0


def insert(
    conn: Connection[Any],
    webhook_id: UUID,
    *,
    organisation_id: UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """A new webhook, which begins with the events that have no number yet.

    `values` are its other columns, by name.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", [QUEUE_LOCK])
    return _one(
        conn, INSERT, {**values, "id": webhook_id, "organisation_id": organisation_id, "now": now}
    )


def page(
    conn: Connection[Any], organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """The webhooks of an organisation, the oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from webhooks where organisation_id = %s and id > %s order by id limit %s",
            [organisation_id, after or UUID(int=0), limit],
        ).fetchall()


def find(
    conn: Connection[Any], webhook_id: UUID, organisation_id: UUID, *, lock: bool = False
) -> dict[str, Any] | None:
    """A webhook of this organisation; with `lock` nobody else changes it meanwhile."""
    query: LiteralString = "select * from webhooks where id = %s and organisation_id = %s"
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            query + (" for no key update" if lock else ""), [webhook_id, organisation_id]
        ).fetchone()


def change(
    conn: Connection[Any], webhook_id: UUID, values: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """Sets columns, by name, and a new version."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    query = sql.SQL(
        "update webhooks set {}, version = version + 1, updated_at = %(now)s where id = %(id)s"
        " returning *"
    ).format(columns)
    return _one(conn, query, {**values, "id": webhook_id, "now": now})


def start_from_now(conn: Connection[Any], webhook_id: UUID) -> None:
    """Leaves out what was numbered until now: what happened while it was told nothing."""
    conn.execute("select pg_advisory_xact_lock(%s)", [QUEUE_LOCK])
    conn.execute(
        "update webhooks set starts_after = last_event_number() where id = %s", [webhook_id]
    )


def delete(conn: Connection[Any], webhook_id: UUID) -> None:
    """Takes it away with its secrets; what waits for it is dropped.

    Events that are being queued for it at this moment come first, so that none is left waiting for
    an endpoint that is no more.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", [QUEUE_LOCK])
    drop_waiting(conn, webhook_id)
    conn.execute("delete from webhooks where id = %s", [webhook_id])


def drop_waiting(conn: Connection[Any], webhook_id: UUID) -> None:
    """Drops what waits for it."""
    conn.execute(
        """
        update deliveries set status = 'dropped', next_attempt_at = null
        where id = any (array(
            select id from deliveries
            where target_id = %s and channel = 'webhook' and status = 'queued'
            order by id for update))
        """,
        [webhook_id],
    )


def enqueue(
    conn: Connection[Any],
    webhook_id: UUID,
    *,
    event_id: UUID | None,
    type_: str,
    priority: int,
    exercise: bool,
    now: datetime,
) -> UUID:
    """One message that its owner asked for; without an event it has an id of its own."""
    row = conn.execute(
        """
        insert into deliveries (channel, target_id, event_id, message, priority, exercise,
                                next_attempt_at, created_at)
        values ('webhook', %s, coalesce(%s, uuid_v7()), %s, %s, %s, %s, %s) returning id
        """,
        [webhook_id, event_id, type_, priority, exercise, now, now],
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert returns what it inserted
    found: UUID = row[0]
    return found


def log(
    conn: Connection[Any],
    webhook_id: UUID,
    *,
    before: UUID | None = None,
    only: UUID | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Its deliveries with their attempts, the newest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            LOG, {"webhook": webhook_id, "before": before, "only": only, "limit": limit}
        ).fetchall()


def delivery(conn: Connection[Any], webhook_id: UUID, delivery_id: UUID) -> dict[str, Any] | None:
    """What was queued, to queue it again."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select event_id, message, exercise from deliveries"
            " where id = %s and target_id = %s and channel = 'webhook'",
            [delivery_id, webhook_id],
        ).fetchone()


def is_waiting(conn: Connection[Any], webhook_id: UUID, event_id: UUID) -> bool:
    """Whether an event is on its way to a webhook already, by whichever of its deliveries."""
    return (
        conn.execute(
            "select from deliveries where target_id = %s and event_id = %s"
            " and channel = 'webhook' and status = 'queued' limit 1",
            [webhook_id, event_id],
        ).fetchone()
        is not None
    )


def _one(
    conn: Connection[Any], query: LiteralString | sql.Composed, values: Mapping[str, Any]
) -> dict[str, Any]:
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, values).fetchone()
        assert row is not None  # noqa: S101 - each statement returns what it wrote
        return row
