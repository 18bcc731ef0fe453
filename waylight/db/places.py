"""Finding places by name, code, kind and distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.geo import Point

COLUMNS = """
    p.id, p.stop_id, p.name, p.kind, p.modes, p.lines, p.codes, p.heading, p.demo, a.name as area,
    st_x(p.position::geometry) as lon, st_y(p.position::geometry) as lat
"""

RANK = """
    case when p.stop_id = any(%(ids)s::text[]) or p.codes && %(ids)s::text[] then 0
         when lower(p.name) = lower(%(q)s) then 1
         when starts_with(lower(p.name), lower(%(q)s)) then
             case p.kind when 'station' then 2 else 3 end
         when p.kind = 'station' then 4
         else 5 end
"""


@dataclass(frozen=True)
class Wanted:
    """What is looked for; None is no condition.

    A place fits `q` when its name holds a spelling of every word of it, or one of `ids` is its
    own. `words` holds the spellings of each word as LIKE patterns.
    """

    q: str | None = None
    words: Sequence[Sequence[str]] = ()
    ids: Sequence[str] = ()
    kind: str | None = None
    stop_id: str | None = None


def in_order(
    conn: Connection[Any], wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> list[dict[str, Any]]:
    """Places by rank, kind, name and id, from the one after these four values."""
    conditions, values = _conditions(wanted)
    going_on = "true"
    if after is not None:
        going_on = "(rank, kind, name, id) > (%(rank)s::int, %(in_kind)s, %(name)s, %(id)s::uuid)"
        values |= dict(zip(("rank", "in_kind", "name", "id"), after, strict=True))
    statement = f"""
        select * from (
            select {COLUMNS}, {RANK if wanted.q else 0} as rank, null::float8 as distance_m
            from places p left join areas a on a.id = p.area_id
            where {conditions}) found
        where {going_on}
        order by rank, kind, name, id limit %(limit)s
    """  # noqa: S608 - text of this file; every value is a parameter
    return _fetch(conn, statement, {**values, "limit": limit})


def nearest(
    conn: Connection[Any],
    wanted: Wanted,
    here: Point,
    *,
    after: Sequence[Any] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Places by `sphere_m`, with `distance_m` on the ellipsoid beside it.

    Left out are those that do not come after `after`, a distance and an id, in this order.
    """
    conditions, values = _conditions(wanted)
    going_on = "true"
    if after is not None:
        here_m = "st_distance(p.position, %(here)s::geography)"
        going_on = f"({here_m}, p.id) > (%(metres)s::float8, %(id)s::uuid)"
        values |= {"metres": after[0], "id": after[1]}
    statement = f"""
        select {COLUMNS}, 0 as rank, st_distance(p.position, %(here)s::geography) as distance_m,
               p.position <-> %(here)s::geography as sphere_m
        from places p left join areas a on a.id = p.area_id
        where {conditions} and {going_on}
        order by p.position <-> %(here)s::geography limit %(limit)s
    """  # noqa: S608 - text of this file; every value is a parameter
    return _fetch(conn, statement, {**values, "here": here.ewkt(), "limit": limit})


def _conditions(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """A condition without values in it, and its values."""
    conditions = ["true"]
    values: dict[str, Any] = {
        "q": wanted.q,
        "ids": list(wanted.ids),
        "kind": wanted.kind,
        "stop_id": wanted.stop_id,
    }
    if wanted.q:
        spelled = []
        for number, spellings in enumerate(wanted.words):
            names = [f"word_{number}_{n}" for n in range(len(spellings))]
            values |= dict(zip(names, spellings, strict=True))
            either = " or ".join(f"lower(p.name) like lower(%({name})s)" for name in names)
            spelled.append(f"({either})")
        by_name = " and ".join(spelled) or "false"
        by_id = "p.stop_id = any(%(ids)s::text[]) or p.codes && %(ids)s::text[]"
        conditions.append(f"({by_name} or {by_id})")
    if wanted.kind is not None:
        conditions.append("p.kind = %(kind)s")
    if wanted.stop_id is not None:
        conditions.append("p.stop_id = %(stop_id)s")
    return " and ".join(conditions), values


def _fetch(conn: Connection[Any], statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, values).fetchall()
