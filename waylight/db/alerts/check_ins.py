"""Timers of responders, and the alerts raised when one runs out.

A row of `check_ins` is locked before the incident that is about its responder, by everybody.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db.rows import fetch_one

FIND = """
select c.*, exists (
    select from alerts a where a.incident_id = c.overdue_incident_id
      and a.state in ('acknowledged', 'en_route', 'on_scene', 'closed')) as answered
from check_ins c where c.alert_id = %s
"""


def find(conn: Connection[Any], alert_id: UUID) -> dict[str, Any] | None:
    """The timer of an alert, as far as the caller may see it."""
    return fetch_one(conn, FIND, [alert_id])


def default(conn: Connection[Any], organisation_id: UUID) -> dict[str, Any] | None:
    """What an organisation lets start; None where it has set nothing."""
    return fetch_one(
        conn,
        "select due_in_s, version from check_in_defaults where organisation_id = %s",
        [organisation_id],
    )


def set_default(
    conn: Connection[Any],
    organisation_id: UUID,
    due_in_s: int | None,
    *,
    if_match: int | None,
    staff_id: UUID | None,
    now: datetime,
) -> bool:
    """Writes it with a new version; False when `if_match`, 0 for none yet, is not the version."""
    values = {
        "organisation": organisation_id,
        "due_in_s": due_in_s,
        "staff": staff_id,
        "now": now,
        "if_match": if_match,
    }
    if if_match in (None, 0):
        made = conn.execute(
            """
            insert into check_in_defaults (organisation_id, due_in_s, updated_by, updated_at)
            values (%(organisation)s, %(due_in_s)s, %(staff)s, %(now)s)
            on conflict (organisation_id) do update set due_in_s = excluded.due_in_s,
                version = check_in_defaults.version + 1, updated_by = excluded.updated_by,
                updated_at = excluded.updated_at
            where %(if_match)s::int is null
            """,
            values,
        )
    else:
        made = conn.execute(
            """
            update check_in_defaults set due_in_s = %(due_in_s)s, version = version + 1,
                updated_by = %(staff)s, updated_at = %(now)s
            where organisation_id = %(organisation)s and version = %(if_match)s
            """,
            values,
        )
    return made.rowcount == 1


def run(
    conn: Connection[Any],
    alert: Mapping[str, Any],
    *,
    staff_id: UUID | None,
    due_in_s: int,
    due_at: datetime,
    now: datetime,
) -> None:
    """Starts the timer of an alert, or sets it anew. One that had run out is settled at once."""
    conn.execute(
        """
        insert into check_ins (alert_id, incident_id, team_id, organisation_id, city_id, staff_id,
                               exercise, due_in_s, started_at, checked_in_at, due_at, next_at)
        values (%(id)s, %(incident_id)s, %(team_id)s, %(organisation_id)s, %(city_id)s, %(staff)s,
                %(exercise)s, %(due_in_s)s, %(now)s, %(now)s, %(due_at)s, %(due_at)s)
        on conflict (alert_id) do update set
            staff_id = excluded.staff_id, due_in_s = excluded.due_in_s,
            started_at = case when check_ins.ended_at is null then check_ins.started_at
                              else excluded.started_at end,
            checked_in_at = excluded.checked_in_at, due_at = excluded.due_at, ended_at = null,
            next_at = case when check_ins.overdue_incident_id is null then excluded.due_at
                           else excluded.checked_in_at end
        """,
        {**alert, "staff": staff_id, "due_in_s": due_in_s, "due_at": due_at, "now": now},
    )


def end(conn: Connection[Any], alert_id: UUID, *, now: datetime) -> bool:
    """Ends the timer of an alert; False when none runs."""
    return (
        conn.execute(
            """
            update check_ins set ended_at = %(now)s,
                next_at = case when overdue_incident_id is not null then %(now)s::timestamptz end
            where alert_id = %(id)s and ended_at is null
            """,
            {"id": alert_id, "now": now},
        ).rowcount
        == 1
    )


def claim(
    conn: Connection[Any], *, now: datetime, beyond: datetime, skip: Sequence[UUID]
) -> dict[str, Any] | None:
    """A timer to look at, locked: the one due longest, or one set `beyond` what is possible.

    With it the responder's alert and the incident they are at, so that no step changes these
    meanwhile. One that another worker has, or whose incident somebody is acting on, is passed over:
    nobody is waited for, so that whoever locks the incident first, as every step does, is not
    waited for in a circle.
    """
    return fetch_one(
        conn,
        """
        select c.*, t.name as team, a.state as alert_state
        from check_ins c
        join teams t on t.id = c.team_id
        join alerts a on a.id = c.alert_id
        join incidents i on i.id = a.incident_id
        where (c.next_at <= %(now)s or c.next_at > %(beyond)s) and c.alert_id <> all (%(skip)s)
        order by c.next_at limit 1
        for update of c, i, a skip locked
        """,
        {"now": now, "beyond": beyond, "skip": list(skip)},
    )


def look_again(
    conn: Connection[Any],
    alert_id: UUID,
    *,
    next_at: datetime | None,
    due_at: datetime,
    overdue_at: datetime | None,
    overdue_incident_id: UUID | None,
    raised: int,
    ended_at: datetime | None,
) -> None:
    """Writes how a timer stands and when the worker looks at it next."""
    conn.execute(
        """
        update check_ins set next_at = %s, due_at = %s, overdue_at = %s, overdue_incident_id = %s,
            raised = %s, ended_at = %s
        where alert_id = %s
        """,
        [next_at, due_at, overdue_at, overdue_incident_id, raised, ended_at, alert_id],
    )


def open_incident(conn: Connection[Any], timer: Mapping[str, Any], *, now: datetime) -> UUID:
    """Makes the incident that is about a responder, where the passenger's is; returns its id.

    No report joins it, and its ladder never climbs.
    """
    row = conn.execute(
        """
        insert into incidents (id, city_id, category_groups, audience, exercise, position,
                               opened_at, last_at, priority, report_count, about_alert_id)
        select uuid_v7(%(now)s), i.city_id, i.category_groups, 'responder', i.exercise, i.position,
               %(now)s, %(now)s, 1, 0, %(alert)s
        from incidents i where i.id = %(incident)s
        returning id
        """,
        {"now": now, "alert": timer["alert_id"], "incident": timer["incident_id"]},
    ).fetchone()
    assert row is not None  # noqa: S101 - an alert has its incident
    made: UUID = row[0]
    return made


def recipients(conn: Connection[Any], timer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who is told: the city's control room, and the responder's own team at all its addresses.

    With the newest alert of each in the incident that is about the responder, if there is one.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select t.id as team_id, t.organisation_id, t.role, last.*
            from (
                select room.id, room.organisation_id, 'control_room' as role, 1 as rank
                from cities c join teams room on room.id = c.control_room_id
                where c.id = coalesce(%(city_id)s, (select id from cities order by id limit 1))
                  and room.id <> %(team_id)s
                union all
                select own.id, own.organisation_id, 'primary', 2 from teams own
                where own.id = %(team_id)s) t
            left join lateral (
                select a.id, a.report_id, a.state, a.priority, a.exercise from alerts a
                where a.incident_id = %(overdue_incident_id)s and a.team_id = t.id
                order by a.id desc limit 1) last on true
            order by t.rank
            """,
            timer,
        ).fetchall()


def tell(
    conn: Connection[Any],
    recipient: Mapping[str, Any],
    incident_id: UUID,
    timer: Mapping[str, Any],
    *,
    channels: Sequence[str],
    now: datetime,
) -> UUID:
    """Makes an alert of priority 1 for one recipient, and its messages; returns its id."""
    row = conn.execute(
        """
        insert into alerts (id, incident_id, report_id, city_id, organisation_id, team_id, role,
                            rank, priority, reasons, exercise, created_at)
        select uuid_v7(%(now)s), %(incident)s, a.report_id, a.city_id, %(organisation)s, %(team)s,
               %(role)s, 1 + (select count(*) from alerts o where o.incident_id = %(incident)s), 1,
               %(reasons)s, a.exercise, %(now)s
        from alerts a where a.id = %(about)s
        returning id
        """,
        {
            "now": now,
            "incident": incident_id,
            "organisation": recipient["organisation_id"],
            "team": recipient["team_id"],
            "role": recipient["role"],
            "reasons": Jsonb([{"code": "responder_overdue", "params": {"team": timer["team"]}}]),
            "about": timer["alert_id"],
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - the alert it is about is there
    conn.execute(
        """
        select queue_messages(a, a.report_id, %s, 'responder.overdue', a.priority, %s)
        from alerts a where a.id = %s
        """,
        [Jsonb(list(channels)), now, row[0]],
    )
    made: UUID = row[0]
    return made


def set_unanswered(conn: Connection[Any], incident_id: UUID, *, now: datetime) -> None:
    """Notes since when everybody has been told of a responder and nobody has answered."""
    conn.execute(
        "update incidents set unanswered_at = coalesce(unanswered_at, %s), version = version + 1"
        " where id = %s",
        [now, incident_id],
    )


def settle(conn: Connection[Any], incident_id: UUID, *, closed: bool, now: datetime) -> None:
    """The responder is well: nobody is missed any more, and with nobody at work it is closed."""
    conn.execute(
        """
        update incidents set unanswered_at = null, version = version + 1,
            state = case when %(closed)s then 'closed' else state end,
            closed_at = case when %(closed)s then %(now)s else closed_at end
        where id = %(id)s and state = 'open'
        """,
        {"id": incident_id, "closed": closed, "now": now},
    )
