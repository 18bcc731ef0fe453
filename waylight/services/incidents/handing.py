"""Handing an incident over: whoever has it keeps it until the team that was asked takes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight import texts
from waylight.db import events
from waylight.db.alerts import steps
from waylight.db.incidents import moves
from waylight.db.session import Database
from waylight.domain import alerts as rules
from waylight.domain import routing
from waylight.domain.alerts import AlertDetail, Released, Taken
from waylight.domain.changes import check_version
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    Problem,
    StateConflict,
)
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.services.alerts.inbox import alert_for, open_alert
from waylight.services.alerts.standing import check_is_of_reports, hold_of, rung_of
from waylight.services.cities import held_capabilities
from waylight.services.notes import write_note
from waylight.services.reports.grants import author
from waylight.services.staff import organisation_of
from waylight.vault import Vault


def hand_over(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    to_team: UUID,
    reason: str,
    channels: Sequence[str],
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """The team that has an incident asks another to take it over, and keeps it until then.

    The other team is told at once, at the incident's priority and with a grant for each report, and
    the ladder runs for its answer. Asking the same team again changes nothing. Raises NotFound,
    NotAllowed (an overseer), StaleVersion, StateConflict for a team that does not have the
    incident, InvalidRequest for a team that there is not, or that must not be told of one of the
    reports.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = alert_for(conn, principal, alert_id)
        if row["organisation_id"] != principal.organisation_id:
            raise NotAllowed("Only the recipient's own people can act on its alert.")
    with database.intake() as conn:
        incident, alerts = steps.lock(conn, row)
        check_is_of_reports(incident)
        mine = next(alert for alert in alerts if alert["id"] == alert_id)
        team = _fit_team(conn, incident, to_team, now=now)
        live = _live_alert(alerts, to_team)
        if live is None or live["handed_from"] != alert_id:
            check_version(if_match, mine["version"])
            if to_team == mine["team_id"]:
                raise InvalidRequest(
                    problems=[Problem("/to_team", "same_team", "Name another team than your own.")]
                )
            taken = rules.hand_over(
                rung_of(mine),
                hold=hold_of(incident),
                to=rung_of(live) if live else None,
                priority=incident["priority"],
                now=now,
                waits=rules.waits_of(team["escalation"]),
            )
            note_id = write_note(
                conn,
                vault,
                reason,
                kind="hand_over",
                incident=incident,
                alert=mine,
                principal=principal,
                now=now,
            )
            _tell_what_happened(
                conn,
                taken,
                incident=incident,
                mine=mine,
                said={"to": team["name"], "note_id": str(note_id)},
                principal=principal,
                now=now,
            )
            _ask(
                conn,
                taken,
                incident=incident,
                mine=mine,
                live=live,
                team=team,
                giver=row["team"],
                channels=channels,
                by=author(principal),
                now=now,
            )
            if live is None:
                audit.write(
                    conn,
                    vault,
                    "team.granted",
                    principal=principal,
                    report_ids=[report["id"] for report in moves.reports(conn, incident["id"])],
                    incident_id=incident["id"],
                    alert_id=alert_id,
                    subject_id=to_team,
                    request_id=request_id,
                    now=now,
                )
    with database.staff(organisation_of(principal)) as conn:
        return open_alert(
            conn,
            vault,
            alert_for(conn, principal, alert_id),
            principal=principal,
            now=now,
            request_id=request_id,
        )


def _fit_team(
    conn: Connection[Any], incident: Mapping[str, Any], team_id: UUID, *, now: datetime
) -> Mapping[str, Any]:
    """The team, if it is one of this city that may know of every report of the incident."""
    team = moves.team(conn, team_id, incident["city_id"])
    if team is None:
        problem = Problem("/to_team", "unknown_team", "There is no such team in this city.")
        raise InvalidRequest(problems=[problem])
    # A certificate that has ended lets nobody near a child.
    able = [held.code for held in held_capabilities(team) if held.is_valid(now)]
    for report in moves.reports(conn, incident["id"]):
        code = routing.refusal(
            routing.limits(report["wants"], under_18=report["under_18"]),
            organisation_kind=team["organisation_kind"],
            capabilities=able,
            is_control_room=team["kind"] == "control_room",
        )
        if code is not None:
            why = texts.say("reasons", code, texts.DEFAULT)
            raise InvalidRequest(
                problems=[Problem("/to_team", code, f"This team may not be told: {why}")]
            )
    return team


def _live_alert(alerts: Sequence[Mapping[str, Any]], team_id: UUID) -> Mapping[str, Any] | None:
    live = [a for a in alerts if a["team_id"] == team_id and a["state"] in rules.LIVE]
    return live[-1] if live else None


def _ask(
    conn: Connection[Any],
    taken: Taken,
    *,
    incident: Mapping[str, Any],
    mine: Mapping[str, Any],
    live: Mapping[str, Any] | None,
    team: Mapping[str, Any],
    giver: str,
    channels: Sequence[str],
    by: str,
    now: datetime,
) -> None:
    """Writes who has it and tells the team that is asked. Raises StateConflict."""
    steps.set_hold(conn, incident["id"], taken.hold, now=now)
    steps.release(conn, taken.released, outcome=Released.HANDED_OVER, now=now)
    if live is not None:
        asked: UUID | None = live["id"]
        moves.mark_as_asked(conn, live["id"], handed_from=mine["id"])
        message = "alert.updated"
    else:
        asked = moves.ask_to_take_over(
            conn,
            incident["id"],
            team_id=team["id"],
            handed_from=mine["id"],
            reasons=[{"code": "handed_over", "params": {"name": giver}}],
            by=by,
            now=now,
        )
        message = "alert.created"
    if asked is None:
        raise StateConflict("Every report of this incident was withdrawn: close it instead.")
    if incident["priority"] < 4:
        moves.queue(conn, asked, message=message, channels=channels, now=now)


def _tell_what_happened(
    conn: Connection[Any],
    taken: Taken,
    *,
    incident: Mapping[str, Any],
    mine: Mapping[str, Any],
    said: Mapping[str, Any],
    principal: Principal,
    now: datetime,
) -> None:
    events.write(
        conn,
        events.Event(
            "alert.handed_over" if taken.released else "alert.hand_over_asked",
            now,
            city_id=incident["city_id"],
            organisation_id=principal.organisation_id,
            report_id=mine["report_id"],
            incident_id=incident["id"],
            alert_id=mine["id"],
            staff_id=principal.staff_id,
            data={"role": principal.role, **said},
            exercise=incident["exercise"],
        ),
    )
