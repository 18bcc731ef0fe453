"""Coverages as the staff of their team's organisation read and change them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from psycopg.rows import dict_row

from waylight.db.packs import PIECE_VERTICES
from waylight.domain.coverages import Rule, Shape

DECIMALS = 7
"""Of a shape that is answered: about a centimetre."""

SELECT = f"""
select c.id, c.team_id, c.version, c.modes, c.routes, c.category_groups, c.schedule,
       c.updated_at, c.expanded_until, t.city_id,
       coalesce(c.active_during @> %(now)s::timestamptz, c.schedule is null) as active,
       a.id as area_id, a.code as area_code, a.name as area_name,
       a.organisation_id as drawn_by,
       case when a.organisation_id is not null then st_asgeojson(a.geom, {DECIMALS}, 0) end
           as shape,
       case when 'coverages' = any (t.edited) then 'staff' else 'pack' end as set_by
from coverages c
join teams t on t.id = c.team_id
join areas a on a.id = c.area_id
where c.team_id = %(team)s
"""  # noqa: S608 - a constant

FAULT = """
select detail.valid, detail.reason, st_x(detail.location) as lon, st_y(detail.location) as lat
from st_isvaliddetail(st_geomfromgeojson(%(shape)s)) detail
"""

# Outside: as a share of the plane, which is near enough for a shape of at most some degrees.
PLACE = """
with given as (select st_geomfromgeojson(%(shape)s) as geom),
city as (
    select c.name, a.geom from cities c
    join areas a on a.city_id = c.id and a.code = c.service_area_code where c.id = %(city)s)
select city.name as city, st_area(given.geom::geography, false) as area_m2,
       1 - st_area(st_intersection(given.geom, city.geom)) / nullif(st_area(given.geom), 0)
           as outside,
       (select array_agg(c.name order by c.name) from cities c
        join areas a on a.city_id = c.id and a.code = c.service_area_code
        where c.id <> %(city)s and st_intersects(a.geom, given.geom)
          and not st_touches(a.geom, given.geom)) as other_cities
from given cross join city
"""

DRAW = """
with given as (
    select st_forcepolygonccw(st_multi(st_geomfromgeojson(%(shape)s))) as geom),
drawn as (
    insert into areas (id, city_id, code, name, kind, geom, organisation_id)
    select %(area)s, %(city)s, 'coverage:' || %(area)s::uuid, %(name)s, 'coverage', geom,
           %(organisation)s
    from given)
select from given
"""

PARTS = """
insert into area_parts (area_id, part, geom)
select a.id, row_number() over (), (st_dump(piece)).geom
from areas a cross join lateral st_dump(a.geom) polygon
cross join lateral st_subdivide(polygon.geom, %(vertices)s) piece
where a.id = %(area)s and st_dimension(piece) = 2
"""


def page(
    conn: Connection[Any], team_id: UUID, *, after: UUID | None, limit: int, now: datetime
) -> list[dict[str, Any]]:
    """Coverages of a team, the oldest first, beyond the coverage `after`."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and (%(after)s::uuid is null or c.id > %(after)s)"
            " order by c.id limit %(limit)s",
            {"team": team_id, "after": after, "limit": limit, "now": now},
        ).fetchall()


def find(
    conn: Connection[Any], team_id: UUID, coverage_id: UUID, *, now: datetime
) -> dict[str, Any] | None:
    """One coverage of a team."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and c.id = %(coverage)s",
            {"team": team_id, "coverage": coverage_id, "now": now},
        ).fetchone()


def count(conn: Connection[Any], team_id: UUID) -> int:
    """How many a team has."""
    row = conn.execute("select count(*) from coverages where team_id = %s", [team_id]).fetchone()
    return int(row[0]) if row else 0


def city_area(conn: Connection[Any], city_id: UUID, code: str) -> UUID | None:
    """One of the city's own areas by its code."""
    row = conn.execute(
        "select id from areas where city_id = %s and code = %s and organisation_id is null",
        [city_id, code],
    ).fetchone()
    return row[0] if row else None


def routes(conn: Connection[Any], city_id: UUID, names: Sequence[str]) -> frozenset[str]:
    """Which of these are lines of the city."""
    found = conn.execute(
        "select line_id from lines where city_id = %s and line_id = any (%s)",
        [city_id, list(names)],
    ).fetchall()
    return frozenset(row[0] for row in found)


def fault(conn: Connection[Any], shape: Shape, *, within_ms: int) -> dict[str, Any] | None:
    """Why a shape is not simple, {reason, lon, lat}; None when it is.

    Raises psycopg.errors.QueryCanceled after `within_ms`. In a savepoint of the caller's.
    """
    limit(conn, within_ms)
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(FAULT, {"shape": _text(shape)}).fetchone()
    return None if row is None or row["valid"] else row


def place(conn: Connection[Any], shape: Shape, city_id: UUID, *, within_ms: int) -> dict[str, Any]:
    """How a valid shape lies to the cities: {city, area_m2, outside, other_cities}.

    `outside` is the share that lies outside its city. Raises as `fault`.
    """
    limit(conn, within_ms)
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(PLACE, {"shape": _text(shape), "city": city_id}).fetchone()
    if row is None:
        raise LookupError(f"city {city_id} has no service area")
    return row


def limit(conn: Connection[Any], within_ms: int) -> None:
    """Statements of this transaction, or of this savepoint when it is taken back, take so long."""
    conn.execute("select set_config('statement_timeout', %s, true)", [f"{within_ms}ms"])


def draw(
    conn: Connection[Any],
    area_id: UUID,
    shape: Shape,
    *,
    city_id: UUID,
    organisation_id: UUID,
    name: str,
) -> None:
    """Writes a shape, wound as RFC 7946 asks, and the pieces in which reports are looked up."""
    conn.execute(
        DRAW,
        {
            "area": area_id,
            "city": city_id,
            "organisation": organisation_id,
            "name": name,
            "shape": _text(shape),
        },
    )
    conn.execute(PARTS, {"area": area_id, "vertices": PIECE_VERTICES})


def rub_out(conn: Connection[Any], area_id: UUID) -> None:
    """Removes what an organisation drew, unless another coverage stands on it."""
    conn.execute(
        "delete from areas a where a.id = %s and a.organisation_id is not null"
        " and not exists (select from coverages c where c.area_id = a.id)",
        [area_id],
    )


def count_drawn(conn: Connection[Any], organisation_id: UUID) -> int:
    """How many shapes an organisation has drawn."""
    row = conn.execute(
        "select count(*) from areas where organisation_id = %s", [organisation_id]
    ).fetchone()
    return int(row[0]) if row else 0


def renew_city(conn: Connection[Any], team_id: UUID) -> None:
    """Has every process read the city of a team of the caller's anew, and locks the city's row."""
    conn.execute("select renew_city(%s)", [team_id])


def add(
    conn: Connection[Any],
    team_id: UUID,
    area_id: UUID,
    rule: Rule,
    *,
    staff_id: UUID | None,
    now: datetime,
) -> UUID:
    """Writes a new rule; returns its id. Its schedule has still to be expanded."""
    row = conn.execute(
        """
        insert into coverages (team_id, area_id, modes, routes, category_groups, schedule,
                               created_by, updated_at)
        values (%(team)s, %(area)s, %(modes)s, %(routes)s, %(category_groups)s, %(schedule)s,
                %(staff)s, %(now)s) returning id
        """,
        {**_columns(rule), "team": team_id, "area": area_id, "staff": staff_id, "now": now},
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    made: UUID = row[0]
    return made


def change(
    conn: Connection[Any], coverage_id: UUID, area_id: UUID, rule: Rule, *, now: datetime
) -> None:
    """Writes another rule in its place, with a new version."""
    conn.execute(
        """
        update coverages set area_id = %(area)s, modes = %(modes)s, routes = %(routes)s,
            category_groups = %(category_groups)s, schedule = %(schedule)s,
            active_during = null, expanded_until = null,
            version = version + 1, updated_at = %(now)s
        where id = %(coverage)s
        """,
        {**_columns(rule), "coverage": coverage_id, "area": area_id, "now": now},
    )


def remove(conn: Connection[Any], coverage_id: UUID) -> None:
    """Removes a rule."""
    conn.execute("delete from coverages where id = %s", [coverage_id])


def _columns(rule: Rule) -> dict[str, Any]:
    return {
        name: None if value is None else list(value)
        for name, value in (
            ("modes", rule.modes),
            ("routes", rule.routes),
            ("category_groups", rule.category_groups),
        )
    } | {"schedule": rule.schedule}


def _text(shape: Shape) -> str:
    return orjson.dumps(shape.geojson()).decode()
