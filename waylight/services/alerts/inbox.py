"""What staff read: a page of alerts, and one alert with the reports that were granted.

Every report that is shown is audited in the transaction that reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection

from waylight.db import events
from waylight.db import teams as db_teams
from waylight.db.alerts import check_ins, inbox
from waylight.db.incidents.reading import granted_reports as granted_reports_of
from waylight.db.session import Database
from waylight.domain.alerts import (
    AlertDetail,
    AlertSummary,
    GrantedReport,
    IncidentSummary,
    Named,
    State,
    Story,
    ToldRung,
)
from waylight.domain.check_ins import CheckIn
from waylight.domain.errors import NotFound
from waylight.domain.journeys import Vehicle
from waylight.domain.principals import Principal
from waylight.domain.properties import Property, View, level_of, shows, views_of
from waylight.domain.redactions import sealed_as
from waylight.domain.reports import (
    Contact,
    Journey,
    Recipient,
)
from waylight.log import get_logger
from waylight.services import audit
from waylight.services.alerts.expected import expected_by
from waylight.services.cities import read_cities
from waylight.services.reports.record import structured
from waylight.services.reports.stored import located, priority, reasons
from waylight.services.routing import vehicle_of
from waylight.services.staff import organisation_of
from waylight.vault import Vault, VaultError

REPORTS_SHOWN = 50
"""Reports of one incident shown at once, each decrypted and audited; its count tells of more."""

log = get_logger(__name__)


def list_alerts(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    team_id: UUID | None = None,
    states: Sequence[State] | None = None,
    after: UUID | None = None,
    limit: int = 50,
    now: datetime,
    request_id: str | None = None,
) -> list[AlertSummary]:
    """Up to `limit` of the caller's alerts, newest first, older than the alert `after`.

    And one more where there are more, which is not shown: no entry is written about it.
    Without a team: those of every team and hub of the caller's organisation. With one: that
    team's, as far as the organisation received or oversees them. What kind of report and where is
    audited the first time a person is shown it, also of the others of its incident, whose number,
    kind and urgency a line says. Raises NotFound for a team the caller may not see.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        if team_id is not None and db_teams.find(conn, team_id, organisation_id, now=now) is None:
            raise NotFound
        rows = inbox.page(
            conn,
            organisation_id,
            team_id=team_id,
            states=states,
            after=after,
            limit=limit + 1,
        )
        shown = rows[:limit]
        own = [row for row in shown if row["categories"] is not None]
        of_incidents = granted_reports_of(
            conn, [row["incident_id"] for row in shown], organisation_id
        )
        audit.write_first_looks(
            conn,
            vault,
            [*own, *of_incidents],
            principal=principal,
            request_id=request_id,
            now=now,
        )
    return [_summary(row) for row in rows]


def read_alert(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    request_id: str | None = None,
) -> AlertDetail:
    """One alert with its routing explanation and, where granted, the story.

    Marks it and its messages as seen by a person (an overseer's look does not), tells the passenger
    of every report that this recipient, or this role there, reads for the first time, and writes an
    audit entry for every report shown, in the same transaction. Raises NotFound for an alert that
    the caller's organisation neither received nor oversees.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = alert_for(conn, principal, alert_id)
        found = _opened(conn, vault, row, principal=principal, now=now, request_id=request_id)
        # Not of the answer to a step: the phone that sent it may never have got it.
        if row["organisation_id"] == principal.organisation_id:
            _tell_who_has_seen(conn, row, found.reports, principal=principal, now=now)
        _tell_of_reading(conn, row, found, principal=principal, now=now)
        return found


def alert_for(conn: Connection[Any], principal: Principal, alert_id: UUID) -> dict[str, Any]:
    """The row of an alert that the caller may see. Raises NotFound."""
    row = inbox.find(conn, alert_id, organisation_of(principal))
    if row is None:
        raise NotFound
    return row


def open_alert(
    conn: Connection[Any],
    vault: Vault,
    row: dict[str, Any],
    *,
    principal: Principal,
    now: datetime,
    request_id: str | None,
) -> AlertDetail:
    """Shows an alert in the answer to a step: audited, marked as seen, and told to passengers."""
    found = _opened(conn, vault, row, principal=principal, now=now, request_id=request_id)
    _tell_of_reading(conn, row, found, principal=principal, now=now)
    return found


def _opened(
    conn: Connection[Any],
    vault: Vault,
    row: dict[str, Any],
    *,
    principal: Principal,
    now: datetime,
    request_id: str | None,
) -> AlertDetail:
    organisation_id = organisation_of(principal)
    incident_id: UUID = row["incident_id"]
    if row["organisation_id"] == organisation_id and inbox.mark_seen(conn, row["id"], now=now):
        row["seen_at"] = now
    reports = _audited(
        conn,
        vault,
        incident_id,
        first=row["report_id"],
        alert_id=row["id"],
        principal=principal,
        now=now,
        request_id=request_id,
    )
    timer = check_ins.find(conn, row["about_alert_id"] or row["id"])
    return AlertDetail(
        alert=_summary(row),
        rungs=told_of(conn, incident_id, organisation_id),
        reports=tuple(as_granted(report, vault) for report in reports),
        expects=expected_by(conn, row),
        check_in=None if timer is None else check_in_of(timer),
        vehicle=_vehicle(conn, reports, now=now),
    )


def told_of(
    conn: Connection[Any], incident_id: UUID, organisation_id: UUID
) -> tuple[ToldRung, ...]:
    """Everybody who was told about an incident, in the order of telling.

    Of hubs only those that expect somebody whose report the organisation was granted.
    """
    return tuple(_rung(rung) for rung in inbox.rungs(conn, incident_id, organisation_id))


def granted_reports(
    conn: Connection[Any],
    vault: Vault,
    incident_id: UUID,
    *,
    first: UUID | None,
    alert_id: UUID | None,
    principal: Principal,
    now: datetime,
    request_id: str | None,
) -> tuple[GrantedReport, ...]:
    """The reports of an incident as far as the caller was granted them.

    Each reading is audited, and its passenger told of the first by this role.
    """
    reports = _audited(
        conn,
        vault,
        incident_id,
        first=first,
        alert_id=alert_id,
        principal=principal,
        now=now,
        request_id=request_id,
    )
    tell_who_has_read(
        conn,
        [(report["id"], report["exercise"]) for report in reports],
        incident_id=incident_id,
        principal=principal,
        now=now,
    )
    return tuple(as_granted(report, vault) for report in reports)


def _audited(
    conn: Connection[Any],
    vault: Vault,
    incident_id: UUID,
    *,
    first: UUID | None,
    alert_id: UUID | None,
    principal: Principal,
    now: datetime,
    request_id: str | None,
) -> list[dict[str, Any]]:
    organisation_id = organisation_of(principal)
    reports = inbox.reports(conn, incident_id, organisation_id, first=first, limit=REPORTS_SHOWN)
    audit.write(
        conn,
        vault,
        "report.read",
        principal=principal,
        report_ids=[report["id"] for report in reports],
        incident_id=incident_id,
        alert_id=alert_id,
        request_id=request_id,
        now=now,
    )
    return reports


def closed_alert(row: Mapping[str, Any]) -> AlertDetail:
    """An alert of which nobody is shown more than its state: no report is opened."""
    return AlertDetail(alert=_summary(row), rungs=(), reports=())


def tell_who_has_read(
    conn: Connection[Any],
    reports: Sequence[tuple[UUID, bool]],
    *,
    incident_id: UUID | None,
    principal: Principal,
    now: datetime,
) -> None:
    """Tells the passengers of reports, each with whether it is an exercise, who has read them.

    Once for each organisation and role, and never which person.
    """
    told = inbox.read_by(
        conn,
        [id for id, _ in reports],
        organisation_id=organisation_of(principal),
        role=principal.role,
    )
    events.write(
        conn,
        *(
            events.Event(
                "report.read",
                now,
                organisation_id=principal.organisation_id,
                report_id=report_id,
                incident_id=incident_id,
                staff_id=principal.staff_id,
                data={"role": principal.role},
                exercise=exercise,
            )
            for report_id, exercise in reports
            if report_id not in told
        ),
    )


def _tell_of_reading(
    conn: Connection[Any],
    row: Mapping[str, Any],
    found: AlertDetail,
    *,
    principal: Principal,
    now: datetime,
) -> None:
    tell_who_has_read(
        conn,
        [(report.id, report.exercise) for report in found.reports],
        incident_id=row["incident_id"],
        principal=principal,
        now=now,
    )


def _tell_who_has_seen(
    conn: Connection[Any],
    row: Mapping[str, Any],
    reports: Sequence[GrantedReport],
    *,
    principal: Principal,
    now: datetime,
) -> None:
    seen = inbox.seen_by(conn, row["id"], [report.id for report in reports])
    events.write(
        conn,
        *(
            events.Event(
                "alert.seen",
                now,
                organisation_id=principal.organisation_id,
                report_id=report.id,
                incident_id=row["incident_id"],
                alert_id=row["id"],
                staff_id=principal.staff_id,
                data={"role": principal.role},
                exercise=report.exercise,
            )
            for report in reports
            if report.id not in seen
        ),
    )


def _vehicle(
    conn: Connection[Any], rows: Sequence[Mapping[str, Any]], *, now: datetime
) -> Vehicle | None:
    """The vehicle of the latest report that says something of one; a heads-up says nothing."""
    rides = [
        row
        for row in rows
        if shows(Property.JOURNEY, views_of(row["views"]))
        and row["route_id"] is not None
        and row["withdrawn_at"] is None
    ]
    if not rides:
        return None
    latest = max(rides, key=lambda row: (row["recorded_at"] or row["received_at"], row["id"]))
    return vehicle_of(conn, read_cities(conn), latest, now=now)


def _summary(row: Mapping[str, Any]) -> AlertSummary:
    views = views_of(row["views"] or ())
    return AlertSummary(
        id=row["id"],
        version=row["version"],
        state=State(row["state"]),
        role=row["role"],
        rank=row["rank"],
        priority=row["priority"],
        team=_named(row["team_id"], row["team"]),
        hub=_named(row["hub_id"], row["hub"]),
        organisation=row["organisation"],
        distance_m=row["distance_m"] if _shows_distance(row, views) else None,
        reasons=reasons(row["reasons"]),
        categories=tuple(row["categories"] or ()) if shows(Property.KIND, views) else (),
        mode=row["mode"] if shows(Property.KIND, views) else None,
        place=row["place"] if shows(Property.PLACE, views) else None,
        exercise=row["exercise"],
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
        seen_at=row["seen_at"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=Named.known(row["acknowledged_by"], row["acknowledged_by_name"]),
        ended_at=row["ended_at"],
        outcome=row["outcome"],
        off_duty_at=row["off_duty_at"],
        incident=IncidentSummary(
            id=row["incident_id"],
            state=row["incident_state"],
            priority=row["incident_priority"],
            category_groups=tuple(row["category_groups"]),
            report_count=row["report_count"],
            opened_at=row["opened_at"],
            last_at=row["last_at"],
            held_by=row["held_by_alert_id"],
            escalate_at=row["escalate_at"],
            unanswered_at=row["unanswered_at"],
        ),
    )


def _shows_distance(row: Mapping[str, Any], views: frozenset[View]) -> bool:
    return row["hub_id"] is None or shows(Property.HUB_DISTANCE, views)


def _rung(row: Mapping[str, Any]) -> ToldRung:
    return ToldRung(
        alert_id=row["id"],
        team=_named(row["team_id"], row["team"]),
        hub=_named(row["hub_id"], row["hub"]),
        organisation=row["organisation"],
        role=row["role"],
        rank=row["rank"],
        state=State(row["state"]),
        told_at=row["created_at"],
        seen_at=row["seen_at"],
        acknowledged_at=row["acknowledged_at"],
    )


def as_granted(row: Mapping[str, Any], vault: Vault) -> GrantedReport:
    """A report as far as the views in its row show it; what they do not is not even opened."""
    views = views_of(row["views"])
    routing = row["routing"] or {} if shows(Property.CHOICES, views) else {}
    is_told_where = shows(Property.POSITION, views) and shows(Property.PLACE, views)
    return GrantedReport(
        id=row["id"],
        level=level_of(views),
        views=views,
        received_at=row["received_at"],
        happening=row["happening"],
        age_s=row["age_s"],
        happened_from=row["happened_from"],
        happened_to=row["happened_to"],
        happened_estimated=row["happened_estimated"],
        categories=tuple(row["categories"]),
        perspective=row["perspective"],
        in_danger=row["in_danger"],
        hurt_or_unwell=row["hurt_or_unwell"],
        weapon_seen=row["weapon_seen"],
        person_nearby=row["person_nearby"],
        under_18=row["under_18"],
        wants=tuple(row["wants"]),
        needs=tuple(row["needs"]),
        language=row["language"],
        priority=priority(row),
        choices=structured(routing.get("choices", ()), tuple[Recipient, ...]),
        shortfalls=reasons(routing.get("shortfalls", ())),
        location=located(row) if is_told_where else None,
        journey=_journey(row) if shows(Property.JOURNEY, views) else None,
        story=story(row, vault, views=views) if shows(Property.STORY, views) else None,
        joined=row["joined"],
        withdrawn=row["withdrawn_at"] is not None,
        exercise=row["exercise"],
    )


def _journey(row: Mapping[str, Any]) -> Journey:
    return Journey(
        mode=row["mode"],
        route_id=row["route_id"],
        direction=row["direction"],
        vehicle_id=row["vehicle_id"],
        carriage=row["carriage"],
        boarded_stop_id=row["boarded_stop_id"],
        next_stop_id=row["next_stop_id"],
    )


def story(row: Mapping[str, Any], vault: Vault, *, views: frozenset[View]) -> Story:
    """The decrypted story. One that cannot be opened says so: the facts must still be seen."""
    if row["wrapped_key"] is None:
        return Story(readable=False)

    redacted: dict[str, tuple[UUID, bytes]] = {
        name: (id, text)
        for name, id, text in zip(
            row["redacted_fields"] or (),
            row["redaction_ids"] or (),
            row["redacted_texts"] or (),
            strict=True,
        )
    }

    def opened(name: str) -> str | None:
        field, text = name, row[name]
        if name in redacted:
            field, text = sealed_as(redacted[name][0]), redacted[name][1]
        if text is None:
            return None
        return vault.open(row["id"], row["key_version"], row["wrapped_key"], field, text)

    try:
        contact = opened("contact") if shows(Property.CONTACT, views) else None
        rejected = opened("rejected")
        return Story(
            narrative=opened("narrative"),
            description_of_person=opened("description_of_person"),
            location_description=opened("location_description"),
            contact=Contact(**orjson.loads(contact)) if contact else None,
            not_understood=orjson.loads(rejected) if rejected else {},
            redacted=tuple(sorted(redacted)),
        )
    except VaultError:
        log.exception("story_unreadable", report_id=str(row["id"]))
        return Story(readable=False)


def check_in_of(row: Mapping[str, Any]) -> CheckIn:
    """The timer of a responder, from its row."""
    return CheckIn(
        alert_id=row["alert_id"],
        due_in_s=row["due_in_s"],
        started_at=row["started_at"],
        checked_in_at=row["checked_in_at"],
        due_at=row["due_at"],
        overdue_at=row["overdue_at"],
        raised=row["raised"],
        answered=row["answered"],
        ended_at=row["ended_at"],
    )


def _named(id: UUID | None, name: str | None) -> Named | None:
    return Named(id, name or "") if id is not None else None
