"""Teams, as the staff of their organisation and of the city's control room see them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

SELECT = """
select t.id, t.version, t.name, t.kind, t.organisation_id, o.name as organisation, t.capabilities,
       st_x(t.base::geometry) as lon, st_y(t.base::geometry) as lat, t.shifts, t.expanded_until,
       t.city_id, coalesce(t.on_shift_during @> %(now)s::timestamptz, false) as on_shift,
       t.duty_status, t.duty_until, t.demo
from teams t
join organisations o on o.id = t.organisation_id
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
    conn: Connection[Any], team_id: UUID, organisation_id: UUID, *, now: datetime | None = None
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
