"""What a step writes. The incident's row is locked before any of its alerts, by everybody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.alerts import ENDED, WORKING, Hold, State


def lock(conn: Connection[Any], incident_id: UUID) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An incident, locked, and its alerts, as they are now.

    Whoever waits here for another's step reads what that step wrote.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        incidents = cursor.execute(
            """
            select id, city_id, state, priority, held_by_alert_id, escalate_at, unanswered_at,
                   exercise
            from incidents where id = %s for update
            """,
            [incident_id],
        ).fetchall()
        alerts = cursor.execute(
            """
            select id, report_id, hub_id, role, state, version, acknowledged_at
            from alerts where incident_id = %s order by id
            """,
            [incident_id],
        ).fetchall()
    return incidents[0], alerts


def set_state(
    conn: Connection[Any],
    alert_id: UUID,
    state: State,
    *,
    staff_id: UUID | None,
    outcome: str | None,
    now: datetime,
) -> None:
    """Writes a new state with a new version and drops the alert's messages that still wait.

    Whoever takes an alert up, for the first time or after it had ended, acknowledges it.
    """
    conn.execute(
        """
        update alerts set state = %(state)s, version = version + 1,
            seen_at = coalesce(seen_at, %(now)s),
            acknowledged_at = case when not %(working)s then acknowledged_at
                when acknowledged_at is null or ended_at is not null then %(now)s
                else acknowledged_at end,
            acknowledged_by = case when not %(working)s then acknowledged_by
                when acknowledged_by is null or ended_at is not null then %(staff_id)s
                else acknowledged_by end,
            ended_at = case when %(ended)s then %(now)s end,
            outcome = %(outcome)s
        where id = %(id)s
        """,
        {
            "id": alert_id,
            "state": state,
            "working": state in WORKING,
            "ended": state in ENDED,
            "staff_id": staff_id,
            "outcome": outcome,
            "now": now,
        },
    )
    drop_messages(conn, [alert_id])


def withdraw(conn: Connection[Any], alert_ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    """Stands down those of the alerts that nobody has answered, and drops their messages."""
    rows = conn.execute(
        """
        update alerts set state = 'withdrawn', ended_at = %s, version = version + 1
        where id = any (%s) and state in ('pending', 'delivered')
        returning id
        """,
        [now, list(alert_ids)],
    ).fetchall()
    withdrawn = [row[0] for row in rows]
    drop_messages(conn, withdrawn)
    return withdrawn


def drop_messages(conn: Connection[Any], alert_ids: Sequence[UUID]) -> None:
    """Messages that still wait are sent no more; one that is being sent right now may arrive."""
    conn.execute(
        "update deliveries set status = 'dropped', next_attempt_at = null"
        " where alert_id = any (%s) and status = 'queued'",
        [list(alert_ids)],
    )


def set_hold(conn: Connection[Any], incident_id: UUID, hold: Hold, *, now: datetime) -> None:
    """Writes who holds an incident, when its ladder climbs, and whether it is closed now."""
    conn.execute(
        """
        update incidents set held_by_alert_id = %(held_by)s, escalate_at = %(escalate_at)s,
            unanswered_at = %(unanswered_at)s, version = version + 1,
            state = case when %(closed)s then 'closed' else state end,
            closed_at = case when %(closed)s then %(now)s else closed_at end
        where id = %(id)s
        """,
        {
            "id": incident_id,
            "held_by": hold.held_by,
            "escalate_at": hold.escalate_at,
            "unanswered_at": hold.unanswered_at,
            "closed": hold.closed,
            "now": now,
        },
    )
