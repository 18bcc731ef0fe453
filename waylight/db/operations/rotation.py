"""Which versions of a key are needed, and stories whose key is wrapped anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

NEEDED: Mapping[str, LiteralString] = {
    "vault": "select key_version, count(*) from report_secrets"
    " where wrapped_key is not null group by 1 order by 1",
    "receipt": "select key_version, count(*) from receipts group by 1 order by 1",
}

OTHERWISE = """
select report_id, key_version, wrapped_key, narrative, description_of_person, contact,
       location_description, rejected
from report_secrets
where report_id > %s and key_version <> %s and wrapped_key is not null
order by report_id limit %s
"""

# A key that was destroyed or changed meanwhile is left as it is: a withdrawn story stays withdrawn.
REWRAP = """
update report_secrets s set key_version = %(version)s, wrapped_key = n.after
from unnest(%(ids)s::uuid[], %(before)s::bytea[], %(after)s::bytea[]) n (report_id, before, after)
where s.report_id = n.report_id and s.wrapped_key = n.before
"""


@dataclass(frozen=True)
class Wrapping:
    """A report's data key as it is wrapped now and as it shall be."""

    report_id: UUID
    before: bytes
    after: bytes


def needed(conn: Connection[Any]) -> dict[str, dict[int, int]]:
    """How many stories and receipts need each version of a key, by `vault` and `receipt`."""
    return {purpose: dict(conn.execute(query).fetchall()) for purpose, query in NEEDED.items()}


def wrapped_otherwise(
    conn: Connection[Any], *, version: int, after: UUID, limit: int
) -> list[dict[str, Any]]:
    """Rows of report_secrets, by id, whose key is not wrapped by this version."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(OTHERWISE, [after, version, limit]).fetchall()


def rewrap(conn: Connection[Any], wrappings: Sequence[Wrapping], *, version: int) -> int:
    """Puts the new wrapping where the old one still is; returns how many."""
    return conn.execute(
        REWRAP,
        {
            "version": version,
            "ids": [one.report_id for one in wrappings],
            "before": [one.before for one in wrappings],
            "after": [one.after for one in wrappings],
        },
    ).rowcount
