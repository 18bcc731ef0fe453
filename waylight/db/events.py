"""Facts in the past tense, and the one sequencer that numbers them after commit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from waylight.db import hints

SEQUENCER_LOCK = 0x5741_594C_5345_5131
"""Key of the advisory lock under which events are numbered ("WAYLSEQ1")."""


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
    with conn.cursor() as cursor:
        for event in events:
            cursor.execute(
                """
                insert into events (kind, at, city_id, organisation_id, report_id, incident_id,
                                    alert_id, staff_id, data, exercise)
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                """,
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
