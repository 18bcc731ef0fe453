"""The stream's own part of the database: its tickets, and the one connection that listens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from waylight.db.keys import LIVE, SESSION, SIGNED_IN
from waylight.db.session import Database
from waylight.domain.errors import Unavailable

CHANNEL = "waylight_events"
"""Whoever numbers events notifies here. A hint only: the next look comes anyway."""

STATEMENT_S = 5.0
"""A server that takes longer over one look is as good as away."""

REDEEM = f"""
with used as (
    delete from stream_tickets where token_hash = %(hash)s returning key_id, team_id, expires_at)
select k.id, k.kind, k.name, k.organisation_id, k.staff_id, k.scopes, k.allowed_origins,
       s.name as person, s.role,
       used.team_id, {SIGNED_IN}
from used
join api_keys k on k.id = used.key_id
left join staff s on s.id = k.staff_id
{SESSION}
where used.expires_at > %(now)s and {LIVE}
"""  # noqa: S608 - constants

WATCHING = f"""
with live as (
    select k.id, k.kind, k.name, k.organisation_id, k.staff_id, k.scopes, k.allowed_origins,
           s.name as person, s.role, {SIGNED_IN}
    from api_keys k left join staff s on s.id = k.staff_id
    {SESSION}
    where k.id = any (%s) and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now()) and a.disabled_at is null),
watching as (
    update sessions set last_used_at = now()
    where id in (select s.id from sessions s join live using (id)
                 where s.last_used_at < now() - interval '1 minute'
                 for update of s skip locked))
select * from live
"""  # noqa: S608 - constants


def keep_ticket(
    conn: Connection[Any],
    *,
    token_hash: bytes,
    key_id: UUID,
    team_id: UUID | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Stores a ticket, and forgets some that nobody used in time."""
    conn.execute(
        """
        with over as (
            delete from stream_tickets where token_hash in (
                select token_hash from stream_tickets where expires_at < %(now)s
                order by expires_at limit 10 for update skip locked))
        insert into stream_tickets (token_hash, key_id, team_id, created_at, expires_at)
        values (%(hash)s, %(key)s, %(team)s, %(now)s, %(until)s)
        """,
        {
            "hash": token_hash,
            "key": key_id,
            "team": team_id,
            "now": now,
            "until": expires_at,
        },
    )


def redeem_ticket(
    conn: Connection[Any], token_hash: bytes, *, now: datetime
) -> dict[str, Any] | None:
    """Uses a ticket up: the key it was made with and its `team_id`, by one statement.

    None for one that was used, is over or never was, and when its key has ended since. Of two who
    come at once with the same one gets it.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(REDEEM, {"hash": token_hash, "now": now}).fetchone()


def live_keys(conn: Connection[Any], key_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Those of the keys that are neither revoked nor over, with the scopes that they have by now.

    Whoever watches an open stream is there: once a minute their session is noted as used.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(WATCHING, [list(key_ids)]).fetchall()


class Listener:
    """A connection that hears of new events. Every use of it raises Unavailable when it is lost."""

    def __init__(self, conn: Connection[Any]) -> None:
        self.conn = conn

    def wait(self, timeout_s: float) -> None:
        """Returns when somebody says that there are new events, at the latest after a time."""
        for _ in self.conn.notifies(timeout=timeout_s, stop_after=1):
            pass


@contextmanager
def listening(database: Database) -> Iterator[Listener]:
    """A listening connection outside the pools, as intake, each statement on its own.

    A silent server is noticed by the next statement, which waits no longer than STATEMENT_S. Raises
    Unavailable, also from within, for whatever the database says no to.
    """
    conn = database.connect("intake")
    try:
        conn.autocommit = True
        conn.patience_s = STATEMENT_S
        conn.execute(
            f"set statement_timeout = {round(STATEMENT_S * 800)}; set jit = off; listen {CHANNEL}",
            prepare=False,
        )
        yield Listener(conn)
    except psycopg.Error as error:
        raise Unavailable from error
    finally:
        conn.close()
