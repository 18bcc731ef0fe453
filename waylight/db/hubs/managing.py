"""What the staff of a hub change, as the staff role: row-level security is the second lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waylight.db.hubs.reading import COLUMNS
from waylight.domain.geo import Point
from waylight.domain.hubs import MOVED_M

DESK = f"""
select {COLUMNS}, h.version, h.edited,
       run.status, run.starts_at, run.ends_at, run.reason, run.set_by
from hubs h
join organisations o on o.id = h.organisation_id
join cities c on c.id = h.city_id
left join lateral (
    select v.status, v.starts_at, v.ends_at, v.reason, coalesce(s.name, '') as set_by
    from hub_overrides v left join staff s on s.id = v.set_by
    where v.hub_id = h.id and v.starts_at <= %(at)s and v.ends_at > %(at)s
    order by v.id desc limit 1) run on true
where h.id = %(id)s and not h.retired
"""  # noqa: S608 - constants of this file; every value is a parameter

EDITABLE = ("name", "address", "opening_hours", "services", "access", "languages", "phone")
OURS = (
    "address",
    "access",
    "languages",
    "name",
    "opening_hours",
    "phone",
    "position",
    "retired",
    "services",
)
"""What no pack takes back of a hub that staff made."""

LOCK = 0x5741_5448


def at_desk(conn: Connection[Any], hub_id: UUID, *, at: datetime) -> dict[str, Any] | None:
    """One hub with its version and, where the caller's organisation set one, its override."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(DESK, {"id": hub_id, "at": at, "expanded": True}).fetchone()


def take_version(
    conn: Connection[Any], hub_id: UUID, *, if_match: int | None, now: datetime
) -> bool:
    """Gives a hub its next version and locks it; False when `if_match` is not its version now."""
    changed = conn.execute(
        """
        update hubs set version = version + 1, updated_at = %(now)s
        where id = %(id)s and (%(if_match)s::int is null or version = %(if_match)s)
        """,
        {"id": hub_id, "if_match": if_match, "now": now},
    )
    return changed.rowcount == 1


def edit(conn: Connection[Any], hub_id: UUID, values: Mapping[str, Any]) -> None:
    """Writes columns of EDITABLE, and that a pack leaves them alone from now on."""
    names = [name for name in EDITABLE if name in values]
    conn.execute(
        sql.SQL(
            "update hubs set {pairs}, edited = array(select distinct unnest(edited || %(names)s)"
            " order by 1) where id = %(id)s"
        ).format(
            pairs=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
                for name in names
            )
        ),
        {**{name: values[name] for name in names}, "names": names, "id": hub_id},
    )


def found(
    conn: Connection[Any],
    hub_id: UUID,
    *,
    organisation_id: UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """Writes a new hub in its organisation's city. Its hours have still to be expanded.

    `values` are EDITABLE, `kind`, `mobile` and `position`.
    """
    conn.execute(
        """
        insert into hubs (id, city_id, organisation_id, key, name, kind, mobile, position, address,
                          opening_hours, services, access, languages, phone, edited, updated_at)
        select %(id)s, o.city_id, o.id, 'staff:' || %(id)s::uuid, %(name)s, %(kind)s, %(mobile)s,
               %(position)s::geography, %(address)s, %(opening_hours)s, %(services)s, %(access)s,
               %(languages)s, %(phone)s, %(edited)s, %(now)s
        from organisations o where o.id = %(organisation)s
        """,
        {
            **values,
            "position": values["position"].ewkt(),
            "id": hub_id,
            "organisation": organisation_id,
            "edited": sorted(OURS),
            "now": now,
        },
    )


def settle(conn: Connection[Any], hub_id: UUID, here: Point) -> None:
    """Puts a hub that does not move to another address; a pack leaves it there."""
    conn.execute(
        "update hubs set position = %s::geography,"
        " edited = array(select distinct unnest(edited || '{position}') order by 1) where id = %s",
        [here.ewkt(), hub_id],
    )


def retire(conn: Connection[Any], hub_id: UUID) -> None:
    """Takes a hub out of use for good; what points to it stays."""
    conn.execute(
        "update hubs set retired = true,"
        " edited = array(select distinct unnest(edited || '{retired}') order by 1) where id = %s",
        [hub_id],
    )


def count(conn: Connection[Any], organisation_id: UUID) -> int:
    """How many an organisation has in use; until the transaction ends nobody else adds one."""
    conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organisation_id)])
    row = conn.execute(
        "select count(*) from hubs where organisation_id = %s and not retired", [organisation_id]
    ).fetchone()
    return int(row[0]) if row else 0


def end_override(conn: Connection[Any], hub_id: UUID, *, now: datetime) -> bool:
    """Ends the override that runs; False when none does. The caller says that it has ended."""
    ended = conn.execute(
        "update hub_overrides set ends_at = greatest(starts_at, %(now)s), end_told_at = %(now)s"
        " where hub_id = %(id)s and ends_at > %(now)s",
        {"id": hub_id, "now": now},
    )
    return ended.rowcount > 0


def ended_override(
    conn: Connection[Any], *, now: datetime, skip: Sequence[UUID]
) -> dict[str, Any] | None:
    """An override that has ended by itself, locked, of which nobody was told yet; None when none.

    One that another worker has is left to it.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select id, hub_id from hub_overrides
            where end_told_at is null and ends_at <= %s and id <> all (%s)
            order by ends_at limit 1 for update skip locked
            """,
            [now, list(skip)],
        ).fetchone()


def mark_end_told(conn: Connection[Any], override_id: UUID, *, now: datetime) -> None:
    """Notes that it was told that an override has ended."""
    conn.execute("update hub_overrides set end_told_at = %s where id = %s", [now, override_id])


def set_override(
    conn: Connection[Any],
    hub_id: UUID,
    *,
    organisation_id: UUID,
    status: str,
    until: datetime,
    reason: str,
    staff_id: UUID | None,
    now: datetime,
) -> None:
    """Starts an override now. The one before it must have been ended."""
    conn.execute(
        """
        insert into hub_overrides (hub_id, organisation_id, status, starts_at, ends_at, reason,
                                   set_by)
        values (%s, %s, %s, %s, %s, %s, %s)
        """,
        [hub_id, organisation_id, status, now, until, reason, staff_id],
    )


MOVE = """
update hubs h set position = %(here)s::geography, position_at = %(fixed_at)s,
    edited = array(select distinct unnest(h.edited || array['position']) order by 1),
    anchor = case when far.away then %(here)s::geography else coalesce(h.anchor, h.position) end,
    moved_at = case when far.away then %(now)s else h.moved_at end
from (select id, st_distance(coalesce(anchor, position), %(here)s::geography, false) > %(moved_m)s
             as away
      from hubs where id = %(id)s) far
where h.id = far.id and coalesce(h.position_at <= %(fixed_at)s, true)
"""


def move(
    conn: Connection[Any], hub_id: UUID, here: Point, *, fixed_at: datetime, now: datetime
) -> bool:
    """Puts a mobile hub where it is; False when a newer position is known already."""
    moved = conn.execute(
        MOVE,
        {
            "id": hub_id,
            "here": here.ewkt(),
            "fixed_at": fixed_at,
            "moved_m": MOVED_M,
            "now": now,
        },
    )
    return moved.rowcount == 1


KEEP_EDITED: LiteralString = """
update pg_temp.staged_hubs s set
    name = case when 'name' = any (t.edited) then t.name else s.name end,
    retired = case when 'retired' = any (t.edited) then t.retired else s.retired end,
    address = case when 'address' = any (t.edited) then t.address else s.address end,
    opening_hours = case when 'opening_hours' = any (t.edited) then t.opening_hours
                         else s.opening_hours end,
    services = case when 'services' = any (t.edited) then t.services else s.services end,
    access = case when 'access' = any (t.edited) then t.access else s.access end,
    languages = case when 'languages' = any (t.edited) then t.languages else s.languages end,
    phone = case when 'phone' = any (t.edited) then t.phone else s.phone end,
    position = case when 'position' = any (t.edited) then t.position else s.position end
from hubs t
where t.city_id = %s and t.key = s.key and t.edited <> '{}'
returning s.key, t.edited
"""


def keep_edited(conn: Connection[Any], city_id: UUID) -> list[tuple[str, list[str]]]:
    """Puts what staff set into the staged rows of a pack; key and columns of each such hub."""
    return sorted(conn.execute(KEEP_EDITED, [city_id]).fetchall())
