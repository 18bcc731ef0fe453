"""Incidents as staff read them: one of many, one with all that is known, and what happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from waylight.domain.alerts import GrantedReport, Named, State, ToldRung
from waylight.domain.reports import Reason, Recipient


@dataclass(frozen=True)
class Holder:
    """Who has an incident, by the alert with which it does."""

    alert_id: UUID
    team: Named
    organisation: str
    state: State
    since: datetime | None


@dataclass(frozen=True)
class Incident:
    """One line of a list of incidents: what kind, how urgent, who has it. Nothing of a report."""

    id: UUID
    version: int
    state: str
    priority: int
    category_groups: tuple[str, ...]
    report_count: int
    exercise: bool
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    held_by: Holder | None
    escalate_at: datetime | None
    unanswered_at: datetime | None
    merged_into: UUID | None
    split_from: UUID | None


@dataclass(frozen=True)
class IncidentDetail:
    """An incident with everybody who was told and the reports that the caller was granted."""

    incident: Incident
    rungs: tuple[ToldRung, ...]
    reports: tuple[GrantedReport, ...]


@dataclass(frozen=True)
class Actor:
    """Who did something. `person` is named to their own organisation only."""

    organisation: str
    role: str | None
    person: str | None


@dataclass(frozen=True)
class Told:
    """The recipient of the alert that an entry is about."""

    alert_id: UUID
    team: Named | None
    hub: Named | None
    organisation: str


@dataclass(frozen=True)
class Entry:
    """One thing that happened to an incident. `rank` and `id` give those of one moment an order.

    `data` are codes and numbers; what people wrote is in `note`, None where its key is gone.
    """

    at: datetime
    rank: int
    id: UUID
    kind: str
    report_id: UUID | None = None
    by: Actor | None = None
    told: Told | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    choices: tuple[Recipient, ...] = ()
    shortfalls: tuple[Reason, ...] = ()
