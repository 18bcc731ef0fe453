"""What a passenger sends, and what they get back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from waylight.domain.geo import Point
from waylight.domain.principals import NOBODY, Principal

NARRATIVE_LIMIT = 10_000
"""Characters of a story that staff screens show at once; a longer one is kept whole and marked."""


class Happening(StrEnum):
    """When it happens, as the passenger says it."""

    NOW = "now"
    JUST_NOW = "just_now"
    EARLIER = "earlier"


class Perspective(StrEnum):
    """Whose experience is reported."""

    EXPERIENCED = "experienced"
    WITNESSED = "witnessed"
    ON_BEHALF = "on_behalf"
    FELT_UNSAFE = "felt_unsafe"


class Want(StrEnum):
    """What the passenger asks for; a hard limit on who is told."""

    HELP = "help"
    CONTACT = "contact"
    HUB = "hub"
    POLICE = "police"
    RECORD_ONLY = "record_only"
    SUPPORT_ONLY = "support_only"


class Need(StrEnum):
    """What a helper or a hub should offer this passenger."""

    STEP_FREE = "step_free"
    ACCESSIBLE_TOILET = "accessible_toilet"
    HEARING_LOOP = "hearing_loop"
    SIGN_LANGUAGE = "sign_language"
    TEXT_ONLY = "text_only"
    WOMEN_ONLY = "women_only"
    COMPANION = "companion"
    FIRST_AID = "first_aid"
    ASSISTANCE_DOG = "assistance_dog"


class ShareWith(StrEnum):
    """Who else may see the report, by the passenger's consent."""

    OPERATOR = "operator"
    POLICE = "police"
    SUPPORT = "support"


@dataclass(frozen=True)
class ReportWarning:
    """Something in the report that was repaired, ignored or kept aside; never a refusal."""

    pointer: str
    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LocationClaim:
    """Where the passenger says they are; nothing here is trusted yet."""

    point: Point | None = None
    swapped: Point | None = None
    """The same two numbers the other way round, when that is a possible position."""
    accuracy_m: float | None = None
    method: str | None = None
    fixed_at: datetime | None = None
    stop_id: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Journey:
    """The vehicle the passenger is or was on."""

    mode: str | None = None
    route_id: str | None = None
    direction: str | None = None
    vehicle_id: str | None = None
    carriage: str | None = None
    boarded_stop_id: str | None = None
    next_stop_id: str | None = None


@dataclass(frozen=True)
class Contact:
    """How and when it is safe to reach the passenger."""

    phone: str | None = None
    email: str | None = None
    safe_times: str | None = None
    voicemail_ok: bool | None = None


@dataclass(frozen=True)
class NewReport:
    """A report as understood at the door: known words only, everything else in `rejected`.

    `happened_from`/`happened_to`, `recorded_at`, `sent_at` are the phone's clock, not corrected.
    `rejected` maps a JSON Pointer to the value that was not understood; it is kept encrypted.
    `fingerprint` is a digest of the body without its volatile fields, for idempotency.
    """

    categories: tuple[str, ...] = ()
    happening: Happening = Happening.NOW
    happened_from: datetime | None = None
    happened_to: datetime | None = None
    happened_estimated: bool = False
    recorded_at: datetime | None = None
    sent_at: datetime | None = None
    location: LocationClaim = LocationClaim()
    journey: Journey = Journey()
    perspective: Perspective = Perspective.EXPERIENCED
    in_danger: bool | None = None
    hurt_or_unwell: bool | None = None
    weapon_seen: bool | None = None
    person_nearby: bool | None = None
    under_18: bool | None = None
    wants: tuple[Want, ...] = ()
    needs: tuple[Need, ...] = ()
    share_with: tuple[ShareWith, ...] = ()
    narrative: str | None = None
    description_of_person: str | None = None
    contact: Contact | None = None
    language: str | None = None
    exercise: bool = False
    rejected: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[ReportWarning, ...] = ()
    fingerprint: bytes = b""

    @property
    def tells_nobody(self) -> bool:
        """The passenger asked that nobody be told, and did not also ask for somebody."""
        return bool(self.wants) and set(self.wants) <= {Want.RECORD_ONLY, Want.SUPPORT_ONLY}

    @property
    def allows_police(self) -> bool:
        """A stated list without `police` is a refusal; no list is not."""
        return not self.wants or Want.POLICE in self.wants

    @property
    def consents(self) -> tuple[ShareWith, ...]:
        """Who else may read it, by consent, also where nobody is to be told.

        A child's ticks share nothing: a person asks first.
        """
        return () if self.under_18 else self.share_with

    @property
    def only_describes_a_person(self) -> bool:
        """Nothing is said of behaviour: such a report never dispatches anybody (design, 6.3)."""
        flags = (self.in_danger, self.hurt_or_unwell, self.weapon_seen, self.person_nearby)
        return bool(self.description_of_person) and not (
            self.categories or self.narrative or self.wants or any(flags)
        )


@dataclass(frozen=True)
class Submission:
    """One report on its way in, with what its request carried beside the body."""

    report: NewReport
    received_at: datetime
    idempotency_key: str | None = None
    principal: Principal = NOBODY


@dataclass(frozen=True)
class Reason:
    """Why: a stable code and the values its sentence needs. Texts are put in at the door."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlaceRef:
    """A named place near or at the report: its public stop id, else `place:` and our own id."""

    id: str
    name: str
    demo: bool = False


@dataclass(frozen=True)
class Located:
    """Where the report is taken to be: `source` is point, stop, journey, words or nothing."""

    source: str
    point: Point | None = None
    radius_m: float | None = None
    method: str | None = None
    age_s: int | None = None
    place: PlaceRef | None = None


@dataclass(frozen=True)
class Recipient:
    """Somebody who is told about this report, or would be next. `told` is now, if_unanswered.

    `role` is primary, backup, control_room or hub; exactly one of `team_id`, `hub_id` is set.
    """

    team_id: UUID | None
    hub_id: UUID | None
    name: str
    organisation_id: UUID
    organisation: str
    role: str
    rank: int
    told: str
    distance_m: int | None = None
    demo: bool = False
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Priority:
    """Level 1 to 4 with CAP 1.2 words and every rule that held."""

    level: int
    urgency: str
    severity: str
    certainty: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class OpenHub:
    """A safe-travel hub that is open now. `open_until` is None when it never closes.

    `open_on_arrival` is False where it closes before somebody who walks there now has arrived.
    `silent_min` is for how long a mobile hub has not said where it is, once that may be untrue; it
    is then ranked by `rank_m`, as far away as it may be by now.
    """

    id: UUID
    name: str
    point: Point
    distance_m: int
    walk_minutes: int
    open_until: datetime | None
    services: tuple[str, ...]
    access: tuple[str, ...]
    needs_met: tuple[str, ...] = ()
    needs_unmet: tuple[str, ...] = ()
    demo: bool = False
    open_on_arrival: bool = True
    silent_min: int | None = None
    rank_m: float | None = None


@dataclass(frozen=True)
class ReportReceipt:
    """The 201: everything the passenger must know now, in codes; the door puts it into words.

    `alerting` is live, delayed or none. `replayed` marks the answer to a retry.
    """

    id: UUID
    receipt: str
    status: str
    received_at: datetime
    priority: Priority
    location: Located
    joined: bool
    routed_to: tuple[Recipient, ...]
    shortfalls: tuple[Reason, ...]
    alerting: str
    hubs: tuple[OpenHub, ...]
    jurisdiction: "Jurisdiction"
    safety_card: "SafetyCard"
    warnings: tuple[ReportWarning, ...]
    linked_report_id: UUID | None = None
    exercise: bool = False
    replayed: bool = False


@dataclass(frozen=True)
class Jurisdiction:
    """Whose job it is: the body, why, and how to reach it when it is not an emergency."""

    body: str | None
    reason: Reason
    contact: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CardContact:
    """One line of the safety card: what it is for, who, and the number; `how` is a text code."""

    need: str
    name: str
    phone: str | None = None
    sms: str | None = None
    how: str | None = None


@dataclass(frozen=True)
class SafetyCard:
    """What to do now. `verified_at` is the day the contacts were last checked, ISO 8601."""

    emergency: tuple[CardContact, ...]
    support: tuple[CardContact, ...]
    advice: tuple[Reason, ...]
    who_sees_this: tuple[Reason, ...]
    verified_at: str | None


@dataclass(frozen=True)
class TimelineEntry:
    """One fact of a report's story that its passenger may see."""

    at: datetime
    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldBy:
    """The team that has a report now: it has said so, and is not done."""

    name: str
    organisation: str
    state: str
    since: datetime | None


@dataclass(frozen=True)
class MyReport:
    """A report as its passenger sees it when they come back with the receipt."""

    id: UUID
    status: str
    received_at: datetime
    priority: Priority
    location: Located
    categories: Sequence[str]
    happening: str
    exercise: bool
    joined: bool
    language: str | None
    timeline: tuple[TimelineEntry, ...]
    told: tuple[Recipient, ...]
    held_by: HeldBy | None = None
