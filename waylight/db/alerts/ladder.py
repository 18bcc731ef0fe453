"""The rungs of incidents that nobody has answered, written by the worker's role."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from waylight.db.rows import fetch_one
from waylight.domain.drills import AUDIENCE

# tell_of_all() stamps everything with the report's own time and priority. A later rung is told
# now, and at the priority that the incident has reached.
TELL = """
select r.id as report_id, (tell_of_all(
    jsonb_populate_record(r, jsonb_build_object(
        'received_at', %(now)s::timestamptz, 'priority', i.priority)),
    i.id, %(recipient)s)->>'alert_id')::uuid as alert_id
from incidents i
join lateral (
    select main.id from reports main
    where main.incident_id = i.id and main.withdrawn_at is null
    order by main.priority, main.id limit 1) first on true
join reports r on r.id = first.id
where i.id = %(incident)s
"""


def due(
    conn: Connection[Any],
    *,
    now: datetime,
    only: UUID | None = None,
    skip: Sequence[UUID] = (),
) -> dict[str, Any] | None:
    """The most urgent incident whose rung has had its time, locked; real ones before exercises.

    One that another worker has is left to it. The ladders of drills do not climb.
    """
    return fetch_one(
        conn,
        """
        select id, city_id, priority, held_by_alert_id, unanswered_at, exercise
        from incidents
        where escalate_at <= %(now)s and state = 'open'
          and (%(only)s::uuid is null or id = %(only)s) and id <> all (%(skip)s)
          and not starts_with(audience, %(drills)s)
        order by exercise, priority, escalate_at
        limit 1
        for update skip locked
        """,
        {"now": now, "only": only, "skip": list(skip), "drills": AUDIENCE},
    )


def tell(
    conn: Connection[Any], incident_id: UUID, recipient: Mapping[str, Any], *, now: datetime
) -> dict[str, Any] | None:
    """Tells one more recipient of every report of an incident.

    `recipient` has the shape of migration 0003. Returns {alert_id, report_id}; None when every
    report has been withdrawn, so that there is nothing left to tell.
    """
    return fetch_one(
        conn,
        TELL,
        {"now": now, "recipient": Jsonb(dict(recipient)), "incident": incident_id},
    )


def last_control_room_alert(conn: Connection[Any], incident_id: UUID) -> dict[str, Any] | None:
    """The newest alert of a control room about an incident, and the rank a further rung has.

    One that lives before any that has ended: with a merge an older alert may have come along.
    """
    return fetch_one(
        conn,
        """
        select a.id, a.report_id, a.organisation_id, a.team_id, a.state, a.priority, a.exercise,
               (select max(rank) + 1 from alerts
                where incident_id = a.incident_id and team_id is not null) as next_rank
        from alerts a
        where a.incident_id = %s and a.role = 'control_room'
        order by a.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene') desc,
                 a.id desc
        limit 1
        """,
        [incident_id],
    )


def send_again(
    conn: Connection[Any],
    alert: Mapping[str, Any],
    *,
    message: str,
    channels: Sequence[str],
    now: datetime,
) -> None:
    """Queues a further message about an alert on each channel where it does not wait already."""
    waiting = conn.execute(
        "select array_agg(channel) from deliveries"
        " where alert_id = %s and status = 'queued' and message = %s",
        [alert["id"], message],
    ).fetchone()
    already = (waiting and waiting[0]) or ()
    conn.execute(
        """
        select queue_messages(a, a.report_id, %(channels)s, %(message)s, a.priority, %(now)s)
        from alerts a where a.id = %(id)s
        """,
        {
            "id": alert["id"],
            "message": message,
            "channels": Jsonb([channel for channel in channels if channel not in already]),
            "now": now,
        },
    )


def set_ladder(
    conn: Connection[Any],
    incident_id: UUID,
    *,
    escalate_at: datetime | None,
    unanswered_at: datetime | None,
    climbed: bool,
) -> None:
    """When the ladder climbs next, and whether it has just climbed a rung."""
    conn.execute(
        # What is about a colleague has no ladder of teams: see check_ins.
        "update incidents set escalate_at = case when about_alert_id is null then %s::timestamptz"
        " end, unanswered_at = %s, rung = rung + %s, version = version + 1 where id = %s",
        [escalate_at, unanswered_at, int(climbed), incident_id],
    )


def unrouted(conn: Connection[Any], *, skip: Sequence[UUID] = ()) -> UUID | None:
    """The oldest report that nobody has been told about, locked; None when there is none."""
    found = fetch_one(
        conn,
        """
        select id from reports where status = 'unrouted' and id <> all (%s)
        order by exercise, id limit 1 for update skip locked
        """,
        [list(skip)],
    )
    return found["id"] if found else None
