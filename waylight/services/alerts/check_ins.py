"""Lone workers: a responder who gives no sign of life in time raises an alert.

That alert is about the responder, in an incident of its own. The passenger's ladder and story are
not touched by it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db.alerts import check_ins, ladder, steps
from waylight.db.session import Database
from waylight.domain.alerts import LIVE, OUT, WAITING, WORKING, State, Step
from waylight.domain.check_ins import (
    DEFAULT_S,
    LONGEST_S,
    CheckIn,
    CheckInDefault,
    due_at,
    is_of_another_clock,
    next_raise,
)
from waylight.domain.errors import NotAllowed, StaleVersion, StateConflict
from waylight.domain.principals import Principal
from waylight.log import get_logger
from waylight.services.alerts.inbox import alert_for, check_in_of
from waylight.services.staff import organisation_of
from waylight.services.sweeping import sweep

SWEEP = 200

log = get_logger(__name__)


def check_in(
    database: Database,
    principal: Principal,
    *,
    alert_id: UUID,
    due_in_s: int | None,
    now: datetime,
) -> CheckIn:
    """A responder is well, and will say so again within `due_in_s`; this starts or extends a timer.

    None is as long as the timer that runs, else as the organisation has set. What was raised
    because nothing had been heard is withdrawn at the worker's next turn. Raises NotFound,
    NotAllowed (an overseer), StateConflict unless the responder is on the way or on the scene.
    """
    with database.staff(organisation_of(principal)) as conn:
        row = _locked(conn, _own(conn, principal, alert_id))
        if row["hub_id"] is not None or State(row["state"]) not in OUT:
            raise StateConflict(
                "A timer runs for a team that is on the way or on the scene: take that step first."
            )
        running = check_ins.find(conn, alert_id)
        if due_in_s is None:
            due_in_s = running["due_in_s"] if running else _default(conn, principal).due_in_s
        _run(
            conn,
            row,
            principal=principal,
            due_in_s=due_in_s or DEFAULT_S,
            is_new=running is None or running["ended_at"] is not None,
            now=now,
        )
        return _found(conn, alert_id)


def stop(database: Database, principal: Principal, *, alert_id: UUID, now: datetime) -> None:
    """Ends the timer of an alert, if one runs. Raises NotFound, NotAllowed (an overseer)."""
    with database.staff(organisation_of(principal)) as conn:
        row = _locked(conn, _own(conn, principal, alert_id))
        _end(conn, row, principal=principal, why="stopped", now=now)


def follow(
    conn: Connection[Any],
    step: Step,
    row: Mapping[str, Any],
    *,
    principal: Principal,
    now: datetime,
) -> None:
    """What a step does to the timer: on the scene it starts, and with the work it ends.

    Within the transaction of the step, which has locked the incident. One that runs already is set
    anew: whoever arrives is well.
    """
    if row["hub_id"] is not None:
        return
    if step in (Step.CLOSE, Step.DECLINE):
        _end(conn, row, principal=principal, why=str(step), now=now)
    elif step is Step.ON_SCENE:
        running = check_ins.find(conn, row["id"])
        is_new = running is None or running["ended_at"] is not None
        due_in_s = (
            _default(conn, principal).due_in_s if running is None or is_new else running["due_in_s"]
        )
        if due_in_s is not None:
            _run(conn, row, principal=principal, due_in_s=due_in_s, is_new=is_new, now=now)


def read_default(database: Database, principal: Principal) -> CheckInDefault:
    """What starts when somebody of the caller's organisation arrives on a scene."""
    with database.staff(organisation_of(principal)) as conn:
        return _default(conn, principal)


def set_default(
    database: Database,
    principal: Principal,
    *,
    due_in_s: int | None,
    if_match: int | None,
    now: datetime,
) -> CheckInDefault:
    """Sets what starts on a scene from now on; None is nothing. Raises StaleVersion."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        if not check_ins.set_default(
            conn,
            organisation_id,
            due_in_s,
            if_match=if_match,
            staff_id=principal.staff_id,
            now=now,
        ):
            raise StaleVersion(version=_default(conn, principal).version)
        events.write(
            conn,
            events.Event(
                "organisation.check_in_default_changed",
                now,
                organisation_id=organisation_id,
                staff_id=principal.staff_id,
                data={"due_in_s": due_in_s},
            ),
        )
        return _default(conn, principal)


def watch(database: Database, *, channels: Sequence[str], now: datetime, limit: int = SWEEP) -> int:
    """Raises what has run out, again while nobody answers, and withdraws it when all is well.

    Each timer is a transaction of its own, done once however many workers look, and found again
    after one has died. Returns how many were dealt with. Raises Unavailable.
    """
    beyond = now + timedelta(seconds=LONGEST_S + 60)
    return sweep(
        database,
        find=lambda conn, skip: check_ins.claim(conn, now=now, beyond=beyond, skip=skip),
        id_of=lambda timer: timer["alert_id"],
        do=lambda conn, timer: _look_at(conn, timer, channels=channels, now=now),
        failure="check_in_not_watched",
        of="alert_id",
        limit=limit,
    )


def _look_at(
    conn: Connection[Any], timer: Mapping[str, Any], *, channels: Sequence[str], now: datetime
) -> None:
    due, ended_at = timer["due_at"], timer["ended_at"]
    if ended_at is None and State(timer["alert_state"]) not in OUT:
        # Given away, or merged into another: nobody is out there for this alert any more.
        ended_at = now
    overdue_at, incident_id = timer["overdue_at"], timer["overdue_incident_id"]
    raised = timer["raised"]
    if is_of_another_clock(due, now=now):
        due = due_at(timer["due_in_s"], now=now)
    if incident_id is not None:
        # Whoever takes it up at this moment is somebody who has, or has not, answered: not both.
        steps.lock_incidents(conn, incident_id)
    if ended_at is not None or due > now:
        if incident_id is not None:
            _settle(conn, timer, incident_id, channels=channels, now=now)
        overdue_at, incident_id, raised = None, None, 0
        next_at = due if ended_at is None else None
    else:
        incident_id, is_said = _raise(conn, timer, channels=channels, now=now)
        overdue_at = overdue_at or now
        raised += is_said
        next_at = next_raise(raised, now=now)
    check_ins.look_again(
        conn,
        timer["alert_id"],
        next_at=next_at,
        due_at=due,
        overdue_at=overdue_at,
        overdue_incident_id=incident_id,
        raised=raised,
        ended_at=ended_at,
    )


def _raise(
    conn: Connection[Any], timer: Mapping[str, Any], *, channels: Sequence[str], now: datetime
) -> tuple[UUID, bool]:
    """Tells everybody, or again while nobody has answered.

    Returns the responder's incident, and whether anything was said.
    """
    told = check_ins.recipients(conn, timer)
    incident_id: UUID | None = timer["overdue_incident_id"]
    if incident_id is None:
        incident_id = check_ins.open_incident(conn, timer, now=now)
    elif any(one["state"] in WORKING or one["state"] == State.CLOSED for one in told):
        return incident_id, False
    else:
        check_ins.set_unanswered(conn, incident_id, now=now)
    if all(one["role"] != "control_room" for one in told):
        log.error("responder_overdue_without_control_room", alert_id=str(timer["alert_id"]))
    written = [
        _responder_event("responder.overdue", timer, {"times": timer["raised"] + 1}, now=now)
    ]
    for one in told:
        if one["state"] in LIVE:
            ladder.send_again(conn, one, message="responder.overdue", channels=channels, now=now)
            continue
        alert_id = check_ins.tell(conn, one, incident_id, timer, channels=channels, now=now)
        written.append(
            events.Event(
                "alert.created",
                now,
                city_id=timer["city_id"],
                organisation_id=one["organisation_id"],
                incident_id=incident_id,
                alert_id=alert_id,
                data={"role": one["role"], "rank": 1, "priority": 1, "reason": "responder_overdue"},
                exercise=timer["exercise"],
            )
        )
    events.write(conn, *written)
    return incident_id, True


def _settle(
    conn: Connection[Any],
    timer: Mapping[str, Any],
    incident_id: UUID,
    *,
    channels: Sequence[str],
    now: datetime,
) -> None:
    """The responder is well: who waits is stood down, and who went to look is told."""
    told = [one for one in check_ins.recipients(conn, timer) if one["id"] is not None]
    at_work = [one for one in told if one["state"] in WORKING]
    waiting = [one for one in told if one["state"] in WAITING]
    check_ins.settle(conn, incident_id, closed=not at_work, now=now)
    withdrawn = steps.withdraw(conn, [one["id"] for one in waiting], now=now)
    for one in at_work:
        ladder.send_again(conn, one, message="responder.safe", channels=channels, now=now)
    events.write(
        conn,
        *(
            events.Event(
                "alert.withdrawn" if one["id"] in withdrawn else "alert.updated",
                now,
                city_id=timer["city_id"],
                organisation_id=one["organisation_id"],
                incident_id=incident_id,
                alert_id=one["id"],
                data={"reason": "responder_safe"},
                exercise=timer["exercise"],
            )
            for one in (*waiting, *at_work)
        ),
    )


def _run(
    conn: Connection[Any],
    row: Mapping[str, Any],
    *,
    principal: Principal,
    due_in_s: int,
    is_new: bool,
    now: datetime,
) -> None:
    due = due_at(due_in_s, now=now)
    check_ins.run(conn, row, staff_id=principal.staff_id, due_in_s=due_in_s, due_at=due, now=now)
    kind = "responder.check_in_started" if is_new else "responder.checked_in"
    events.write(
        conn,
        _responder_event(
            kind,
            {**row, "alert_id": row["id"]},
            {"due_in_s": due_in_s},
            staff_id=principal.staff_id,
            now=now,
        ),
    )


def _end(
    conn: Connection[Any], row: Mapping[str, Any], *, principal: Principal, why: str, now: datetime
) -> None:
    if check_ins.end(conn, row["id"], now=now):
        events.write(
            conn,
            _responder_event(
                "responder.check_in_ended",
                {**row, "alert_id": row["id"]},
                {"reason": why},
                staff_id=principal.staff_id,
                now=now,
            ),
        )


def _responder_event(
    kind: str,
    about: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    now: datetime,
    staff_id: UUID | None = None,
) -> events.Event:
    """An event of the incident that the responder is at; of no report, for it is nobody's story."""
    return events.Event(
        kind,
        now,
        city_id=about["city_id"],
        organisation_id=about["organisation_id"],
        incident_id=about["incident_id"],
        alert_id=about["alert_id"],
        staff_id=staff_id,
        data=data,
        exercise=about["exercise"],
    )


def _own(conn: Connection[Any], principal: Principal, alert_id: UUID) -> dict[str, Any]:
    row = alert_for(conn, principal, alert_id)
    if row["organisation_id"] != principal.organisation_id:
        raise NotAllowed("Only the responder's own people run its timer.")
    return row


def _locked(conn: Connection[Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as it is now, its incident locked: no step and no merge changes it meanwhile."""
    _, alerts = steps.lock(conn, row)
    now = next(alert for alert in alerts if alert["id"] == row["id"])
    return {**row, "state": now["state"], "incident_id": now["incident_id"]}


def _default(conn: Connection[Any], principal: Principal) -> CheckInDefault:
    found = check_ins.default(conn, organisation_of(principal))
    if found is None:
        return CheckInDefault(due_in_s=DEFAULT_S, version=0)
    return CheckInDefault(due_in_s=found["due_in_s"], version=found["version"])


def _found(conn: Connection[Any], alert_id: UUID) -> CheckIn:
    found = check_ins.find(conn, alert_id)
    assert found is not None  # noqa: S101 - it was written in this transaction
    return check_in_of(found)
