"""How a route finds the database, the vault and the settings of its app."""

from datetime import datetime
from typing import cast

from flask import current_app

from waylight.services.context import Waylight


def waylight() -> Waylight:
    """The context of the app that answers this request."""
    return cast("Waylight", current_app.extensions["waylight"])


def now() -> datetime:
    """The moment of this call; the one place where the door reads the clock."""
    told: datetime = current_app.extensions["waylight.clock"]()
    return told
