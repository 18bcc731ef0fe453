"""The one way to write the audit log: in the transaction of what is written about."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import audit as db
from waylight.db import events
from waylight.domain.audit import Entry
from waylight.domain.errors import NotAllowed
from waylight.domain.principals import Principal
from waylight.vault import Vault

ENTRY = "audit entry"
"""What a signature of an entry is for."""

NONE_IN_PARTICULAR: tuple[UUID | None, ...] = (None,)


def write(
    conn: Connection[Any],
    vault: Vault,
    action: str,
    *,
    principal: Principal | None,
    report_ids: Sequence[UUID | None] = NONE_IN_PARTICULAR,
    incident_id: UUID | None = None,
    alert_id: UUID | None = None,
    subject_id: UUID | None = None,
    organisation_id: UUID | None = None,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Writes one entry for each report that was looked at or changed; None is none in particular.

    `action` is a code such as `report.read`, and `subject_id` the row of anything else that it is
    about: never a text. `principal` is None for the command line. The entry belongs to the caller's
    organisation, else to `organisation_id`. Each is signed, so that rows that somebody puts into
    the table by hand are found.
    """
    _write(
        conn,
        vault,
        action,
        [(report_id, incident_id, alert_id) for report_id in report_ids],
        principal=principal,
        subject_id=subject_id,
        organisation_id=organisation_id,
        request_id=request_id,
        now=now,
    )


def tell(
    conn: Connection[Any],
    vault: Vault,
    kind: str,
    *,
    principal: Principal,
    subject_id: UUID,
    data: Mapping[str, Any],
    request_id: str | None,
    now: datetime,
) -> None:
    """Writes an entry, and the event of the same name that says `data`.

    It is of what somebody changed of what is their organisation's own.
    """
    write(
        conn,
        vault,
        kind,
        principal=principal,
        subject_id=subject_id,
        request_id=request_id,
        now=now,
    )
    events.write(
        conn,
        events.Event(
            kind,
            now,
            organisation_id=principal.organisation_id,
            staff_id=principal.staff_id,
            data=data,
        ),
    )


def write_first_looks(
    conn: Connection[Any],
    vault: Vault,
    rows: Sequence[Mapping[str, Any]],
    *,
    principal: Principal,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Writes `report.listed` for each report that this person is shown for the first time.

    `rows` are lines of a list: {id, report_id, incident_id}, with the id of its alert, or None. A
    list that is read again writes nothing, by whichever key or session of the person. Two
    statements, however long the list. Raises NotAllowed for a caller that is no person: whoever
    stands in no entry would be one that has never looked.
    """
    if principal.staff_id is None:
        raise NotAllowed("This is for staff: use a key that names a person.")
    by_report = {row["report_id"]: row for row in reversed(rows)}
    if not by_report:
        return
    unseen = db.not_shown(conn, list(by_report), staff_id=principal.staff_id)
    _write(
        conn,
        vault,
        "report.listed",
        [
            (report_id, by_report[report_id]["incident_id"], by_report[report_id]["id"])
            for report_id in sorted(unseen)
        ],
        principal=principal,
        request_id=request_id,
        now=now,
    )


def _write(
    conn: Connection[Any],
    vault: Vault,
    action: str,
    looks: Sequence[tuple[UUID | None, UUID | None, UUID | None]],
    *,
    principal: Principal | None,
    subject_id: UUID | None = None,
    organisation_id: UUID | None = None,
    request_id: str | None,
    now: datetime,
) -> None:
    """Writes one entry for each (report, incident, alert), all of them at once."""
    entries = [
        Entry(
            id=uuid_utils.compat.uuid7(),
            at=now,
            action=action,
            staff_id=principal.staff_id if principal else None,
            organisation_id=(principal and principal.organisation_id) or organisation_id,
            key_id=principal.key_id if principal else None,
            report_id=report_id,
            incident_id=incident_id,
            alert_id=alert_id,
            subject_id=subject_id,
            request_id=request_id,
            role=",".join(principal.roles) or None if principal else None,
        )
        for report_id, incident_id, alert_id in looks
    ]
    db.write(conn, [(entry, vault.sign(ENTRY, entry.canonical())) for entry in entries])
