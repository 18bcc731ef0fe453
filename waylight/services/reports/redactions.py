"""Hiding a part of a report from its readers; the passenger's own words stay as they came."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from psycopg import Connection

from waylight.db import events
from waylight.db import redactions as db
from waylight.db.session import Database
from waylight.domain.alerts import Story
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StateConflict,
)
from waylight.domain.principals import Principal
from waylight.domain.properties import Property, shows, views_of
from waylight.domain.redactions import Redaction, redacted, sealed_as
from waylight.services import audit
from waylight.services.alerts.inbox import story, tell_who_has_read
from waylight.services.staff import organisation_of
from waylight.vault import Vault, VaultError


def redact(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    report_id: UUID,
    field: str,
    ranges: Sequence[tuple[int, int]] | None = None,
    replacement: str | None = None,
    reason: str,
    now: datetime,
    request_id: str | None = None,
) -> Redaction:
    """Readers get a text without some of its characters, or another text instead, from now on.

    The original keeps lying under its own permission, and both under the key of the report: erasing
    that erases both. Ranges count in the text as it is shown now. The event and the audit entry say
    who and which field; the reason is sealed too. Raises NotFound for a report that the caller's
    organisation may not read whole, NotAllowed for one that neither has its incident nor watches
    over it, InvalidRequest for a text that there is not or a range outside it, StateConflict when
    the story was erased or nothing would change.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        db.wait_for_others(conn, report_id)
        row = _readable(conn, report_id, organisation_id)
        if not (row["holds"] or row["oversees"]):
            raise NotAllowed(
                "Only the organisation that has the incident, or the control room, hides a part of"
                " a report."
            )
        before = _shown(conn, vault, row, field)
        after = redacted(before, ranges or ()) if replacement is None else replacement
        if after == before:
            raise StateConflict("It is shown like this already: nothing was changed.")
        redaction_id = uuid_utils.compat.uuid7()
        name = sealed_as(redaction_id)
        sealed = vault.seal_more(
            report_id,
            row["key_version"],
            row["wrapped_key"],
            {name: after, f"{name} reason": reason},
        )
        db.insert(
            conn,
            {
                "id": redaction_id,
                "report_id": report_id,
                "field": field,
                "organisation_id": organisation_id,
                "staff_id": principal.staff_id,
                "at": now,
                "redacted": sealed[name],
                "reason": sealed[f"{name} reason"],
            },
        )
        events.write(
            conn,
            events.Event(
                "report.redacted",
                now,
                city_id=row["city_id"],
                organisation_id=organisation_id,
                report_id=report_id,
                incident_id=row["incident_id"],
                staff_id=principal.staff_id,
                data={"role": principal.role, "field": field},
                exercise=row["exercise"],
            ),
        )
        _audit(
            conn,
            vault,
            row,
            "report.redacted",
            principal=principal,
            request_id=request_id,
            now=now,
        )
    return Redaction(id=redaction_id, report_id=report_id, field=field, at=now)


def read_original(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    report_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> Story:
    """What the passenger wrote, whatever was redacted of it since.

    Reading it has an audit action of its own. Raises NotFound for a report that the caller's
    organisation may not read whole.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _readable(conn, report_id, organisation_id)
        _audit(
            conn,
            vault,
            row,
            "report.original_read",
            principal=principal,
            request_id=request_id,
            now=now,
        )
    return story(row, vault, views=views_of(row["views"]))


def _readable(conn: Connection[Any], report_id: UUID, organisation_id: UUID) -> Mapping[str, Any]:
    row = db.original(conn, report_id, organisation_id)
    if row is None or not shows(Property.STORY, views_of(row["views"])):
        raise NotFound
    return row


def _shown(conn: Connection[Any], vault: Vault, row: Mapping[str, Any], field: str) -> str:
    """The text as it is shown now. Raises InvalidRequest, StateConflict."""
    if row["wrapped_key"] is None:
        raise StateConflict("This story was erased: there is nothing to redact.")
    latest = db.latest(conn, row["id"], field)
    name, sealed = field, row[field]
    if latest is not None:
        name, sealed = sealed_as(latest["id"]), latest["redacted"]
    if sealed is None:
        raise InvalidRequest(
            problems=[Problem("/field", "empty", "The passenger wrote nothing there.")]
        )
    try:
        return vault.open(row["id"], row["key_version"], row["wrapped_key"], name, sealed)
    except VaultError as error:
        raise StateConflict("This text cannot be opened: nothing was changed.") from error


def _audit(
    conn: Connection[Any],
    vault: Vault,
    row: Mapping[str, Any],
    action: str,
    *,
    principal: Principal,
    request_id: str | None,
    now: datetime,
) -> None:
    audit.write(
        conn,
        vault,
        action,
        principal=principal,
        report_ids=[row["id"]],
        incident_id=row["incident_id"],
        request_id=request_id,
        now=now,
    )
    tell_who_has_read(
        conn,
        [(row["id"], row["exercise"])],
        incident_id=row["incident_id"],
        principal=principal,
        now=now,
    )
