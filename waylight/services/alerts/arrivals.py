"""The arrival log of a hub: who came, who did not, and how they left. No story."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db.alerts import arrivals, steps
from waylight.db.session import Database
from waylight.domain.alerts import AlertDetail, State
from waylight.domain.arrivals import Arrival, Expected, all_ended, follows
from waylight.domain.changes import check_version
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    Problem,
    StateConflict,
)
from waylight.domain.principals import Principal
from waylight.log import get_logger
from waylight.services.alerts.expected import expected_by
from waylight.services.alerts.inbox import alert_for, open_alert
from waylight.services.hubs.walks import stand_down_others
from waylight.services.staff import organisation_of
from waylight.vault import Vault

CLOCK_AHEAD = timedelta(minutes=1)
"""A phone's clock may run so far ahead."""

log = get_logger(__name__)


def log_arrival(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    alert_id: UUID,
    status: Arrival,
    report_id: UUID | None,
    at: datetime | None,
    now: datetime,
    if_match: int | None = None,
    request_id: str | None = None,
) -> AlertDetail:
    """A hub logs that somebody whom it was told to expect arrived, did not, or how they left.

    `report_id` may be left out while only one person is expected. Their timeline says it. The alert
    is on the scene while somebody is there, and closed once nobody is expected or there any more.
    The same entry again changes nothing. Raises NotFound, NotAllowed (an overseer), StaleVersion,
    StateConflict (a team's alert, an entry that cannot follow, `did_not_arrive` too early),
    InvalidRequest (which person, an impossible time).
    """
    with database.staff(organisation_of(principal)) as conn:
        row = alert_for(conn, principal, alert_id)
        if row["organisation_id"] != principal.organisation_id:
            raise NotAllowed("Only the hub's own people log who arrives there.")
        if row["hub_id"] is None:
            raise StateConflict("This alert is a team's: arrivals are logged on a hub's alert.")
        incident, alerts = steps.lock(conn, row)
        mine = next(alert for alert in alerts if alert["id"] == alert_id)
        check_version(if_match, mine["version"])
        everybody = expected_by(conn, row)
        person = _person(everybody, report_id)
        happened_at = _within_reason(at, person, now=now)
        if follows(status, person.status, expected=person.band, now=now):
            others = [one.status for one in everybody if one is not person]
            _set_state(
                conn,
                alert_id,
                State(mine["state"]),
                status,
                others=others,
                staff_id=principal.staff_id,
                now=now,
            )
            arrivals.log(
                conn,
                alert_id=alert_id,
                report_id=person.report_id,
                hub_id=row["hub_id"],
                organisation_id=row["organisation_id"],
                status=status,
                at=happened_at,
                staff_id=principal.staff_id,
                now=now,
            )
            events.write(
                conn,
                events.Event(
                    f"alert.{status}",
                    now,
                    city_id=incident["city_id"],
                    organisation_id=row["organisation_id"],
                    report_id=person.report_id,
                    incident_id=incident["id"],
                    alert_id=alert_id,
                    staff_id=principal.staff_id,
                    data={"hub_id": str(row["hub_id"]), "at": happened_at.isoformat()},
                    exercise=incident["exercise"],
                ),
            )
        found = open_alert(
            conn,
            vault,
            alert_for(conn, principal, alert_id),
            principal=principal,
            now=now,
            request_id=request_id,
        )
    if status is Arrival.ARRIVED:
        _stand_down_others(database, person.report_id, but=alert_id, now=now)
    return found


def _person(everybody: Sequence[Expected], report_id: UUID | None) -> Expected:
    if report_id is None and len(everybody) == 1:
        return everybody[0]
    found = next((one for one in everybody if one.report_id == report_id), None)
    if found is None:
        detail = (
            "Several people are expected: send the `report_id` of one of `expects`."
            if report_id is None
            else "This alert told you of no such report: take one of `expects`."
        )
        raise InvalidRequest(problems=[Problem("/report_id", "not_expected", detail)])
    return found


def _within_reason(at: datetime | None, person: Expected, *, now: datetime) -> datetime:
    if at is None:
        return now
    if at > now + CLOCK_AHEAD:
        raise InvalidRequest(
            problems=[Problem("/at", "in_the_future", "This moment has not come yet.")]
        )
    if at < person.told_at - CLOCK_AHEAD:
        raise InvalidRequest(
            problems=[Problem("/at", "too_early", "That is before you were told of them.")]
        )
    return min(at, now)


def _set_state(
    conn: Connection[Any],
    alert_id: UUID,
    state: State,
    status: Arrival,
    *,
    others: Sequence[Arrival | None],
    staff_id: UUID | None,
    now: datetime,
) -> None:
    # What was closed stays closed: somebody who comes after they were given up is logged all the
    # same, and the alert does not move backwards.
    if state is State.CLOSED:
        return
    if all_ended([status, *others]):
        steps.set_state(conn, alert_id, State.CLOSED, staff_id=staff_id, outcome=status, now=now)
    elif status is Arrival.ARRIVED and state is not State.ON_SCENE:
        steps.set_state(conn, alert_id, State.ON_SCENE, staff_id=staff_id, outcome=None, now=now)


def _stand_down_others(database: Database, report_id: UUID, *, but: UUID, now: datetime) -> None:
    try:
        stand_down_others(database, report_id, but=but, now=now)
    except Exception:
        log.exception("other_hubs_still_wait", alert_id=str(but))
