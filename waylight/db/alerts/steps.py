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
       opened_at, last_at, exercise, version, merged_into, split_from, category_groups,
       about_alert_id, audience
from incidents where id = %s"""

ALERTS = """
select id, incident_id, report_id, organisation_id, team_id, hub_id, role, rank, state, version,
       priority, created_at, acknowledged_at, handed_from
from alerts where incident_id = %s order by id
"""

# A merge tells of reports that are older than the answer to what was known before it.
CAME_SINCE = """
select from alerts a join reports r on r.incident_id = a.incident_id
where a.id = %(id)s
  and (r.received_at > coalesce(a.acknowledged_at, a.created_at)
       or exists (
           select from events m
           where m.report_id = r.id and m.kind = 'report.moved'
             and m.at > coalesce(a.acknowledged_at, a.created_at)))
  and not exists (
      select from events e
      where e.report_id = r.id and e.alert_id = a.id and e.kind = 'alert.seen')
limit 1
"""

# The ladder runs for the report that came at `since`, or that a merge named at that instant.
HAS_READ = """
select from reports r join events e on e.report_id = r.id
where r.incident_id = %(incident)s and e.alert_id = %(alert)s and e.kind = 'alert.seen'
  and (r.received_at = %(since)s
       or r.id = (select m.report_id from events m
                  where m.incident_id = %(incident)s and m.kind = 'incident.merged'
                    and m.at = %(since)s limit 1))
limit 1
"""


def lock(
    conn: Connection[Any], alert: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The incident of an alert, locked, and its alerts, as they are now.

    Whoever waits here for another's step reads what that step wrote, also when that was a merge and
    the alert belongs to another incident by now. Of a hub's alert only itself is locked, and only
    itself is seen.
    """
    is_hub = alert["hub_id"] is not None
    incident_id = alert["incident_id"]
    with conn.cursor(row_factory=dict_row) as cursor:
        if is_hub:
            cursor.execute("select from alerts where id = %s for update", [alert["id"]])
        while True:
            incident = cursor.execute(
                INCIDENT if is_hub else INCIDENT + " for update", [incident_id]
            ).fetchone()
            alerts = cursor.execute(ALERTS, [incident_id]).fetchall()
            if incident is not None and any(one["id"] == alert["id"] for one in alerts):
                return incident, alerts
            moved = cursor.execute(
                "select incident_id from alerts where id = %s", [alert["id"]]
            ).fetchone()
            assert moved is not None  # noqa: S101 - no alert is ever deleted while it is acted on
            incident_id = moved["incident_id"]


def lock_incidents(conn: Connection[Any], *incident_ids: UUID) -> list[dict[str, Any]]:
    """Incidents, locked in the order of their ids, so that no two callers wait in a circle.

    Returned in the order in which they were asked for.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        found = {
            one: cursor.execute(INCIDENT + " for update", [one]).fetchone()
            for one in sorted(incident_ids)
        }
    return [row for row in map(found.get, incident_ids) if row is not None]


def alerts_of(conn: Connection[Any], incident_id: UUID) -> list[dict[str, Any]]:
    """Every alert about an incident, oldest first; consistent while the incident is locked."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(ALERTS, [incident_id]).fetchall()


def has_read(
    conn: Connection[Any], alert_id: UUID, *, incident_id: UUID, received_at: datetime
) -> bool:
    """Whether a person opened this alert and was shown the report for which the ladder runs."""
    values = {"incident": incident_id, "alert": alert_id, "since": received_at}
    return conn.execute(HAS_READ, values).fetchone() is not None


def has_unread(conn: Connection[Any], alert: Mapping[str, Any]) -> bool:
    """Whether a team's incident has a report, come after it was taken on, that it never opened."""
    return (
        alert["hub_id"] is None
        and conn.execute(CAME_SINCE, {"id": alert["id"]}).fetchone() is not None
    )


def is_shut_out(conn: Connection[Any], incident_id: UUID) -> bool:
    """Whether the organisation of a staff connection was granted a report there and is no more."""
    row = conn.execute("select organisation_is_shut_out(%s)", [incident_id]).fetchone()
    return bool(row and row[0])


def may_not_read(conn: Connection[Any], report_id: UUID, organisation_id: UUID) -> bool:
    """Whether every grant of an organisation for a report was taken back. As staff."""
    row = conn.execute(
        "select bool_and(revoked_at is not null) from grants"
        " where report_id = %s and organisation_id = %s",
        [report_id, organisation_id],
    ).fetchone()
    return bool(row and row[0])


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


def withdraw(
    conn: Connection[Any], alert_ids: Sequence[UUID], *, now: datetime, also_taken: bool = False
) -> list[UUID]:
    """Stands down those of the alerts that nobody has answered, and drops their messages.

    With `also_taken` those as well that somebody has taken and not set out for.
    """
    rows = conn.execute(
        """
        update alerts set state = 'withdrawn', ended_at = %s, version = version + 1
        where id = any (%s)
          and (state in ('pending', 'delivered') or %s and state = 'acknowledged')
        returning id
        """,
        [now, list(alert_ids), also_taken],
    ).fetchall()
    withdrawn = [row[0] for row in rows]
    drop_messages(conn, withdrawn, also_updates=True)
    _tell_of_standing_down(conn, withdrawn, now=now)
    return withdrawn


def release(
    conn: Connection[Any], alert_ids: Sequence[UUID], *, outcome: str, now: datetime
) -> None:
    """Closes alerts whose incident another has now, and tells their addresses that it is over."""
    for alert_id in alert_ids:
        set_state(conn, alert_id, State.CLOSED, staff_id=None, outcome=outcome, now=now)
    _tell_of_standing_down(conn, alert_ids, now=now)


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
    is none to the next. In the order of their ids, as the workers lock them.
    """
    conn.execute(
        """
        update deliveries set status = 'dropped', next_attempt_at = null
        where id = any (array(
            select id from deliveries
            where alert_id = any (%s) and status = 'queued' and (%s or message <> 'alert.updated')
            order by id for update))
        """,
        [list(alert_ids), also_updates],
    )


def set_hold(conn: Connection[Any], incident_id: UUID, hold: Hold, *, now: datetime) -> None:
    """Writes who holds an incident, when its ladder climbs, and whether it is closed now."""
    conn.execute(
        """
        update incidents set held_by_alert_id = %(held_by)s,
            -- What is about a colleague has no ladder of teams: see check_ins.
            escalate_at = case when about_alert_id is null then %(escalate_at)s::timestamptz end,
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
