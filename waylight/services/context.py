"""What every process of Waylight carries: its settings, its database and its keys."""

from dataclasses import dataclass

from waylight.config import Settings
from waylight.db.session import Database
from waylight.vault import Vault


@dataclass(frozen=True)
class Waylight:
    """The three things that services are called with."""

    settings: Settings
    database: Database
    vault: Vault


def open_waylight(settings: Settings) -> Waylight:
    """The context of one process. Connects to nothing: pools open on first use, after a fork."""
    return Waylight(settings=settings, database=Database(settings), vault=Vault(settings))
