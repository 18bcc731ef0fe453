"""Where expanded opening hours and shifts are kept: a `tstzmultirange` and how far it reaches."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

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
  and (%(coverage_id)s::uuid is null or kept_in = 'coverages' and id = %(coverage_id)s)
order by kept_in, id
limit %(limit)s
"""

# What staff decided wins over the hours: overrides are folded in here, so that no expansion undoes
# them. Those of more than a year ago concern nobody.
FOLDED = """(%(during)s::tstzmultirange
    - coalesce((select range_agg(tstzrange(o.starts_at, o.ends_at)) from hub_overrides o
                where o.hub_id = hubs.id and o.status = 'closed'
                  and o.ends_at > now() - interval '400 days'), '{}'))
    + coalesce((select range_agg(tstzrange(o.starts_at, o.ends_at)) from hub_overrides o
                where o.hub_id = hubs.id and o.status = 'open'
                  and o.ends_at > now() - interval '400 days'), '{}')"""

KEEP = {
    "teams": """
        update teams set on_shift_during = %(during)s, expanded_until = %(until)s
        where id = %(id)s""",
    "coverages": """
        update coverages set active_during = %(during)s, expanded_until = %(until)s
        where id = %(id)s""",
    # Hours that staff changed since they were read have been expanded by that change.
    "hubs": f"""
        update hubs set open_during = {FOLDED}, expanded_until = %(until)s
        where id = %(id)s and opening_hours = %(expression)s""",  # noqa: S608 - constants of this file
}
"""The three places in which expanded ranges are kept."""


def due(
    conn: Connection[Any],
    *,
    before: datetime | None = None,
    unlike: datetime | None = None,
    city_id: UUID | None = None,
    team_id: UUID | None = None,
    coverage_id: UUID | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Hours to expand: rows of kept_in (a key of KEEP), id, expression, city_id.

    `before`: only what is not expanded as far; `unlike`: only what is not expanded to exactly
    then; `team_id`: only the shifts of that team; `coverage_id`: only that one's schedule. A team's
    expression is its pack's rule. Retired teams and hubs are never due, nor is a coverage without
    a schedule, which is always on.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            DUE,
            {
                "before": before,
                "unlike": unlike,
                "city_id": city_id,
                "team_id": team_id,
                "coverage_id": coverage_id,
                "limit": limit,
            },
        )
        return cursor.fetchall()


def calendars(conn: Connection[Any]) -> dict[UUID, dict[str, Any]]:
    """The time zone and the holidays, as the pack states them, of every city."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select id, time_zone, holidays from cities").fetchall()
    return {row["id"]: row for row in rows}


def hours_of_hub(conn: Connection[Any], hub_id: UUID) -> list[dict[str, Any]]:
    """One hub's hours as a row of `due`."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select 'hubs' as kept_in, id, opening_hours as expression, city_id from hubs"
            " where id = %s",
            [hub_id],
        ).fetchall()


def keep(conn: Connection[Any], kept_in: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Stores ranges in one of the places of KEEP: {during, until, id, expression} of each.

    A hub's row is locked before its overrides are read, so that none set meanwhile is lost.
    """
    with conn.cursor() as cursor:
        if kept_in == "hubs":
            ids = [row["id"] for row in rows]
            cursor.execute("select from hubs where id = any (%s) order by id for update", [ids])
        cursor.executemany(KEEP[kept_in], rows)
