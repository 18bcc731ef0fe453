"""Safe-travel hubs: the list, one of them, the nearest, and what their staff change."""

from waylight.services.hubs.managing import (
    edit_hub,
    found_hub,
    lift_override,
    move_hub,
    override_hub,
    read_desk,
    retire_hub,
    tell_of_ended_overrides,
)
from waylight.services.hubs.reading import list_hubs, nearest_hubs, one_hub
from waylight.services.hubs.walks import redirect_walks

__all__ = [
    "edit_hub",
    "found_hub",
    "lift_override",
    "list_hubs",
    "move_hub",
    "nearest_hubs",
    "one_hub",
    "override_hub",
    "read_desk",
    "redirect_walks",
    "retire_hub",
    "tell_of_ended_overrides",
]
