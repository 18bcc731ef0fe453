"""What is written when an incident changes hands, or reports go from one incident to another.

Written by the intake role: the caller has looked at the incident as staff before, and holds its
lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from waylight.db.rows import fetch_all, fetch_one
from waylight.domain.alerts import Hold

# As tell_of_all() of migration 0003 does, but by another cause: a hand-over is a person's decision.
ASK = """
with gravest as (
    select r.id from reports r where r.incident_id = %(incident)s and r.withdrawn_at is null
    order by r.priority, r.id limit 1),
told as (
    insert into alerts (id, incident_id, report_id, city_id, organisation_id, team_id, role, rank,
                        priority, reasons, exercise, created_at, handed_from)
    select uuid_v7(%(now)s), i.id, g.id, i.city_id, t.organisation_id, t.id,
           case t.kind when 'control_room' then 'control_room' else 'backup' end,
           (select coalesce(max(a.rank), 0) + 1 from alerts a
            where a.incident_id = i.id and a.team_id is not null),
           i.priority, %(reasons)s, i.exercise, %(now)s, %(from)s
    from incidents i, gravest g, teams t
    where i.id = %(incident)s and t.id = %(team)s
    returning *),
granted as (
    insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
    select r.id, told.organisation_id, 'hand_over', 'full', %(now)s, %(by)s
    from told join reports r on r.incident_id = told.incident_id and r.withdrawn_at is null
    on conflict (report_id, organisation_id, cause) do update
        set level = 'full', created_at = excluded.created_at, created_by = excluded.created_by,
            revoked_at = null, revoked_by = null
        where grants.revoked_at is not null),
said as (
    insert into events (kind, at, city_id, organisation_id, report_id, incident_id, alert_id, data,
                        exercise)
    select case when r.id = told.report_id then 'alert.created' else 'alert.updated' end, %(now)s,
           r.city_id, told.organisation_id, r.id, told.incident_id, told.id,
           jsonb_build_object('role', told.role, 'rank', told.rank, 'priority', r.priority)
               || case when r.id = told.report_id then '{}'::jsonb
                       else '{"reason": "report_joined"}' end,
           r.exercise
    from told join reports r on r.incident_id = told.incident_id and r.withdrawn_at is null
    order by r.id <> told.report_id, r.id)
select id, report_id, rank from told
"""

# Each team at work on an incident is told of each report in it that it does not know yet, or may
# read no more, with a grant of its own for each; one message an alert is enough.
TELL_THE_REST = """
select tell_more(
    jsonb_populate_record(untold.report, jsonb_build_object('received_at', %(now)s::timestamptz)),
    untold.alert, case when untold.nth = 1 and untold.priority < 4 then %(channels)s else '[]' end)
from (
    select a as alert, r as report, r.priority,
           row_number() over (partition by a.id order by r.priority, r.id) as nth
    from alerts a join reports r on r.incident_id = a.incident_id
    where a.incident_id = %(incident)s and a.team_id is not null and r.withdrawn_at is null
      and a.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')
      and (not exists (
          select from events e
          where e.report_id = r.id and e.alert_id = a.id
            and e.kind in ('alert.created', 'alert.updated'))
        or not exists (
          select from grants g
          where g.report_id = r.id and g.organisation_id = a.organisation_id
            and g.level = 'full' and g.revoked_at is null))
    order by a.id, nth) untold
"""

PARTIES = """
insert into incident_parties (incident_id, organisation_id, part)
select a.incident_id, a.organisation_id, 'acts' from alerts a
where a.incident_id = %(incident)s and a.team_id is not null
union
select a.incident_id, a.organisation_id, 'works' from alerts a
where a.incident_id = %(incident)s and a.team_id is not null
  and a.state not in ('declined', 'expired', 'withdrawn')
union
select r.incident_id, g.organisation_id, 'oversees'
from reports r join grants g on g.report_id = r.id
where r.incident_id = %(incident)s and g.cause = 'oversight' and g.revoked_at is null
on conflict do nothing
"""

REPORTS = """
select id, priority, wants, under_18, category_groups, city_id, exercise, received_at, recorded_at,
       vehicle_id, withdrawn_at
from reports where incident_id = %s order by priority, id
"""

OPEN = """
insert into incidents (id, city_id, category_groups, audience, exercise, position, opened_at,
                       last_at, priority, report_count, escalate_at, restarted_at, split_from)
select uuid_v7(%(now)s), i.city_id,
       array(select distinct unnest(r.category_groups) from reports r
             where r.id = any (%(reports)s) order by 1),
       i.audience, i.exercise,
       (select r.position from reports r where r.id = any (%(reports)s)
        order by r.priority, r.id limit 1),
       (select min(r.received_at) from reports r where r.id = any (%(reports)s)),
       (select max(coalesce(r.recorded_at, r.received_at)) from reports r
        where r.id = any (%(reports)s)),
       (select min(r.priority) from reports r where r.id = any (%(reports)s)),
       cardinality(%(reports)s::uuid[]), %(now)s, %(now)s, i.id
from incidents i where i.id = %(incident)s
returning id, city_id, priority, held_by_alert_id, unanswered_at, exercise
"""

LEFT = """
update incidents i set
    report_count = left_over.number, priority = left_over.priority,
    category_groups = left_over.groups,
    escalate_at = %(escalate_at)s, version = i.version + 1
from (select count(*) as number, min(priority) as priority,
             array(select distinct unnest(s.category_groups) from reports s
                   where s.incident_id = %(incident)s order by 1) as groups
      from reports where incident_id = %(incident)s) left_over
where i.id = %(incident)s
"""

MERGED = """
update incidents i set
    held_by_alert_id = %(held_by)s, escalate_at = %(escalate_at)s,
    unanswered_at = %(unanswered_at)s, priority = %(priority)s, version = i.version + 1,
    restarted_at = case when %(restarted)s then %(now)s else i.restarted_at end,
    last_at = greatest(i.last_at, gone.last_at), vehicle = coalesce(i.vehicle, gone.vehicle),
    category_groups = array(
        select distinct unnest(i.category_groups || gone.category_groups) order by 1),
    report_count = i.report_count + gone.report_count
from incidents gone
where i.id = %(into)s and gone.id = %(source)s
"""

GONE = """
update incidents set state = 'closed', closed_at = %(now)s, held_by_alert_id = null,
    escalate_at = null, unanswered_at = null, report_count = 0, merged_into = %(into)s,
    version = version + 1
where id = %(source)s
"""


def team(conn: Connection[Any], team_id: UUID, city_id: UUID | None) -> dict[str, Any] | None:
    """A team of a city that is still in use, with its organisation; None for any other."""
    return fetch_one(
        conn,
        """
        select t.id, t.name, t.kind, t.capabilities, t.staff_capabilities, t.organisation_id,
               o.kind as organisation_kind, o.name as organisation, o.escalation
        from teams t join organisations o on o.id = t.organisation_id
        where t.id = %s and t.city_id is not distinct from %s and not t.retired
        """,
        [team_id, city_id],
    )


def reports(conn: Connection[Any], incident_id: UUID) -> list[dict[str, Any]]:
    """The reports of an incident, the most urgent first, as far as moving them asks."""
    return fetch_all(conn, REPORTS, [incident_id])


def ask_to_take_over(
    conn: Connection[Any],
    incident_id: UUID,
    *,
    team_id: UUID,
    handed_from: UUID,
    reasons: Sequence[Mapping[str, Any]],
    by: str,
    now: datetime,
) -> UUID | None:
    """Raises the alert of a hand-over, with its grants `by` somebody and its events.

    The caller queues the message.
    None when every report of the incident was withdrawn: there is nothing to hand over.
    """
    row = fetch_one(
        conn,
        ASK,
        {
            "incident": incident_id,
            "team": team_id,
            "from": handed_from,
            "reasons": Jsonb(list(reasons)),
            "by": by,
            "now": now,
        },
    )
    return row["id"] if row else None


def mark_as_asked(conn: Connection[Any], alert_id: UUID, *, handed_from: UUID) -> None:
    """A team that was told already is asked to take the incident over."""
    conn.execute(
        "update alerts set handed_from = %s, version = version + 1 where id = %s",
        [handed_from, alert_id],
    )


def queue(
    conn: Connection[Any], alert_id: UUID, *, message: str, channels: Sequence[str], now: datetime
) -> None:
    """Queues a message about an alert for every address of its recipient."""
    conn.execute(
        """
        select queue_messages(a, a.report_id, %s, %s, a.priority, %s) from alerts a where a.id = %s
        """,
        [Jsonb(list(channels)), message, now, alert_id],
    )


def remember_parties(conn: Connection[Any], incident_id: UUID) -> None:
    """Keeps who acts on an incident and who oversees it, before something leaves it."""
    conn.execute(PARTIES, {"incident": incident_id})


def readable(
    conn: Connection[Any], report_ids: Sequence[UUID], incident_id: UUID
) -> frozenset[UUID]:
    """Those of the reports that are in the incident and that a staff connection may read whole."""
    rows = conn.execute(
        "select id from reports where id = any (%s) and incident_id = %s",
        [list(report_ids), incident_id],
    ).fetchall()
    return frozenset(row[0] for row in rows)


def split_before(
    conn: Connection[Any], report_ids: Sequence[UUID], incident_id: UUID
) -> UUID | None:
    """The incident that has these reports and no others, if it was split from this one."""
    row = fetch_one(
        conn,
        """
        select i.id from incidents i
        where i.split_from = %(incident)s and i.report_count = cardinality(%(reports)s::uuid[])
          and not exists (
              select from unnest(%(reports)s::uuid[]) wanted (id)
              where not exists (
                  select from reports r where r.id = wanted.id and r.incident_id = i.id))
        order by i.id desc limit 1
        """,
        {"incident": incident_id, "reports": list(report_ids)},
    )
    return row["id"] if row else None


def move_reports(
    conn: Connection[Any], report_ids: Sequence[UUID], *, to: UUID, alone: bool = False
) -> None:
    """Reports go to another incident, and the alerts of hubs go with them."""
    conn.execute(
        "update reports set incident_id = %s, joined = %s where id = any (%s)",
        [to, not alone, list(report_ids)],
    )
    conn.execute(
        "update alerts set incident_id = %s, version = version + 1"
        " where report_id = any (%s) and hub_id is not null",
        [to, list(report_ids)],
    )


def move_alerts(conn: Connection[Any], alert_ids: Sequence[UUID], *, to: UUID) -> None:
    """Alerts that live go on in another incident, and so do the timers of their responders."""
    conn.execute(
        "update alerts set incident_id = %s, version = version + 1 where id = any (%s)"
        " and incident_id <> %s",
        [to, list(alert_ids), to],
    )
    conn.execute(
        "update check_ins set incident_id = %s where alert_id = any (%s)", [to, list(alert_ids)]
    )


def write_merge(
    conn: Connection[Any],
    source: UUID,
    *,
    into: UUID,
    hold: Hold,
    priority: int,
    restarted: bool,
    now: datetime,
) -> None:
    """One incident with the reports of two, and the other closed for good."""
    conn.execute(
        MERGED,
        {
            "source": source,
            "into": into,
            "held_by": hold.held_by,
            "escalate_at": hold.escalate_at,
            "unanswered_at": hold.unanswered_at,
            "priority": priority,
            "restarted": restarted,
            "now": now,
        },
    )
    conn.execute(GONE, {"source": source, "into": into, "now": now})


def tell_the_rest(
    conn: Connection[Any], incident_id: UUID, *, channels: Sequence[str], now: datetime
) -> None:
    """Tells every team at work on an incident of the reports in it that it does not know."""
    conn.execute(
        TELL_THE_REST,
        {"incident": incident_id, "channels": Jsonb(list(channels)), "now": now},
    )


def open_beside(
    conn: Connection[Any], incident_id: UUID, report_ids: Sequence[UUID], *, now: datetime
) -> dict[str, Any]:
    """A new incident for reports of another: open, nobody's, its ladder due now."""
    row = fetch_one(conn, OPEN, {"incident": incident_id, "reports": list(report_ids), "now": now})
    assert row is not None  # noqa: S101 - the caller holds the lock of the other incident
    return row


def write_left(conn: Connection[Any], incident_id: UUID, hold: Hold) -> None:
    """An incident counts what is left in it, and its alerts are about what is left."""
    conn.execute(LEFT, {"incident": incident_id, "escalate_at": hold.escalate_at})
    conn.execute(
        """
        update alerts a set version = a.version + 1, report_id = (
            select r.id from reports r join events e on e.report_id = r.id
            where r.incident_id = %(incident)s and e.alert_id = a.id
              and e.kind in ('alert.created', 'alert.updated')
            order by r.priority, r.id limit 1)
        where a.incident_id = %(incident)s and a.team_id is not null
          and a.report_id not in (select id from reports where incident_id = %(incident)s)
          and exists (
              select from reports r join events e on e.report_id = r.id
              where r.incident_id = %(incident)s and e.alert_id = a.id
                and e.kind in ('alert.created', 'alert.updated'))
        """,
        {"incident": incident_id},
    )


def reopen(conn: Connection[Any], incident_id: UUID, hold: Hold, *, now: datetime) -> None:
    """An incident is open again. Those who declined or closed it before may be asked again.

    Whoever gave up its oversight when it was closed has it again: an open incident is watched over.
    """
    conn.execute(
        """
        update grants g set revoked_at = null, revoked_by = null, created_at = %s,
            created_by = 'oversight'
        from reports r
        where r.incident_id = %s and g.report_id = r.id and g.cause = 'oversight'
          and g.revoked_at is not null
        """,
        [now, incident_id],
    )
    conn.execute(
        """
        update incidents set state = 'open', closed_at = null, held_by_alert_id = %s,
            escalate_at = %s, unanswered_at = %s, restarted_at = %s, version = version + 1
        where id = %s
        """,
        [hold.held_by, hold.escalate_at, hold.unanswered_at, now, incident_id],
    )
