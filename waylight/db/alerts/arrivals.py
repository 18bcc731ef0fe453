"""Whom a hub's alert told it to expect, and what it has logged of them, as the staff role."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

# An event of our own alert names us: the row-level policy shows it, and no place is in it. It keeps
# the incident of its time; the report, and the alert, may be in another since a merge or a split.
TOLD = """
select told.report_id, told.since, f.needs, f.language, last.status, last.at,
       (select max(e.at) from events e
        where e.report_id = told.report_id and e.alert_id = %(alert)s
          and e.kind in ('alert.hub_closing', 'alert.hub_moved', 'alert.not_redirected'))
           as redirected_at,
       h.services || h.access as features, h.languages
from (select e.report_id, min(e.at) as since from events e
      where e.alert_id = %(alert)s and e.kind in ('alert.created', 'alert.updated')
      group by e.report_id) told
join report_facts f on f.id = told.report_id and f.withdrawn_at is null
join hubs h on h.id = %(hub)s
left join lateral (
    select v.status, v.at from hub_arrivals v
    where v.alert_id = %(alert)s and v.report_id = told.report_id
    order by v.id desc limit 1) last on true
order by told.since, told.report_id
"""


def told(conn: Connection[Any], alert_id: UUID, *, hub_id: UUID) -> list[dict[str, Any]]:
    """Each report that a hub's alert told of, but the withdrawn, with its last entry."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(TOLD, {"alert": alert_id, "hub": hub_id}).fetchall()


def log(
    conn: Connection[Any],
    *,
    alert_id: UUID,
    report_id: UUID,
    hub_id: UUID,
    organisation_id: UUID,
    status: str,
    at: datetime,
    staff_id: UUID | None,
    now: datetime,
) -> None:
    """Adds an entry and gives the alert its next version. Entries are never changed."""
    conn.execute(
        """
        insert into hub_arrivals (alert_id, report_id, hub_id, organisation_id, status, at,
                                  logged_at, logged_by)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [alert_id, report_id, hub_id, organisation_id, status, at, now, staff_id],
    )
    conn.execute("update alerts set version = version + 1 where id = %s", [alert_id])
