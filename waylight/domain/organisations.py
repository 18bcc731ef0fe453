"""Organisations: operators, police forces, councils and charities, as their staff see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

KINDS = (
    "operator",
    "police",
    "council",
    "charity",
    "health",
    "control_room",
    "support_service",
)
CONTACTS = ("sms", "phone", "url")


@dataclass(frozen=True)
class Organisation:
    """The tenant. `contact` is how anybody reaches it; `edited` outlives a city pack.

    `waits_s` is what staff set of the escalation timetable, by priority.
    """

    id: UUID
    version: int
    name: str
    kind: str
    city: str
    contact: Mapping[str, str | None]
    edited: tuple[str, ...]
    waits_s: Mapping[int, float]
    demo: bool
