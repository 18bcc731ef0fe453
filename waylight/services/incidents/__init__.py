"""Incidents: what staff read of them, and what is done to one as a whole."""

from waylight.services.incidents.handing import hand_over
from waylight.services.incidents.moving import merge, reopen, split
from waylight.services.incidents.reading import (
    add_note,
    list_incidents,
    read_incident,
    read_timeline,
)

__all__ = [
    "add_note",
    "hand_over",
    "list_incidents",
    "merge",
    "read_incident",
    "read_timeline",
    "reopen",
    "split",
]
