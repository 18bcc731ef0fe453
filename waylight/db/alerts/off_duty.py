"""Alerts that nobody has answered, of teams that have gone off duty since."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

# The teams are few, and their alerts of the last hours are found by the index on team and id. Only
# the newest team of a ladder is waited for: an earlier one has had its time. Where nothing is
# expanded a team is not taken to be off.
FIND = """
select a.id, a.report_id, a.role, a.organisation_id, i.id as incident_id, i.city_id, i.exercise
from teams t
join alerts a on a.team_id = t.id and a.id >= uuid_v7_floor(%(now)s::timestamptz - %(within)s)
join incidents i on i.id = a.incident_id
where (t.retired
       or case when t.duty_until <= %(now)s then 'available' else t.duty_status end = 'off'
       or t.expanded_until >= %(now)s
          and not coalesce(t.on_shift_during @> %(now)s::timestamptz, false)
          and not coalesce(t.duty_until > %(now)s, false))
  and a.state in ('pending', 'delivered') and a.role <> 'control_room' and a.off_duty_at is null
  and i.state = 'open' and i.escalate_at > %(now)s and i.id <> all (%(skip)s)
  and not exists (
      select from alerts newer
      where newer.incident_id = a.incident_id and newer.team_id is not null and newer.id > a.id
        and newer.role <> 'control_room'
        and newer.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene'))
order by i.priority, a.id
limit 1
for update of i skip locked
"""

WITHIN = timedelta(hours=2)
"""A rung has had its time long before."""


def find(
    conn: Connection[Any], *, now: datetime, skip: Sequence[UUID] = ()
) -> dict[str, Any] | None:
    """The most urgent unanswered alert whose team is off duty now, its incident locked.

    One that another worker has is left to it.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(FIND, {"now": now, "within": WITHIN, "skip": list(skip)}).fetchone()


def let_climb(conn: Connection[Any], alert_id: UUID, incident_id: UUID, *, now: datetime) -> None:
    """Notes since when nobody of the team is there, and makes its incident due."""
    conn.execute(
        "update alerts set off_duty_at = %s, version = version + 1 where id = %s", [now, alert_id]
    )
    conn.execute(
        "update incidents set escalate_at = %s, version = version + 1 where id = %s",
        [now, incident_id],
    )
