"""What the doctor asks of alerts: do they get through, and to whom."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from waylight.domain.drills import Slot
from waylight.services.operations.doctor.finding import Finding, State

RUNBOOK = "see `When alerts do not get through` in docs/operating.md"
DRILLED_WITHIN = timedelta(days=8)


def dead_alerts(state: State, _now: datetime) -> Finding:
    """Whether every alert of the last day reached somebody."""
    if state["dead"]:
        causes = ", ".join(f"{one['why']} ({one['number']})" for one in state["dead_because"])
        return Finding(
            "alerts that reached nobody",
            f"{state['dead']} of the last day: every channel failed, or there was none: {causes}",
            f"tell those teams by telephone now, then mend what failed; {RUNBOOK}",
        )
    return Finding("alerts that reached nobody")


def control_rooms(state: State, _now: datetime) -> Finding:
    """Whether the last resort of every city can itself be reached."""
    deaf = [
        f"{room['name']} ({room['city']}) "
        + (
            "has no address on any channel in use"
            if not room["has_address"]
            else f"got none of its last {room['failed']} messages"
        )
        for room in state["control_rooms"] or ()
        if not room["has_address"] or (room["failed"] and not room["went"])
    ]
    if deaf:
        return Finding(
            "control rooms",
            f"{'; '.join(deaf)}: nobody hears of what no team answers",
            f"add an address that works, or a channel to WAYLIGHT_CHANNELS; {RUNBOOK}",
        )
    return Finding("control rooms")


def drills(state: State, now: datetime, schedule: Sequence[Slot]) -> Finding:
    """Whether the last drill reached everybody, and the schedule is kept."""
    last = state["last_drill"]
    if last and last["reached"] < last["told"]:
        return Finding(
            "exercises",
            f"the last one, {last['started_at'][:10]}, reached {last['reached']} of"
            f" {last['told']} teams on duty",
            "`waylight exercise` says who was not reached and why",
        )
    if schedule and (
        last is None or now - datetime.fromisoformat(last["started_at"]) > DRILLED_WITHIN
    ):
        return Finding(
            "exercises",
            "WAYLIGHT_EXERCISE_SCHEDULE names times, and none was held for"
            f" {DRILLED_WITHIN.days} days",
            "run `waylight exercise` now; if it works, see the worker's log at the next time",
        )
    return Finding("exercises")


LOOKS: tuple[Callable[[State, datetime], Finding], ...] = (dead_alerts, control_rooms)
