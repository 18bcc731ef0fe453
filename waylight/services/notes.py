"""Free text of staff about an incident, sealed like a story."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import events
from waylight.db import notes as db
from waylight.domain.principals import Principal
from waylight.vault import Vault


def write_note(
    conn: Connection[Any],
    vault: Vault,
    text: str,
    *,
    kind: str,
    incident: Mapping[str, Any],
    alert: Mapping[str, Any] | None = None,
    principal: Principal,
    now: datetime,
    retry_hash: bytes | None = None,
) -> UUID | None:
    """Seals a note and writes it with its event, in the caller's transaction; returns its id.

    The event says who and when, never what. `kind` is what the note was written with: `note` alone,
    `decline`, `close`, `hand_over`, `reopen`, `merge`, `split`, `revocation`. None, and nothing
    written, when an earlier try of the same request (`retry_hash`) has written it.
    """
    note_id = uuid_utils.compat.uuid7()
    sealed = vault.seal(note_id, {"note": text})
    written = db.insert(
        conn,
        {
            "id": note_id,
            "incident_id": incident["id"],
            "alert_id": alert["id"] if alert else None,
            "organisation_id": principal.organisation_id,
            "staff_id": principal.staff_id,
            "kind": kind,
            "at": now,
            "key_version": sealed.key_version,
            "wrapped_key": sealed.wrapped_key,
            "note": sealed.ciphertexts["note"],
            "retry_hash": retry_hash,
        },
    )
    if not written:
        return None
    events.write(
        conn,
        events.Event(
            "incident.note_added",
            now,
            city_id=incident["city_id"],
            organisation_id=principal.organisation_id,
            incident_id=incident["id"],
            alert_id=alert["id"] if alert else None,
            staff_id=principal.staff_id,
            data={"role": principal.role, "kind": kind, "note_id": str(note_id)},
            exercise=incident["exercise"],
        ),
    )
    return note_id
