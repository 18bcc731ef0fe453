"""What analysts read, in a transaction that reads as one: the database shows it nothing else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all

HOUR = """date_trunc('hour', to_timestamp(
    ('x' || left(translate(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0), 'UTC')"""
"""The hour in which an id was made: the first 48 bits of a UUIDv7 are milliseconds."""

BEYOND = """
    id < %(below)s and (id < %(hour)s
        or sha256(%(salt)s || uuid_send(id)) > sha256(%(salt)s || uuid_send(%(after)s::uuid)))
    and (%(since)s::timestamptz is null or received_hour >= %(since)s)
    and (%(until)s::timestamptz is null or received_hour < %(until)s)"""

HOUR_MS = 3_600_000
LAST = UUID(int=(1 << 128) - 1)

# Within an hour they come in an order that has nothing to do with when they came: whoever sends
# reports of their own meanwhile would else find them in the list, with others between them. So a
# page is chosen from whole hours, as many as it needs.
PAGE = f"""
with newest as (
    select id from analysed_reports where {BEYOND} order by id desc limit %(limit)s),
oldest as (select {HOUR} as hour from newest order by id limit 1)
select * from analysed_reports
where {BEYOND} and id >= uuid_v7_floor((select hour from oldest))
order by {HOUR} desc, sha256(%(salt)s || uuid_send(id)) limit %(limit)s
"""  # noqa: S608 - constants


def page(
    conn: Connection[Any],
    *,
    since: datetime | None,
    until: datetime | None,
    after: UUID | None,
    salt: bytes,
    limit: int,
) -> list[dict[str, Any]]:
    """Reports that the organisation may count, the newest hour first, beyond the report `after`.

    `since` and `until` are compared with the hour in which a report came. `salt` shuffles those of
    one hour, always in the same way.
    """
    values = {
        "since": since,
        "until": until,
        "after": after,
        "hour": LAST if after is None else _first_of_hour(after),
        "below": LAST if after is None else _first_of_hour(after, later=1),
        "salt": salt,
        "limit": limit,
    }
    return fetch_all(conn, PAGE, values)


def _first_of_hour(made: UUID, *, later: int = 0) -> UUID:
    """Below every id of the hour in which this one was made, or of one so many hours later."""
    hour = (made.int >> 80) // HOUR_MS + later
    return UUID(int=hour * HOUR_MS << 80)


def told_of(conn: Connection[Any], report_ids: Sequence[UUID], *, role: str | None) -> set[UUID]:
    """Those of the reports whose passenger knows that this role counted them."""
    rows = conn.execute("select told_of_analysis(%s, %s)", [list(report_ids), role]).fetchall()
    return {row[0] for row in rows}
