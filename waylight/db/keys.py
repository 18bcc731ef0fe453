"""Who a token belongs to."""

from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

FIND = """
with found as (
    select k.id, k.kind, k.name, k.organisation_id, k.staff_id, k.scopes, k.last_used_on,
           s.name as person, s.role
    from api_keys k left join staff s on s.id = k.staff_id
    where k.token_hash = %(hash)s and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > %(now)s)),
-- Writes once a day for each key; a lock of another caller who is just doing so is not waited for.
used as (
    update api_keys set last_used_on = %(today)s
    where id in (select k.id from api_keys k join found using (id)
                 where found.last_used_on is distinct from %(today)s
                 for update of k skip locked))
select id, kind, name, organisation_id, staff_id, scopes, person, role from found
"""


def find_by_token_hash(
    conn: Connection[Any], token_hash: bytes, *, now: datetime
) -> dict[str, Any] | None:
    """The live key with this hash and the person behind it, noted as used today; None if unknown.

    One statement, the same for a right and a wrong token.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(FIND, {"hash": token_hash, "now": now, "today": now.date()})
        return cursor.fetchone()
