"""What staff read of incidents, and the notes that they add.

Every report that is shown is audited in the transaction that reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import notes as db_notes
from waylight.db.incidents import reading as db
from waylight.db.session import Database
from waylight.domain.alerts import Named, State
from waylight.domain.errors import NotAllowed, NotFound, Problem
from waylight.domain.incidents import Actor, Entry, Holder, Incident, IncidentDetail, Told
from waylight.domain.principals import Principal
from waylight.domain.properties import Property, shows, views_of
from waylight.domain.reports import Recipient
from waylight.log import get_logger
from waylight.services import audit
from waylight.services.alerts.inbox import granted_reports, tell_who_has_read, told_of
from waylight.services.notes import write_note
from waylight.services.reports.record import structured
from waylight.services.reports.stored import reasons
from waylight.services.staff import organisation_of
from waylight.vault import Vault, VaultError

SHOWN = frozenset(
    {
        "again",
        "attempt",
        "because",
        "categories",
        "channel",
        "duration_ms",
        "field",
        "from",
        "happening",
        "holds",
        "into",
        "kind",
        "message",
        "outcome",
        "priority",
        "rank",
        "reason",
        "reasons",
        "to",
    }
)
"""What of an event's data is shown: codes, numbers and names of teams. Ids are fields by name."""

log = get_logger(__name__)


def list_incidents(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    states: Sequence[str] | None = None,
    priorities: Sequence[int] | None = None,
    after: UUID | None = None,
    limit: int = 50,
    now: datetime,
    request_id: str | None = None,
) -> list[Incident]:
    """Up to `limit` incidents, newest first, older than the incident `after`.

    And one more where there are more, which is not shown: no entry is written about it.
    Those that a team of the caller's organisation was told of, and those that it oversees. A line
    says how urgent its reports are and of which kind: for each that the organisation was granted it
    is audited the first time a person is shown it.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db.page(
            conn,
            organisation_id,
            states=states,
            priorities=priorities,
            after=after,
            limit=limit + 1,
        )
        audit.write_first_looks(
            conn,
            vault,
            db.granted_reports(conn, [row["id"] for row in rows[:limit]], organisation_id),
            principal=principal,
            request_id=request_id,
            now=now,
        )
    return [_incident(row) for row in rows]


def read_incident(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> IncidentDetail:
    """One incident with the reports that the caller's organisation was granted.

    Writes an audit entry for each report shown. It answers nothing and marks nothing as seen: that
    is done by opening the alert. Raises NotFound for an incident on which the caller's organisation
    does not act and which it does not oversee.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = visible(conn, principal, incident_id)
        return IncidentDetail(
            incident=_incident(row),
            rungs=told_of(conn, incident_id, organisation_of(principal)),
            reports=granted_reports(
                conn,
                vault,
                incident_id,
                first=None,
                alert_id=None,
                principal=principal,
                now=now,
                request_id=request_id,
            ),
        )


def read_timeline(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    after: tuple[datetime, int, UUID] | None = None,
    limit: int = 50,
    now: datetime,
    request_id: str | None = None,
) -> list[Entry]:
    """Up to `limit` things that happened, oldest first, those beyond `after` (time, rank, id).

    And one more where there are more, which is not shown: nobody is told that it was read.
    As far as the caller's organisation was granted them, with what happened to incidents that were
    merged into this one; notes for those who take some there (`add_note`) and for who wrote them.
    Writes an audit entry for each report that anything shown is about, and one for notes.
    Raises NotFound as `read_incident`.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        incident = visible(conn, principal, incident_id)
        rows = db.timeline(conn, incident_id, organisation_id, after=after, limit=limit + 1)
        page = rows[:limit]
        # Not of those alone that came in on this page: a page may begin anywhere.
        shown = list(dict.fromkeys(row["report_id"] for row in page if row["report_id"]))
        notes = [None] if any(row["note"] is not None for row in page) else list[None]()
        read: Sequence[UUID | None]
        for action, read in (("report.read", shown), ("notes.read", notes)):
            audit.write(
                conn,
                vault,
                action,
                principal=principal,
                report_ids=read,
                incident_id=incident_id,
                request_id=request_id,
                now=now,
            )
        tell_who_has_read(
            conn,
            [(report_id, incident["exercise"]) for report_id in shown],
            incident_id=incident_id,
            principal=principal,
            now=now,
        )
    return [_entry(row, vault) for row in rows]


def add_note(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    text: str,
    now: datetime,
    idempotency_key: str | None = None,
) -> Entry:
    """Writes a note for all who are at work on an incident or oversee it; it is never changed.

    With an idempotency key a second try by the same person writes nothing and answers as the first.
    Raises NotFound as `read_incident`, NotAllowed for whoever was stood down or declined.
    """
    organisation_id = organisation_of(principal)
    retry_hash = idempotency_key and vault.keyed_hash(
        "note", f"{principal.staff_id}:{incident_id}:{idempotency_key}".encode()
    )
    with database.staff(organisation_id) as conn:
        db.hold_still(conn, incident_id)
        row = visible(conn, principal, incident_id)
        if not row["takes_notes"]:
            raise NotAllowed(
                "Notes are for those at work on an incident or watching over it: your teams"
                " declined or were stood down."
            )
        note_id = write_note(
            conn,
            vault,
            text,
            kind="note",
            incident=row,
            principal=principal,
            retry_hash=retry_hash or None,
            now=now,
        )
        if note_id is None and retry_hash:
            found = db_notes.find_by_retry(conn, retry_hash)
            if found is not None:
                note_id, now = found["id"], found["at"]
    if note_id is None:
        raise NotFound
    return Entry(at=now, rank=1, id=note_id, kind="incident.note_added", note=text)


def visible(
    conn: Connection[Any], principal: Principal, incident_id: UUID, *, pointer: str | None = None
) -> dict[str, Any]:
    """The row of an incident that the caller may see; `pointer` is the field that names it.

    Raises NotFound.
    """
    row = db.find(conn, incident_id, organisation_of(principal))
    if row is None:
        unknown = "There is no such incident that you may see."
        raise NotFound(problems=[Problem(pointer, "not_found", unknown)] if pointer else ())
    return row


def _incident(row: Mapping[str, Any]) -> Incident:
    holder = None
    if row["held_by_alert_id"] is not None and row["team_id"] is not None:
        holder = Holder(
            alert_id=row["held_by_alert_id"],
            team=Named(row["team_id"], row["team"]),
            organisation=row["holder_organisation"],
            state=State(row["holder_state"]),
            since=row["holder_since"],
        )
    return Incident(
        id=row["id"],
        version=row["version"],
        state=row["state"],
        priority=row["priority"],
        category_groups=tuple(row["category_groups"]),
        report_count=row["report_count"],
        exercise=row["exercise"],
        opened_at=row["opened_at"],
        last_at=row["last_at"],
        closed_at=row["closed_at"],
        held_by=holder,
        escalate_at=row["escalate_at"],
        unanswered_at=row["unanswered_at"],
        merged_into=row["merged_into"],
        split_from=row["split_from"],
    )


def _entry(row: Mapping[str, Any], vault: Vault) -> Entry:
    views = views_of(row["views"] or ())
    routing = row["routing"] or {} if shows(Property.CHOICES, views) else {}
    return Entry(
        at=row["at"],
        rank=row["rank"],
        id=row["id"],
        kind=row["kind"],
        report_id=row["report_id"],
        by=_actor(row),
        told=_told(row),
        data={name: value for name, value in row["data"].items() if name in SHOWN},
        note=_note(row, vault),
        choices=structured(routing.get("choices", ()), tuple[Recipient, ...]),
        shortfalls=reasons(routing.get("shortfalls", ())),
    )


def _actor(row: Mapping[str, Any]) -> Actor | None:
    if row["staff_id"] is None or row["organisation"] is None:
        return None
    return Actor(organisation=row["organisation"], role=row["role"], person=row["person"])


def _told(row: Mapping[str, Any]) -> Told | None:
    if row["recipient_organisation"] is None:
        return None
    return Told(
        alert_id=row["alert_id"],
        team=Named(row["team_id"], row["team"]) if row["team_id"] else None,
        hub=Named(row["hub_id"], row["hub"]) if row["hub_id"] else None,
        organisation=row["recipient_organisation"],
    )


def _note(row: Mapping[str, Any], vault: Vault) -> str | None:
    if row["note"] is None or row["wrapped_key"] is None:
        return None
    note_id = UUID(row["data"]["note_id"])
    try:
        return vault.open(note_id, row["key_version"], row["wrapped_key"], "note", row["note"])
    except VaultError:
        log.exception("note_unreadable", note_id=str(note_id))
        return None
