"""Safe-travel hubs as callers see them, and which of them comes first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waylight.domain.geo import Point

FEATURE_OF_NEED = {
    "step_free": "step_free",
    "accessible_toilet": "accessible_toilet",
    "hearing_loop": "hearing_loop",
    "sign_language": "sign_language",
    "text_only": "text_relay",
    "women_only": "women_only_space",
    "companion": "trained_staff",
    "first_aid": "first_aid",
    "assistance_dog": "assistance_dogs",
}
"""The service or access feature of a hub that answers a passenger's need."""


@dataclass(frozen=True)
class Hub:
    """One hub at one instant: `open` then, until `open_until`, which is None when it never closes.

    `open_until` is None as well while it is closed.
    """

    id: UUID
    name: str
    kind: str
    mobile: bool
    organisation: str
    point: Point
    address: str
    opening_hours: str
    time_zone: str
    open: bool
    open_until: datetime | None
    services: tuple[str, ...]
    access: tuple[str, ...]
    languages: tuple[str, ...]
    phone: str | None
    demo: bool
    updated_at: datetime


@dataclass(frozen=True)
class NearHub:
    """A hub as seen from somewhere, by somebody with needs. Metres on the WGS 84 ellipsoid."""

    hub: Hub
    distance_m: float
    needs_met: tuple[str, ...]
    needs_unmet: tuple[str, ...]


def met(needs: Sequence[str], features: Sequence[str]) -> tuple[str, ...]:
    """Which of the needs a hub with these services and access features meets."""
    return tuple(need for need in needs if FEATURE_OF_NEED[need] in features)
