"""OpenID providers of organisations, whom they vouch for, and sign-ins that were used up."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

LOCK = 0x5741_5950
"""Key of the advisory lock under which an organisation's providers are counted ("WAYP")."""

CHANGEABLE = frozenset(
    {
        "name",
        "client_secret",
        "redirect_uris",
        "scopes",
        "role_mapping",
        "email_domains",
        "second_factor_values",
        "enabled",
    }
)

COLUMNS: LiteralString = """
id, organisation_id, name, issuer, client_id, key_version, wrapped_key, has_client_secret,
redirect_uris, scopes, role_mapping, email_domains, second_factor_values, enabled, created_at,
updated_at, version
"""
"""What the role that serves people may read: not the secret."""

INSERT: LiteralString = f"""
insert into identity_providers
    (id, organisation_id, name, issuer, client_id, key_version, wrapped_key, client_secret,
     redirect_uris, scopes, role_mapping, email_domains, second_factor_values, enabled,
     created_at, updated_at)
values (%(id)s, %(organisation_id)s, %(name)s, %(issuer)s, %(client_id)s, %(key_version)s,
        %(wrapped_key)s, %(client_secret)s, %(redirect_uris)s, %(scopes)s, %(role_mapping)s,
        %(email_domains)s, %(second_factor_values)s, %(enabled)s, %(now)s, %(now)s)
on conflict (organisation_id, issuer, client_id) do nothing
returning {COLUMNS}
"""  # noqa: S608 - constants

SPEND = """
with over as (
    delete from spent_sign_ins where id in (
        select id from spent_sign_ins where expires_at < %(now)s
        order by expires_at limit 10 for update skip locked))
insert into spent_sign_ins (id, expires_at) values (%(id)s, %(until)s)
on conflict (id) do nothing
"""


def count(conn: Connection[Any], organisation_id: UUID) -> int:
    """How many an organisation has; until the transaction ends nobody else adds one to them."""
    conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organisation_id)])
    row = conn.execute(
        "select count(*) from identity_providers where organisation_id = %s", [organisation_id]
    ).fetchone()
    return int(row[0]) if row else 0


def insert(conn: Connection[Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """A new provider, by its columns and `now`; None when this client is there already."""
    return _row(conn, INSERT, {**values, "role_mapping": Jsonb(values["role_mapping"])})


def page(
    conn: Connection[Any], organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """The providers of an organisation, the oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"select {COLUMNS} from identity_providers"  # noqa: S608 - constants
            " where organisation_id = %s and id > %s"
            " order by id limit %s",
            [organisation_id, after or UUID(int=0), limit],
        ).fetchall()


def find(
    conn: Connection[Any], provider_id: UUID, organisation_id: UUID, *, lock: bool = False
) -> dict[str, Any] | None:
    """A provider of this organisation; with `lock` nobody changes it or signs in by it meanwhile.

    Whoever signs in holds it shared until their session is there.
    """
    locking: LiteralString = "for update" if lock else ""
    return _row(
        conn,
        f"select {COLUMNS} from identity_providers"  # noqa: S608 - constants
        f" where id = %(id)s and organisation_id = %(org)s {locking}",
        {"id": provider_id, "org": organisation_id},
    )


def enabled(conn: Connection[Any], provider_id: UUID) -> dict[str, Any] | None:
    """A provider by which people may sign in. As intake."""
    return _row(
        conn,
        "select * from identity_providers where id = %(id)s and enabled",
        {"id": provider_id},
    )


def hold(conn: Connection[Any], provider_id: UUID, *, version: int) -> bool:
    """Keeps a provider as it is until the end of the transaction. As staff.

    False when it is disabled, or another version by now. Before anything of its people is locked:
    whoever takes it away begins with it as well.
    """
    held = conn.execute(
        "select from identity_providers where id = %s and version = %s and enabled for share",
        [provider_id, version],
    )
    return held.fetchone() is not None


def everyone(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Every provider with the name and key of its organisation. As intake, or as the owner."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select p.*, o.name as organisation, o.key as organisation_key"
            " from identity_providers p join organisations o on o.id = p.organisation_id"
            " order by o.name, p.id"
        ).fetchall()


def change(
    conn: Connection[Any], provider_id: UUID, changes: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """Sets columns, which makes a new version. Raises ValueError for others."""
    if not changes.keys() <= CHANGEABLE:
        raise ValueError("a column that does not change so")
    values = {**changes, "updated_at": now}
    if "role_mapping" in values:
        values["role_mapping"] = Jsonb(values["role_mapping"])
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    row = _row(
        conn,
        sql.SQL(
            "update identity_providers set {}, version = version + 1 where id = %(id)s returning {}"
        ).format(assignments, sql.SQL(COLUMNS)),
        {**values, "id": provider_id},
    )
    assert row is not None  # noqa: S101 - it is locked by the caller
    return row


def delete(conn: Connection[Any], provider_id: UUID) -> None:
    """Takes it away, with whom it vouches for. As staff."""
    conn.execute("delete from identity_providers where id = %s", [provider_id])


def end_sessions(conn: Connection[Any], provider_id: UUID, *, now: datetime) -> int:
    """Ends the sessions that it opened, at once; how many (migration 0017). As staff."""
    row = conn.execute("select end_provider_sessions(%s, %s)", [provider_id, now]).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    ended: int = row[0]
    return ended


def disable(conn: Connection[Any], provider_id: UUID, *, now: datetime) -> UUID | None:
    """Disables a provider and ends its sessions; whose it is, None if nobody's. As the owner."""
    row = conn.execute(
        "update identity_providers set enabled = false, version = version + 1, updated_at = %s"
        " where id = %s returning organisation_id",
        [now, provider_id],
    ).fetchone()
    conn.execute(
        "select end_keys(array(select id from sessions where identity_provider_id = %s), %s)",
        [provider_id, now],
    )
    return row[0] if row else None


def spend(conn: Connection[Any], sign_in: bytes, *, until: datetime, now: datetime) -> bool:
    """Uses a sign-in up; False when it was before. Some that are over are forgotten. As intake."""
    spent = conn.execute(SPEND, {"id": sign_in, "until": until, "now": now})
    return spent.rowcount == 1


def forget_spent(conn: Connection[Any], *, now: datetime) -> int:
    """Forgets the used-up sign-ins that are over; how many. As intake."""
    return conn.execute("delete from spent_sign_ins where expires_at < %s", [now]).rowcount


def person_of(
    conn: Connection[Any], provider_id: UUID, subject_hash: bytes, *, now: datetime
) -> UUID | None:
    """Whom a subject of a provider is, noted as used; None for a new one. As staff."""
    row = conn.execute(
        "update identities set last_used_at = %s where provider_id = %s and subject_hash = %s"
        " returning staff_id",
        [now, provider_id, subject_hash],
    ).fetchone()
    return row[0] if row else None


def link(
    conn: Connection[Any],
    *,
    provider_id: UUID,
    subject_hash: bytes,
    staff_id: UUID,
    organisation_id: UUID,
    now: datetime,
) -> bool:
    """Notes who a subject is; False when it, or the person, is linked already. As staff."""
    linked = conn.execute(
        "insert into identities (provider_id, subject_hash, staff_id, organisation_id, linked_at,"
        " last_used_at) values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
        [provider_id, subject_hash, staff_id, organisation_id, now, now],
    )
    return linked.rowcount == 1


def unlink(conn: Connection[Any], provider_id: UUID, staff_id: UUID) -> bool:
    """Forgets which subject a person is; False when none was known. As staff."""
    gone = conn.execute(
        "delete from identities where provider_id = %s and staff_id = %s", [provider_id, staff_id]
    )
    return gone.rowcount == 1


def open_session(
    conn: Connection[Any],
    *,
    session_id: UUID,
    provider_id: UUID,
    staff_id: UUID,
    token_hash: bytes,
    idle_s: int,
    expires_at: datetime,
    fresh_until: datetime | None,
    second_factor: bool,
    now: datetime,
) -> bool:
    """A session of somebody whom a provider vouches for (migration 0017). As staff.

    False when the account or the provider was disabled at this moment.
    """
    row = conn.execute(
        "select open_provider_session(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            session_id,
            provider_id,
            staff_id,
            token_hash,
            idle_s,
            expires_at,
            fresh_until,
            second_factor,
            now,
        ],
    ).fetchone()
    return bool(row and row[0])


def _row(
    conn: Connection[Any], query: LiteralString | sql.Composed, values: Mapping[str, Any]
) -> dict[str, Any] | None:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchone()
