"""Teams: which there are, what they say of themselves, and what administrators change of them."""

from waylight.services.teams.duty import (
    capability_problems,
    set_capabilities,
    set_duty,
    set_position,
    written,
)
from waylight.services.teams.managing import (
    city_of,
    edit_team,
    found_team,
    outside_problems,
    retire_team,
)
from waylight.services.teams.reading import list_teams, own_team, read_team, visible_team

__all__ = [
    "capability_problems",
    "city_of",
    "edit_team",
    "found_team",
    "list_teams",
    "outside_problems",
    "own_team",
    "read_team",
    "retire_team",
    "set_capabilities",
    "set_duty",
    "set_position",
    "visible_team",
    "written",
]
