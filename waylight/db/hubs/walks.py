"""People on their way to a hub, as the worker's role sees them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db.alerts import steps
from waylight.domain.hubs import ARRIVAL_MARGIN
from waylight.domain.routing import WALK_DETOUR, WALK_M_PER_MIN

LOOK_AGAIN = timedelta(seconds=30)
"""A walk that was looked at and leads somewhere is left alone for so long."""

# Hours that are not expanded as far as now say nothing: such a hub is not taken to be closed. Only
# the first passenger's arrival is looked at ahead of time; the others' when the hub has closed.
# Where somebody has arrived, others may still be on their way.
DUE = """
select a.id, a.report_id, a.hub_id, a.organisation_id, a.city_id, a.state,
       a.created_at, a.distance_m, a.exercise, h.name as hub,
       st_x(h.position::geometry) as lon, st_y(h.position::geometry) as lat,
       not h.retired and (coalesce(h.open_during @> %(now)s, false)
                          or coalesce(h.expanded_until < %(now)s, true)) as open,
       (select upper(r) from unnest(h.open_during) r where r @> %(now)s) as open_until,
       coalesce(h.moved_at > coalesce(a.walk_checked_at, a.created_at), false) as moved,
       a.reasons @> '[{"code": "hub_may_close"}]' as known_to_close
from alerts a join hubs h on h.id = a.hub_id
where a.hub_id is not null and a.walk_ended_at is null
  and a.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene', 'declined')
  and a.id >= uuid_v7_floor(%(since)s) and a.id <> all (%(skip)s)
  and (%(hub)s::uuid is null or a.hub_id = %(hub)s)
  and (%(alert)s::uuid is null or a.id = %(alert)s)
  and (%(asked)s or coalesce(a.walk_checked_at < %(rested)s, true))
  and (a.state = 'declined' or h.retired or not coalesce(h.open_during @> %(now)s, false)
       or not a.reasons @> '[{"code": "hub_may_close"}]'
          and (select upper(r) from unnest(h.open_during) r where r @> %(now)s)
              < a.created_at + make_interval(
                  secs => ceil(a.distance_m * %(walk_s_per_m)s / 60) * 60 + %(margin_s)s)
       or h.moved_at > coalesce(a.walk_checked_at, a.created_at))
order by a.id
limit 1
for update of a skip locked
"""

# Whom an alert told of stays on the way there, whatever incident they and the alert are in since a
# merge or a split.
REPORTS = """
select r.id, r.incident_id, r.priority, told.since,
       st_x(r.position::geometry) as lon, st_y(r.position::geometry) as lat,
       st_distance(r.position, h.position) as distance_m
from (select e.report_id, min(e.at) as since from events e
      where e.alert_id = %(alert)s and e.kind in ('alert.created', 'alert.updated')
      group by e.report_id) told
join reports r on r.id = told.report_id
join hubs h on h.id = %(hub)s
where r.withdrawn_at is null and r.position is not null
  and not exists (select from hub_arrivals v where v.report_id = r.id)
  and not exists (
      select from events e
      where e.report_id = r.id and e.alert_id = %(alert)s
        and e.kind in ('alert.hub_closing', 'alert.not_redirected'))
order by r.id
"""


def due(
    conn: Connection[Any],
    *,
    now: datetime,
    since: datetime,
    hub_id: UUID | None,
    alert_id: UUID | None,
    skip: Sequence[UUID],
) -> dict[str, Any] | None:
    """The oldest hub alert since then, locked, whose walk may lead nowhere; None when all is well.

    Without a hub or an alert, one that was looked at lately waits for its turn. One that another
    worker has is left to it.
    """
    values = {
        "now": now,
        "since": since,
        "rested": now - LOOK_AGAIN,
        "asked": hub_id is not None or alert_id is not None,
        "walk_s_per_m": 60 * WALK_DETOUR / WALK_M_PER_MIN,
        "margin_s": ARRIVAL_MARGIN.total_seconds(),
        "hub": hub_id,
        "alert": alert_id,
        "skip": list(skip),
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(DUE, values).fetchone()


def reports(conn: Connection[Any], walk: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each report that a hub's alert told of, and whose passenger is still on the way there."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(REPORTS, {"alert": walk["id"], "hub": walk["hub_id"]}).fetchall()


def refused_by(conn: Connection[Any], report: Mapping[str, Any]) -> set[UUID]:
    """The hubs that declined a report's passenger, or somebody else of its incident."""
    rows = conn.execute(
        """
        select hub_id from alerts
        where incident_id = %(incident_id)s and hub_id is not null and state = 'declined'
        union
        select a.hub_id from events e join alerts a on a.id = e.alert_id
        where e.report_id = %(id)s and e.kind in ('alert.created', 'alert.updated')
          and a.hub_id is not null and a.state = 'declined'
        """,
        dict(report),
    )
    return {row[0] for row in rows.fetchall()}


def tell(
    conn: Connection[Any],
    report_id: UUID,
    incident_id: UUID,
    recipient: Mapping[str, Any],
    *,
    now: datetime,
) -> UUID:
    """Tells a hub to expect the passenger of a report; returns its alert, which may be an old one.

    `recipient` has the shape of migration 0003.
    """
    found = conn.execute(
        """
        with at_work as (
            select a from alerts a
            where a.incident_id = %(incident)s and a.hub_id = (%(hub)s)::uuid
              and a.walk_ended_at is null
              and a.state not in ('closed', 'declined', 'expired', 'withdrawn')
            order by a.id desc limit 1)
        select coalesce(
            (select tell_more(r, at_work.a, %(recipient)s->'channels')->>'alert_id' from at_work),
            case when not exists (select from at_work)
                 then tell(r, %(incident)s, %(recipient)s)->>'alert_id' end)::uuid
        from reports main
        cross join lateral jsonb_populate_record(
            main, jsonb_build_object('received_at', %(now)s::timestamptz)) r
        where main.id = %(report)s
        """,
        {
            "report": report_id,
            "incident": incident_id,
            "hub": recipient["hub_id"],
            "recipient": Jsonb(dict(recipient)),
            "now": now,
        },
    ).fetchone()
    assert found is not None  # noqa: S101 - the report is there: its walk was found by it
    alert_id: UUID = found[0]
    return alert_id


def mark(conn: Connection[Any], alert_id: UUID, *, told: bool, ended: bool, now: datetime) -> None:
    """Notes that a walk was looked at, whether its passengers were told, and whether it is over."""
    conn.execute(
        "update alerts set walk_checked_at = %(now)s, version = version + %(told)s,"
        " walk_ended_at = case when %(ended)s then %(now)s end where id = %(id)s",
        {"id": alert_id, "told": int(told), "ended": ended, "now": now},
    )


def stand_down(
    conn: Connection[Any], report_id: UUID, *, but: UUID, now: datetime
) -> list[dict[str, Any]]:
    """Ends the other hubs' alerts that wait for this report's passenger alone; returns them."""
    with conn.cursor(row_factory=dict_row) as cursor:
        waiting = cursor.execute(
            """
            select a.id, a.incident_id, a.city_id, a.organisation_id, a.exercise from alerts a
            where a.report_id = %(report)s and a.hub_id is not null and a.id <> %(but)s
              and a.state in ('pending', 'delivered', 'acknowledged')
              and not exists (
                  select from events e
                  where e.alert_id = a.id and e.kind = 'alert.updated'
                    and e.report_id <> %(report)s)
            order by a.id
            for update
            """,
            {"report": report_id, "but": but},
        ).fetchall()
    steps.withdraw(conn, [row["id"] for row in waiting], now=now, also_taken=True)
    return waiting
