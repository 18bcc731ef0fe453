"""Consent: grants that a passenger gives and takes back. As intake."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all, fetch_one

REPORT = """
select r.id, r.under_18, r.withdrawn_at, r.language
from receipts t join reports r on r.id = t.report_id
where t.hash = any (%s)
"""

LOCKED_REPORT = f"{REPORT} for no key update of r"

# Whose job it is, else whoever looks after the place and the vehicle, the nearest first, else the
# only one of its kind in the city. Of several that nothing tells apart none is chosen: a story does
# not go to whoever comes first in a list.
READERS = """
with r as ({report}),
able as (
    select o.id, o.name, o.kind, o.key,
           coalesce(o.kind = 'police' and o.name = r.police, false) as has_job,
           near.distance_m, count(*) over (partition by o.kind) as of_kind
    from r
    join organisations o on o.city_id = r.city_id and o.kind = any (%(kinds)s)
    left join lateral (
        select min(st_distance(t.base, r.position)) as distance_m
        from teams t
        join coverages c on c.team_id = t.id
        join area_parts part on part.area_id = c.area_id
        where t.organisation_id = o.id and t.kind = 'field' and not t.retired
          and st_covers(part.geom, r.position::geometry)
          and (c.modes is null or r.mode is null or r.mode = any (c.modes))
          and (c.routes is null or r.route_id = any (c.routes))
          and (c.category_groups is null or c.category_groups && r.category_groups)) near on true)
select distinct on (kind) id, name, kind,
       case when has_job then 'whose_job' when distance_m is not null then 'covers_place'
            else 'only_one' end as reason
from able where has_job or distance_m is not null or of_kind = 1
order by kind, has_job desc, distance_m nulls last, key
"""

STORED = """
    select city_id, position, mode, route_id, category_groups,
           routing->'jurisdiction'->>'body' as police
    from reports where id = %(report)s"""

SENT = """
    select %(city_id)s::uuid as city_id, %(position)s::geography as position,
           %(mode)s::text as mode, %(route_id)s::text as route_id,
           %(category_groups)s::text[] as category_groups, %(police)s::text as police"""
"""A report that is not stored yet."""

GRANTED = """
select g.organisation_id, o.name as organisation, o.kind, g.cause, g.created_at, g.revoked_at
from grants g join organisations o on o.id = g.organisation_id
where g.report_id = %(report)s
union all
select p.organisation_id, o.name, o.kind, p.cause, p.created_at, p.revoked_at
from past_grants p join organisations o on o.id = p.organisation_id
where p.report_id = %(report)s
order by created_at, revoked_at
"""

GIVEN = """
select report_id, organisation_id from grants
where report_id = any (%s) and cause = 'consent' and revoked_at is null
order by report_id, organisation_id
"""

GIVE = """
insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
values (%(report)s, %(organisation)s, 'consent', 'full', %(now)s, 'passenger')
on conflict (report_id, organisation_id, cause) do update
    set created_at = %(now)s, created_by = 'passenger', revoked_at = null, revoked_by = null
    where grants.revoked_at is not null
"""

WITHDRAW = """
update grants g set revoked_at = %(now)s, revoked_by = 'passenger'
from organisations o
where g.report_id = %(report)s and g.cause = 'consent' and g.revoked_at is null
  and o.id = g.organisation_id and o.kind = %(kind)s
returning g.organisation_id
"""


def report(
    conn: Connection[Any], hashes: Sequence[bytes], *, lock: bool = False
) -> dict[str, Any] | None:
    """The report behind a receipt: {id, under_18, withdrawn_at, language}; None when unknown.

    With `lock`, whoever else gives or withdraws consent for it waits.
    """
    return fetch_one(
        conn,
        LOCKED_REPORT if lock else REPORT,
        [list(hashes)],
    )


def readers(
    conn: Connection[Any], report_id: UUID | None, kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """The one organisation of each kind that a report would be shared with, and why that one."""
    return fetch_all(
        conn, READERS.format(report=STORED), {"report": report_id, "kinds": list(kinds)}
    )


def readers_of_sent(
    conn: Connection[Any], facts: Mapping[str, Any], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """The same of a report that is not stored yet.

    `facts` are {city_id, position, mode, route_id, category_groups, police}: whose job it is.
    """
    return fetch_all(conn, READERS.format(report=SENT), {**facts, "kinds": list(kinds)})


def granted(conn: Connection[Any], report_id: UUID | None) -> list[dict[str, Any]]:
    """All grants of a report there are and were, the oldest first."""
    return fetch_all(conn, GRANTED, {"report": report_id})


def give(conn: Connection[Any], report_id: UUID, organisation_id: UUID, *, now: datetime) -> None:
    """Lets an organisation read a report by consent; what it was before is kept."""
    conn.execute(GIVE, {"report": report_id, "organisation": organisation_id, "now": now})


def withdraw(conn: Connection[Any], report_id: UUID, *, kind: str, now: datetime) -> list[UUID]:
    """Takes consent back from all organisations of a kind; returns those that had it."""
    rows = fetch_all(conn, WITHDRAW, {"report": report_id, "kind": kind, "now": now})
    return [row["organisation_id"] for row in rows]


def given_with(conn: Connection[Any], report_ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Who was given consent to read these reports: [(report, organisation)]."""
    return conn.execute(GIVEN, [list(report_ids)]).fetchall()
