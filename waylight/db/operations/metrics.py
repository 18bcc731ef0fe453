"""What Prometheus is told of the state of the data: facts that no process could count by itself."""

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

MOST = 10_000
"""Rows counted at most: a queue that long needs a person, not a number."""

WINDOW = timedelta(days=7)
"""How far back unanswered incidents are looked for, so that the look does not grow with time."""

# Ids are UUIDv7: a window of them is a range of the primary key. Exercises are never counted.
STATE = """
with recent as materialized (
    select priority, coalesce(restarted_at, opened_at) as since, unanswered_at
    from incidents
    where id >= uuid_v7_floor(%(from)s) and state = 'open' and not exercise
      and (escalate_at is not null or unanswered_at is not null)
    limit %(most)s),
waiting as materialized (
    select priority, next_attempt_at, leased_until from deliveries
    where status = 'queued' and not exercise
      and channel <> 'webhook'  -- what a partner's endpoint keeps waiting is no fault of ours
    limit %(most)s)
select
    (select coalesce(jsonb_object_agg(priority, oldest), '{}') from (
        select priority, greatest(extract(epoch from %(now)s - min(since)), 0)::float8 as oldest
        from recent group by priority) by_priority) as oldest_unanswered,
    (select coalesce(jsonb_object_agg(priority, number), '{}') from (
        select priority, count(*) as number from recent where unanswered_at is not null
        group by priority) by_priority) as unanswered,
    (select coalesce(jsonb_object_agg(priority, number), '{}') from (
        select priority, count(*) as number from waiting group by priority) by_priority) as queued,
    (select greatest(extract(epoch from %(now)s - min(next_attempt_at)), 0)::float8 from waiting)
        as overdue_s,
    (select count(*) from (
        select from events where sequence is null and not exercise limit %(most)s) e) as unnumbered,
    (select count(*) from (
        select from reports where status = 'unrouted' and not exercise limit %(most)s) r)
        as unrouted,
    (select count(*) from worker_heartbeats where beat_at > %(alive)s) as workers,
    (select extract(epoch from min(expanded_until) - %(now)s)::float8 from (
        select min(expanded_until) as expanded_until from hubs where not retired
        union all select min(expanded_until) from teams where not retired) horizon) as horizon_s
"""


def state(conn: Connection[Any], *, now: datetime, alive: datetime) -> dict[str, Any]:
    """The row of STATE: ages and horizons in seconds, counts of at most `MOST`.

    Workers count as alive that were heard of after `alive`.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            STATE, {"now": now, "from": now - WINDOW, "alive": alive, "most": MOST}
        ).fetchone()
        assert row is not None  # noqa: S101 - a select without FROM has one row
        return row
