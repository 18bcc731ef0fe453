"""Addresses, as the staff of their organisation see them: every statement names it (D11)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection, errors
from psycopg.rows import dict_row

from waylight.db.alerts import deliveries

# One whose key is gone was taken away by hand, and is nobody's any more.
SELECT = """
select a.id, a.version, a.channel, a.name, a.state, a.team_id, t.name as team, a.hub_id,
       h.name as hub, a.staff_id, s.name as person, a.created_at, a.last_sent_at, a.key_version,
       a.wrapped_key, a.address, a.fingerprint, a.organisation_id
from addresses a
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
left join staff s on s.id = a.staff_id and s.role <> 'text_message'
where a.organisation_id = %(organisation)s and a.wrapped_key is not null
  and a.channel in ('sms', 'email')
"""


def recipient(
    conn: Connection[Any], organisation_id: UUID, *, team_id: UUID | None, hub_id: UUID | None
) -> dict[str, Any] | None:
    """{city_id, country, name} of the organisation's own team or hub; None for every other."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select c.id as city_id, c.country, r.name
            from (select id, city_id, name from teams
                  where id = %(team)s and organisation_id = %(organisation)s and not retired
                  union all
                  select id, city_id, name from hubs
                  where id = %(hub)s and organisation_id = %(organisation)s and not retired) r
            join cities c on c.id = r.city_id
            """,
            {"team": team_id, "hub": hub_id, "organisation": organisation_id},
        ).fetchone()


def of(
    conn: Connection[Any], organisation_id: UUID, *, team_id: UUID | None, hub_id: UUID | None
) -> list[dict[str, Any]]:
    """The addresses of a team or a hub, the oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and (a.team_id = %(team)s or a.hub_id = %(hub)s) order by a.id",
            {"organisation": organisation_id, "team": team_id, "hub": hub_id},
        ).fetchall()


def find(conn: Connection[Any], organisation_id: UUID, address_id: UUID) -> dict[str, Any] | None:
    """One address of the organisation; None for every other."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and a.id = %(id)s", {"organisation": organisation_id, "id": address_id}
        ).fetchone()


def insert(conn: Connection[Any], row: Mapping[str, Any]) -> bool:
    """Writes an address; False when its recipient has the same one already."""
    written = conn.execute(
        """
        insert into addresses (id, organisation_id, team_id, hub_id, staff_id, channel, name,
                               key_version, wrapped_key, address, fingerprint, created_at,
                               created_by)
        values (%(id)s, %(organisation_id)s, %(team_id)s, %(hub_id)s, %(staff_id)s, %(channel)s,
                %(name)s, %(key_version)s, %(wrapped_key)s, %(address)s, %(fingerprint)s,
                %(created_at)s, %(created_by)s)
        on conflict do nothing
        """,
        row,
    )
    return written.rowcount == 1


def same(
    conn: Connection[Any], organisation_id: UUID, row: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The address that a recipient has already."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and a.channel = %(channel)s and a.fingerprint = any (%(fingerprints)s)"
            " and (a.team_id = %(team_id)s or a.hub_id = %(hub_id)s) and a.state <> 'gone'",
            {**row, "organisation": organisation_id},
        ).fetchone()


def change(
    conn: Connection[Any],
    address_id: UUID,
    changes: Mapping[str, Any],
    *,
    if_match: int | None,
) -> bool | None:
    """Writes `name`, `state` and what is sealed; None when `if_match` is not the version any more.

    False when the recipient has meanwhile got the same address again.
    """
    try:
        with conn.transaction():
            changed = conn.execute(
                """
                update addresses set name = %(name)s, state = %(state)s, version = version + 1,
                    key_version = %(key_version)s, wrapped_key = %(wrapped_key)s,
                    address = %(address)s, fingerprint = %(fingerprint)s
                where id = %(id)s and (%(if_match)s::int is null or version = %(if_match)s)
                """,
                {**changes, "id": address_id, "if_match": if_match},
            )
    except errors.UniqueViolation:
        return False
    return True if changed.rowcount else None


def remove(conn: Connection[Any], address_id: UUID, *, if_match: int | None, now: datetime) -> bool:
    """Destroys the key of an address and gives up what waits for it; False for a stale `if_match`.

    The row stays: what was sent there is told by its id.
    """
    removed = conn.execute(
        """
        update addresses set state = 'gone', wrapped_key = null, version = version + 1
        where id = %(id)s and wrapped_key is not null
          and (%(if_match)s::int is null or version = %(if_match)s)
        """,
        {"id": address_id, "if_match": if_match},
    )
    if removed.rowcount:
        deliveries.give_up_addresses(conn, [address_id], now=now)
    return removed.rowcount == 1


def queue_test(
    conn: Connection[Any], address: Mapping[str, Any], *, not_since: timedelta, now: datetime
) -> bool:
    """Queues a test message, as an exercise; False when there was one within `not_since`.

    Asked as intake: the staff role sees no message that is about no alert.
    """
    conn.execute("select from addresses where id = %s for update", [address["id"]])
    queued = conn.execute(
        """
        insert into deliveries (channel, target_id, message, priority, exercise, next_attempt_at,
                                created_at)
        select %(channel)s, %(id)s, 'test', 3, true, %(now)s, %(now)s
        where not exists (
            select from deliveries where target_id = %(id)s and message = 'test'
              and created_at > %(since)s)
        """,
        {
            "channel": address["channel"],
            "id": address["id"],
            "since": now - not_since,
            "now": now,
        },
    )
    return queued.rowcount == 1
