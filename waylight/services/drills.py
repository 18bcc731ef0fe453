"""Drills: each team is told by itself, really and marked, and what became of it is kept.

A drill tells nobody but the team it is about: its alert has an incident of its own, no ladder, and
no place. Real reports know nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from waylight.config import Settings
from waylight.db import drills, events
from waylight.db import reports as db_reports
from waylight.db.alerts import check_ins, steps
from waylight.db.operations import chores
from waylight.db.session import Database
from waylight.domain.alerts import WAITING, WORKING, Ending, Hold, State
from waylight.domain.cities import City
from waylight.domain.drills import (
    AUDIENCE,
    PRIORITY,
    Drill,
    Level,
    Rung,
    Travelled,
    Why,
    judge,
    latest,
)
from waylight.domain.errors import InvalidRequest, Problem
from waylight.domain.principals import Kind, Principal
from waylight.domain.reports import NewReport, Reason, Recipient, Submission
from waylight.domain.teams import Duty, is_on_duty
from waylight.log import get_logger
from waylight.services.cities import known_cities
from waylight.services.reports.record import record, structured
from waylight.services.reports.submit import decide_blindly
from waylight.services.schedules import is_on_shift_in, team_plan
from waylight.vault import Vault

SCHEDULED_FOR = timedelta(minutes=10)
"""How long the teams have to answer a drill that the schedule began."""

LEFT_ALONE = timedelta(seconds=30)
"""After its end a drill is ended by whoever began it; then a worker does."""

WITHIN_S = 60.0
"""Patience with the database: nobody waits for help here."""

TEXT = "This is an exercise. Nobody needs help. Acknowledge it, so that we know you were reached."

DRILLER = Principal(
    kind=Kind.CLIENT, name="exercise", scopes=frozenset({"exercise"}), organisation_id=None
)

log = get_logger(__name__)


def begin(
    database: Database,
    vault: Vault,
    settings: Settings,
    *,
    city: str | None = None,
    organisation: str | None = None,
    team: str | None = None,
    level: Level = Level.ACKNOWLEDGED,
    lasts: timedelta,
    scheduled_for: datetime | None = None,
    now: datetime,
) -> Drill | None:
    """Tells every team of these keys that is on duty, in one transaction, and returns the drill.

    None when there was one for this time of the schedule. Raises InvalidRequest when there is no
    such team, Unavailable.
    """
    cities = {one.id: one for one in known_cities(database)}
    city_id = next((one.id for one in cities.values() if one.slug == city), None)
    with database.intake(within_s=WITHIN_S) as conn:
        rows = drills.teams(conn, city=city, organisation=organisation, team=team, now=now)
        if not rows:
            raise InvalidRequest(
                problems=[Problem("", "no_such_team", "No team of these names is in use.")]
            )
        drill_id = drills.open_drill(
            conn,
            level=level,
            city_id=city_id,
            scheduled_for=scheduled_for,
            started_at=now,
            ends_at=now + lasts,
        )
        if drill_id is None:
            return None
        to_tell = [row for row in rows if _is_on_duty(row, cities[row["city_id"]], now)]
        told = _tell(conn, vault, settings, drill_id, to_tell, cities=cities, now=now)
        rungs = [
            Rung(
                team_id=row["id"],
                team=row["name"],
                organisation=row["organisation"],
                alert_id=told[row["id"]][0] if row["id"] in told else None,
                incident_id=told[row["id"]][1] if row["id"] in told else None,
                why=Why.NO_ANSWER if row["id"] in told else Why.OFF_DUTY,
            )
            for row in rows
        ]
        drills.write_rungs(conn, drill_id, [asdict(rung) for rung in rungs], told=len(told))
        events.write(
            conn,
            events.Event(
                "drill.started",
                now,
                city_id=city_id,
                data={"drill_id": str(drill_id), "teams": len(rungs), "told": len(told)},
                exercise=True,
            ),
        )
    log.info("drill_started", drill_id=str(drill_id), teams=len(rungs), told=len(told))
    return Drill(drill_id, level, now, now + lasts, None, tuple(rungs))


def look(database: Database, drill_id: UUID) -> Drill:
    """A drill as it stands at this moment. Raises Unavailable."""
    with database.intake(within_s=WITHIN_S) as conn:
        row = drills.find(conn, drill_id)
        assert row is not None  # noqa: S101 - nothing deletes one
        return _drill(conn, row)


def end(database: Database, drill_id: UUID, *, now: datetime) -> Drill:
    """Takes back what nobody answered, closes the rest, and keeps what was found. Twice is once.

    Raises Unavailable.
    """
    with database.intake(within_s=WITHIN_S) as conn:
        row = drills.find(conn, drill_id, lock=True)
        assert row is not None  # noqa: S101 - nothing deletes one
        if row["ended_at"] is not None:
            return _drill(conn, row)
        drill = replace(_drill(conn, row), ended_at=now)
        for incident_id in sorted(rung.incident_id for rung in drill.rungs if rung.incident_id):
            _close(conn, incident_id, now=now)
        told = sum(rung.alert_id is not None for rung in drill.rungs)
        drills.write_rungs(
            conn,
            drill_id,
            [asdict(rung) for rung in drill.rungs],
            told=told,
            reached=drill.reached,
            ended_at=now,
        )
        events.write(
            conn,
            events.Event(
                "drill.finished",
                now,
                data={"drill_id": str(drill_id), "told": told, "reached": drill.reached},
                exercise=True,
            ),
        )
    log.info("drill_finished", drill_id=str(drill_id), told=told, reached=drill.reached)
    return drill


def keep(database: Database, vault: Vault, settings: Settings, *, now: datetime) -> None:
    """Begins the drills whose time has come and ends those whose time is over.

    However many workers do this, each drill is one. Raises Unavailable.
    """
    with database.intake() as conn:
        if not chores.take_turn(conn, "drills"):
            return
        over = drills.overdue(conn, before=now - LEFT_ALONE)
    for drill_id in over:
        end(database, drill_id, now=now)
    for city in known_cities(database) if settings.exercise_schedule else ():
        due = latest(settings.exercise_schedule, ZoneInfo(city.time_zone), now=now)
        if due is None:
            continue
        try:
            begin(
                database,
                vault,
                settings,
                city=city.slug,
                lasts=SCHEDULED_FOR,
                scheduled_for=due,
                now=now,
            )
        except InvalidRequest:
            # A city without teams must not cost the others their drill.
            log.warning("nobody_to_drill", city=city.slug)


def _is_on_duty(row: Mapping[str, Any], city: City, now: datetime) -> bool:
    on_shift = row["on_shift"]
    if row["expanded_until"] is None or row["expanded_until"] < now:
        on_shift = is_on_shift_in(city, team_plan(row["shifts"], row["set_shifts"]), now)
    return is_on_duty(Duty(row["duty_status"]), row["duty_until"], on_shift=on_shift, at=now)


def _tell(
    conn: Connection[Any],
    vault: Vault,
    settings: Settings,
    drill_id: UUID,
    rows: Sequence[Mapping[str, Any]],
    *,
    cities: Mapping[UUID, City],
    now: datetime,
) -> dict[UUID, tuple[UUID, UUID]]:
    """An alert and an incident for each team, as the one write of every report makes them."""
    payloads = [
        _payload(vault, settings, drill_id, row, cities[row["city_id"]], now=now) for row in rows
    ]
    told = {}
    for row, outcome in zip(rows, db_reports.submit(conn, payloads), strict=True):
        if outcome["fallback"]:
            # The transaction ends here: a drill must not become somebody else's alert.
            raise RuntimeError("a drill could not be written as it was meant")
        told[row["id"]] = (UUID(outcome["told"][0]["alert_id"]), UUID(outcome["incident_id"]))
    return told


def _payload(
    vault: Vault,
    settings: Settings,
    drill_id: UUID,
    row: Mapping[str, Any],
    city: City,
    *,
    now: datetime,
) -> dict[str, Any]:
    report = NewReport(categories=("other",), exercise=True, narrative=TEXT)
    submission = Submission(report=report, received_at=now, principal=DRILLER)
    decided = decide_blindly(submission, city, settings=settings)
    recipient = Recipient(
        team_id=row["id"],
        hub_id=None,
        name=row["name"],
        organisation_id=row["organisation_id"],
        organisation=row["organisation"],
        role="control_room" if row["kind"] == "control_room" else "primary",
        rank=1,
        told="now",
        demo=row["demo"],
        reasons=(Reason("exercise"),),
    )
    answer = replace(
        decided.answer,
        priority=replace(decided.answer.priority, level=PRIORITY),
        status="routed",
        routed_to=(recipient,),
        shortfalls=(),
    )
    routing = replace(decided.routing, told=(recipient,), next=(), shortfalls=(), fit=())
    payload = record(
        replace(decided, answer=answer, routing=routing), vault=vault, settings=settings
    )
    payload["link"]["audience"] = f"{AUDIENCE}{drill_id}:{row['id']}"
    # Nobody oversees it, nobody is next, and nobody gets it instead.
    return payload | {"escalate_in_s": None, "grants": [], "locks": [], "fallback": None}


def _drill(conn: Connection[Any], row: Mapping[str, Any]) -> Drill:
    """A drill by its row: as it was found where it is over, else as its alerts stand now."""
    rungs = tuple(structured(rung, Rung) for rung in row["rungs"])
    level = Level(row["level"])
    if row["ended_at"] is None:
        standing = drills.standing(conn, [rung.alert_id for rung in rungs if rung.alert_id])
        rungs = tuple(
            _as_it_stands(rung, standing[rung.alert_id], level) if rung.alert_id else rung
            for rung in rungs
        )
    return Drill(row["id"], level, row["started_at"], row["ends_at"], row["ended_at"], rungs)


def _as_it_stands(rung: Rung, alert: Mapping[str, Any], wanted: Level) -> Rung:
    since: datetime = alert["created_at"]
    messages = [_message(one, since) for one in alert["messages"] or ()]
    at = [_time(one, "sent_at") for one in alert["messages"] or ()]
    delivered = [_time(one, "delivered_at") for one in alert["messages"] or ()]
    times = {
        Level.SENT: min((one for one in at if one), default=None),
        Level.DELIVERED: min((one for one in delivered if one), default=None),
        Level.SEEN: alert["seen_at"],
        Level.ACKNOWLEDGED: alert["acknowledged_at"] or alert["declined_at"],
    }
    level, after_s, why = judge(wanted, times, messages, since=since)
    return replace(rung, level=level, after_s=after_s, why=why, channels=tuple(_furthest(messages)))


def _message(one: Mapping[str, Any], since: datetime) -> Travelled:
    at = _time(one, "delivered_at") or _time(one, "sent_at")
    after_s = max(0.0, (at - since).total_seconds()) if at else None
    return Travelled(one["channel"], one["status"], after_s, one["detail"])


def _furthest(messages: Sequence[Travelled]) -> list[Travelled]:
    """One for each channel: a team with three devices is reached by the first that answers."""
    order = ("failed", "dropped", "queued", "sent", "delivered", "seen")
    best: dict[str, Travelled] = {}
    for one in messages:
        known = best.get(one.channel)
        if known is None or order.index(one.status) > order.index(known.status):
            best[one.channel] = one
    return list(best.values())


def _time(one: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(one[name]) if one[name] else None


def _close(conn: Connection[Any], incident_id: UUID, *, now: datetime) -> None:
    """Stands down or closes the alerts of an incident of a drill, and closes it."""
    (incident,) = steps.lock_incidents(conn, incident_id)
    if incident["state"] == "closed":
        return
    alerts = steps.alerts_of(conn, incident_id)
    waiting = [alert["id"] for alert in alerts if State(alert["state"]) in WAITING]
    working = [alert["id"] for alert in alerts if State(alert["state"]) in WORKING]
    steps.withdraw(conn, waiting, now=now)
    for alert_id in working:
        check_ins.end(conn, alert_id, now=now)
        steps.set_state(
            conn, alert_id, State.CLOSED, staff_id=None, outcome=Ending.CANCELLED, now=now
        )
    steps.set_hold(conn, incident_id, Hold(None, None, None, closed=True), now=now)
    by_id = {alert["id"]: alert for alert in alerts}
    happened: Callable[..., events.Event] = lambda kind, alert_id, data: events.Event(  # noqa: E731
        kind,
        now,
        city_id=incident["city_id"],
        report_id=by_id[alert_id]["report_id"] if alert_id else None,
        incident_id=incident_id,
        alert_id=alert_id,
        data=data,
        exercise=True,
    )
    events.write(
        conn,
        *(happened("alert.withdrawn", one, {"reason": "exercise_over"}) for one in waiting),
        *(happened("alert.closed", one, {"outcome": Ending.CANCELLED}) for one in working),
        happened("incident.closed", None, {}),
    )
