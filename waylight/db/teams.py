"""Teams, as the staff of their organisation and of the city's control room see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.domain.geo import Point

LOCK = 0x5741_5454
NO_SHIFTS = "off"
"""In OpenStreetMap `opening_hours`: a new team is on shift when its staff say so."""

EDITABLE = ("base", "coverages", "name", "retired", "shifts")
"""What staff set of a team of their own, none of which a pack takes back."""

SELECT = """
select t.id, t.version, t.name, t.kind, t.organisation_id, o.name as organisation, t.capabilities,
       t.staff_capabilities, st_x(t.base::geometry) as lon, st_y(t.base::geometry) as lat,
       st_x(here.place::geometry) as at_lon, st_y(here.place::geometry) as at_lat,
       here.fixed_at as position_at, here.accuracy_m as position_accuracy_m, t.shifts as pack_rule,
       t.expanded_until, t.edited,
       (select jsonb_agg(to_jsonb(h) order by h.id) from shifts h
        where h.team_id = t.id and coalesce(h.ends_at > %(now)s, true)) as set_shifts,
       t.city_id, coalesce(t.on_shift_during @> %(now)s::timestamptz, false) as on_shift,
       t.duty_status, t.duty_until, t.demo,
       (select count(*) from engagements work
        where work.team_id = t.id
          and work.since > %(now)s::timestamptz - interval '12 hours') as working_on
from teams t
join organisations o on o.id = t.organisation_id
cross join lateral place_of_team(t.id) here
where not t.retired
  and (t.organisation_id = %(organisation)s or exists (
      select from cities c join teams room on room.id = c.control_room_id
      where c.id = t.city_id and room.organisation_id = %(organisation)s))
"""


def page(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    after: tuple[str, UUID] | None,
    limit: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Teams of the organisation, and of its city when it runs the control room, by name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and (%(id)s::uuid is null or (t.name, t.id) > (%(name)s, %(id)s))"
            " order by t.name, t.id limit %(limit)s",
            {
                "organisation": organisation_id,
                "name": after and after[0],
                "id": after and after[1],
                "limit": limit,
                "now": now,
            },
        ).fetchall()


def find(
    conn: Connection[Any], team_id: UUID, organisation_id: UUID, *, now: datetime
) -> dict[str, Any] | None:
    """One team that the organisation may see; None for every other."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and t.id = %(team)s",
            {"organisation": organisation_id, "team": team_id, "now": now},
        ).fetchone()


def set_duty(
    conn: Connection[Any],
    team_id: UUID,
    *,
    status: str,
    until: datetime | None,
    if_match: int | None,
) -> bool:
    """Writes a duty status with a new version; False when `if_match` is no longer the version."""
    changed = conn.execute(
        """
        update teams set duty_status = %(status)s, duty_until = %(until)s, version = version + 1
        where id = %(team)s and (%(if_match)s::int is null or version = %(if_match)s)
        """,
        {"team": team_id, "status": status, "until": until, "if_match": if_match},
    )
    return changed.rowcount == 1


def set_capabilities(
    conn: Connection[Any],
    team_id: UUID,
    capabilities: Mapping[str, str | None] | None,
    *,
    if_match: int | None,
) -> bool:
    """Writes what a team can do until when, with a new version; None is what its pack says.

    False when `if_match` is no longer the version.
    """
    changed = conn.execute(
        """
        update teams set staff_capabilities = %(held)s, version = version + 1
        where id = %(team)s and (%(if_match)s::int is null or version = %(if_match)s)
        """,
        {
            "team": team_id,
            "held": None if capabilities is None else Jsonb(dict(capabilities)),
            "if_match": if_match,
        },
    )
    return changed.rowcount == 1


def from_base_m(conn: Connection[Any], team_id: UUID, point: Point) -> float:
    """How far a point is from a team's base, in metres on the sphere."""
    row = conn.execute(
        "select st_distance(base, %s::geography, false) from teams where id = %s",
        [point.ewkt(), team_id],
    ).fetchone()
    return float(row[0]) if row else 0.0


def move(
    conn: Connection[Any],
    team_id: UUID,
    point: Point,
    *,
    fixed_at: datetime,
    accuracy_m: float | None,
    now: datetime,
) -> bool:
    """Writes where a team of the caller's is, in place of where it was; False when that is newer.

    One that is known from the time to come was written while a clock was wrong, and gives way. The
    version stays: nobody edits a position. By a function, for the staff role reads no position.
    """
    row = conn.execute(
        "select move_team(%(team)s, %(point)s::geography, %(fixed_at)s, %(accuracy_m)s::real,"
        " %(now)s)",
        {
            "team": team_id,
            "point": point.ewkt(),
            "fixed_at": fixed_at,
            "accuracy_m": accuracy_m,
            "now": now,
        },
    ).fetchone()
    return bool(row and row[0])


FORGET = "position = null, position_at = null, position_accuracy_m = null"


def forget_position(conn: Connection[Any], team_id: UUID) -> None:
    """Forgets where a team is."""
    conn.execute(f"update teams set {FORGET} where id = %s", [team_id])  # noqa: S608 - a constant


def forget_old_positions(conn: Connection[Any], *, before: datetime) -> int:
    """Forgets where teams were before an instant; returns how many."""
    return conn.execute(
        f"update teams set {FORGET} where position_at < %s",  # noqa: S608 - a constant
        [before],
    ).rowcount


def touch(conn: Connection[Any], team_id: UUID) -> None:
    """Gives a team a new version."""
    conn.execute("update teams set version = version + 1 where id = %s", [team_id])


def mark_edited(conn: Connection[Any], team_id: UUID, names: Sequence[str]) -> None:
    """Notes what staff have set, so that a pack leaves it alone, with a new version."""
    conn.execute(
        "update teams set edited = array(select distinct unnest(edited || %s) order by 1),"
        " version = version + 1 where id = %s",
        [list(names), team_id],
    )


def found(
    conn: Connection[Any],
    team_id: UUID,
    *,
    organisation_id: UUID,
    name: str,
    base: Point,
    capabilities: Mapping[str, str | None],
) -> None:
    """Writes a new team in its organisation's city; it has no shift, and no pack knows of it."""
    conn.execute(
        """
        insert into teams (id, city_id, organisation_id, key, name, kind, base, capabilities,
                           shifts, edited)
        select %(id)s, o.city_id, o.id, 'staff:' || %(id)s::uuid, %(name)s, 'field',
               %(base)s::geography, '{}', %(shifts)s, %(edited)s
        from organisations o where o.id = %(organisation)s
        """,
        {
            "id": team_id,
            "organisation": organisation_id,
            "name": name,
            "base": base.ewkt(),
            "shifts": NO_SHIFTS,
            "edited": sorted(EDITABLE),
        },
    )
    set_capabilities(conn, team_id, capabilities, if_match=None)


def edit(
    conn: Connection[Any],
    team_id: UUID,
    *,
    name: str | None,
    base: Point | None,
    if_match: int | None,
) -> bool:
    """Writes what is not None, with a new version; False when `if_match` is not the version now."""
    names = [said for said, value in (("name", name), ("base", base)) if value is not None]
    return (
        conn.execute(
            """
            update teams set name = coalesce(%(name)s, name),
                base = coalesce(%(base)s::geography, base), version = version + 1,
                edited = array(select distinct unnest(edited || %(names)s) order by 1)
            where id = %(team)s and (%(if_match)s::int is null or version = %(if_match)s)
            """,
            {
                "team": team_id,
                "name": name,
                "base": base and base.ewkt(),
                "names": names,
                "if_match": if_match,
            },
        ).rowcount
        == 1
    )


def retire(conn: Connection[Any], team_id: UUID, *, if_match: int | None) -> bool:
    """Takes a team out of use for good; what points to it stays. False as `edit`."""
    return (
        conn.execute(
            """
            update teams set retired = true, duty_status = 'off', duty_until = null,
                position = null, position_at = null, position_accuracy_m = null,
                version = version + 1,
                edited = array(select distinct unnest(edited || '{retired}') order by 1)
            where id = %(team)s and (%(if_match)s::int is null or version = %(if_match)s)
            """,
            {"team": team_id, "if_match": if_match},
        ).rowcount
        == 1
    )


def is_at_work(conn: Connection[Any], team_id: UUID) -> bool:
    """Whether a team has an open incident, or works on one."""
    row = conn.execute(
        """
        select exists (select from alerts a join incidents i on i.id = a.incident_id
                       where a.team_id = %s and i.state = 'open'
                         and a.state in ('acknowledged', 'en_route', 'on_scene'))
        """,
        [team_id],
    ).fetchone()
    return bool(row and row[0])


def is_control_room(conn: Connection[Any], team_id: UUID) -> bool:
    """Whether a city falls back on it."""
    row = conn.execute(
        "select exists (select from cities where control_room_id = %s)", [team_id]
    ).fetchone()
    return bool(row and row[0])


def count(conn: Connection[Any], organisation_id: UUID) -> int:
    """How many an organisation has in use; until the transaction ends nobody else adds one."""
    conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organisation_id)])
    row = conn.execute(
        "select count(id) from teams where organisation_id = %s and not retired",
        [organisation_id],
    ).fetchone()
    return int(row[0]) if row else 0
