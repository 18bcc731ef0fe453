"""The one write of a submit, and what a passenger reads back."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from waylight.db.rows import fetch_all, fetch_one


def submit(conn: Connection[Any], submissions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Writes every submission and returns one outcome for each, in order.

    The shapes are those of migration 0003. Raises psycopg errors; on any of them nothing is stored.
    """
    with conn.cursor() as cursor:
        cursor.execute("select submit_reports(%s)", [Jsonb(list(submissions))])
        return [row[0] for row in cursor.fetchall()]


PERSONAL = (
    "alert.created",
    "alert.updated",
    "alert.seen",
    "report.read",
    "report.analysed",
    "alert.hub_closing",
    "alert.hub_moved",
    "alert.redirected",
    "alert.not_redirected",
    "alert.arrived",
    "alert.did_not_arrive",
    "alert.left_safely",
    "alert.handed_to_police",
    "alert.handed_to_ambulance",
)
"""Events of an alert that are about one report, and no part of another passenger's story."""


def find_by_receipt(conn: Connection[Any], hashes: Sequence[bytes]) -> dict[str, Any] | None:
    """The report whose receipt has one of these hashes, without its secrets; None when unknown."""
    return fetch_one(
        conn,
        """
        select r.id, r.status, r.received_at, r.priority, r.urgency, r.severity, r.certainty,
               r.reasons, r.routing, r.categories, r.happening, r.exercise, r.joined, r.language,
               r.incident_id, r.location_source, r.location_method, r.radius_m, r.fixed_at,
               st_x(r.position::geometry) as lon, st_y(r.position::geometry) as lat,
               coalesce(p.stop_id, 'place:' || p.id) as place_ref, p.name as place_name,
               p.demo as place_demo
        from receipts t
        join reports r on r.id = t.report_id
        left join places p on p.id = r.place_id
        where t.hash = any (%s)
        """,
        [list(hashes)],
    )


def timeline(conn: Connection[Any], report_id: UUID | None) -> list[dict[str, Any]]:
    """The events of a report and of the alerts that told somebody about it, oldest first.

    An alert raised by an earlier report of the same incident counts from when it was told of this
    one; what staff did before that belongs to other passengers' stories. So do a message about
    another report and the moment when somebody read that one. Of an incident that the report has
    left, only what happened until then.
    """
    return fetch_all(
        conn,
        """
        with mine as (
            select id, incident_id from reports where id = %(id)s),
        moves as (
            select (m.data->>'from')::uuid as incident_id, max(m.at) as until from events m
            where m.report_id = %(id)s and m.kind = 'report.moved' group by 1),
        story as (
            select e.* from events e where e.report_id = %(id)s
            union
            select e.* from events e where e.incident_id = (select incident_id from mine)
            union
            select e.* from moves m join events e on e.incident_id = m.incident_id
            where e.at <= m.until),
        told as (
            select alert_id, min(at) as since from story
            where report_id = %(id)s and kind in ('alert.created', 'alert.updated')
            group by alert_id)
        select e.kind, e.at, e.data, e.alert_id, o.name as organisation,
               coalesce(t.name, h.name) as name, a.role
        from story e
        left join told on told.alert_id = e.alert_id
        left join alerts a on a.id = e.alert_id
        left join organisations o on o.id = coalesce(a.organisation_id, e.organisation_id)
        left join teams t on t.id = a.team_id
        left join hubs h on h.id = a.hub_id
        where not exists (
            -- About a responder who did not check in: that is no part of the passenger's story.
            select from incidents i where i.id = e.incident_id and i.about_alert_id is not null)
          and (e.report_id = %(id)s
           or (e.kind <> all (%(personal)s) and e.kind not like 'delivery.%%'
               and e.at >= told.since)
           or (e.kind in ('incident.unanswered', 'incident.reopened', 'incident.merged')
               and e.at >= (select min(at) from story where report_id = %(id)s)))
        order by e.at, e.kind <> 'report.received', e.id
        """,
        {"id": report_id, "personal": list(PERSONAL)},
    )


def holder(conn: Connection[Any], report_id: UUID | None) -> dict[str, Any] | None:
    """Who has the incident of a report now, if they were told of that report; None when nobody."""
    return fetch_one(
        conn,
        """
        select t.name, o.name as organisation, a.state, a.acknowledged_at as since
        from reports r
        join incidents i on i.id = r.incident_id and i.state = 'open'
        join alerts a on a.id = i.held_by_alert_id
        join teams t on t.id = a.team_id
        join organisations o on o.id = a.organisation_id
        where r.id = %(id)s and exists (
            select from events e
            where e.report_id = %(id)s and e.alert_id = a.id
              and e.kind in ('alert.created', 'alert.updated'))
        """,
        {"id": report_id},
    )


def told(conn: Connection[Any], report_id: UUID | None) -> list[dict[str, Any]]:
    """Everybody who has been told about a report: name, organisation, role, distance, reasons.

    How far and why, of an alert that another report raised, is that passenger's: where they were
    and what they asked for. This one reads that somebody is already dealing with it.
    """
    return fetch_all(
        conn,
        """
        select distinct on (a.rank, a.id) a.team_id, a.hub_id, coalesce(t.name, h.name) as name,
               a.organisation_id, o.name as organisation, a.role, a.rank,
               case when a.report_id = e.report_id then a.distance_m end as distance_m,
               case when a.report_id = e.report_id then a.reasons
                    else '[{"code": "joined_incident"}]' end as reasons,
               coalesce(t.demo, h.demo) as demo
        from events e
        join alerts a on a.id = e.alert_id
        join organisations o on o.id = a.organisation_id
        left join teams t on t.id = a.team_id
        left join hubs h on h.id = a.hub_id
        where e.report_id = %s and e.kind in ('alert.created', 'alert.updated')
        order by a.rank, a.id
        """,
        [report_id],
    )


def recipients(conn: Connection[Any], alert_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Names behind alerts, by alert id."""
    rows = fetch_all(
        conn,
        """
        select a.id, a.team_id, a.hub_id, coalesce(t.name, h.name) as name, a.organisation_id,
               o.name as organisation, a.role, a.rank, coalesce(t.demo, h.demo) as demo
        from alerts a
        join organisations o on o.id = a.organisation_id
        left join teams t on t.id = a.team_id
        left join hubs h on h.id = a.hub_id
        where a.id = any (%s)
        order by a.rank, a.id
        """,
        [list(alert_ids)],
    )
    return {row["id"]: row for row in rows}
