"""Notes of staff: written once, sealed, never changed."""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection


def insert(conn: Connection[Any], note: Mapping[str, Any]) -> bool:
    """Writes a note, given by its columns; False when one with its retry hash is there already."""
    written = conn.execute(
        """
        insert into incident_notes (id, incident_id, alert_id, organisation_id, staff_id, kind, at,
                                    key_version, wrapped_key, note, retry_hash)
        values (%(id)s, %(incident_id)s, %(alert_id)s, %(organisation_id)s, %(staff_id)s, %(kind)s,
                %(at)s, %(key_version)s, %(wrapped_key)s, %(note)s, %(retry_hash)s)
        on conflict do nothing
        """,
        note,
    )
    return written.rowcount == 1


def find_by_retry(conn: Connection[Any], retry_hash: bytes) -> Mapping[str, Any] | None:
    """The note that an earlier try of the same request wrote: {id, at}."""
    row = conn.execute(
        "select id, at from incident_notes where retry_hash = %s", [retry_hash]
    ).fetchone()
    return {"id": row[0], "at": row[1]} if row else None
