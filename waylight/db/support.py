"""The support store: read and written in transactions that read as `support`, and by no other."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.rows import fetch_all, fetch_one


def may_support(conn: Connection[Any], report_id: UUID) -> bool:
    """Whether the passenger lets this organisation, a support service, read the report."""
    row = conn.execute("select organisation_supports(%s)", [report_id]).fetchone()
    return bool(row and row[0])


def wait_for_others(conn: Connection[Any], report_id: UUID) -> None:
    """Waits for whoever writes or destroys notes of this report; until the end they wait for us."""
    conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('support:' || %s::text, 0))", [report_id]
    )


def case(conn: Connection[Any], report_id: UUID) -> dict[str, Any] | None:
    """The organisation's open case of a report: {id, key_version, wrapped_key}."""
    return fetch_one(
        conn,
        "select id, key_version, wrapped_key from support_cases where report_id = %s",
        [report_id],
    )


def open_case(conn: Connection[Any], case: Mapping[str, Any]) -> None:
    """Opens a case, given by its columns; of two at once the first wins."""
    conn.execute(
        """
        insert into support_cases (id, report_id, organisation_id, opened_at, opened_by,
                                   key_version, wrapped_key)
        values (%(id)s, %(report_id)s, %(organisation_id)s, %(opened_at)s, %(opened_by)s,
                %(key_version)s, %(wrapped_key)s)
        on conflict do nothing
        """,
        case,
    )


def add_note(conn: Connection[Any], note: Mapping[str, Any]) -> None:
    """Writes a note, given by its columns."""
    conn.execute(
        """
        insert into support_notes (id, case_id, organisation_id, staff_id, at, note)
        values (%(id)s, %(case_id)s, %(organisation_id)s, %(staff_id)s, %(at)s, %(note)s)
        """,
        note,
    )


def notes(conn: Connection[Any], case_id: UUID, *, limit: int) -> list[dict[str, Any]]:
    """The newest notes of a case, oldest first, each with who wrote it."""
    found = fetch_all(
        conn,
        """
        select n.id, n.at, n.note, s.name as by from support_notes n
        left join staff s on s.id = n.staff_id
        where n.case_id = %s order by n.id desc limit %s
        """,
        [case_id, limit],
    )
    return found[::-1]


def destroy(conn: Connection[Any], report_id: UUID, *, now: datetime) -> list[UUID]:
    """As intake: destroys the keys of all cases of a report with their notes, and says so.

    Returns the organisations that had one.
    """
    row = conn.execute("select destroy_support(%s, null, %s)", [report_id, now]).fetchone()
    return list(row[0]) if row else []
