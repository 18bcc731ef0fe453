"""What a step writes. The incident's row is locked before any of its alerts, by everybody.

A hub has no part in the incident and locks its own alert alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.domain.alerts import ENDED, WORKING, Hold, State

INCIDENT = """
select id, city_id, state, priority, held_by_alert_id, escalate_at, restarted_at, unanswered_at,
       exercise
from incidents where id = %s"""


def lock(
    conn: Connection[Any], alert: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The incident of an alert, locked, and its alerts, as they are now.

    Whoever waits here for another's step reads what that step wrote. Of a hub's alert only itself
    is locked, and only itself is seen.
    """
    is_hub = alert["hub_id"] is not None
    with conn.cursor(row_factory=dict_row) as cursor:
        if is_hub:
            cursor.execute("select from alerts where id = %s for update", [alert["id"]])
        incidents = cursor.execute(
            INCIDENT if is_hub else INCIDENT + " for update", [alert["incident_id"]]
        ).fetchall()
        alerts = cursor.execute(
            """
            select id, report_id, hub_id, role, state, version, created_at, acknowledged_at
            from alerts where incident_id = %s order by id
            """,
            [alert["incident_id"]],
        ).fetchall()
    return incidents[0], alerts


def has_read(
    conn: Connection[Any], alert_id: UUID, *, incident_id: UUID, received_at: datetime
) -> bool:
    """Whether a person opened this alert and was shown the report that came at `received_at`."""
    return (
        conn.execute(
            """
            select from events e join reports r on r.id = e.report_id
            where e.incident_id = %s and e.alert_id = %s and e.kind = 'alert.seen'
              and r.incident_id = e.incident_id and r.received_at = %s
            limit 1
            """,
            [incident_id, alert_id, received_at],
        ).fetchone()
        is not None
    )


def has_unread(conn: Connection[Any], alert: Mapping[str, Any]) -> bool:
    """Whether a team's incident has a report, come after it was taken on, that it never opened."""
    return (
        alert["hub_id"] is None
        and conn.execute(
            """
            select from alerts a join reports r on r.incident_id = a.incident_id
            where a.id = %(id)s and r.received_at > coalesce(a.acknowledged_at, a.created_at)
              and not exists (
                  select from events e
                  where e.report_id = r.id and e.alert_id = a.id and e.kind = 'alert.seen')
            limit 1
            """,
            {"id": alert["id"]},
        ).fetchone()
        is not None
    )


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

    Of an alert that is being worked on, the word of a report that joined is still sent. Whoever
    takes an alert up, for the first time or after it had ended, acknowledges it.
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
    drop_messages(conn, [alert_id], also_updates=state not in WORKING)


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
    drop_messages(conn, withdrawn, also_updates=True)
    _tell_of_standing_down(conn, withdrawn, now=now)
    return withdrawn


def _tell_of_standing_down(
    conn: Connection[Any], alert_ids: Sequence[UUID], *, now: datetime
) -> None:
    """Tells every address that was told of an alert, or is being told now, that it is over.

    Nobody sets out for what another team has. Whoever was not told yet hears nothing.
    """
    conn.execute(
        """
        insert into deliveries (alert_id, report_id, channel, target_id, message, priority,
                                exercise, next_attempt_at, created_at)
        select distinct on (alert_id, channel, target_id)
               alert_id, report_id, channel, target_id, 'alert.withdrawn', priority, exercise,
               %(now)s::timestamptz, %(now)s::timestamptz
        from deliveries
        where alert_id = any (%(alerts)s) and message <> 'alert.withdrawn'
          and (status in ('sent', 'delivered', 'seen')
               or status = 'dropped' and leased_until > %(now)s)
        order by alert_id, channel, target_id, priority, id
        """,
        {"alerts": list(alert_ids), "now": now},
    )


def drop_messages(conn: Connection[Any], alert_ids: Sequence[UUID], *, also_updates: bool) -> None:
    """Messages that still wait are sent no more; one that is being sent right now may arrive.

    Without `also_updates` those that tell of a joined report stay: an answer to the first report
    is none to the next.
    """
    conn.execute(
        "update deliveries set status = 'dropped', next_attempt_at = null"
        " where alert_id = any (%s) and status = 'queued' and (%s or message <> 'alert.updated')",
        [list(alert_ids), also_updates],
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
