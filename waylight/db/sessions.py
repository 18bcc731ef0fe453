"""Sessions: opened, listed, ended; and how often somebody tried to open one in vain."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

LIVE = """
select s.id, s.staff_id, s.created_at, s.last_used_at, k.expires_at
from sessions s join api_keys k on k.id = s.id
where s.staff_id = %(person)s and k.revoked_at is null and k.expires_at > %(now)s
  and s.last_used_at + s.idle_s * interval '1 second' > %(now)s
order by s.id desc
"""


def take_turn(
    conn: Connection[Any],
    names: Sequence[bytes],
    *,
    free: Sequence[int],
    longest_s: Sequence[int],
    fresh_salt: bytes,
    now: datetime,
) -> int:
    """A turn to try for all of these names, or the seconds until there is one (migration 0014)."""
    row = conn.execute(
        "select take_sign_in_turn(%s, %s, %s, %s, %s)",
        [list(names), list(free), list(longest_s), fresh_salt, now],
    ).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    wait_s: int = row[0]
    return wait_s


def forget_turns(
    conn: Connection[Any], names: Sequence[bytes], *, shared: Sequence[bytes] = ()
) -> None:
    """The last try of these names was right; of shared ones only that one is forgotten."""
    conn.execute("select forget_sign_in_turns(%s, %s)", [list(names), list(shared)])


def open_session(
    conn: Connection[Any],
    *,
    session_id: UUID,
    staff_id: UUID,
    token_hash: bytes,
    idle_s: int,
    expires_at: datetime,
    now: datetime,
) -> bool:
    """A session of somebody; False when their account was disabled at this moment."""
    row = conn.execute(
        "select open_session(%s, %s, %s, %s, %s, %s)",
        [session_id, staff_id, token_hash, idle_s, expires_at, now],
    ).fetchone()
    return bool(row and row[0])


def live(conn: Connection[Any], staff_id: UUID, *, now: datetime) -> list[dict[str, Any]]:
    """The sessions of somebody that are not over, the newest first. As intake."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(LIVE, {"person": staff_id, "now": now}).fetchall()


def sessions_of(conn: Connection[Any], staff_id: UUID) -> list[UUID]:
    """Every session of somebody that was not ended, also those that are over. As intake."""
    rows = conn.execute(
        "select s.id from sessions s join api_keys k on k.id = s.id"
        " where s.staff_id = %s and k.revoked_at is null",
        [staff_id],
    ).fetchall()
    return [row[0] for row in rows]


def end(conn: Connection[Any], ids: Sequence[UUID], *, now: datetime) -> int:
    """Ends keys at once, with their devices; how many had not ended before. As intake."""
    row = conn.execute("select end_keys(%s, %s)", [list(ids), now]).fetchone()
    assert row is not None  # noqa: S101 - the same
    ended: int = row[0]
    return ended


def end_of(
    conn: Connection[Any],
    staff_id: UUID,
    *,
    session_id: UUID | None = None,
    only_sessions: bool = True,
    now: datetime,
) -> int:
    """Ends one session, all sessions or all keys of a person. As staff, of their organisation."""
    row = conn.execute(
        "select end_keys_of(%s, %s, %s, %s)", [staff_id, session_id, only_sessions, now]
    ).fetchone()
    assert row is not None  # noqa: S101 - the same
    ended: int = row[0]
    return ended


def forget_over(conn: Connection[Any], *, before: datetime, limit: int) -> int:
    """Forgets up to `limit` sessions that were over before an instant; how many. As intake."""
    row = conn.execute("select forget_sessions(%s, %s)", [before, limit]).fetchone()
    assert row is not None  # noqa: S101 - the same
    forgotten: int = row[0]
    return forgotten


def forget_attempts(conn: Connection[Any], *, before: datetime) -> None:
    """Forgets who last tried to sign in before an instant. As intake."""
    conn.execute("delete from sign_in_attempts where last_at < %s", [before])


def freshen(conn: Connection[Any], session_id: UUID, *, until: datetime) -> None:
    """Notes that its person has just proved who they are. As intake."""
    conn.execute("update sessions set fresh_until = %s where id = %s", [until, session_id])


def prove_factor(conn: Connection[Any], session_id: UUID) -> None:
    """Notes that its person has shown a second factor. As intake."""
    conn.execute("update sessions set second_factor = true where id = %s", [session_id])
