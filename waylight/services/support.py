"""Notes of support workers: a store apart, with keys, locks and readers of its own.

Reserved for what comes: a conversation with the passenger. Only a support service that the
passenger gave consent to opens it, only while the consent holds, and it is destroyed with its key.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import consents as db_consents
from waylight.db import events
from waylight.db import support as db
from waylight.db.session import Database
from waylight.domain.errors import NotFound, StateConflict
from waylight.domain.principals import Principal
from waylight.domain.support import SupportNote
from waylight.log import get_logger
from waylight.services import audit
from waylight.services.reports.mine import no_such_report
from waylight.services.staff import organisation_of
from waylight.vault import Keyring, Vault, VaultError

KEY_LACKING = (
    "The key that this case was opened with is not set: whoever runs Waylight has to put it back"
    " into WAYLIGHT_SUPPORT_KEYS."
)

SHOWN = 200
"""The newest notes that are shown."""

log = get_logger(__name__)


def list_notes(
    database: Database,
    vault: Vault,
    principal: Principal,
    report_id: UUID,
    *,
    now: datetime,
    request_id: str | None = None,
) -> list[SupportNote]:
    """The notes of the caller's support service about a report, oldest first.

    Audited. Raises NotFound unless the caller's organisation is a support service with the consent
    of the passenger, StateConflict where no support key is set.
    """
    ring = _ring(vault)
    with database.staff(organisation_of(principal), reads_as="support") as conn:
        case = _case(conn, report_id)
        rows = db.notes(conn, case["id"], limit=SHOWN) if case else []
        audit.write(
            conn,
            vault,
            "support.read",
            principal=principal,
            report_ids=[report_id],
            subject_id=case["id"] if case else None,
            request_id=request_id,
            now=now,
        )
    if case is None:
        return []
    return [SupportNote(row["id"], row["at"], row["by"], _opened(ring, case, row)) for row in rows]


def add_note(
    database: Database,
    vault: Vault,
    principal: Principal,
    report_id: UUID,
    text: str,
    *,
    now: datetime,
    request_id: str | None = None,
) -> SupportNote:
    """Writes a note, sealed by the key of this case alone; it is never changed.

    Raises as `list_notes` does, and StateConflict where the key of this case is lost.
    """
    ring = _ring(vault)
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id, reads_as="support") as conn:
        # Else a note that is written while consent is taken back outlives it.
        db.wait_for_others(conn, report_id)
        case = _case(conn, report_id)
        if case is None:
            case_id = uuid_utils.compat.uuid7()
            fresh = ring.seal(case_id, {})
            db.open_case(
                conn,
                {
                    "id": case_id,
                    "report_id": report_id,
                    "organisation_id": organisation_id,
                    "opened_at": now,
                    "opened_by": principal.staff_id,
                    "key_version": fresh.key_version,
                    "wrapped_key": fresh.wrapped_key,
                },
            )
            case = db.case(conn, report_id)
        if case is None:
            raise NotFound
        note_id = uuid_utils.compat.uuid7()
        try:
            sealed = ring.seal_more(
                case["id"], case["key_version"], case["wrapped_key"], {_name(note_id): text}
            )
        except VaultError as error:
            log.exception("support_case_unreadable", case_id=str(case["id"]))
            raise StateConflict(KEY_LACKING) from error
        db.add_note(
            conn,
            {
                "id": note_id,
                "case_id": case["id"],
                "organisation_id": organisation_id,
                "staff_id": principal.staff_id,
                "at": now,
                "note": sealed[_name(note_id)],
            },
        )
        events.write(
            conn,
            events.Event(
                "support.note_added",
                now,
                organisation_id=organisation_id,
                report_id=report_id,
                staff_id=principal.staff_id,
                data={"role": principal.role},
            ),
        )
        audit.write(
            conn,
            vault,
            "support.written",
            principal=principal,
            report_ids=[report_id],
            subject_id=case["id"],
            request_id=request_id,
            now=now,
        )
    return SupportNote(note_id, now, principal.name, text)


def erase(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    now: datetime,
    request_id: str | None = None,
) -> None:
    """Destroys, for the passenger, all that support workers wrote about the report.

    The consent stays as it is. Where there is nothing it does nothing. Raises NotFound.
    """
    receipt = principal.receipt or ""
    check = vault.receipt_hashes(receipt)
    with database.intake() as conn:
        report = db_consents.report(conn, check.hashes, lock=True)
        if report is None:
            raise no_such_report(check, receipt)
        for organisation_id in db.destroy(conn, report["id"], now=now):
            audit.write(
                conn,
                vault,
                "support.erased",
                principal=principal,
                report_ids=[report["id"]],
                organisation_id=organisation_id,
                request_id=request_id,
                now=now,
            )


def _ring(vault: Vault) -> Keyring:
    if vault.support is None:
        raise StateConflict(
            "The support store is shut: whoever runs Waylight has to set WAYLIGHT_SUPPORT_KEYS."
        )
    return vault.support


def _case(conn: Connection[Any], report_id: UUID) -> dict[str, Any] | None:
    if not db.may_support(conn, report_id):
        raise NotFound
    return db.case(conn, report_id)


def _opened(ring: Keyring, case: dict[str, Any], row: dict[str, Any]) -> str | None:
    try:
        return ring.open(
            case["id"], case["key_version"], case["wrapped_key"], _name(row["id"]), row["note"]
        )
    except VaultError:
        log.exception("support_note_unreadable", note_id=str(row["id"]))
        return None


def _name(note_id: UUID) -> str:
    return f"note {note_id}"
