"""Reading hubs. Nothing here decides whether a hub whose hours are not expanded is open."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.geo import Bounds, Point

COLUMNS = """
    h.id, h.city_id, h.organisation_id, h.name, h.kind, h.mobile, o.name as organisation,
    h.address, h.opening_hours, h.services, h.access, h.languages, h.phone, h.demo, h.updated_at,
    h.position_at, c.time_zone,
    st_x(h.position::geometry) as lon, st_y(h.position::geometry) as lat,
    coalesce(h.open_during @> %(at)s, false) as open,
    (select upper(r) from unnest(h.open_during) r where r @> %(at)s) as open_until,
    coalesce(%(expanded)s and h.expanded_until > %(at)s, false) as expanded
"""
"""`open` and `open_until` hold where `expanded` is true."""

BY_ID = f"""
select {COLUMNS} from hubs h
join organisations o on o.id = h.organisation_id
join cities c on c.id = h.city_id
where h.id = %(id)s and not h.retired
"""  # noqa: S608 - constants of this file; every value is a parameter

IN_ORDER = f"""
select {COLUMNS} from hubs h
join organisations o on o.id = h.organisation_id
join cities c on c.id = h.city_id
where not h.retired
  and (%(after)s::uuid is null or h.id > %(after)s)
  and (%(west)s::float8 is null or (
       st_y(h.position::geometry) between %(south)s::float8 and %(north)s::float8
       and case when %(west)s::float8 <= %(east)s::float8
                then st_x(h.position::geometry) between %(west)s::float8 and %(east)s::float8
                else st_x(h.position::geometry) >= %(west)s::float8
                  or st_x(h.position::geometry) <= %(east)s::float8 end))
order by h.id limit %(limit)s
"""  # noqa: S608 - the same

NEAREST = f"""
select {COLUMNS}, h.position <-> %(here)s::geography as sphere_m,
       st_distance(h.position, %(here)s::geography) as distance_m
from hubs h
join organisations o on o.id = h.organisation_id
join cities c on c.id = h.city_id
where not h.retired and (h.services || h.access) @> %(features)s::text[]
  -- Without coalesce the planner takes a multirange to hold one instant in 200, and scans them all.
  and (not %(open_now)s or coalesce(h.open_during @> %(at)s, false)
       or not coalesce(%(expanded)s and h.expanded_until > %(at)s, false))
order by h.position <-> %(here)s::geography
limit %(limit)s
"""  # noqa: S608 - the same


def find(conn: Connection[Any], hub_id: UUID, *, at: datetime, expanded: bool) -> dict[str, Any]:
    """One hub, or an empty mapping. `expanded`: the instant is not before the stored ranges."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(BY_ID, {"id": hub_id, "at": at, "expanded": expanded}).fetchone()
    return found or {}


def in_order(
    conn: Connection[Any],
    *,
    at: datetime,
    expanded: bool,
    bounds: Bounds | None,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Hubs in the order of their ids, from the one after `after`."""
    box = {
        "west": bounds.west if bounds else None,
        "south": bounds.south if bounds else None,
        "east": bounds.east if bounds else None,
        "north": bounds.north if bounds else None,
    }
    values = {"at": at, "expanded": expanded, "after": after, "limit": limit, **box}
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(IN_ORDER, values).fetchall()


def nearest(
    conn: Connection[Any],
    here: Point,
    *,
    at: datetime,
    expanded: bool,
    open_now: bool,
    features: Sequence[str],
    limit: int,
) -> list[dict[str, Any]]:
    """Hubs with every feature by `sphere_m`, with `distance_m` on the ellipsoid beside it.

    With `open_now` those known to be closed are left out; those with unknown hours are not.
    """
    values = {
        "here": here.ewkt(),
        "at": at,
        "expanded": expanded,
        "open_now": open_now,
        "features": list(features),
        "limit": limit,
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(NEAREST, values).fetchall()
