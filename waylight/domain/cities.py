"""What a city's pack says about whose job it is and whom to call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from waylight.domain.geo import Bounds


@dataclass(frozen=True)
class ControlRoom:
    """The city's last resort and overseer: a team that is always on duty.

    `capabilities` are all that it has, with those that `ends` says are over by now.
    """

    team_id: UUID
    name: str
    organisation_id: UUID
    organisation: str
    capabilities: tuple[str, ...] = ()
    demo: bool = False
    ends: Mapping[str, datetime] = field(default_factory=dict)
    waits_s: Mapping[int, float] = field(default_factory=dict)
    """How long it has to answer, by priority, where its organisation says so."""

    def at(self, moment: datetime) -> "ControlRoom":
        """The same with the capabilities that it has at an instant."""
        if not self.ends:
            return self
        valid = (c for c in self.capabilities if c not in self.ends or self.ends[c] > moment)
        return replace(self, capabilities=tuple(valid), ends={})


@dataclass(frozen=True)
class City:
    """One city of this deployment, as read from the database; refreshed when `version` changes.

    `version` counts the changes of the city and of its control room. `jurisdiction` and `contacts`
    are the pack's own mappings, organisations by name.
    """

    id: UUID
    slug: str
    name: str
    time_zone: str
    version: int
    bounds: Bounds
    control_room: ControlRoom | None
    jurisdiction: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    contacts: Mapping[str, Any] = field(default_factory=dict)
    contacts_verified_at: str | None = None
    modes: frozenset[str] = frozenset()
    holidays: Mapping[str, Any] = field(default_factory=dict)

    def at(self, moment: datetime) -> "City":
        """The same with its control room as that is at an instant."""
        room = self.control_room
        if room is None or not room.ends:
            return self
        return replace(self, control_room=room.at(moment))
