"""Redactions: what readers get instead of a text, kept beside the original."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db.grants import VIEWS
from waylight.db.rows import fetch_one

ORIGINAL = f"""
select k.report_id as id, r.incident_id, r.city_id, r.exercise, k.key_version, k.wrapped_key,
       k.narrative, k.description_of_person, k.contact, k.location_description, k.rejected,
       null as redacted_fields, null as redaction_ids, null as redacted_texts,
       granted.views,
       exists (
           select from grants g
           where g.report_id = r.id and g.organisation_id = %(organisation)s
             and g.cause = 'oversight' and g.revoked_at is null) as oversees,
       exists (
           select from incidents i join alerts a on a.id = i.held_by_alert_id
           where i.id = r.incident_id and a.organisation_id = %(organisation)s) as holds
from reports r join report_secrets k on k.report_id = r.id
join lateral (
    select {VIEWS} as views from grants g
    where g.report_id = r.id and g.organisation_id = %(organisation)s and g.revoked_at is null
    having bool_or(g.level = 'full')) granted on true
where r.id = %(report)s
"""  # noqa: S608 - constants


def original(
    conn: Connection[Any], report_id: UUID, organisation_id: UUID
) -> dict[str, Any] | None:
    """A report's texts as they came, sealed; None without a full grant of the organisation.

    `holds` says that it has the incident of the report, `oversees` that it watches over it.
    """
    return fetch_one(conn, ORIGINAL, {"report": report_id, "organisation": organisation_id})


def wait_for_others(conn: Connection[Any], report_id: UUID) -> None:
    """One redaction of a report at a time: each is made from what the one before it left.

    Nobody else takes the report's incident until then.
    """
    conn.execute(
        "select from incidents i where i.id = (select incident_id from reports where id = %s)"
        " for share",
        [report_id],
    )
    conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('redaction:' || %s::text, 0))", [report_id]
    )


def latest(conn: Connection[Any], report_id: UUID, field: str) -> dict[str, Any] | None:
    """The newest redaction of a text: {id, redacted}."""
    return fetch_one(
        conn,
        "select id, redacted from report_redactions where report_id = %s and field = %s"
        " order by id desc limit 1",
        [report_id, field],
    )


def insert(conn: Connection[Any], redaction: Mapping[str, Any]) -> None:
    """Writes a redaction, given by its columns."""
    conn.execute(
        """
        insert into report_redactions (id, report_id, field, organisation_id, staff_id, at,
                                       redacted, reason)
        values (%(id)s, %(report_id)s, %(field)s, %(organisation_id)s, %(staff_id)s, %(at)s,
                %(redacted)s, %(reason)s)
        """,
        redaction,
    )
