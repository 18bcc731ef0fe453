"""Whether alerts get through: whom no channel could reach, and who has no address at all."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import Connection
from psycopg.rows import dict_row

MOST = 10_000
SINCE = timedelta(days=1)
"""How far back alerts that reached nobody are told of."""

# Of a priority that is pushed, seen by nobody, and either every message failed, or there was no
# address to send one to. What was stood down before it went out is not meant.
DEAD = """
select a.id, a.priority, a.team_id, a.hub_id from alerts a
where a.id in (
        select d.alert_id from deliveries d
        where d.id >= uuid_v7_floor(%(since)s) and d.status = 'failed' and not d.exercise
        union all
        select n.id from alerts n
        where n.id >= uuid_v7_floor(%(since)s) and n.state = 'pending' and n.priority < 4
          and not n.exercise and not exists (select from deliveries d where d.alert_id = n.id))
  and a.created_at >= %(since)s and not a.exercise and a.priority < 4
  and a.seen_at is null and a.acknowledged_at is null
  and not exists (select from deliveries d where d.alert_id = a.id
                  and d.status in ('queued', 'sent', 'delivered', 'seen'))
limit %(most)s
"""

STATE = f"""
with dead as materialized ({DEAD})
select
    (select count(*) from dead) as dead,
    (select jsonb_agg(jsonb_build_object('why', why, 'number', number)) from (
        select coalesce(d.channel || ': ' || coalesce(d.detail, d.outcome, 'failed'), 'no address')
                   as why, count(distinct dead.id) as number
        from dead left join deliveries d on d.alert_id = dead.id
        group by 1 order by 2 desc, 1 limit 3) causes) as dead_because,
    (select jsonb_agg(jsonb_build_object(
                'city', c.slug, 'name', t.name, 'has_address', has.address,
                'failed', recent.failed, 'went', recent.went) order by c.slug)
     from cities c join teams t on t.id = c.control_room_id
     cross join lateral (
         select 'console' = any (%(channels)s) or exists (
             select from addresses w where w.team_id = t.id and w.state = 'active'
               and w.channel = any (%(channels)s)) as address) has
     cross join lateral (
         select count(*) filter (where d.status = 'failed') as failed,
                count(*) filter (where d.status in ('sent', 'delivered', 'seen')) as went
         from (select a.id from alerts a where a.team_id = t.id order by a.id desc limit 20) a
         join deliveries d on d.alert_id = a.id
         where d.created_at >= %(since)s) recent) as control_rooms,
    (select jsonb_build_object('started_at', d.started_at, 'told', d.told, 'reached', d.reached)
     from drills d where d.ended_at is not null order by d.id desc limit 1) as last_drill
"""  # noqa: S608 - constants of this file; every value is a parameter

METRICS = f"""
with dead as materialized ({DEAD})
select
    (select coalesce(jsonb_object_agg(priority, number), '{{}}') from (
        select priority, count(*) as number from dead group by priority) by_priority) as dead,
    (select jsonb_build_object('at', extract(epoch from d.started_at)::float8, 'told', d.told,
                               'reached', d.reached)
     from drills d where d.ended_at is not null order by d.id desc limit 1) as last_drill
"""  # noqa: S608 - the same


def state(conn: Connection[Any], *, channels: Sequence[str], now: datetime) -> dict[str, Any]:
    """The row of STATE: what the doctor tells of, by the channels in use."""
    return _one(conn, STATE, channels=list(channels), now=now)


def metrics(conn: Connection[Any], *, now: datetime) -> dict[str, Any]:
    """The row of METRICS: dead alerts by priority, and the last drill."""
    return _one(conn, METRICS, channels=[], now=now)


def _one(
    conn: Connection[Any],
    statement: LiteralString,
    *,
    channels: list[str],
    now: datetime,
) -> dict[str, Any]:
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            statement, {"since": now - SINCE, "most": MOST, "channels": channels}
        ).fetchone()
        assert row is not None  # noqa: S101 - a select without FROM has one row
        return row
