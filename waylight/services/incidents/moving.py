"""Merging, splitting and opening again, by whoever has the incident or watches over it.

First the incident is looked at as staff, so that row-level security has its say; then it is written
as intake, under the incident's lock, for what is written belongs to several organisations.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db.alerts import steps
from waylight.db.incidents import moves
from waylight.db.session import Database
from waylight.domain import alerts as rules
from waylight.domain import routing
from waylight.domain.alerts import Merged, Released
from waylight.domain.changes import check_version
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StateConflict,
)
from waylight.domain.incidents import IncidentDetail
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.alerts.ladder import start
from waylight.services.alerts.standing import (
    check_is_of_reports,
    hold_of,
    rung_of,
    standing_of,
)
from waylight.services.incidents.reading import read_incident, visible
from waylight.services.notes import write_note
from waylight.services.staff import organisation_of
from waylight.vault import Vault

Row = Mapping[str, Any]


def merge(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    into: UUID,
    reason: str | None = None,
    channels: Sequence[str],
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> IncidentDetail:
    """The reports of one open incident go to another, with everybody who is at work on it.

    Nobody is dropped: whoever is at work works on, and whoever of them does not know a report is
    told of it, by a grant for that report. Nobody else is granted anything. Doing it again changes
    nothing. Returns the incident `into`. Raises NotFound; NotAllowed for whoever neither holds nor
    oversees both; StaleVersion; StateConflict when one is closed, or when the two must not be told
    to the same people: a drill and a real one, two cities, different audiences.
    """
    with database.staff(organisation_of(principal)) as conn:
        seen = visible(conn, principal, incident_id)
        _check_may_manage(visible(conn, principal, into, pointer="/into"))
        if seen["merged_into"] != into:
            _check_may_manage(seen)
    if incident_id == into:
        problem = Problem("/into", "same_incident", "Name another incident than this one.")
        raise InvalidRequest(problems=[problem])
    with database.intake() as conn:
        source, target = steps.lock_incidents(conn, incident_id, into)
        if source["merged_into"] != into:
            check_version(if_match, source["version"])
            moved = moves.reports(conn, incident_id)
            _check_together(source, target, moved, moves.reports(conn, into))
            _merge(conn, source, target, moved, principal=principal, channels=channels, now=now)
            audit.write(
                conn,
                vault,
                "incident.merged",
                principal=principal,
                report_ids=[report["id"] for report in moved],
                incident_id=into,
                subject_id=incident_id,
                request_id=request_id,
                now=now,
            )
            if reason is not None:
                write_note(
                    conn,
                    vault,
                    reason,
                    kind="merge",
                    incident=target,
                    principal=principal,
                    now=now,
                )
    return read_incident(
        database, vault, principal=principal, incident_id=into, now=now, request_id=request_id
    )


def split(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    report_ids: Sequence[UUID],
    reason: str | None = None,
    channels: Sequence[str],
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> IncidentDetail:
    """Reports of an open incident become an incident of their own, whose ladder begins at once.

    Grants stay as they are; the teams of the old incident keep it. Doing it again changes nothing.
    Returns the new incident. Raises NotFound, also for a report that is not in the incident or that
    the caller may not read; NotAllowed and StaleVersion as `merge`; StateConflict when it is closed
    or nothing would be left.
    """
    wanted = list(dict.fromkeys(report_ids))
    with database.staff(organisation_of(principal)) as conn:
        row = visible(conn, principal, incident_id)
        _check_may_manage(row)
        before = moves.split_before(conn, wanted, incident_id)
        if before is None:
            _check_readable(conn, wanted, incident_id)
    new = before
    if new is None:
        with database.intake() as conn:
            (incident,) = steps.lock_incidents(conn, incident_id)
            check_version(if_match, incident["version"])
            new = _split(conn, incident, wanted, principal=principal, channels=channels, now=now)
            if reason is not None:
                write_note(
                    conn,
                    vault,
                    reason,
                    kind="split",
                    incident=incident,
                    principal=principal,
                    now=now,
                )
    return read_incident(
        database, vault, principal=principal, incident_id=new, now=now, request_id=request_id
    )


def reopen(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    incident_id: UUID,
    reason: str,
    channels: Sequence[str],
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> IncidentDetail:
    """A closed incident is open again and its ladder begins, at its priority, from who is on duty.

    Alerts that have ended stay so; whoever is told gets a new one. An incident that is open is
    returned as it is. Raises NotFound; NotAllowed for whoever neither closed an alert of it nor
    oversees it, or was shut out of it since; StaleVersion; StateConflict for one that was merged
    into another, or whose reports were all withdrawn.
    """
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = visible(conn, principal, incident_id)
        if row["merged_into"] is not None:
            raise StateConflict("This incident was merged into another: open that one again.")
        if not (row["oversees"] or _closed_one(conn, incident_id, organisation_id)):
            raise NotAllowed("Only whoever closed it, or the control room, opens it again.")
        # Its ladder would tell them again, and grant them what was taken back.
        if not row["oversees"] and steps.is_shut_out(conn, incident_id):
            raise NotAllowed("What your organisation could read of it was taken back.")
    with database.intake() as conn:
        (incident,) = steps.lock_incidents(conn, incident_id)
        check_is_of_reports(incident)
        if incident["state"] == "closed":
            check_version(if_match, incident["version"])
            left = [r for r in moves.reports(conn, incident_id) if r["withdrawn_at"] is None]
            if not left:
                raise StateConflict("Every report of this incident was withdrawn.")
            moves.reopen(conn, incident_id, rules.reopen(hold_of(incident), now=now), now=now)
            _say(conn, "incident.reopened", incident, {}, principal=principal, now=now)
            write_note(
                conn, vault, reason, kind="reopen", incident=incident, principal=principal, now=now
            )
            start(
                conn,
                {**incident, "held_by_alert_id": None, "unanswered_at": None},
                channels=channels,
                now=now,
            )
    return read_incident(
        database,
        vault,
        principal=principal,
        incident_id=incident_id,
        now=now,
        request_id=request_id,
    )


def _check_may_manage(row: Row) -> None:
    if row["merged_into"] is not None:
        raise StateConflict("This incident was merged into another.")
    if not (row["holds"] or row["oversees"]):
        raise NotAllowed("Only the organisation that has an incident, or the control room, may.")


def _check_readable(conn: Connection[Any], wanted: Sequence[UUID], incident_id: UUID) -> None:
    readable = moves.readable(conn, wanted, incident_id)
    problems = [
        Problem(f"/reports/{n}", "not_found", "There is no such report here that you may read.")
        for n, report_id in enumerate(wanted)
        if report_id not in readable
    ]
    if problems:
        raise NotFound(problems=problems)


def _closed_one(conn: Connection[Any], incident_id: UUID, organisation_id: UUID) -> bool:
    return any(
        alert["state"] == "closed"
        and alert["organisation_id"] == organisation_id
        and alert["team_id"] is not None
        for alert in steps.alerts_of(conn, incident_id)
    )


def _check_together(source: Row, target: Row, moved: Sequence[Row], there: Sequence[Row]) -> None:
    """Raises StateConflict where people would be told who must not be."""
    for incident in (source, target):
        check_is_of_reports(incident)
    if source["exercise"] != target["exercise"]:
        raise StateConflict("One of them is a drill: a drill and a real incident stay apart.")
    if source["city_id"] != target["city_id"]:
        raise StateConflict("They are in two cities, with two control rooms.")
    audiences = {
        routing.audience_of(routing.limits(report["wants"], under_18=report["under_18"]))
        for report in (*moved, *there)
    }
    if len(audiences) > 1:
        raise StateConflict(
            "Their passengers do not allow the same people to be told: "
            + " and ".join(sorted(audiences))
            + " stay apart.",
            problems=[
                Problem("/into", "other_audience", "Not everybody there may be told of these.")
            ],
        )


def _merge(
    conn: Connection[Any],
    source: Row,
    target: Row,
    moved: Sequence[Row],
    *,
    principal: Principal,
    channels: Sequence[str],
    now: datetime,
) -> None:
    here, there = steps.alerts_of(conn, source["id"]), steps.alerts_of(conn, target["id"])
    done = rules.merge(standing_of(source, here), standing_of(target, there), now=now)
    moves.remember_parties(conn, source["id"])
    steps.withdraw(conn, done.withdrawn, now=now)
    steps.release(conn, done.released, outcome=Released.MERGED, now=now)
    moves.move_reports(conn, [report["id"] for report in moved], to=target["id"])
    moves.move_alerts(conn, done.moved, to=target["id"])
    moves.write_merge(
        conn,
        source["id"],
        into=target["id"],
        hold=done.hold,
        priority=done.priority,
        restarted=done.restarted,
        now=now,
    )
    _tell_of_merge(
        conn, source, target, moved, done, alerts=[*here, *there], principal=principal, now=now
    )
    moves.tell_the_rest(conn, target["id"], channels=channels, now=now)


def _tell_of_merge(
    conn: Connection[Any],
    source: Row,
    target: Row,
    moved: Sequence[Row],
    done: Merged,
    *,
    alerts: Sequence[Row],
    principal: Principal,
    now: datetime,
) -> None:
    ended = {**dict.fromkeys(done.withdrawn, "alert.withdrawn")}
    ended |= dict.fromkeys(done.released, "alert.closed")
    for report in moved:
        about = {"from": str(source["id"]), "into": str(target["id"]), "because": "merged"}
        _say(
            conn,
            "report.moved",
            target,
            about,
            report_id=report["id"],
            principal=principal,
            now=now,
        )
    for alert in alerts:
        if alert["id"] in ended:
            _say(
                conn,
                ended[alert["id"]],
                source if alert["incident_id"] == source["id"] else target,
                {"reason": "merged", "outcome": Released.MERGED},
                report_id=alert["report_id"],
                alert_id=alert["id"],
                principal=principal,
                now=now,
            )
    # The ladder of the whole runs for its gravest report: an answer counts that has read it.
    gravest = moves.reports(conn, target["id"])[:1]
    _say(conn, "incident.merged", source, {"into": str(target["id"])}, principal=principal, now=now)
    _say(
        conn,
        "incident.merged",
        target,
        {"from": str(source["id"]), "priority": done.priority},
        report_id=gravest[0]["id"] if gravest else None,
        principal=principal,
        now=now,
    )


def _split(
    conn: Connection[Any],
    incident: Row,
    wanted: Sequence[UUID],
    *,
    principal: Principal,
    channels: Sequence[str],
    now: datetime,
) -> UUID:
    check_is_of_reports(incident)
    if incident["state"] == "closed":
        raise StateConflict("Only an open incident can be split.")
    here = moves.reports(conn, incident["id"])
    staying = [report for report in here if report["id"] not in wanted]
    if len(here) - len(staying) != len(wanted):
        raise StateConflict("Some of these reports have just gone to another incident.")
    if not [report for report in staying if report["withdrawn_at"] is None]:
        raise StateConflict("Nothing would be left of this incident: leave one report in it.")
    moves.remember_parties(conn, incident["id"])
    new = moves.open_beside(conn, incident["id"], wanted, now=now)
    moves.move_reports(conn, wanted, to=new["id"], alone=len(wanted) == 1)
    alerts = steps.alerts_of(conn, incident["id"])
    left = rules.left_behind(
        hold_of(incident),
        before=incident["priority"],
        remaining=min(report["priority"] for report in staying),
        rungs=[rung_of(alert) for alert in alerts],
    )
    moves.write_left(conn, incident["id"], left)
    for report_id in wanted:
        about = {"from": str(incident["id"]), "into": str(new["id"]), "because": "split"}
        _say(conn, "report.moved", new, about, report_id=report_id, principal=principal, now=now)
    _say(conn, "incident.split", incident, {"into": str(new["id"])}, principal=principal, now=now)
    _say(conn, "incident.opened", new, {"from": str(incident["id"])}, principal=principal, now=now)
    start(conn, new, channels=channels, now=now)
    new_id: UUID = new["id"]
    return new_id


def _say(
    conn: Connection[Any],
    kind: str,
    incident: Row,
    data: Mapping[str, Any],
    *,
    report_id: UUID | None = None,
    alert_id: UUID | None = None,
    principal: Principal,
    now: datetime,
) -> None:
    events.write(
        conn,
        events.Event(
            kind,
            now,
            city_id=incident["city_id"],
            organisation_id=principal.organisation_id,
            report_id=report_id,
            incident_id=incident["id"],
            alert_id=alert_id,
            staff_id=principal.staff_id,
            data={"role": principal.role, **data},
            exercise=incident["exercise"],
        ),
    )
