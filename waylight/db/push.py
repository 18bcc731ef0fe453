"""Devices that get push messages: rows of `addresses` that belong to a person and a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

CHANNEL = "web_push"

SELECT = """
select a.id, a.name, a.created_at, a.last_sent_at, a.expires_at, a.version, a.key_version,
       a.wrapped_key, a.address, a.team_id, t.name as team, a.hub_id, h.name as hub,
       a.rests_until
from addresses a
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
where a.channel = 'web_push' and a.state <> 'gone' and a.staff_id = %(person)s
  and a.organisation_id = %(organisation)s and coalesce(a.expires_at > %(now)s, true)
"""


@dataclass(frozen=True)
class Owner:
    """Whose device it is: a person of an organisation, signed in with a key."""

    organisation_id: UUID
    staff_id: UUID
    key_id: UUID


@dataclass(frozen=True)
class SealedAddress:
    """Where a device is reached, as it may be stored."""

    id: UUID
    key_version: int
    wrapped_key: bytes
    address: bytes
    fingerprint: bytes


def same_device(conn: Connection[Any], fingerprints: Sequence[bytes]) -> list[dict[str, Any]]:
    """Every live row of a device, whosever it is: {id, staff_id, key_version, ...}. As intake."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select id, staff_id, team_id, hub_id, key_version, wrapped_key, address from addresses"
            " where channel = 'web_push' and fingerprint = any (%s) and state <> 'gone'",
            [list(fingerprints)],
        ).fetchall()


def key_ends(conn: Connection[Any], key_id: UUID) -> datetime | None:
    """When a key ends by itself; None for never. As intake."""
    row = conn.execute("select expires_at from api_keys where id = %s", [key_id]).fetchone()
    return row[0] if row else None


def take(
    conn: Connection[Any],
    owner: Owner,
    fingerprints: Sequence[bytes],
    *,
    proved: Sequence[UUID],
    now: datetime,
) -> str:
    """Makes a device the owner's: `taken`, `signed_out` or `contested` (migration 0008).

    The rows of other people that were `proved` to be of this very device end. Until this commits,
    the owner's key is not revoked and nobody else takes the device.
    """
    row = conn.execute(
        "select take_device(%s, %s, %s, %s, %s)",
        [owner.staff_id, owner.key_id, list(fingerprints), list(proved), now],
    ).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    answer: str = row[0]
    return answer


def recipient_exists(
    conn: Connection[Any], organisation_id: UUID, *, team_id: UUID | None, hub_id: UUID | None
) -> bool:
    """Whether this is a team or a hub of the organisation that is at work."""
    return (
        conn.execute(
            """
            select from teams where id = %(team)s and organisation_id = %(org)s and not retired
            union all
            select from hubs where id = %(hub)s and organisation_id = %(org)s and not retired
            """,
            {"team": team_id, "hub": hub_id, "org": organisation_id},
        ).fetchone()
        is not None
    )


def own_row(
    conn: Connection[Any],
    owner: Owner,
    fingerprints: Sequence[bytes],
    *,
    team_id: UUID | None,
    hub_id: UUID | None,
) -> UUID | None:
    """The row of a device that the owner has subscribed for this recipient already."""
    row = conn.execute(
        """
        select id from addresses
        where channel = 'web_push' and fingerprint = any (%s) and staff_id = %s
          and state <> 'gone'
          and coalesce(team_id, hub_id) = %s
        """,
        [list(fingerprints), owner.staff_id, team_id or hub_id],
    ).fetchone()
    return row[0] if row else None


def keep(
    conn: Connection[Any],
    owner: Owner,
    sealed: SealedAddress,
    *,
    name: str,
    team_id: UUID | None,
    hub_id: UUID | None,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Writes a device, new or anew, as signed in with the owner's key."""
    conn.execute(
        """
        insert into addresses (id, organisation_id, team_id, hub_id, staff_id, channel, name,
                               key_version, wrapped_key, address, fingerprint, created_at,
                               created_by, api_key_id, expires_at)
        values (%(id)s, %(organisation)s, %(team)s, %(hub)s, %(person)s, 'web_push', %(name)s,
                %(key_version)s, %(wrapped_key)s, %(address)s, %(fingerprint)s, %(now)s,
                %(person)s, %(key)s, %(expires_at)s)
        on conflict (id) do update set name = excluded.name, key_version = excluded.key_version,
            wrapped_key = excluded.wrapped_key, address = excluded.address,
            fingerprint = excluded.fingerprint, state = 'active',
            api_key_id = excluded.api_key_id, expires_at = excluded.expires_at,
            timeouts = 0, rests_until = null,
            version = addresses.version + 1
        """,
        vars(sealed)
        | {
            "organisation": owner.organisation_id,
            "team": team_id,
            "hub": hub_id,
            "person": owner.staff_id,
            "key": owner.key_id,
            "name": name,
            "expires_at": expires_at,
            "now": now,
        },
    )


def page(conn: Connection[Any], owner: Owner, *, now: datetime) -> list[dict[str, Any]]:
    """A person's devices, the oldest first: rows of SELECT."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"{SELECT} order by a.id", _whose(owner, now)).fetchall()


def find(
    conn: Connection[Any], owner: Owner, device_id: UUID, *, now: datetime
) -> dict[str, Any] | None:
    """One device of a person."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} and a.id = %(id)s", _whose(owner, now) | {"id": device_id}
        ).fetchone()


def end(conn: Connection[Any], device_ids: Sequence[UUID], *, reason: str, now: datetime) -> int:
    """Ends devices with all that is queued for them; returns how many there were.

    As staff only those of the organisation that the connection acts for.
    """
    row = conn.execute("select end_devices(%s, %s, %s)", [list(device_ids), reason, now]).fetchone()
    return int(row[0]) if row else 0


def end_expired(conn: Connection[Any], *, now: datetime) -> None:
    """Erases the devices whose subscription or key has ended by itself. As intake."""
    conn.execute(
        """
        select end_devices(array(select id from addresses
                                 where expires_at <= %(now)s and state <> 'gone'),
                           'expired', %(now)s)
        """,
        {"now": now},
    )


def _whose(owner: Owner, now: datetime) -> dict[str, Any]:
    return {"person": owner.staff_id, "organisation": owner.organisation_id, "now": now}
