"""What analysts read, in a transaction that reads as one: the database shows it nothing else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all

PAGE = """
select * from analysed_reports
where (%(after)s::uuid is null or id < %(after)s)
  and (%(since)s::timestamptz is null or received_hour >= %(since)s)
  and (%(until)s::timestamptz is null or received_hour < %(until)s)
order by id desc limit %(limit)s
"""


def page(
    conn: Connection[Any],
    *,
    since: datetime | None,
    until: datetime | None,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Reports that the organisation may count, the newest first, older than the report `after`.

    `since` and `until` are compared with the hour in which a report came.
    """
    values = {"since": since, "until": until, "after": after, "limit": limit}
    return fetch_all(conn, PAGE, values)


def told_of(conn: Connection[Any], report_ids: Sequence[UUID], *, role: str | None) -> set[UUID]:
    """Those of the reports whose passenger knows that this role counted them."""
    rows = conn.execute("select told_of_analysis(%s, %s)", [list(report_ids), role]).fetchall()
    return {row[0] for row in rows}
