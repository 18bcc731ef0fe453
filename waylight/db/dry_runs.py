"""Reports of the past, and the one read of a submit as if something had been changed.

A common table of the same name stands in front of a table: what is asked of a report is word for
word what a submit asks, and nothing is written.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db import nearby
from waylight.db.packs import PIECE_VERTICES
from waylight.domain.coverages import Shape

COUNTED_TO = 10_000

# By the grants of the caller, so that no other report is as much as looked at; a policy asks again.
SEEN = """
select g.report_id from grants g
where g.organisation_id = %(organisation)s and g.revoked_at is null and g.level = 'full'
  and g.report_id >= uuid_v7_floor(%(since)s)
"""

REPORTS = f"""
with page as materialized (
    select distinct report_id from ({SEEN}) seen
    where %(after)s::uuid is null or report_id < %(after)s
    order by report_id desc limit %(limit)s)
select p.report_id as id, r.id is not null as counts, r.city_id, r.received_at, r.priority,
       r.mode, r.category_groups, r.route_id, r.routing->'modes' as modes,
       r.routing->'capabilities' as capabilities, r.routing->'facts' as facts,
       st_x(r.position::geometry) as lon, st_y(r.position::geometry) as lat,
       rung.team_id, rung.team, rung.organisation, rung.role,
       extract(epoch from rung.acknowledged_at - rung.created_at)::float8 as answered_after_s
from page p
left join reports r on r.id = p.report_id
    and not r.exercise and r.withdrawn_at is null and r.position is not null
    and not (cardinality(r.wants) > 0 and r.wants <@ '{{record_only,support_only}}')
left join lateral (
    select a.team_id, t.name as team, o.name as organisation, a.role, a.created_at,
           a.acknowledged_at
    from alerts a join teams t on t.id = a.team_id
    join organisations o on o.id = a.organisation_id
    where a.report_id = r.id and a.organisation_id = %(organisation)s and a.rank = 1
    order by a.id limit 1) rung on true
order by p.report_id desc
"""  # noqa: S608 - a constant of this file

COUNT = f"select count(*) from (select distinct report_id from ({SEEN}) s limit %(most)s) n"  # noqa: S608 - the same

PIECES = """
select st_ashexewkb((st_dump(piece)).geom)
from st_dump(st_geomfromgeojson(%(shape)s)) polygon
cross join lateral st_subdivide(polygon.geom, %(vertices)s) piece
where st_dimension(piece) = 2
"""

AS_IF = """
with areas as not materialized (
    select id, city_id, code, name, kind, organisation_id from public.areas
    union all
    select a.id, a.city_id, 'proposed:' || a.id, a.name, 'coverage', a.organisation_id
    from jsonb_to_recordset(%(areas)s) as a(id uuid, city_id uuid, name text,
                                            organisation_id uuid)),
area_parts as not materialized (
    select area_id, geom from public.area_parts
    union all
    select p.area_id, p.geom::geometry
    from jsonb_to_recordset(%(parts)s) as p(area_id uuid, geom text)),
coverages as not materialized (
    select id, team_id, area_id, modes, routes, category_groups, schedule, active_during,
           expanded_until
    from public.coverages where id <> all (%(without)s)
    union all
    select c.id, c.team_id, c.area_id, c.modes, c.routes, c.category_groups, c.schedule,
           c.active_during::tstzmultirange, c.expanded_until
    from jsonb_to_recordset(%(coverages)s) as c(
        id uuid, team_id uuid, area_id uuid, modes text[], routes text[], category_groups text[],
        schedule text, active_during text, expanded_until timestamptz)),
teams as not materialized (
    select t.id, t.city_id, t.organisation_id, t.name, t.kind, t.demo, t.version, t.shifts,
           t.expanded_until, t.on_shift_during, t.capabilities,
           'available'::text as duty_status, null::timestamptz as duty_until,
           null::geography as position, null::timestamptz as position_at,
           coalesce(p.base::geography, t.base) as base,
           t.retired or coalesce(p.retired, false) as retired,
           coalesce(p.capabilities, t.staff_capabilities) as staff_capabilities
    from public.teams t
    left join jsonb_to_recordset(%(teams)s) as p(id uuid, base text, retired boolean,
                                                 capabilities jsonb) on p.id = t.id)
"""


def only_read(conn: Connection[Any]) -> None:
    """From here on PostgreSQL refuses to write in this transaction."""
    conn.execute("set transaction read only")


def reports(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    since: datetime,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Reports that an organisation was granted, the newest first, beyond the report `after`.

    Those that say nothing about coverages are there with `counts` false: exercises, what was
    withdrawn or has no place, and what nobody was to be told. `team_id` and `answered_after_s` are
    of the organisation's own first rung.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            REPORTS,
            {
                "organisation": organisation_id,
                "since": since,
                "after": after,
                "limit": limit,
            },
        ).fetchall()


def count(conn: Connection[Any], organisation_id: UUID, *, since: datetime) -> int:
    """How many reports an organisation was granted, up to COUNTED_TO."""
    row = conn.execute(
        COUNT, {"organisation": organisation_id, "since": since, "most": COUNTED_TO}
    ).fetchone()
    return int(row[0]) if row else 0


def pieces(conn: Connection[Any], shape: Shape) -> list[str]:
    """A shape cut as it would be stored."""
    found = conn.execute(
        PIECES,
        {"shape": orjson.dumps(shape.geojson()).decode(), "vertices": PIECE_VERTICES},
    ).fetchall()
    return [row[0] for row in found]


def surroundings(
    conn: Connection[Any],
    queries: Sequence[Mapping[str, Any]],
    changes: Mapping[str, Any],
    **rules: float,
) -> list[dict[str, Any]]:
    """As `nearby.surroundings`, with every team available at its base, and as if changed.

    `changes` are rows: areas {id, city_id, name, organisation_id}, parts {area_id, geom}, coverages
    as the table has them, teams {id, base, retired, capabilities}; and `without`, ids of coverages.
    """
    lists = {name: Jsonb(list(changes[name])) for name in ("areas", "parts", "coverages", "teams")}
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            AS_IF + nearby.SURROUNDINGS,
            {
                **nearby.values(queries, **rules),
                **lists,
                "without": list(changes["without"]),
            },
        ).fetchall()
