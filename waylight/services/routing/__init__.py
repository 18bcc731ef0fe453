"""Finding who is nearby and deciding who is told; also the next rung of a ladder."""

from waylight.services.routing.ahead import look_around
from waylight.services.routing.around import (
    Draft,
    Surroundings,
    blind,
    decide,
    default_city,
    draft,
    hubs_for,
)
from waylight.services.routing.journeys import vehicle_of
from waylight.services.routing.ladder import (
    control_room_fallback,
    first_rungs,
    next_rung,
    route_unrouted,
)

__all__ = [
    "Draft",
    "Surroundings",
    "blind",
    "control_room_fallback",
    "decide",
    "default_city",
    "draft",
    "first_rungs",
    "hubs_for",
    "look_around",
    "next_rung",
    "route_unrouted",
    "vehicle_of",
]
