"""The queue: a delivery row is the item, claimed with SKIP LOCKED and a lease (design, D3)."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.alerts import Message, NextAttempt, Outcome

# A claimed row comes due again when its lease ends: a dead worker needs no other remedy.
CLAIM = """
with due as materialized (
    select id from deliveries
    where status = 'queued' and next_attempt_at <= %(now)s
    order by priority, next_attempt_at
    limit %(limit)s
    for update skip locked),
claimed as (
    update deliveries set attempts = attempts + 1, attempted_at = %(now)s,
        leased_by = %(worker)s, leased_until = %(until)s, next_attempt_at = %(until)s
    where id = any (array(select id from due))
    returning id, alert_id, channel, message, priority, exercise, attempts)
select d.id, d.alert_id, d.channel, d.message, d.priority, d.exercise, d.attempts,
       a.incident_id, i.category_groups, coalesce(t.name, h.name) as recipient
from claimed d
join alerts a on a.id = d.alert_id
join incidents i on i.id = a.incident_id
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
order by d.priority, d.id
"""

# A message that went out although its alert was withdrawn meanwhile did go out; one that did not
# is not tried again.
RECORD = """
update deliveries d set
    status = case when d.status = 'dropped' and %(status)s not in ('sent', 'delivered')
                  then 'dropped' else %(status)s end,
    next_attempt_at = case when d.status = 'queued' and %(status)s = 'queued'
                           then %(again_at)s::timestamptz end,
    leased_by = null, leased_until = null, outcome = %(outcome)s, detail = %(detail)s,
    sent_at = case when %(status)s in ('sent', 'delivered') then %(now)s else d.sent_at end,
    delivered_at = case when %(status)s = 'delivered' then %(now)s else d.delivered_at end
from alerts a
where d.id = %(id)s and d.leased_by = %(worker)s and d.attempts = %(attempts)s
  and d.status in ('queued', 'dropped') and a.id = d.alert_id
returning d.status, d.channel, d.message, d.report_id, d.alert_id, d.exercise, d.priority,
          a.city_id, a.organisation_id, a.incident_id, a.created_at as decided_at,
          not exists (select from deliveries o where o.alert_id = d.alert_id and o.id <> d.id
                      and o.sent_at is not null) as is_first
"""


def claim(
    conn: Connection[Any], worker_id: str, *, limit: int, lease: timedelta, now: datetime
) -> list[dict[str, Any]]:
    """Up to `limit` due deliveries, most urgent first, leased to this worker."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            CLAIM, {"worker": worker_id, "limit": limit, "until": now + lease, "now": now}
        ).fetchall()


def record(
    conn: Connection[Any],
    message: Message,
    *,
    outcome: Outcome,
    following: NextAttempt,
    worker_id: str,
    now: datetime,
) -> dict[str, Any] | None:
    """Writes the outcome of an attempt; None when the lease had passed to somebody else.

    On `delivered` the alert's state is written first, and on `failed` the incident is locked first,
    in the order in which steps take their locks.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        if following.status == "failed":
            cursor.execute(
                """
                select from incidents where id = (select incident_id from alerts where id = %s)
                for update
                """,
                [message.alert_id],
            )
        if following.status == "delivered":
            cursor.execute(
                """
                update alerts a set delivered_at = coalesce(a.delivered_at, %(now)s),
                    state = case a.state when 'pending' then 'delivered' else a.state end
                from deliveries d
                where d.id = %(id)s and a.id = d.alert_id
                """,
                {"id": message.delivery_id, "now": now},
            )
        return cursor.execute(
            RECORD,
            {
                "id": message.delivery_id,
                "attempts": message.attempt,
                "worker": worker_id,
                "status": following.status,
                "again_at": following.at,
                "outcome": outcome.result,
                "detail": outcome.detail,
                "now": now,
            },
        ).fetchone()


WAKE = """
update incidents i set escalate_at = %(now)s, restarted_at = r.received_at,
    version = i.version + 1
from deliveries d
join alerts a on a.id = d.alert_id
join reports r on r.id = d.report_id
where d.id = %(id)s and i.id = a.incident_id and i.state = 'open' and i.escalate_at is null
  and a.team_id is not null and d.message in ('alert.created', 'alert.updated')
  and not exists (
      select from deliveries other
      where other.alert_id = d.alert_id and other.report_id = d.report_id
        and other.message = d.message and other.status in ('queued', 'sent', 'delivered', 'seen'))
"""


def wake_ladder(conn: Connection[Any], delivery_id: UUID, *, now: datetime) -> None:
    """Makes an incident due whose ladder rests although a team could not be told of a report.

    It then runs for that report. Only when no other channel has told that team, or is still
    trying. A hub is no rung.
    """
    conn.execute(WAKE, {"id": delivery_id, "now": now})


def give_back(conn: Connection[Any], worker_id: str, *, now: datetime) -> int:
    """Ends every lease of a worker that stops, so that another need not wait for it to run out."""
    given = conn.execute(
        """
        update deliveries set attempts = attempts - 1, next_attempt_at = %s, leased_by = null,
            leased_until = null
        where leased_by = %s and status = 'queued'
        """,
        [now, worker_id],
    )
    return given.rowcount
