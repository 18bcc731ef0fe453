"""Which versions of a key are needed, and stories whose key is wrapped anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

from waylight.db.audit import is_there, last_seal

SEALED: dict[str, tuple[str, tuple[str, ...]]] = {
    "report_secrets": (
        "report_id",
        ("narrative", "description_of_person", "contact", "location_description", "rejected"),
    ),
    "addresses": ("id", ("address",)),
    "incident_notes": ("id", ("note",)),
    "webhooks": ("id", ("url", "secret", "old_secret")),
    "accounts": ("staff_id", ("email", "totp_secret", "totp_pending")),
    "identity_providers": ("id", ("client_secret",)),
}
"""Every table with sealed columns: the id they are bound to, and the columns."""

SUPPORT: dict[str, tuple[str, tuple[str, ...]]] = {"support_cases": ("id", ())}
"""The same of what is sealed by the support keys: one data key for all notes of a case."""

VAULT = " union all ".join(
    f"select key_version from {table} where wrapped_key is not null"  # noqa: S608 - constants
    for table in SEALED
)

NEEDED: Mapping[str, str] = {
    "vault": f"select key_version, count(*) from ({VAULT}) sealed group by 1 order by 1",  # noqa: S608
    "receipt": "select key_version, count(*) from receipts group by 1 order by 1",
    "support": "select key_version, count(*) from support_cases where wrapped_key is not null"
    " group by 1 order by 1",
}

OTHERWISE = """
select {id} as id, key_version, wrapped_key{fields}
from {table}
where {id} > %s and key_version <> %s and wrapped_key is not null
order by {id} limit %s
"""

# A key that was destroyed or changed meanwhile is left as it is: a withdrawn story stays withdrawn.
REWRAP = """
update {table} s set key_version = %(version)s, wrapped_key = n.after
from unnest(%(ids)s::uuid[], %(before)s::bytea[], %(after)s::bytea[]) n (id, before, after)
where s.{id} = n.id and s.wrapped_key = n.before
"""


# Only of what is wrapped by the new key now. Where the recipient was given the same address again
# meanwhile, that one is found.
FINGERPRINT = """
update addresses a set fingerprint = n.fingerprint
from unnest(%(ids)s::uuid[], %(fingerprints)s::bytea[]) n (id, fingerprint)
where a.id = n.id and a.key_version = %(version)s
  and not exists (
      select from addresses o
      where o.id <> a.id and o.state <> 'gone' and o.channel = a.channel
        and o.fingerprint = n.fingerprint
        and coalesce(o.team_id, o.hub_id) = coalesce(a.team_id, a.hub_id))
"""


# The same of an account, where nobody else of its organisation was given this address meanwhile.
LOGIN = """
update accounts a set login_hash = n.fingerprint
from unnest(%(ids)s::uuid[], %(fingerprints)s::bytea[]) n (id, fingerprint)
where a.staff_id = n.id and a.key_version = %(version)s
  and not exists (
      select from accounts o
      where o.staff_id <> a.staff_id and o.organisation_id = a.organisation_id
        and o.login_hash = n.fingerprint)
"""

FOUND_BY: Mapping[str, LiteralString] = {"addresses": FINGERPRINT, "accounts": LOGIN}


@dataclass(frozen=True)
class Wrapping:
    """A data key as it is wrapped now and as it shall be, with the id it is bound to.

    Of an address or an account also the hash that it is found by, as the new key makes it.
    """

    id: UUID
    before: bytes
    after: bytes
    fingerprint: bytes | None = None


def needed(conn: Connection[Any]) -> dict[str, dict[int, int]]:
    """How much needs each version of a key, by `vault`, `receipt` and `support`.

    The newest seal of the audit log needs its vault key as well; it vouches for all before it.
    """
    found = {purpose: dict(conn.execute(query).fetchall()) for purpose, query in NEEDED.items()}
    newest = last_seal(conn) if is_there(conn) else None
    if newest is not None:
        found["vault"][newest[1]] = found["vault"].get(newest[1], 0) + 1
    return found


def wrapped_otherwise(
    conn: Connection[Any], table: str, *, version: int, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """Rows of one of the sealed tables, by id, whose key is not wrapped by this version."""
    id_column, fields = (SEALED | SUPPORT)[table]
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            _named(OTHERWISE, table, id_column, fields), [after, version, limit]
        ).fetchall()


def rewrap(
    conn: Connection[Any], table: str, wrappings: Sequence[Wrapping], *, version: int
) -> int:
    """Puts the new wrapping where the old one still is; returns how many."""
    id_column, fields = (SEALED | SUPPORT)[table]
    done = conn.execute(
        _named(REWRAP, table, id_column, fields),
        {
            "version": version,
            "ids": [one.id for one in wrappings],
            "before": [one.before for one in wrappings],
            "after": [one.after for one in wrappings],
        },
    ).rowcount
    named = [(one.id, one.fingerprint) for one in wrappings if one.fingerprint is not None]
    if named:
        ids, fingerprints = zip(*named, strict=True)
        conn.execute(
            FOUND_BY[table],
            {"ids": list(ids), "fingerprints": list(fingerprints), "version": version},
        )
    return done


def _named(
    statement: LiteralString, table: str, id_column: str, fields: Sequence[str]
) -> sql.Composed:
    return sql.SQL(statement).format(
        table=sql.Identifier(table),
        id=sql.Identifier(id_column),
        fields=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(one)) for one in fields),
    )
