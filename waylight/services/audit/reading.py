"""What an auditor reads of the own organisation's entries, page by page or as a whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import audit as db
from waylight.db.session import Database
from waylight.domain.alerts import Named
from waylight.domain.audit import Entry
from waylight.domain.principals import Principal
from waylight.services.audit.writing import write
from waylight.services.staff import organisation_of
from waylight.vault import Vault

EXPORTED_AT_ONCE = 1_000


@dataclass(frozen=True)
class Filters:
    """What is looked for; None looks for all. `until` is not in it any more."""

    staff_id: UUID | None = None
    report_id: UUID | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class AuditEntry:
    """An entry, and who that person is."""

    entry: Entry
    actor: Named | None


def list_entries(
    database: Database,
    principal: Principal,
    *,
    filters: Filters,
    after: UUID | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Up to `limit` entries of the caller's organisation, newest first, older than `after`.

    Raises NotAllowed for whoever acts for no organisation.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = _page(conn, organisation_id, filters, after=after, limit=limit)
    return [_entry(row) for row in rows]


def export_entries(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    filters: Filters,
    limit: int,
    now: datetime,
    request_id: str | None = None,
) -> Iterator[Entry]:
    """As `list_entries`, one after the other, read page by page as they are taken.

    The export itself is audited before this returns, whether or not anybody takes an entry; an
    entry that is written meanwhile is not in it. No connection is held between two pages.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        newest = _page(conn, organisation_id, filters, after=None, limit=1)
        write(conn, vault, "audit.exported", principal=principal, request_id=request_id, now=now)

    def entries() -> Iterator[Entry]:
        page = newest
        left = limit
        while page and left:
            for row in page:
                yield db.entry_of(row)
            left -= len(page)
            with database.staff(organisation_id) as conn:
                page = _page(
                    conn,
                    organisation_id,
                    filters,
                    after=page[-1]["id"],
                    limit=min(left, EXPORTED_AT_ONCE),
                )

    return entries()


def _page(
    conn: Connection[Any],
    organisation_id: UUID,
    filters: Filters,
    *,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    return db.page(
        conn,
        organisation_id,
        staff_id=filters.staff_id,
        report_id=filters.report_id,
        action=filters.action,
        since=filters.since,
        until=filters.until,
        after=after,
        limit=limit,
    )


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    person, name = row["staff_id"], row["person"]
    return AuditEntry(
        entry=db.entry_of(row),
        actor=Named(person, name or "") if person is not None else None,
    )
