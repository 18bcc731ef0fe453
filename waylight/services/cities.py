"""What is known of the cities in this deployment, kept in memory until a pack is loaded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection

from waylight.db import cities as db_cities
from waylight.db.session import Database
from waylight.domain.alerts import waits_of
from waylight.domain.cities import City, ControlRoom
from waylight.domain.geo import Bounds
from waylight.domain.teams import Capability


class _Snapshots:
    """The cities by database, so that tests with many databases do not share one memory."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Database, tuple[City, ...]] = WeakKeyDictionary()

    def get(self, database: Database) -> tuple[City, ...]:
        if database not in self._kept:
            with database.intake(autocommit=True) as conn:
                cities = read_cities(conn)
            if not cities:  # a pack may be loaded at any moment
                return ()
            self._kept[database] = cities
        return self._kept[database]

    def drop(self, database: Database) -> None:
        self._kept.pop(database, None)


_snapshots = _Snapshots()


def known_cities(database: Database, *, version: int | None = None) -> tuple[City, ...]:
    """The cities, the first loaded first; read again when `version` is not the one in memory."""
    cities = _snapshots.get(database)
    if version is not None and version != sum(city.version for city in cities):
        _snapshots.drop(database)
        cities = _snapshots.get(database)
    return cities


def read_cities(conn: Connection[Any]) -> tuple[City, ...]:
    """The cities as the database has them now."""
    return tuple(_city(row) for row in db_cities.read(conn))


def held_capabilities(row: Mapping[str, Any]) -> tuple[Capability, ...]:
    """What a team can do, also what is over: what its staff set, else what its pack says.

    `row` has the columns `capabilities` and `staff_capabilities` of `teams`.
    """
    if row["staff_capabilities"] is None:
        return tuple(Capability(code) for code in row["capabilities"])
    return tuple(
        Capability(code, datetime.fromisoformat(until) if until else None)
        for code, until in sorted(row["staff_capabilities"].items())
    )


def _city(row: dict[str, Any]) -> City:
    room = None
    if row["team_id"] is not None:
        room = ControlRoom(
            team_id=row["team_id"],
            name=row["team_name"],
            organisation_id=row["organisation_id"],
            organisation=row["organisation_name"],
            capabilities=tuple(held.code for held in held_capabilities(row)),
            demo=row["team_demo"],
            ends={
                held.code: held.until for held in held_capabilities(row) if held.until is not None
            },
            waits_s=waits_of(row["escalation"]),
        )
    west, south, east, north = row["bounds"]
    return City(
        id=row["id"],
        slug=row["slug"],
        name=row["name"],
        time_zone=row["time_zone"],
        version=row["version"],
        bounds=Bounds(west=west, south=south, east=east, north=north),
        control_room=room,
        jurisdiction=row["jurisdiction"],
        contacts=row["contacts"],
        contacts_verified_at=(
            row["contacts_verified_at"].isoformat() if row["contacts_verified_at"] else None
        ),
        modes=frozenset(row["modes"]),
        holidays=row["holidays"],
    )
