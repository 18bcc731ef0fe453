"""What the worker keeps in order. Each statement does its part once, however many workers run."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

PARTITIONED = (
    "reports",
    "report_secrets",
    "alerts",
    "deliveries",
    "delivery_attempts",
    "events",
    "grants",
)
CHORE_LOCK = 0x5741_594C


def take_turn(conn: Connection[Any], chore: str) -> bool:
    """Whether this transaction may do the chore; False while another worker is at it."""
    row = conn.execute(
        "select pg_try_advisory_xact_lock(%s, hashtext(%s))", [CHORE_LOCK, chore]
    ).fetchone()
    return bool(row and row[0])


def make_partitions(conn: Connection[Any], table: str, *, months_ahead: int) -> int:
    """Makes a table's partitions of the coming months; returns how many were missing."""
    row = conn.execute("select make_partitions(%s, %s)", [table, months_ahead]).fetchone()
    return int(row[0]) if row else 0


def purge_idempotency_keys(conn: Connection[Any], *, before: datetime, limit: int) -> int:
    """Forgets up to `limit` keys that are older than they are kept; returns how many."""
    return conn.execute(
        """
        delete from idempotency_keys where ctid = any (array(
            select ctid from idempotency_keys where created_at < %s limit %s))
        """,
        [before, limit],
    ).rowcount


def forget_duty_desk(conn: Connection[Any], *, before: datetime) -> None:
    """Forgets arrivals at hubs, overrides and single shifts that were over before an instant."""
    conn.execute("delete from hub_arrivals where id < uuid_v7_floor(%s)", [before])
    conn.execute("delete from hub_overrides where ends_at < %s", [before])
    conn.execute("delete from shifts where kind <> 'recurring' and ends_at < %s", [before])


def forget_with_reports(conn: Connection[Any], *, destroyed_before: datetime, limit: int) -> int:
    """Forgets what hung on a report that is no more, and cases that were destroyed; how many.

    At most `limit` of what grants were, and of the cases of support services with their notes.
    """
    row = conn.execute("select forget_with_reports(%s, %s)", [destroyed_before, limit]).fetchone()
    return int(row[0]) if row else 0


def beat(
    conn: Connection[Any],
    worker_id: str,
    *,
    host: str,
    pid: int,
    started_at: datetime,
    now: datetime,
) -> None:
    """Says that a worker lives."""
    conn.execute(
        """
        insert into worker_heartbeats (worker_id, host, pid, started_at, beat_at)
        values (%s, %s, %s, %s, %s)
        on conflict (worker_id) do update set beat_at = excluded.beat_at
        """,
        [worker_id, host, pid, started_at, now],
    )


def last_beat(conn: Connection[Any], host: str) -> datetime | None:
    """When a worker on this host was last heard of; None when none is running there."""
    row = conn.execute(
        "select max(beat_at) from worker_heartbeats where host = %s", [host]
    ).fetchone()
    return row[0] if row else None


def stop_beating(conn: Connection[Any], worker_id: str) -> None:
    """Says that a worker has stopped."""
    conn.execute("delete from worker_heartbeats where worker_id = %s", [worker_id])


def forget_dead_workers(conn: Connection[Any], *, now: datetime) -> int:
    """Removes the heartbeats of workers that have been silent for a day."""
    return conn.execute(
        "delete from worker_heartbeats where beat_at < %s", [now - timedelta(days=1)]
    ).rowcount


def hurry_ladders(conn: Connection[Any], *, now: datetime, beyond: datetime) -> int:
    """Makes ladders due that would climb later than any step lasts; returns how many."""
    return conn.execute(
        """
        update incidents set escalate_at = %s, version = version + 1
        where id = any (array(
            select id from incidents where state = 'open' and escalate_at > %s
            for update skip locked))
        """,
        [now, beyond],
    ).rowcount


def hurry_messages(
    conn: Connection[Any],
    *,
    now: datetime,
    beyond: datetime,
    retried_by: datetime,
    lease_ends_by: datetime,
) -> int:
    """Makes messages due that wait for a time that another clock has set; returns how many.

    Those written after `beyond`, those to people that would be tried again after `retried_by`, and
    those whose lease would end after `lease_ends_by`: another worker may take those over.
    """
    return conn.execute(
        """
        update deliveries set next_attempt_at = %(now)s
        where id = any (array(
            select id from deliveries
            where status = 'queued' and next_attempt_at > %(beyond)s
              and case when leased_by is not null then leased_until > %(lease_ends_by)s
                       else created_at > %(beyond)s
                            or channel <> 'webhook' and next_attempt_at > %(retried_by)s end
            for update skip locked))
        """,
        {
            "now": now,
            "beyond": beyond,
            "retried_by": retried_by,
            "lease_ends_by": lease_ends_by,
        },
    ).rowcount
