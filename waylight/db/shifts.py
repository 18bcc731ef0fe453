"""The shifts that staff set for their teams."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.shifts import Hours

SELECT = """
select h.id, h.version, h.kind, h.rule, h.starts_at, h.ends_at, h.name, h.created_at,
       s.name as created_by
from shifts h
left join staff s on s.id = h.created_by
where h.team_id = %(team)s
"""


def lock_teams(conn: Connection[Any], team_ids: Sequence[UUID]) -> None:
    """Locks the rows of teams, in one order, before their shifts are read.

    Whoever works out shifts from what it read before somebody else changed them would put the old
    ones back.
    """
    conn.execute(
        "select from teams where id = any (%s) order by id for no key update", [list(team_ids)]
    )


def plans(
    conn: Connection[Any], team_ids: Sequence[UUID], *, since: datetime
) -> dict[UUID, list[dict[str, Any]]]:
    """The shifts of teams, those that were over at `since` left out; by team, oldest first."""
    found: dict[UUID, list[dict[str, Any]]] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            """
            select team_id, kind, rule, starts_at, ends_at from shifts
            where team_id = any (%s) and coalesce(ends_at > %s, true) order by id
            """,
            [list(team_ids), since],
        )
        for row in cursor:
            found.setdefault(row["team_id"], []).append(row)
    return found


def standing(conn: Connection[Any], team_id: UUID, *, since: datetime) -> list[dict[str, Any]]:
    """Shifts of a team that were not over at an instant, oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and coalesce(h.ends_at > %(since)s, true) order by h.id",
            {"team": team_id, "since": since},
        ).fetchall()


def page(
    conn: Connection[Any], team_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Shifts of a team, oldest first, beyond the shift `after`."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and (%(after)s::uuid is null or h.id > %(after)s)"
            " order by h.id limit %(limit)s",
            {"team": team_id, "after": after, "limit": limit},
        ).fetchall()


def find(conn: Connection[Any], team_id: UUID, shift_id: UUID) -> dict[str, Any] | None:
    """One shift of a team."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and h.id = %(shift)s", {"team": team_id, "shift": shift_id}
        ).fetchone()


def count(conn: Connection[Any], team_id: UUID, *, since: datetime) -> int:
    """How many shifts of a team are not over."""
    row = conn.execute(
        "select count(*) from shifts where team_id = %s and coalesce(ends_at > %s, true)",
        [team_id, since],
    ).fetchone()
    return int(row[0]) if row else 0


def add(
    conn: Connection[Any], team_id: UUID, hours: Hours, *, staff_id: UUID | None, now: datetime
) -> UUID:
    """Writes a new shift; returns its id."""
    row = conn.execute(
        """
        insert into shifts (team_id, kind, rule, starts_at, ends_at, name, created_by, created_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s) returning id
        """,
        [
            team_id,
            hours.kind,
            hours.rule,
            hours.starts_at,
            hours.ends_at,
            hours.name,
            staff_id,
            now,
        ],
    ).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    made: UUID = row[0]
    return made


def change(
    conn: Connection[Any], team_id: UUID, shift_id: UUID, hours: Hours, *, if_match: int | None
) -> bool:
    """Writes other hours with a new version; False when `if_match` is no longer the version."""
    return (
        conn.execute(
            """
            update shifts set kind = %(kind)s, rule = %(rule)s, starts_at = %(starts_at)s,
                ends_at = %(ends_at)s, name = %(name)s, version = version + 1
            where team_id = %(team)s and id = %(shift)s
              and (%(if_match)s::int is null or version = %(if_match)s)
            """,
            {**vars(hours), "team": team_id, "shift": shift_id, "if_match": if_match},
        ).rowcount
        == 1
    )


def remove(conn: Connection[Any], team_id: UUID, shift_id: UUID, *, if_match: int | None) -> bool:
    """Removes a shift; False when `if_match` is no longer its version."""
    return (
        conn.execute(
            """
            delete from shifts where team_id = %(team)s and id = %(shift)s
              and (%(if_match)s::int is null or version = %(if_match)s)
            """,
            {"team": team_id, "shift": shift_id, "if_match": if_match},
        ).rowcount
        == 1
    )
