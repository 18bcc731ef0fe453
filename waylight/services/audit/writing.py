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
    db.write(
        conn,
        [
            _signed(
                vault,
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
                ),
            )
            for report_id in report_ids
        ],
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
    """Writes `report.listed` for each alert's report that this person is shown for the first time.

    `rows` are alerts: {id, report_id, incident_id}. A list that is read again writes nothing.
    """
    by_report = {row["report_id"]: row for row in reversed(rows)}
    if not by_report:
        return
    for report_id in sorted(db.not_shown(conn, list(by_report), staff_id=principal.staff_id)):
        row = by_report[report_id]
        write(
            conn,
            vault,
            "report.listed",
            principal=principal,
            report_ids=[report_id],
            incident_id=row["incident_id"],
            alert_id=row["id"],
            request_id=request_id,
            now=now,
        )


def _signed(vault: Vault, entry: Entry) -> tuple[Entry, bytes]:
    return entry, vault.sign(ENTRY, entry.canonical())
