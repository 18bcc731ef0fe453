"""API clients as the staff of their organisation read and change them; policies hide the others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

LOCK = 0x5741_594B

COLUMNS: LiteralString = (
    "id, organisation_id, name, scopes, allowed_origins, created_at, expires_at, last_used_on,"
    " rotated_at, old_token_until, revoked_at, version"
)
"""All that the staff role may read of a key: no hash."""


def count_live(conn: Connection[Any], organisation_id: UUID, *, now: datetime) -> int:
    """How many an organisation has; until the transaction ends nobody else adds one to them."""
    conn.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, str(organisation_id)])
    row = conn.execute(
        "select count(id) from api_keys where kind = 'client' and organisation_id = %s"
        " and revoked_at is null and coalesce(expires_at > %s, true)",
        [organisation_id, now],
    ).fetchone()
    return int(row[0]) if row else 0


def insert(
    conn: Connection[Any],
    *,
    organisation_id: UUID,
    name: str,
    token_hash: bytes,
    scopes: Sequence[str],
    allowed_origins: Sequence[str],
    expires_at: datetime | None,
    now: datetime,
) -> dict[str, Any]:
    """A new client."""
    return _one(
        conn,
        sql.SQL(
            "insert into api_keys (kind, name, token_hash, organisation_id, scopes,"  # noqa: S608 - COLUMNS is a constant
            " allowed_origins, created_at, expires_at) values ('client', %(name)s, %(hash)s,"
            " %(organisation)s, %(scopes)s, %(origins)s, %(now)s, %(expires_at)s) returning "
            + COLUMNS
        ),
        {
            "name": name,
            "hash": token_hash,
            "organisation": organisation_id,
            "scopes": list(scopes),
            "origins": list(allowed_origins),
            "now": now,
            "expires_at": expires_at,
        },
    )


def page(
    conn: Connection[Any], organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """The clients of an organisation, the oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select " + COLUMNS + " from api_keys"  # noqa: S608 - the same
            " where kind = 'client' and organisation_id = %s and id > %s order by id limit %s",
            [organisation_id, after or UUID(int=0), limit],
        ).fetchall()


def find(
    conn: Connection[Any], client_id: UUID, organisation_id: UUID, *, lock: bool = False
) -> dict[str, Any] | None:
    """A client of this organisation; with `lock` nobody else changes it meanwhile."""
    query: LiteralString = (
        "select " + COLUMNS + " from api_keys"  # noqa: S608 - the same
        " where kind = 'client' and id = %s and organisation_id = %s"
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            query + (" for no key update" if lock else ""), [client_id, organisation_id]
        ).fetchone()


def change(conn: Connection[Any], client_id: UUID, values: Mapping[str, Any]) -> dict[str, Any]:
    """Sets columns, by name, and a new version."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    query = sql.SQL(
        "update api_keys set {}, version = version + 1 where id = %(id)s returning "  # noqa: S608 - the same
        + COLUMNS
    ).format(columns)
    return _one(conn, query, {**values, "id": client_id})


def rotate(
    conn: Connection[Any],
    client_id: UUID,
    *,
    token_hash: bytes,
    until: datetime | None,
    now: datetime,
) -> bool:
    """A new token; the one before works until then, and without `until` ends with what it got.

    False for a client that is revoked or another organisation's.
    """
    row = conn.execute(
        "select rotate_client(%s, %s, %s, %s)", [client_id, token_hash, until, now]
    ).fetchone()
    return bool(row and row[0])


def _one(
    conn: Connection[Any], query: sql.SQL | sql.Composed, values: Mapping[str, Any]
) -> dict[str, Any]:
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, values).fetchone()
    assert row is not None  # noqa: S101 - what returns what it wrote has a row
    return row
