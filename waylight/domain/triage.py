"""How urgent, how severe, which priority, and why: the binding table of the field guide.

Words are those of CAP 1.2. Every rule that holds is returned as a reason; the first decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from waylight.domain.categories import CATEGORIES, SEVERITIES
from waylight.domain.reports import (
    Happening,
    NewReport,
    Perspective,
    Priority,
    Reason,
    ReportWarning,
)

STALE_NOW = timedelta(minutes=15)
"""A `now` older than this waited in a phone: it is shown with its age and no longer raced to."""

STALE_JUST_NOW = timedelta(hours=1)
RECENT = timedelta(hours=24)

ABSURD_AGE = timedelta(days=366)
"""No phone holds a report for a year: such a clock is broken, and a broken clock counts as now."""

CLOCK_TOLERANCE = timedelta(minutes=2)

URGENCY = {
    Happening.NOW: "Immediate",
    Happening.JUST_NOW: "Expected",
    Happening.EARLIER: "Past",
}
CERTAINTY = {
    Perspective.EXPERIENCED: "Observed",
    Perspective.WITNESSED: "Observed",
    Perspective.ON_BEHALF: "Likely",
    Perspective.FELT_UNSAFE: "Possible",
}


@dataclass(frozen=True)
class Timing:
    """When it happened, in our clock. `age` runs from the recording, `since` from the event."""

    happening: Happening
    age: timedelta
    since: timedelta
    happened_at: datetime
    phone_now: datetime
    skew: timedelta
    warnings: tuple[ReportWarning, ...] = ()


def timing(report: NewReport, *, received_at: datetime) -> Timing:
    """Corrects the phone's clock with `sent_at` and demotes a `now` that waited too long.

    The phone's clock is off by `received_at - sent_at`; without `sent_at` it is taken as right. A
    clock that puts the recording in the future or a year back counts as now. Somebody who says
    they are in danger is never demoted.
    """
    warnings: list[ReportWarning] = []
    skew = received_at - report.sent_at if report.sent_at else timedelta(0)
    if abs(skew) > CLOCK_TOLERANCE:
        warnings.append(
            ReportWarning("/sent_at", "clock_corrected", {"skew_s": int(skew.total_seconds())})
        )
    recorded_at = report.recorded_at + skew if report.recorded_at else received_at
    age = received_at - recorded_at
    if age > ABSURD_AGE or age < -CLOCK_TOLERANCE:
        warnings.append(ReportWarning("/recorded_at", "clock_absurd"))
        age = timedelta(0)
    age = max(age, timedelta(0))

    happening = report.happening
    if not report.in_danger:
        if happening is Happening.NOW and age > STALE_NOW:
            happening = Happening.JUST_NOW
        if happening is Happening.JUST_NOW and age > STALE_JUST_NOW:
            happening = Happening.EARLIER

    happened_at = received_at - age
    latest = report.happened_to or report.happened_from
    if report.happening is Happening.EARLIER and latest is not None:
        claimed = latest + skew
        if claimed <= received_at + CLOCK_TOLERANCE:
            happened_at = min(claimed, received_at)
        else:
            warnings.append(ReportWarning("/occurred", "clock_ahead"))
    return Timing(
        happening=happening,
        age=age,
        since=received_at - happened_at,
        happened_at=happened_at,
        phone_now=received_at - skew,
        skew=skew,
        warnings=tuple(warnings),
    )


def severity(report: NewReport) -> tuple[str, tuple[Reason, ...]]:
    """The highest severity floor of the categories, raised by the answers."""
    floors = [CATEGORIES[code].severity for code in report.categories or ("other",)]
    raised = [
        *(["Extreme"] if report.weapon_seen else []),
        *(["Severe"] if report.in_danger or report.hurt_or_unwell else []),
    ]
    worst = max((*floors, *raised), key=SEVERITIES.index)
    groups = dict.fromkeys(
        CATEGORIES[code].group for code in report.categories if CATEGORIES[code].severity == worst
    )
    return worst, tuple(Reason(f"category_{group}") for group in groups)


def triage(report: NewReport, when: Timing) -> Priority:
    """Priority 1 to 4 (first rule that holds) with every reason, most urgent first."""
    level, causes = severity(report)
    now = when.happening is Happening.NOW
    live = when.happening in (Happening.NOW, Happening.JUST_NOW)
    grave = level in ("Extreme", "Severe")
    recent = when.since <= RECENT

    rules: Sequence[tuple[int, str, bool]] = (
        (1, "in_danger", bool(report.in_danger)),
        (1, "weapon_seen", bool(report.weapon_seen) and live),
        (1, "hurt_or_unwell", bool(report.hurt_or_unwell) and live),
        (1, "severity_extreme_now", level == "Extreme" and live),
        (1, "person_nearby_severe", level == "Severe" and now and bool(report.person_nearby)),
        (2, "severe_within_24h", grave and recent),
        (2, "under_18", bool(report.under_18)),
        (2, "moderate_now", level == "Moderate" and now),
        (3, "severe_older", grave and not recent),
        (3, "moderate_just_now", level == "Moderate" and when.happening is Happening.JUST_NOW),
        (3, "minor_nearby", level == "Minor" and now and bool(report.person_nearby)),
    )
    held = [(number, code) for number, code, holds in rules if holds]
    if report.only_describes_a_person:
        held = [(4, "description_only")]
    number = held[0][0] if held else 4
    reasons = [Reason(code) for _, code in held] or [Reason("other_report")]
    reasons[1:1] = causes
    if when.happening is not report.happening:
        reasons.append(Reason("aged_now", {"age_min": int(when.age.total_seconds() // 60)}))
    return Priority(
        level=number,
        urgency=URGENCY[when.happening],
        severity=level,
        certainty=CERTAINTY[report.perspective],
        reasons=tuple(reasons),
    )
