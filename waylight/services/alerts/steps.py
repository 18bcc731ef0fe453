"""The steps that staff take. Each is one transaction that locks the incident first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight import metrics
from waylight.db import events
from waylight.db.alerts import steps
from waylight.db.session import Database
from waylight.domain.alerts import (
    ENDED,
    AlertDetail,
    DeclineCause,
    Ending,
    Hold,
    Released,
    Step,
    Taken,
    take,
)
from waylight.domain.changes import check_version
from waylight.domain.errors import NotAllowed, StateConflict
from waylight.domain.principals import Kind, Principal
from waylight.log import get_logger
from waylight.services.alerts import check_ins
from waylight.services.alerts.inbox import alert_for, closed_alert, open_alert
from waylight.services.alerts.ladder import climb
from waylight.services.alerts.standing import hold_of, knows, rung_of
from waylight.services.hubs.walks import redirect_walks
from waylight.services.notes import write_note
from waylight.services.staff import organisation_of
from waylight.vault import Vault

EVENTS: Mapping[Step, str] = {
    Step.ACKNOWLEDGE: "alert.acknowledged",
    Step.DECLINE: "alert.declined",
    Step.EN_ROUTE: "alert.en_route",
    Step.ON_SCENE: "alert.on_scene",
    Step.CLOSE: "alert.closed",
}

log = get_logger(__name__)


def acknowledge(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """A person of the recipient says: we have it.

    The first team holds the incident and the rungs that have not answered are withdrawn; a later
    team joins. Acknowledging again is allowed, and stops a ladder that a more serious report has
    started afresh, once the recipient knows of that report: by opening the alert, or by the version
    in `if_match`. Before that the ladder goes on and nobody is stood down. Raises NotFound,
    NotAllowed (an overseer), StaleVersion when `if_match` is not the alert's version any more,
    StateConflict.
    """
    return _take(
        database,
        vault,
        step=Step.ACKNOWLEDGE,
        principal=principal,
        alert_id=alert_id,
        now=now,
        if_match=if_match,
        request_id=request_id,
    )


def decline(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    channels: Sequence[str],
    cause: DeclineCause | None = None,
    note: str | None = None,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """The recipient will not come, or no longer: the next rung, or the next hub, is told at once.

    With the cause `not_ours` that is a team of another organisation, wherever one covers the place.

    The climb follows the commit, in this call. Should it fail, the declining transaction has
    already made the incident due, so that the worker's next sweep climbs. Raises as `acknowledge`.
    """
    detail = _take(
        database,
        vault,
        step=Step.DECLINE,
        principal=principal,
        alert_id=alert_id,
        now=now,
        if_match=if_match,
        request_id=request_id,
        outcome=cause,
        note=note,
    )
    try:
        climb(database, channels=channels, now=now, only=detail.alert.incident.id)
    except Exception:
        log.exception("climb_left_to_worker", alert_id=str(alert_id))
    if detail.alert.hub is not None:
        _find_another_hub(database, alert_id, channels=channels, now=now)
    return detail


def _find_another_hub(
    database: Database, alert_id: UUID, *, channels: Sequence[str], now: datetime
) -> None:
    try:
        redirect_walks(database, channels=channels, now=now, alert_id=alert_id)
    except Exception:
        log.exception("walk_left_to_worker", alert_id=str(alert_id))


def en_route(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """The recipient is on its way. Raises as `acknowledge`."""
    return _take(
        database,
        vault,
        step=Step.EN_ROUTE,
        principal=principal,
        alert_id=alert_id,
        now=now,
        if_match=if_match,
        request_id=request_id,
    )


def on_scene(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """The recipient has arrived. Raises as `acknowledge`."""
    return _take(
        database,
        vault,
        step=Step.ON_SCENE,
        principal=principal,
        alert_id=alert_id,
        now=now,
        if_match=if_match,
        request_id=request_id,
    )


def close(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    ending: Ending = Ending.RESOLVED,
    note: str | None = None,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """The recipient is done. The last team to close also closes the incident.

    Raises as `acknowledge`.
    """
    return _take(
        database,
        vault,
        step=Step.CLOSE,
        principal=principal,
        alert_id=alert_id,
        now=now,
        if_match=if_match,
        request_id=request_id,
        outcome=ending,
        note=note,
    )


def _is_shut_out(conn: Connection[Any], alert: Mapping[str, Any]) -> bool:
    """Whether somebody would set out who may read nothing of what they set out to."""
    if alert["hub_id"] is not None:
        return steps.may_not_read(conn, alert["report_id"], alert["organisation_id"])
    return steps.is_shut_out(conn, alert["incident_id"])


def _take(
    database: Database,
    vault: Vault,
    *,
    step: Step,
    principal: Principal,
    alert_id: UUID,
    now: datetime,
    if_match: int | None,
    request_id: str | None,
    outcome: str | None = None,
    note: str | None = None,
) -> AlertDetail:
    with database.staff(organisation_of(principal)) as conn:
        row = alert_for(conn, principal, alert_id)
        if row["organisation_id"] != principal.organisation_id:
            raise NotAllowed("Only the recipient's own people can act on its alert.")
        incident, alerts = steps.lock(conn, row)
        mine = next(alert for alert in alerts if alert["id"] == alert_id)
        check_version(if_match, mine["version"])
        if step is Step.ACKNOWLEDGE and mine["state"] in ENDED and _is_shut_out(conn, mine):
            raise StateConflict(
                "What your organisation could read of it was taken back: ask whoever has it now to"
                " hand it over."
            )
        if step is Step.CLOSE and if_match is None and steps.has_unread(conn, mine):
            raise StateConflict(
                "Another report came after this was taken on: read the alert again, then close it."
            )
        hold = hold_of(incident)
        taken = take(
            step,
            rung_of(mine),
            hold=hold,
            others=[rung_of(alert) for alert in alerts if alert is not mine],
            now=now,
            is_informed=if_match is not None or knows(conn, mine, incident),
        )
        if taken.changed:
            _write(conn, taken, hold=hold, row=mine, principal=principal, now=now, outcome=outcome)
            if note is not None:
                write_note(
                    conn,
                    vault,
                    note,
                    kind=step,
                    incident=incident,
                    alert=mine,
                    principal=principal,
                    now=now,
                )
            _tell_what_happened(
                conn,
                step,
                taken,
                hold=hold,
                again=taken.state == mine["state"],
                incident=incident,
                alerts=alerts,
                row=mine,
                principal=principal,
                now=now,
                outcome=outcome,
            )
            check_ins.follow(
                conn,
                step,
                {**row, "incident_id": incident["id"]},
                principal=principal,
                now=now,
            )
        after = alert_for(conn, principal, alert_id)
        if principal.kind is Kind.PROVIDER:
            # An answer by text shows nobody anything: nothing is opened or audited as read.
            detail = closed_alert(after)
        else:
            detail = open_alert(
                conn, vault, after, principal=principal, now=now, request_id=request_id
            )
    if step is Step.ACKNOWLEDGE and taken.changed and mine["hub_id"] is None:
        _time_answer(incident, now=now)
    return detail


def _time_answer(incident: Mapping[str, Any], *, now: datetime) -> None:
    """Takes down how long an incident waited, at the first answer to what its ladder runs for."""
    if (
        incident["held_by_alert_id"] is not None
        or incident["exercise"]
        or incident["about_alert_id"] is not None
    ):
        return
    since = incident["restarted_at"] or incident["opened_at"]
    took_s = (now - since).total_seconds()
    metrics.time(metrics.ANSWER, str(incident["priority"]), took_s=took_s)


def _write(
    conn: Connection[Any],
    taken: Taken,
    *,
    hold: Hold,
    row: Mapping[str, Any],
    principal: Principal,
    now: datetime,
    outcome: str | None,
) -> None:
    steps.set_state(
        conn,
        row["id"],
        taken.state,
        staff_id=principal.staff_id,
        outcome=outcome,
        now=now,
    )
    if taken.hold != hold:
        steps.set_hold(conn, row["incident_id"], taken.hold, now=now)
    if taken.withdrawn:
        steps.withdraw(conn, taken.withdrawn, now=now)
    steps.release(conn, taken.released, outcome=Released.HANDED_OVER, now=now)


def _tell_what_happened(
    conn: Connection[Any],
    step: Step,
    taken: Taken,
    *,
    hold: Hold,
    again: bool,
    incident: Mapping[str, Any],
    alerts: Sequence[Mapping[str, Any]],
    row: Mapping[str, Any],
    principal: Principal,
    now: datetime,
    outcome: str | None,
) -> None:
    data: dict[str, Any] = {"role": principal.role}
    if principal.kind is Kind.PROVIDER:
        data["by"] = "sms"
    if outcome is not None:
        data["outcome"] = outcome
    if step is Step.ACKNOWLEDGE:
        data |= {"holds": taken.hold.held_by == row["id"], "again": again}

    def event(kind: str, alert: Mapping[str, Any] | None, about: dict[str, Any]) -> events.Event:
        return events.Event(
            kind,
            now,
            city_id=incident["city_id"],
            organisation_id=principal.organisation_id,
            report_id=alert["report_id"] if alert else None,
            incident_id=incident["id"],
            alert_id=alert["id"] if alert else None,
            staff_id=principal.staff_id,
            data={"role": principal.role, **about},
            exercise=incident["exercise"],
        )

    withdrawn = [alert for alert in alerts if alert["id"] in taken.withdrawn]
    released = [alert for alert in alerts if alert["id"] in taken.released]
    to = {"by_alert_id": str(row["id"]), "outcome": Released.HANDED_OVER}
    because = {"reason": "acknowledged_elsewhere", "by_alert_id": str(row["id"])}
    events.write(
        conn,
        event(EVENTS[step], row, data),
        *(event("alert.withdrawn", alert, because) for alert in withdrawn),
        *(event("alert.handed_over", alert, to) for alert in released),
        *([event("incident.closed", None, {})] if taken.hold.closed and not hold.closed else []),
    )
