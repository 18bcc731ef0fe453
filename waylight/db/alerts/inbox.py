"""What staff read of alerts. Every statement names the caller's organisation (design, D11).

The row-level policies of the staff role are the second lock on the same door; a statement that
left the first to them would also lose its index.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.grants import VIEWS
from waylight.db.rows import fetch_all

OWN = "a.organisation_id = %(organisation)s"

# The limit keeps it a look at one row's grants: of a plain EXISTS the planner makes a hash table of
# every grant there is.
OVERSEEN = """(
    select true from grants g
    where g.report_id = a.report_id and g.organisation_id = %(organisation)s
      and g.revoked_at is null and g.cause = 'oversight' limit 1)"""

OF_TEAM = f"a.team_id = %(team)s and ({OWN} or {OVERSEEN})"

ONE = f"a.id = %(alert)s and ({OWN} or {OVERSEEN})"

PAGE = """
    and (%(states)s::text[] is null or a.state = any (%(states)s))
    and (%(after)s::uuid is null or a.id < %(after)s)
    order by a.id desc limit %(limit)s"""

SUMMARY = """
with a as materialized (select a.* from alerts a where {which})
select a.*, t.name as team, h.name as hub, o.name as organisation,
       s.name as acknowledged_by_name, r.categories, r.mode, p.name as place, granted.views,
       i.state as incident_state, i.priority as incident_priority, i.category_groups,
       i.report_count, i.opened_at, i.last_at, i.held_by_alert_id, i.escalate_at,
       i.unanswered_at, i.about_alert_id
from a
join incidents i on i.id = a.incident_id
join organisations o on o.id = a.organisation_id
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
left join staff s on s.id = a.acknowledged_by and s.organisation_id = %(organisation)s
left join lateral (
    select bool_or(g.level = 'full') as is_full, {views} as views from grants g
    where g.report_id = a.report_id and g.organisation_id = %(organisation)s
      and g.revoked_at is null) granted on true
left join lateral (
    select r.categories, r.mode from report_facts r
    where r.id = a.report_id and granted.is_full is not null limit 1) r on true
left join reports whole on whole.id = a.report_id and granted.is_full
left join places p on p.id = whole.place_id
order by a.id desc
"""

RUNGS = """
select a.id, a.team_id, t.name as team, a.hub_id, h.name as hub, o.name as organisation, a.role,
       a.rank, a.state, a.created_at, a.seen_at, a.acknowledged_at
from alerts a
join organisations o on o.id = a.organisation_id
left join teams t on t.id = a.team_id
left join hubs h on h.id = a.hub_id
where a.incident_id = %(incident)s
  and (a.team_id is not null or a.organisation_id = %(organisation)s or exists (
      select from grants g
      where g.report_id = a.report_id and g.organisation_id = %(organisation)s
        and g.revoked_at is null))
order by a.id
"""

REPORTS = f"""
select r.*, granted.views, whole.routing, whole.location_source, whole.location_method,
       whole.radius_m, whole.fixed_at, whole.city_id, whole.recorded_at,
       st_x(whole.position::geometry) as lon, st_y(whole.position::geometry) as lat,
       coalesce(p.stop_id, 'place:' || p.id) as place_ref, p.name as place_name,
       p.demo as place_demo,
       whole.route_id, whole.direction, whole.vehicle_id, whole.carriage, whole.boarded_stop_id,
       whole.next_stop_id,
       k.key_version, k.wrapped_key, k.contact,
       hidden.redacted_fields, hidden.redaction_ids, hidden.redacted_texts,
       -- An original that was redacted does not even leave the database.
       case when 'narrative' = any (hidden.redacted_fields) then null else k.narrative end
           as narrative,
       case when 'description_of_person' = any (hidden.redacted_fields) then null
            else k.description_of_person end as description_of_person,
       case when 'location_description' = any (hidden.redacted_fields) then null
            else k.location_description end as location_description,
       case when hidden.redacted_fields is null then k.rejected end as rejected
from report_facts r
join lateral (
    select bool_or(g.level = 'full') as is_full, {VIEWS} as views from grants g
    where g.report_id = r.id and g.organisation_id = %(organisation)s and g.revoked_at is null
    having count(*) > 0) granted on true
left join reports whole on whole.id = r.id and granted.is_full
left join places p on p.id = whole.place_id
left join report_secrets k on k.report_id = r.id and granted.is_full
left join lateral (
    select array_agg(x.field) as redacted_fields, array_agg(x.id) as redaction_ids,
           array_agg(x.redacted) as redacted_texts
    from (select distinct on (field) field, id, redacted from report_redactions
          where report_id = r.id order by field, id desc) x) hidden on granted.is_full
"""  # noqa: S608 - constants

OF_INCIDENT = f"""{REPORTS}
where r.incident_id = %(incident)s
order by coalesce(r.id = %(first)s, false) or r.received_at = (
    select i.restarted_at from incidents i where i.id = %(incident)s) desc, r.id desc
limit %(limit)s
"""  # noqa: S608 - constants

SHARED = f"""{REPORTS}
where r.id = %(report)s and 'consent' = any (granted.views)
"""

SHARED_PAGE = """
select r.id, g.created_at as given_at, r.received_at, r.categories, r.mode, r.priority, r.exercise,
       r.incident_id, r.id as report_id
from grants g join report_facts r on r.id = g.report_id
where g.organisation_id = %(organisation)s and g.cause = 'consent' and g.revoked_at is null
  and r.withdrawn_at is null
  and (%(after)s::uuid is null or g.report_id < %(after)s)
order by g.report_id desc limit %(limit)s
"""


def page(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    team_id: UUID | None,
    states: Sequence[str] | None,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Alerts of an organisation or of one team, newest first, older than the alert `after`.

    Of another organisation's team, those whose report the caller oversees.
    """
    which = (OWN if team_id is None else OF_TEAM) + PAGE
    return fetch_all(
        conn,
        SUMMARY.format(which=which, views=VIEWS),
        {
            "organisation": organisation_id,
            "team": team_id,
            "states": None if states is None else list(states),
            "after": after,
            "limit": limit,
        },
    )


def find(conn: Connection[Any], alert_id: UUID, organisation_id: UUID) -> dict[str, Any] | None:
    """One alert that the organisation received or oversees; None for every other."""
    rows = fetch_all(
        conn,
        SUMMARY.format(which=ONE, views=VIEWS),
        {"alert": alert_id, "organisation": organisation_id},
    )
    return rows[0] if rows else None


def rungs(conn: Connection[Any], incident_id: UUID, organisation_id: UUID) -> list[dict[str, Any]]:
    """Everybody who was told about an incident, in the order of telling.

    A hub expects one passenger: its alert is shown to those who were granted that report.
    """
    return fetch_all(conn, RUNGS, {"incident": incident_id, "organisation": organisation_id})


def reports(
    conn: Connection[Any],
    incident_id: UUID,
    organisation_id: UUID,
    *,
    first: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """The reports of an incident that the organisation was granted: `first`, then the newest.

    Ciphertexts come only with a `full` grant.
    """
    return fetch_all(
        conn,
        OF_INCIDENT,
        {
            "incident": incident_id,
            "organisation": organisation_id,
            "first": first,
            "limit": limit,
        },
    )


def shared_report(
    conn: Connection[Any], report_id: UUID, organisation_id: UUID
) -> dict[str, Any] | None:
    """A report that its passenger lets the organisation read; None for every other."""
    found = fetch_all(conn, SHARED, {"report": report_id, "organisation": organisation_id})
    return found[0] if found else None


def shared_reports(
    conn: Connection[Any], organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Reports that the organisation reads by consent, the newest report first, before `after`."""
    return fetch_all(
        conn,
        SHARED_PAGE,
        {"organisation": organisation_id, "after": after, "limit": limit},
    )


def mark_seen(conn: Connection[Any], alert_id: UUID, *, now: datetime) -> bool:
    """Marks an alert and its messages as opened by a person; True the first time."""
    first = conn.execute(
        "update alerts set seen_at = %s where id = %s and seen_at is null", [now, alert_id]
    )
    conn.execute(
        "update deliveries set status = 'seen'"
        " where alert_id = %s and status in ('sent', 'delivered')",
        [alert_id],
    )
    return first.rowcount == 1


def seen_by(conn: Connection[Any], alert_id: UUID, report_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the reports that a person has read already by opening this alert."""
    rows = conn.execute(
        """
        select report_id from events
        where report_id = any (%s) and alert_id = %s and kind = 'alert.seen'
        """,
        [list(report_ids), alert_id],
    ).fetchall()
    return {row[0] for row in rows}


def read_by(
    conn: Connection[Any],
    report_ids: Sequence[UUID],
    *,
    organisation_id: UUID,
    role: str | None,
) -> set[UUID]:
    """Those of the reports whose passenger knows that this role of this organisation read them."""
    rows = conn.execute(
        """
        select report_id from events
        where report_id = any (%s) and kind in ('alert.seen', 'report.read')
          and organisation_id = %s and data->>'role' is not distinct from %s
        """,
        [list(report_ids), organisation_id, role],
    ).fetchall()
    return {row[0] for row in rows}
