"""Which facts are told outside, under which names: the stream and the webhooks of partners.

A public event is a hint with a link, never the story: who is concerned, how urgent, what changed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from waylight.domain.alerts import Named

VERSION = 1
"""Of the envelope. Fields are added within a version; a client ignores those it does not know."""

ALERT_CREATED = "alert.created"
ALERT_UPDATED = "alert.updated"
ALERT_WITHDRAWN = "alert.withdrawn"
ALERT_ESCALATED = "alert.escalated"
INCIDENT_UPDATED = "incident.updated"
HUB_UPDATED = "hub.updated"
GRANT_CREATED = "grant.created"
GRANT_REVOKED = "grant.revoked"

TYPES = (
    ALERT_CREATED,
    ALERT_UPDATED,
    ALERT_WITHDRAWN,
    ALERT_ESCALATED,
    INCIDENT_UPDATED,
    HUB_UPDATED,
    GRANT_CREATED,
    GRANT_REVOKED,
)
"""What can happen. Each also exists as a drill, with EXERCISE in front."""

EXERCISE = "exercise."
"""Begins the type of every event of a drill and of no other. A listener to `alert.created` never
hears of a drill, so it cannot take one for real; whoever wants drills listens for them by name."""

RESERVED = ("message",)
"""Nouns that will have public events: nothing else may be called so meanwhile."""

NOUNS = ("alert", "incident", "hub", "grant")
"""What public events are about. A fact about anything else stays inside: `report.*` is the
passenger's, `delivery.*` our own (an event sent because an event was sent would never end), and
`team.*` is in the list of teams."""

_UPDATES = {"alert": ALERT_UPDATED, "incident": INCIDENT_UPDATED, "hub": HUB_UPDATED}
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def public_type(kind: str, *, exercise: bool) -> str | None:
    """The type under which a fact is told outside; None for one that is not.

    A fact that has no type of its own is an update of what it is about: `alert.acknowledged` is
    told as `alert.updated` with the reason `acknowledged`.
    """
    noun, dot, _ = kind.partition(".")
    told = kind if kind in TYPES else _UPDATES.get(noun)
    if told is None or not dot:
        return None
    return EXERCISE + told if exercise else told


def reason_of(kind: str, data: Mapping[str, Any]) -> str | None:
    """Why, as a code: the last word of a fact without a type of its own, else what it says.

    Only of a fact that has a type is `reason` in its data believed to be a code: elsewhere people
    may have written it, and what people write is not told outside.
    """
    if kind not in TYPES:
        word = kind.partition(".")[2]
        return word if _CODE.fullmatch(word) else None
    said = data.get("reason")
    return said if isinstance(said, str) and _CODE.fullmatch(said) else None


@dataclass(frozen=True)
class PublicEvent:
    """One fact as it may be told outside, and to whom.

    `status` and `priority` are those of the alert, else of the incident, when it is read, not when
    it happened: a client that was away and reads old events acts on what is so now.
    """

    id: UUID
    sequence: int
    type: str
    at: datetime
    audience: frozenset[UUID]
    """The organisations that may be told: nobody else, ever."""
    organisation_id: UUID | None = None
    """Whose alert or hub it is; None for an incident, which belongs to nobody."""
    alert_id: UUID | None = None
    incident_id: UUID | None = None
    team: Named | None = None
    hub: Named | None = None
    status: str | None = None
    reason: str | None = None
    priority: int | None = None
    category_groups: tuple[str, ...] = ()
    exercise: bool = False
    report_id: UUID | None = None
    """Of a grant alone: what the organisation may read from now on, or no more."""

    def concerns(self, organisation_id: UUID | None, *, team_id: UUID | None = None) -> bool:
        """Whether this organisation may be told; with a team: and it is about that one."""
        told = organisation_id is not None and organisation_id in self.audience
        return told and (team_id is None or (self.team is not None and self.team.id == team_id))
