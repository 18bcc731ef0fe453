"""What staff read of incidents. Every statement names the caller's organisation (design, D11).

A hub was told to expect somebody and has no part in the incident: only teams and overseers count.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.grants import VIEWS
from waylight.db.rows import fetch_all

# The limits keep each a look at one incident: of a plain EXISTS the planner makes a hash table of
# everything that a control room ever oversaw, for one page of it.
ACTS = """coalesce((
    select true from alerts a where a.incident_id = i.id and a.team_id is not null
      and a.organisation_id = %(organisation)s limit 1), false)"""

OVERSEES = """coalesce((
    select true from reports r join grants g on g.report_id = r.id
    where r.incident_id = i.id and g.organisation_id = %(organisation)s
      and g.cause = 'oversight' and g.revoked_at is null limit 1), false)"""

# Whoever said no or was stood down is at work on it no more, and closing it was work, until what
# they could read of it was taken back.
WORKS = """(not organisation_is_shut_out(i.id) and exists (
    select from alerts a where a.incident_id = i.id and a.team_id is not null
      and a.organisation_id = %(organisation)s
      and a.state not in ('declined', 'expired', 'withdrawn')))"""

# Of one that was merged away nothing is left to ask but who had a part in it before.
WAS_PART = """i.merged_into is not null
    and (organisation_acts_on(i.id) or organisation_oversees(i.id))"""

TAKES_NOTES = f"""({WORKS} or {OVERSEES} or i.merged_into is not null
    and (organisation_works_on(i.id) or organisation_oversees(i.id)))"""

SUMMARY = """
select i.id, i.version, i.state, i.priority, i.category_groups, i.report_count, i.exercise,
       i.opened_at, i.last_at, i.closed_at, i.held_by_alert_id, i.escalate_at, i.unanswered_at,
       i.merged_into, i.split_from, i.city_id, i.restarted_at,
       t.id as team_id, t.name as team, o.name as holder_organisation,
       h.state as holder_state, h.acknowledged_at as holder_since,
       coalesce(h.organisation_id = %(organisation)s, false) as holds, {oversees} as oversees,
       {takes_notes} as takes_notes
from incidents i
left join alerts h on h.id = i.held_by_alert_id
left join teams t on t.id = h.team_id
left join organisations o on o.id = h.organisation_id
where {which}
"""

ONE = f"i.id = %(incident)s and ({ACTS} or {OVERSEES} or {WAS_PART})"

PAGE = """
    and (%(states)s::text[] is null or i.state = any (%(states)s))
    and (%(priorities)s::int[] is null or i.priority = any (%(priorities)s))
    and (%(after)s::uuid is null or i.id < %(after)s)
    order by i.id desc limit %(limit)s"""

OWN = """i.id = any (array(
    select distinct a.incident_id from alerts a
    where a.organisation_id = %(organisation)s and a.team_id is not null))"""

# As in the list of alerts: the limit keeps it a look at one row's grants.
GRANTED = """
select null::uuid as id, r.id as report_id, r.incident_id from report_facts r
where r.incident_id = any (%(incidents)s) and (
    select true from grants g
    where g.report_id = r.id and g.organisation_id = %(organisation)s
      and g.revoked_at is null limit 1)
order by r.id
"""

RUNS_A_ROOM = """
select exists (
    select from cities c join teams t on t.id = c.control_room_id where t.organisation_id = %s)
"""

# What is about one report alone is hidden with that report, as is all that a hub does, which
# expects its passenger; what a team did is not.
TIMELINE = """
with recursive line (id) as (
    select %(incident)s::uuid
    union
    select i.id from incidents i join line on i.merged_into = line.id),
noted as (
    select i.id from incidents i where i.id in (select id from line) and {takes_notes}),
readable as (
    select g.report_id, {views} as views from reports r join grants g on g.report_id = r.id
    where r.incident_id = %(incident)s and g.organisation_id = %(organisation)s
      and g.revoked_at is null
    group by g.report_id),
entries as (
    select r.received_at as at, 0 as rank, r.id, 'report.received' as kind, r.id as report_id,
           null::uuid as alert_id, null::uuid as organisation_id, null::uuid as staff_id,
           jsonb_build_object('priority', r.priority, 'categories', r.categories,
                              'happening', r.happening) as data,
           null::bytea as note, null::smallint as key_version, null::bytea as wrapped_key
    from report_facts r join readable on readable.report_id = r.id
    union all
    select e.at, 1, e.id, e.kind,
           case when e.report_id in (select report_id from readable) then e.report_id end,
           e.alert_id, e.organisation_id, e.staff_id, e.data, n.note, n.key_version, n.wrapped_key
    from events e
    left join incident_notes n on e.kind = 'incident.note_added'
          and n.incident_id = e.incident_id and n.id::text = e.data->>'note_id'
          and (n.organisation_id = %(organisation)s or n.incident_id in (select id from noted))
    where e.incident_id in (select id from line)
      and e.kind not in ('report.received', 'report.read', 'report.analysed')
      and (e.kind <> 'incident.note_added' or n.id is not null)
      and (e.report_id is null or e.report_id in (select report_id from readable)
           or split_part(e.kind, '.', 1) = 'incident'
           or split_part(e.kind, '.', 1) = 'alert'
              and e.kind not in ('alert.created', 'alert.updated', 'alert.seen', 'alert.escalated')
              and exists (select from alerts a where a.id = e.alert_id and a.team_id is not null))
    union all
    select t.at, 2, t.id, 'delivery.attempted', d.report_id, d.alert_id, a.organisation_id, null,
           jsonb_build_object('channel', d.channel, 'message', d.message, 'attempt', t.attempt,
                              'outcome', t.outcome, 'duration_ms', t.duration_ms),
           null, null, null
    from alerts a
    join deliveries d on d.alert_id = a.id
    join delivery_attempts t on t.delivery_id = d.id
    where a.incident_id in (select id from line)
      and (d.report_id is null or d.report_id in (select report_id from readable)))
select e.*, o.name as organisation, s.name as person, coalesce(s.role, e.data->>'role') as role,
       a.team_id, t.name as team, a.hub_id, h.name as hub, ao.name as recipient_organisation,
       whole.routing, readable.views
from (
    select * from entries
    where %(after_at)s::timestamptz is null
       or (at, rank, id) > (%(after_at)s::timestamptz, %(after_rank)s::int, %(after_id)s::uuid)
    order by at, rank, id limit %(limit)s) e
left join organisations o on o.id = e.organisation_id
left join staff s on s.id = e.staff_id and s.organisation_id = %(organisation)s
left join alerts a on a.id = e.alert_id
left join organisations ao on ao.id = a.organisation_id
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
left join reports whole on e.kind = 'report.received' and whole.id = e.report_id
left join readable on readable.report_id = e.report_id
order by e.at, e.rank, e.id
"""


def find(conn: Connection[Any], incident_id: UUID, organisation_id: UUID) -> dict[str, Any] | None:
    """One incident on which the organisation acts or which it oversees; None for every other.

    `holds` and `oversees` say what makes it more than one of those who were told, `takes_notes`
    that it is at work on it, has closed it, or oversees it.
    """
    rows = fetch_all(
        conn,
        SUMMARY.format(which=ONE, oversees=OVERSEES, takes_notes=TAKES_NOTES),
        {"incident": incident_id, "organisation": organisation_id},
    )
    return rows[0] if rows else None


def hold_still(conn: Connection[Any], incident_id: UUID) -> None:
    """Nobody who acts on the incident is stood down, and none takes it, until the caller is done.

    Whoever only oversees it does so whatever happens, and waits for nobody.
    """
    conn.execute("select from incidents where id = %s for share", [incident_id])


def page(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    states: Sequence[str] | None,
    priorities: Sequence[int] | None,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Incidents of the organisation's teams or overseen by it, newest first, older than `after`.

    A control room's are nearly all there are: they are read from the newest on. Anybody else's are
    few among many, and are looked up first.
    """
    row = conn.execute(RUNS_A_ROOM, [organisation_id]).fetchone()
    which = f"({ACTS} or {OVERSEES})" if row and row[0] else OWN
    return fetch_all(
        conn,
        SUMMARY.format(which=which + PAGE, oversees=OVERSEES, takes_notes="null"),
        {
            "organisation": organisation_id,
            "states": None if states is None else list(states),
            "priorities": None if priorities is None else list(priorities),
            "after": after,
            "limit": limit,
        },
    )


def granted_reports(
    conn: Connection[Any], incident_ids: Sequence[UUID], organisation_id: UUID
) -> list[dict[str, Any]]:
    """{id: None, report_id, incident_id} of every report of these that the organisation reads."""
    return fetch_all(
        conn, GRANTED, {"incidents": list(incident_ids), "organisation": organisation_id}
    )


def timeline(
    conn: Connection[Any],
    incident_id: UUID,
    organisation_id: UUID,
    *,
    after: tuple[datetime, int, UUID] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """What happened to an incident and to those merged into it, oldest first, as one list.

    As far as the organisation is granted: what is about a report that it may not read is left out,
    so are the notes of others unless it takes notes there (`find`). People have names within the
    own organisation only.
    """
    at, rank, id = after or (None, None, None)
    return fetch_all(
        conn,
        TIMELINE.format(takes_notes=TAKES_NOTES, views=VIEWS),
        {
            "incident": incident_id,
            "organisation": organisation_id,
            "after_at": at,
            "after_rank": rank,
            "after_id": id,
            "limit": limit,
        },
    )
