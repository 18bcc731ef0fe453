"""What is told outside, read in the order in which it was numbered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events as db
from waylight.db.session import Database
from waylight.domain.alerts import Named
from waylight.domain.events import NOUNS, PublicEvent, public_type, reason_of

BATCH = 500


@dataclass(frozen=True)
class Batch:
    """The public ones among some events; `last` is how far was read, `is_full` that there is more.

    Without any event `last` is where the reading began.
    """

    events: tuple[PublicEvent, ...]
    last: int
    is_full: bool


def read_after(database: Database, after: int, *, limit: int = BATCH) -> Batch:
    """The public events among the `limit` that were numbered next after `after`.

    For a caller that keeps a position of its own, such as the webhooks: nothing is left out between
    two batches and nothing comes twice. Each event names its audience; whoever passes it on asks
    `PublicEvent.concerns` first. Raises Unavailable.
    """
    with database.intake(autocommit=True) as conn:
        return read_batch(conn, after, limit=limit)


def read_batch(conn: Connection[Any], after: int, *, limit: int = BATCH) -> Batch:
    """As `read_after`, on a connection of intake that the caller holds already."""
    rows = db.page(conn, after=after, nouns=NOUNS, limit=limit)
    found = (_public(row) for row in rows)
    return Batch(
        events=tuple(event for event in found if event is not None),
        last=rows[-1]["sequence"] if rows else after,
        is_full=len(rows) == limit,
    )


def read_one(conn: Connection[Any], event_id: UUID) -> PublicEvent | None:
    """A numbered event, on a connection of intake; None where none is told to anybody."""
    number = db.number_of(conn, event_id)
    if number is None:
        return None
    return next(iter(read_batch(conn, number - 1, limit=1).events), None)


def last_number(database: Database) -> int:
    """The number of the newest event that can be read: where a new follower begins.

    Raises Unavailable.
    """
    with database.intake(autocommit=True) as conn:
        return db.last_number(conn)


def _public(row: Mapping[str, Any]) -> PublicEvent | None:
    told = public_type(row["kind"], exercise=row["exercise"])
    if told is None or not row["audience"]:
        return None
    return PublicEvent(
        id=row["id"],
        sequence=row["sequence"],
        type=told,
        at=row["at"],
        audience=frozenset(row["audience"]),
        organisation_id=row["organisation_id"],
        alert_id=row["alert_id"],
        incident_id=row["incident_id"],
        team=Named.known(row["team_id"], row["team"]),
        hub=Named.known(row["hub_id"], row["hub"]),
        status=row["status"],
        reason=reason_of(row["kind"], row["data"]),
        priority=row["priority"],
        category_groups=tuple(row["category_groups"] or ()),
        exercise=row["exercise"],
        report_id=row["report_id"],
    )
