"""What staff read of alerts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from waylight.domain.alerts.steps import State
from waylight.domain.arrivals import Expected
from waylight.domain.check_ins import CheckIn
from waylight.domain.journeys import Vehicle
from waylight.domain.properties import View
from waylight.domain.reports import Contact, Journey, Located, Priority, Reason, Recipient


@dataclass(frozen=True)
class Named:
    """A team, a hub or a person by id and name."""

    id: UUID
    name: str

    @classmethod
    def known(cls, id: UUID | None, name: str | None) -> "Named | None":
        """None where there is nobody, and where the name is not for whoever reads."""
        return None if id is None or name is None else cls(id, name)


@dataclass(frozen=True)
class IncidentSummary:
    """The event that an alert is about. `held_by` is the alert of the team that has it."""

    id: UUID
    state: str
    priority: int
    category_groups: tuple[str, ...]
    report_count: int
    opened_at: datetime
    last_at: datetime
    held_by: UUID | None
    escalate_at: datetime | None
    unanswered_at: datetime | None


@dataclass(frozen=True)
class AlertSummary:
    """One line of an inbox. `place` is None where the caller has no full grant."""

    id: UUID
    version: int
    state: State
    role: str
    rank: int
    priority: int
    team: Named | None
    hub: Named | None
    organisation: str
    distance_m: int | None
    reasons: tuple[Reason, ...]
    categories: tuple[str, ...]
    mode: str | None
    place: str | None
    exercise: bool
    created_at: datetime
    delivered_at: datetime | None
    seen_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: Named | None
    ended_at: datetime | None
    outcome: str | None
    off_duty_at: datetime | None
    incident: IncidentSummary


@dataclass(frozen=True)
class ToldRung:
    """Somebody else who was told about the same incident."""

    alert_id: UUID
    team: Named | None
    hub: Named | None
    organisation: str
    role: str
    rank: int
    state: State
    told_at: datetime
    seen_at: datetime | None
    acknowledged_at: datetime | None


@dataclass(frozen=True)
class Story:
    """What the passenger wrote, decrypted. `readable` is False when its key is gone or wrong.

    Of the fields in `redacted` the text is what somebody left of it, and `not_understood` is empty:
    it may repeat what was hidden.
    """

    narrative: str | None = None
    description_of_person: str | None = None
    location_description: str | None = None
    contact: Contact | None = None
    not_understood: Mapping[str, object] = field(default_factory=dict)
    readable: bool = True
    redacted: tuple[str, ...] = ()


@dataclass(frozen=True)
class GrantedReport:
    """One report of the incident as far as the caller's organisation was granted it.

    What each view is shown stands in `domain/properties`; what it is not is None, or empty.
    """

    id: UUID
    level: str
    views: frozenset[View]
    received_at: datetime
    happening: str
    age_s: int
    happened_from: datetime | None
    happened_to: datetime | None
    happened_estimated: bool
    categories: tuple[str, ...]
    perspective: str
    in_danger: bool | None
    hurt_or_unwell: bool | None
    weapon_seen: bool | None
    person_nearby: bool | None
    under_18: bool | None
    wants: tuple[str, ...]
    needs: tuple[str, ...]
    language: str | None
    priority: Priority
    choices: tuple[Recipient, ...]
    shortfalls: tuple[Reason, ...]
    location: Located | None
    journey: Journey | None
    story: Story | None
    joined: bool
    withdrawn: bool
    exercise: bool


@dataclass(frozen=True)
class AlertDetail:
    """An alert with all that its team needs in order to act. `expects` is a hub's alone.

    `check_in` is the timer of its responder, or of the one that the alert is about. `vehicle` is
    what the latest report that was granted in full says of one, as of the reading.
    """

    alert: AlertSummary
    rungs: tuple[ToldRung, ...]
    reports: tuple[GrantedReport, ...]
    expects: tuple[Expected, ...] = ()
    check_in: CheckIn | None = None
    vehicle: Vehicle | None = None
