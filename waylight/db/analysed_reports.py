"""What analysts read, in a transaction that reads as one: the database shows it nothing else."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all

HOUR_MS = 3_600_000
FIRST, LAST = UUID(int=0), UUID(int=(1 << 128) - 1)
APART = timedelta(days=1)
"""An id is made when its report comes; so far apart the two never are."""

AT_ONCE = 200
"""Grants that are looked at together, at least, with the rest of their hour."""

# By the grants of the organisation and their index: asked for a page of the view, the planner makes
# every report of a city before it sorts them.
NEWEST = """
select g.report_id from grants g
where g.organisation_id = %(organisation)s and g.revoked_at is null
  and g.report_id >= %(oldest)s and g.report_id < %(below)s
order by g.report_id desc limit %(limit)s
"""

LIVE = """
select distinct g.report_id from grants g
where g.organisation_id = %(organisation)s and g.revoked_at is null
  and g.report_id >= %(oldest)s and g.report_id < %(below)s
"""

SHOWN = """
select * from analysed_reports
where id = any (%(ids)s)
  and (%(since)s::timestamptz is null or received_hour >= %(since)s)
  and (%(until)s::timestamptz is null or received_hour < %(until)s)
"""


def page(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    since: datetime | None,
    until: datetime | None,
    after: UUID | None,
    salt: bytes,
    limit: int,
) -> list[dict[str, Any]]:
    """Reports that the organisation may count, the newest hour first, beyond the report `after`.

    `since` and `until` are compared with the hour in which a report came. Within an hour they come
    in an order that `salt` makes, always the same one, and that has nothing to do with when they
    came: whoever sends reports of their own meanwhile would else find them in the list, with others
    between them.
    """

    def place(report_id: UUID) -> tuple[int, bytes]:
        return -_hour(report_id), sha256(salt + report_id.bytes).digest()

    oldest = FIRST if since is None else _first_at(since - APART)
    below = LAST if after is None else _first_of(_hour(after) + 1)
    if until is not None:
        below = min(below, _first_at(until + APART))
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        live, below = _whole_hours(conn, organisation_id, oldest=oldest, below=below, limit=limit)
        if not live:
            break
        ids = [one for one in live if after is None or place(one) > place(after)]
        found += fetch_all(conn, SHOWN, {"ids": ids, "since": since, "until": until})
    return sorted(found, key=lambda row: place(row["id"]))[:limit]


def _whole_hours(
    conn: Connection[Any], organisation_id: UUID, *, oldest: UUID, below: UUID, limit: int
) -> tuple[list[UUID], UUID]:
    """The next reports that were granted, as many hours as hold enough; and where they begin."""
    values: Mapping[str, Any] = {
        "organisation": organisation_id,
        "oldest": oldest,
        "below": below,
        "limit": max(limit, AT_ONCE),
    }
    newest = conn.execute(NEWEST, values).fetchall()
    if not newest:
        return [], below
    begin = _first_of(_hour(newest[-1][0]))
    rows = conn.execute(LIVE, {**values, "oldest": max(oldest, begin)}).fetchall()
    return [row[0] for row in rows], begin


def _hour(made: UUID) -> int:
    """The hour in which an id was made: its first 48 bits are milliseconds."""
    return (made.int >> 80) // HOUR_MS


def _first_of(hour: int) -> UUID:
    """Below every id that is made in an hour."""
    return UUID(int=hour * HOUR_MS << 80)


def _first_at(moment: datetime) -> UUID:
    """Below every id that is made from an instant on."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def told_of(conn: Connection[Any], report_ids: Sequence[UUID], *, role: str | None) -> set[UUID]:
    """Those of the reports whose passenger knows that this role counted them."""
    rows = conn.execute("select told_of_analysis(%s, %s)", [list(report_ids), role]).fetchall()
    return {row[0] for row in rows}
