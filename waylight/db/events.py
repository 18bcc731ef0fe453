"""Facts in the past tense, and the one sequencer that numbers them after commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db import hints

SEQUENCER_LOCK = 0x5741_594C_5345_5131
"""Key of the advisory lock under which events are numbered ("WAYLSEQ1")."""

# Who may be told: of a grant the organisation that has or had it, of an alert its own organisation,
# of an incident those whose teams were told; of the last two whoever oversees, as the policies of
# the staff role have it (migration 0002). Everything but the page itself is looked up row by row: a
# page is short, and the tables are long.
PAGE = """
with page as materialized (
    select e.sequence, e.id, e.kind, e.at, e.exercise, e.data,
           split_part(e.kind, '.', 1) = any (%(nouns)s) as told,
           case when e.kind like 'alert.%%' then e.alert_id end as alert_id,
           case when e.kind like 'incident.%%' then e.incident_id end as incident_id,
           case when e.kind like 'grant.%%' then e.report_id end as report_id,
           case when e.kind like 'grant.%%' then e.organisation_id end as granted_to,
           case when e.kind like 'hub.%%'
                then substring(e.data->>'hub_id' from %(uuid)s)::uuid end as hub_id
    from events e where e.sequence > %(after)s order by e.sequence limit %(limit)s)
select p.sequence, p.id, p.kind, p.at, p.exercise, case when p.told then p.data end as data,
       coalesce(a.organisation_id, h.organisation_id, p.granted_to) as organisation_id,
       p.report_id,
       a.id as alert_id, i.id as incident_id, a.team_id, t.name as team, h.id as hub_id,
       h.name as hub, coalesce(a.state, i.state) as status,
       coalesce(a.priority, i.priority) as priority, i.category_groups, told.audience
from page p
left join lateral (
    select a.* from alerts a where a.id = p.alert_id limit 1) a on true
left join lateral (
    select i.id, i.state, i.priority, i.category_groups from incidents i
    where i.id = coalesce(a.incident_id, p.incident_id) limit 1) i on true
left join teams t on t.id = a.team_id
left join lateral (
    select h.id, h.name, h.organisation_id, h.city_id from hubs h
    where h.id = coalesce(a.hub_id, p.hub_id) limit 1) h on true
left join lateral (
    select array(
        select a.organisation_id where a.id is not null
        union select g.organisation_id from grants g
              where g.report_id = a.report_id and g.cause = 'oversight' and g.revoked_at is null
        union select at_work.organisation_id from alerts at_work
              where at_work.incident_id = p.incident_id and at_work.team_id is not null
        union select g.organisation_id from reports r join grants g on g.report_id = r.id
              where r.incident_id = p.incident_id and g.cause = 'oversight'
                and g.revoked_at is null
        union select p.granted_to where p.granted_to is not null
        union select h.organisation_id where p.hub_id is not null and h.id is not null
        union select room.organisation_id
              from cities c join teams room on room.id = c.control_room_id
              where p.hub_id is not null and c.id = h.city_id) as audience) told on p.told
order by p.sequence
"""

UUID_TEXT = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""One event with another text in the place of an id must not stop everything behind it."""


@dataclass(frozen=True)
class Event:
    """One fact. `organisation_id` is who acted, or who was told when nobody acted."""

    kind: str
    at: datetime
    city_id: UUID | None = None
    organisation_id: UUID | None = None
    report_id: UUID | None = None
    incident_id: UUID | None = None
    alert_id: UUID | None = None
    staff_id: UUID | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    exercise: bool = False


def write(conn: Connection[Any], *events: Event) -> None:
    """Writes events in order; they are numbered once this transaction has committed."""
    if not events:
        return
    with conn.cursor() as cursor:
        # One round trip for all of them.
        cursor.executemany(
            """
            insert into events (kind, at, city_id, organisation_id, report_id, incident_id,
                                alert_id, staff_id, data, exercise)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                [
                    event.kind,
                    event.at,
                    event.city_id,
                    event.organisation_id,
                    event.report_id,
                    event.incident_id,
                    event.alert_id,
                    event.staff_id,
                    Jsonb(dict(event.data)),
                    event.exercise,
                ]
                for event in events
            ],
        )


def give_numbers(conn: Connection[Any], *, limit: int) -> int:
    """Numbers up to `limit` committed events, oldest id first, and returns how many.

    Returns 0 at once while another worker is at it. A number is only visible together with every
    smaller one: they are given in one transaction at a time, to rows that have committed. Whoever
    waits for events gets a hint when that commits.
    """
    with conn.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [SEQUENCER_LOCK])
        free = cursor.fetchone()
        if free is None or not free[0]:
            return 0
        cursor.execute(
            """
            with sequencer as (select last from event_sequencer for update),
            waiting as (
                select id, row_number() over (order by id) as n
                from (select id from events where sequence is null
                      order by id limit %s) oldest),
            numbered as (
                update events e set sequence = sequencer.last + waiting.n
                from waiting, sequencer
                where e.id = waiting.id
                returning e.sequence)
            update event_sequencer set last = last + (select count(*) from numbered)
            where exists (select from numbered)
            returning (select count(*) from numbered)
            """,
            [limit],
        )
        row = cursor.fetchone()
    if row is None:
        return 0
    hints.send(conn, hints.EVENTS)
    return int(row[0])


def last_number(conn: Connection[Any]) -> int:
    """The last number given: every event with it or a smaller one can be read."""
    row = conn.execute("select last from event_sequencer").fetchone()
    return int(row[0]) if row else 0


def page(
    conn: Connection[Any], *, after: int, nouns: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """The next `limit` numbered events after a number, in order, by one statement.

    Those about `nouns` come with what is told of them and with the `audience`: the organisations
    that may be told. The others come bare, so that the caller knows how far it has read. Read as
    intake: whoever calls hides from each client what is not in its audience.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            PAGE,
            {"after": after, "nouns": list(nouns), "uuid": UUID_TEXT, "limit": limit},
        ).fetchall()


def number_of(conn: Connection[Any], event_id: UUID) -> int | None:
    """The number of an event; None where there is none, or it has no number yet."""
    row = conn.execute("select sequence from events where id = %s", [event_id]).fetchone()
    return row[0] if row else None
