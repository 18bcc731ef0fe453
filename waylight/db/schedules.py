"""Where expanded opening hours and shifts are kept: a `tstzmultirange` and how far it reaches."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.multirange import TimestamptzMultirange

DUE = """
select kept_in, id, expression, city_id from (
    select 'teams' as kept_in, t.id, t.shifts as expression, t.city_id, t.expanded_until
    from teams t
    where not t.retired
    union all
    select 'coverages', c.id, c.schedule, t.city_id, c.expanded_until
    from coverages c join teams t on t.id = c.team_id
    where not t.retired and c.schedule is not null
    union all
    select 'hubs', h.id, h.opening_hours, h.city_id, h.expanded_until
    from hubs h
    where not h.retired) hours
where (%(before)s::timestamptz is null or coalesce(expanded_until < %(before)s, true))
  and (%(unlike)s::timestamptz is null or expanded_until is distinct from %(unlike)s)
  and (%(city_id)s::uuid is null or city_id = %(city_id)s)
  and (%(team_id)s::uuid is null or kept_in = 'teams' and id = %(team_id)s)
order by kept_in, id
limit %(limit)s
"""

KEEP = {
    "teams": "update teams set on_shift_during = %s, expanded_until = %s where id = %s",
    "coverages": "update coverages set active_during = %s, expanded_until = %s where id = %s",
    "hubs": "update hubs set open_during = %s, expanded_until = %s where id = %s",
}
"""The three places in which expanded ranges are kept."""


def due(
    conn: Connection[Any],
    *,
    before: datetime | None = None,
    unlike: datetime | None = None,
    city_id: UUID | None = None,
    team_id: UUID | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Hours to expand: rows of kept_in (a key of KEEP), id, expression, city_id.

    `before`: only what is not expanded as far; `unlike`: only what is not expanded to exactly
    then; `team_id`: only the shifts of that team. A team's expression is its pack's rule. Retired
    teams and hubs are never due, nor is a coverage without a schedule, which is always on.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            DUE,
            {
                "before": before,
                "unlike": unlike,
                "city_id": city_id,
                "team_id": team_id,
                "limit": limit,
            },
        )
        return cursor.fetchall()


def calendars(conn: Connection[Any]) -> dict[UUID, dict[str, Any]]:
    """The time zone and the holidays, as the pack states them, of every city."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select id, time_zone, holidays from cities").fetchall()
    return {row["id"]: row for row in rows}


def keep(
    conn: Connection[Any],
    kept_in: str,
    rows: Iterable[tuple[TimestamptzMultirange, datetime, UUID]],
) -> None:
    """Stores ranges, how far they reach and whose they are, in one of the places of KEEP."""
    with conn.cursor() as cursor:
        cursor.executemany(KEEP[kept_in], list(rows))
