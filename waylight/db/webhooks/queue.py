"""From events to messages, and from answers to how an endpoint stands. As intake."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.db.webhooks.managing import QUEUE_LOCK
from waylight.domain.webhooks import (
    DRILLS_OF_AN_ORGANISATION,
    IN_FLIGHT,
    OF_AN_ORGANISATION,
    Standing,
)

# Each endpoint has room for so many at once, and so has each organisation, counted by the leases
# that run: neither one that does not answer nor twenty of one owner may take every sender. What was
# dropped on its way holds one as well, and so does what goes to an endpoint that was paused since.
# One that rests is not looked at at all. Another worker's claim of this very moment is not seen:
# then each of the two has so many.
CLAIM = """
with held as materialized (
    select w.id, w.organisation_id, w.state = 'active'
               and coalesce(w.rests_until <= %(now)s, true) as is_told,
           count(d.id) as here,
           count(d.id) filter (where d.exercise = %(exercise)s) as of_this_kind
    from webhooks w
    left join deliveries d on d.target_id = w.id and d.channel = 'webhook'
        and d.leased_by is not null and d.leased_until > %(now)s
    group by w.id),
room as materialized (
    select id, organisation_id, is_told, %(in_flight)s - here as free,
           %(of_one)s - sum(of_this_kind) over (partition by organisation_id) as left_over
    from held),
due as materialized (
    select id from (
        select d.id, d.priority, d.next_attempt_at, room.left_over, row_number() over (
                   partition by room.organisation_id order by d.priority, d.next_attempt_at)
               as place
        from room cross join lateral (
            select id, priority, next_attempt_at from deliveries
            where target_id = room.id and channel = 'webhook' and exercise = %(exercise)s
              and status = 'queued' and next_attempt_at <= %(now)s
            order by priority, next_attempt_at
            limit greatest(least(room.free, room.left_over), 0)
            for update skip locked) d
        where room.is_told) found
    where place <= left_over
    order by priority, next_attempt_at
    limit %(free)s),
claimed as (
    update deliveries set attempts = attempts + 1, attempted_at = %(now)s,
        leased_by = %(worker)s, leased_until = %(until)s, next_attempt_at = %(until)s
    where id = any (array(select id from due))
    returning *)
select d.id, d.message, d.priority, d.exercise, d.attempts, d.target_id, d.event_id, d.created_at,
       w.organisation_id, w.key_version, w.wrapped_key, w.url, w.secret,
       case when w.old_secret_until > %(now)s then w.old_secret end as old_secret,
       e.sequence
from claimed d
join webhooks w on w.id = d.target_id
left join events e on e.id = d.event_id
order by d.priority, d.id
"""

# An alert counts as delivered when an endpoint of the organisation that it is for has taken the
# event that told of it; what the endpoint of another organisation takes says nothing.
REACHED = """
update alerts a set delivered_at = coalesce(a.delivered_at, %(now)s), state = 'delivered'
from events e, webhooks w
where e.id = %(event)s and e.kind = 'alert.created' and w.id = %(webhook)s
  and a.id = e.alert_id and a.organisation_id = w.organisation_id and a.state = 'pending'
returning a.id as alert_id, a.city_id, a.organisation_id, a.report_id, a.incident_id, a.exercise
"""


def following(conn: Connection[Any]) -> tuple[int, list[dict[str, Any]]] | None:
    """How far events were queued, and the webhooks that are told of what comes next.

    None while another worker is at it, and at once where there is no webhook. Until the transaction
    ends nobody else queues.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select exists (select from webhooks where state = 'active') as any"
        ).fetchone()
        if row is None or not row["any"]:
            return None
        row = cursor.execute(
            "select pg_try_advisory_xact_lock(%s) as mine", [QUEUE_LOCK]
        ).fetchone()
        if row is None or not row["mine"]:
            return None
        # Read only now: one that began while another worker queued is in it.
        active = cursor.execute(
            "select id, organisation_id, event_types, starts_after from webhooks"
            " where state = 'active'"
        ).fetchall()
        row = cursor.execute("select last from webhook_cursor for update").fetchone()
        last = row["last"] if row else 0
        return max(last, min((one["starts_after"] for one in active), default=last)), active


def advance(conn: Connection[Any], *, to: int) -> None:
    """Says how far events were queued."""
    conn.execute("update webhook_cursor set last = %s where last < %s", [to, to])


def enqueue(
    conn: Connection[Any],
    messages: Sequence[tuple[UUID, UUID, str, int, bool]],
    *,
    now: datetime,
) -> None:
    """One delivery for each webhook, event, type, priority and whether it is a drill."""
    if not messages:
        return
    webhooks, events, types, priorities, exercises = zip(*messages, strict=True)
    conn.execute(
        """
        insert into deliveries (channel, target_id, event_id, message, priority, exercise,
                                next_attempt_at, created_at)
        select 'webhook', m.webhook, m.event, m.message, m.priority, m.exercise, %(now)s, %(now)s
        from unnest(%(webhooks)s::uuid[], %(events)s::uuid[], %(types)s::text[],
                    %(priorities)s::smallint[], %(exercises)s::bool[])
            m (webhook, event, message, priority, exercise)
        """,
        {
            "webhooks": list(webhooks),
            "events": list(events),
            "types": list(types),
            "priorities": list(priorities),
            "exercises": list(exercises),
            "now": now,
        },
    )


def claim(
    conn: Connection[Any],
    worker_id: str,
    *,
    free: int,
    exercise: bool,
    lease: timedelta,
    now: datetime,
) -> list[dict[str, Any]]:
    """Due messages to endpoints, at most `free`, leased to this worker."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            CLAIM,
            {
                "worker": worker_id,
                "free": free,
                "exercise": exercise,
                "in_flight": IN_FLIGHT,
                "of_one": DRILLS_OF_AN_ORGANISATION if exercise else OF_AN_ORGANISATION,
                "until": now + lease,
                "now": now,
            },
        ).fetchall()


def lock(conn: Connection[Any], webhook_id: UUID) -> dict[str, Any] | None:
    """A webhook, for whoever writes an outcome: before any of its deliveries, as everybody does."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select id, organisation_id, state, failures, failing_since, last_delivered_at"
            " from webhooks where id = %s for no key update",
            [webhook_id],
        ).fetchone()


def reached(
    conn: Connection[Any], webhook_id: UUID, event_id: UUID | None, *, now: datetime
) -> dict[str, Any] | None:
    """Marks the alert that an event told of as delivered; None when that is no news."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            REACHED, {"webhook": webhook_id, "event": event_id, "now": now}
        ).fetchone()


def stand(
    conn: Connection[Any],
    webhook_id: UUID,
    standing: Standing,
    *,
    delivered: bool,
    now: datetime,
) -> None:
    """Writes how an endpoint does; one that is disabled has nothing waiting any more."""
    conn.execute(
        """
        update webhooks set failures = %(failures)s, failing_since = %(failing_since)s,
            rests_until = %(rests_until)s,
            last_delivered_at = case when %(delivered)s then %(now)s else last_delivered_at end,
            state = case when %(disabled)s::text is null then state else 'disabled' end,
            disabled_at = case when %(disabled)s::text is null then disabled_at else %(now)s end,
            disabled_reason = coalesce(%(disabled)s, disabled_reason),
            version = version + case when %(disabled)s::text is null then 0 else 1 end,
            updated_at = case when %(disabled)s::text is null then updated_at else %(now)s end
        where id = %(id)s
        """,
        {
            "id": webhook_id,
            "failures": standing.failures,
            "failing_since": standing.failing_since,
            "rests_until": standing.rests_until,
            "disabled": standing.disabled,
            "delivered": delivered,
            "now": now,
        },
    )
    if standing.disabled is not None:
        # What is being queued for it at this moment is dropped with the rest.
        conn.execute("select pg_advisory_xact_lock(%s)", [QUEUE_LOCK])
        conn.execute(
            """
            update deliveries set status = 'dropped', detail = 'webhook_disabled',
                next_attempt_at = null
            where id = any (array(
                select id from deliveries
                where target_id = %s and channel = 'webhook' and status = 'queued'
                order by id for update))
            """,
            [webhook_id],
        )
