"""Grants: which organisation may see which report, and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all, fetch_one
from waylight.domain.alerts import LIVE

VIEWS = "array_agg(distinct case g.level when 'full' then g.cause else g.level end)"
"""The views (`domain/properties`) of the live grants `g`: the cause of each, but `heads_up`."""

# Names of people as the policies of the staff role have them: of the own organisation alone.
OF = """
select g.*, giver.name as giver_name, revoker.name as revoker_name
from grants_of(%(report)s) with ordinality g
left join staff giver on giver.id = g.giver and giver.organisation_id = %(organisation)s
left join staff revoker on revoker.id = g.revoker and revoker.organisation_id = %(organisation)s
order by g.ordinality
"""

STANDING = """
select r.incident_id, r.city_id, r.exercise, i.state is distinct from 'closed' as is_open,
       exists (
           select from alerts a
           where a.organisation_id = %(organisation)s and a.state = any (%(live)s)
             and (a.report_id = r.id or a.incident_id = r.incident_id and a.team_id is not null))
           as is_at_work,
       exists (
           select from grants g
           where g.report_id = r.id and g.organisation_id <> %(organisation)s
             and g.cause <> 'consent' and g.level = 'full' and g.revoked_at is null)
           as others_read
from reports r left join incidents i on i.id = r.incident_id
where r.id = %(report)s
"""


def of(conn: Connection[Any], report_id: UUID, organisation_id: UUID) -> list[dict[str, Any]]:
    """The grants of a report that an organisation may know of, the oldest first. As staff."""
    return fetch_all(conn, OF, {"report": report_id, "organisation": organisation_id})


def lock(conn: Connection[Any], report_id: UUID) -> None:
    """Nobody is told of the report, and it goes to no other incident, until the caller is done."""
    incident_id = _incident_of(conn, report_id)
    while True:
        conn.execute("select from incidents where id = %s for update", [incident_id])
        conn.execute("select from reports where id = %s for no key update", [report_id])
        now_in = _incident_of(conn, report_id)
        if now_in == incident_id:
            return
        incident_id = now_in


def standing(conn: Connection[Any], report_id: UUID, organisation_id: UUID) -> dict[str, Any]:
    """What a revocation would mean: {incident_id, city_id, exercise, is_open, is_at_work, ...}.

    `is_open` also of a report that has no incident yet; `is_at_work` that an alert of the
    organisation about it is not over, `others_read` that somebody else reads it without consent.
    """
    row = fetch_one(
        conn,
        STANDING,
        {"report": report_id, "organisation": organisation_id, "live": list(LIVE)},
    )
    assert row is not None  # noqa: S101 - a report is never deleted while it has grants
    return row


def revoke(
    conn: Connection[Any],
    report_id: UUID,
    organisation_id: UUID,
    *,
    causes: Sequence[str],
    by: str,
    now: datetime,
) -> int:
    """Takes back the grants of an organisation for these causes; how many there were to take."""
    done = conn.execute(
        """
        update grants set revoked_at = %s, revoked_by = %s
        where report_id = %s and organisation_id = %s and cause = any (%s) and revoked_at is null
        """,
        [now, by, report_id, organisation_id, list(causes)],
    )
    return done.rowcount


def _incident_of(conn: Connection[Any], report_id: UUID) -> UUID | None:
    row = conn.execute("select incident_id from reports where id = %s", [report_id]).fetchone()
    return row[0] if row else None
