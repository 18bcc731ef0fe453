"""What a change of coverages, teams or timetables would have done to reports of the past."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from waylight.domain.alerts import Waits, ladder_step_s
from waylight.domain.coverages import Rule
from waylight.domain.geo import ROUNDED_M, Point
from waylight.domain.reports import Recipient
from waylight.domain.routing import Candidate, Routing
from waylight.domain.teams import Capability

LONGEST = timedelta(days=31)
MOST_CHANGES = 20
"""Of a kind, in one proposal."""

WEEK = timedelta(days=7)

ASSUMPTIONS: Mapping[str, str] = {
    "duty": "Every team counts as available. Whether one was busy, off, on duty by hand or at"
    " another incident at the time is not known.",
    "shifts": "Shifts and schedules are those set now, at the same hour of the same day of a coming"
    " week; a holiday, or the night the clocks change, may have been another.",
    "positions": "Teams count from their base: where they were is not kept.",
    # The grid of the analysts (design, 6.4): by drawing one shape after the other nobody finds out
    # more, not even who holds the two lists against each other.
    "reports": f"A report counts in the middle of its cell of a {ROUNDED_M:g} m grid, so one close"
    " to the edge of a shape may fall on its other side. Vehicles are not followed.",
    "first": "Compared is who is told first, not the rungs below.",
    "timetable": "A rung climbs when its team had not answered within its time; whoever was told"
    " next is taken to answer as late as they did.",
}
"""What a dry-run cannot know, and what it takes for granted instead."""


@dataclass(frozen=True)
class CoverageChange:
    """A coverage that is new (no id), other (both) or gone (no rule)."""

    team_id: UUID
    coverage_id: UUID | None = None
    rule: Rule | None = None


@dataclass(frozen=True)
class TeamChange:
    """A team that is retired, or is somewhere else, or can do something else."""

    team_id: UUID
    retired: bool = False
    base: Point | None = None
    capabilities: tuple[Capability, ...] | None = None
    outside_city: bool = False


@dataclass(frozen=True)
class Proposal:
    """What would change; `waits_s` is the whole timetable, None where it stays as it is."""

    coverages: tuple[CoverageChange, ...] = ()
    teams: tuple[TeamChange, ...] = ()
    waits_s: Mapping[int, float | None] | None = None

    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not self.coverages and not self.teams and self.waits_s is None


@dataclass(frozen=True)
class Told:
    """Who is told first."""

    team_id: UUID | None
    name: str
    organisation: str
    role: str


@dataclass(frozen=True)
class Difference:
    """A report that would have gone otherwise. No place and no story."""

    report_id: UUID
    priority: int
    was: Told | None
    would_be: Told | None
    because: str


@dataclass(frozen=True)
class DryRun:
    """One page: those of the `looked_at` reports that differ, the newest first.

    `reports` counts all that the caller may see in the period. `after` is where to go on; with
    `cut_short`, because the time was up.
    """

    items: tuple[Difference, ...]
    looked_at: int
    reports: int
    since: datetime
    until: datetime
    after: UUID | None
    cut_short: bool


def as_if(received_at: datetime, *, now: datetime) -> datetime:
    """The same hour of the week between a day and eight days from now, where shifts are known."""
    weeks = math.ceil((now + timedelta(days=1) - received_at) / WEEK)
    return received_at + weeks * WEEK


def told(routing: Routing) -> Told | None:
    """Who is told first by a decision; hubs are no matter of it."""
    first = next((one for one in routing.told if one.team_id is not None), None)
    return None if first is None else _told(first)


def because(
    was: Told | None,
    would_be: Told | None,
    *,
    before: Sequence[Candidate],
    after: Sequence[Candidate],
) -> str | None:
    """Why another team would have been told first, as a code; None when it is the same."""
    old, new = was and was.team_id, would_be and would_be.team_id
    if old == new:
        return None
    if new is not None and new not in {c.team_id for c in before} and _is_field(would_be):
        return "newly_covered"
    if old is not None and old not in {c.team_id for c in after} and _is_field(was):
        return "no_longer_covered"
    return "order_changed"


def climbs(priority: int, answered_after_s: float | None, waits: Waits) -> bool:
    """Whether the next rung is told of a report that was answered so late; None is never."""
    step = ladder_step_s(priority, waits)
    return step is not None and (answered_after_s is None or answered_after_s > step)


def _is_field(one: Told | None) -> bool:
    return one is not None and one.role != "control_room"


def _told(one: Recipient) -> Told:
    return Told(one.team_id, one.name, one.organisation, one.role)
