"""Drills, and how far their alerts have come."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

TEAMS = """
select t.id, t.key, t.name, t.kind, t.organisation_id, o.name as organisation, t.city_id, t.demo,
       t.shifts, t.expanded_until,
       case when coalesce(t.expanded_until < %(now)s, true) then (
           select jsonb_agg(to_jsonb(h) order by h.id) from shifts h
           where h.team_id = t.id and coalesce(h.ends_at > %(now)s, true)) end as set_shifts,
       coalesce(t.on_shift_during @> %(now)s, false) as on_shift,
       t.duty_status, t.duty_until
from teams t
join organisations o on o.id = t.organisation_id
join cities c on c.id = t.city_id
where not t.retired
  and (%(city)s::text is null or c.slug = %(city)s)
  and (%(organisation)s::text is null or o.key = %(organisation)s)
  and (%(team)s::text is null or t.key = %(team)s)
order by o.name, t.name, t.id
"""

STANDING = """
select a.id, a.state, a.created_at, a.seen_at, a.acknowledged_at,
       case when a.state = 'declined' then a.ended_at end as declined_at, d.messages
from alerts a
left join lateral (
    select jsonb_agg(jsonb_build_object(
               'channel', m.channel, 'status', m.status, 'sent_at', m.sent_at,
               'delivered_at', m.delivered_at, 'detail', m.detail) order by m.channel, m.id)
           as messages
    from deliveries m where m.alert_id = a.id and m.message = 'alert.created') d on true
where a.id = any (%s)
"""

DRILL = "select id, level, started_at, ends_at, ended_at, rungs from drills"


def teams(
    conn: Connection[Any],
    *,
    city: str | None,
    organisation: str | None,
    team: str | None,
    now: datetime,
) -> list[dict[str, Any]]:
    """The teams and control rooms of these keys, with what says whether they are on duty."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            TEAMS, {"city": city, "organisation": organisation, "team": team, "now": now}
        ).fetchall()


def open_drill(
    conn: Connection[Any],
    *,
    level: str,
    city_id: UUID | None,
    scheduled_for: datetime | None,
    started_at: datetime,
    ends_at: datetime,
) -> UUID | None:
    """A new drill without anybody in it; None when one for this time of the schedule is there."""
    row = conn.execute(
        """
        insert into drills (level, city_id, scheduled_for, started_at, ends_at, rungs, told)
        values (%s, %s, %s, %s, %s, '[]', 0)
        on conflict (city_id, scheduled_for) where scheduled_for is not null do nothing
        returning id
        """,
        [level, city_id, scheduled_for, started_at, ends_at],
    ).fetchone()
    return row[0] if row else None


def write_rungs(
    conn: Connection[Any],
    drill_id: UUID,
    rungs: Sequence[dict[str, Any]],
    *,
    told: int,
    reached: int | None = None,
    ended_at: datetime | None = None,
) -> None:
    """Who is in a drill; with `ended_at` also that it is over, and how many were reached."""
    conn.execute(
        "update drills set rungs = %s, told = %s, reached = %s, ended_at = %s where id = %s",
        [Jsonb(list(rungs)), told, reached, ended_at, drill_id],
    )


def find(conn: Connection[Any], drill_id: UUID, *, lock: bool = False) -> dict[str, Any] | None:
    """A drill; locked, for whoever ends it."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{DRILL} where id = %s{' for update' if lock else ''}", [drill_id]
        ).fetchone()


def overdue(conn: Connection[Any], *, before: datetime) -> list[UUID]:
    """Drills that should have ended before this moment: of a schedule, or whose caller died."""
    rows = conn.execute(
        "select id from drills where ended_at is null and ends_at < %s order by ends_at", [before]
    ).fetchall()
    return [row[0] for row in rows]


def standing(conn: Connection[Any], alert_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """How far each alert has come, and its messages."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(STANDING, [list(alert_ids)]).fetchall()
    return {row["id"]: row for row in rows}
