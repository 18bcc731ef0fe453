"""Safe-travel hubs: the list, one of them, and the nearest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import hubs as db_hubs
from waylight.db.nearest import rank_exactly
from waylight.db.session import Database
from waylight.domain.cities import City
from waylight.domain.errors import NotFound
from waylight.domain.geo import Bounds, Point
from waylight.domain.hubs import (
    FEATURE_OF_NEED,
    Hub,
    NearHub,
    is_stale,
    met,
    ranked_m,
    stays_open,
)
from waylight.domain.routing import walk_minutes
from waylight.services.cities import read_cities
from waylight.services.schedules import is_open_in, open_until_in


def list_hubs(
    database: Database,
    *,
    at: datetime,
    bounds: Bounds | None = None,
    after: UUID | None = None,
    limit: int,
) -> list[Hub]:
    """Hubs in the order of their ids, from the one after `after`, as they are at `at`, i.e. now.

    Raises Unavailable.
    """
    with database.intake(autocommit=True) as conn:
        clock = Clock(conn, at=at, now=at)
        rows = db_hubs.in_order(conn, at=at, expanded=True, bounds=bounds, after=after, limit=limit)
        return [hub_of(row, clock) for row in rows]


def one_hub(database: Database, hub_id: UUID, *, at: datetime) -> Hub:
    """One hub as it is at `at`, i.e. now. Raises NotFound and Unavailable."""
    with database.intake(autocommit=True) as conn:
        row = db_hubs.find(conn, hub_id, at=at, expanded=True)
        if not row:
            raise NotFound
        return hub_of(row, Clock(conn, at=at, now=at))


def nearest_hubs(
    database: Database,
    here: Point,
    *,
    at: datetime,
    now: datetime,
    open_now: bool = True,
    needs: Sequence[str] = (),
    limit: int,
) -> list[NearHub]:
    """The nearest hubs by geodesic distance, as they are at `at`; only open ones with `open_now`.

    Hubs that meet every need come first, by distance; then, so that nobody is left without, the
    others, by distance, with what they lack. A mobile hub that has been silent is ranked as far
    away as it may be by now. Raises Unavailable.
    """
    with database.intake(autocommit=True) as conn:
        clock = Clock(conn, at=at, now=now)

        def look(features: Sequence[str], count: int) -> list[Mapping[str, Any]]:
            fetch = partial(
                db_hubs.nearest,
                conn,
                here,
                at=at,
                expanded=clock.expanded,
                open_now=open_now,
                features=features,
            )
            return rank_exactly(
                lambda wanted: fetch(limit=wanted),
                limit=count,
                keep=lambda row: not open_now or clock.is_open(row),
                rank=clock.rank,
            )

        rows = look([FEATURE_OF_NEED[need] for need in needs], limit)
        if needs and len(rows) < limit:
            best = {row["id"] for row in rows}
            rows += [row for row in look((), limit) if row["id"] not in best]
        return [_near_hub(row, clock, needs) for row in rows[:limit]]


@dataclass(frozen=True)
class Clock:
    """Whether hubs are open at an instant: by their expanded hours, else by the hours themselves.

    Hours are expanded from some moment in the past up to `expanded_until`; of an instant before
    now the stored ranges may say nothing.
    """

    conn: Connection[Any]
    at: datetime
    now: datetime

    @property
    def expanded(self) -> bool:
        """Whether the stored ranges say anything of that instant."""
        return self.at >= self.now

    @cached_property
    def _cities(self) -> Mapping[UUID, City]:
        return {city.id: city for city in read_cities(self.conn)}

    def is_open(self, row: Mapping[str, Any]) -> bool:
        """Whether a row's hub is open then."""
        if row["expanded"]:
            return bool(row["open"])
        return is_open_in(self._cities[row["city_id"]], row["opening_hours"], self.at)

    def rank(self, row: Mapping[str, Any]) -> float:
        """What a row is ranked by: how far away its hub may be by then."""
        return ranked_m(
            row["distance_m"], mobile=row["mobile"], position_at=row["position_at"], at=self.at
        )

    def open_until(self, row: Mapping[str, Any]) -> datetime | None:
        """When a row's hub closes; None when it is closed or never does."""
        if row["expanded"]:
            until: datetime | None = row["open_until"]
            return until
        if not self.is_open(row):
            return None
        return open_until_in(self._cities[row["city_id"]], row["opening_hours"], self.at)


def _near_hub(row: Mapping[str, Any], clock: Clock, needs: Sequence[str]) -> NearHub:
    needs_met = met(needs, (*row["services"], *row["access"]))
    hub = hub_of(row, clock)
    return NearHub(
        hub=hub,
        distance_m=row["distance_m"],
        needs_met=needs_met,
        needs_unmet=tuple(need for need in needs if need not in needs_met),
        open_on_arrival=hub.open
        and stays_open(hub.open_until, at=clock.at, walk_minutes=walk_minutes(row["distance_m"])),
    )


def hub_of(row: Mapping[str, Any], clock: Clock) -> Hub:
    """A row of `db/hubs` as a hub at the clock's instant."""
    return Hub(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        mobile=row["mobile"],
        organisation=row["organisation"],
        point=Point(row["lon"], row["lat"]),
        address=row["address"],
        opening_hours=row["opening_hours"],
        time_zone=row["time_zone"],
        open=clock.is_open(row),
        open_until=clock.open_until(row),
        services=tuple(row["services"]),
        access=tuple(row["access"]),
        languages=tuple(row["languages"]),
        phone=row["phone"],
        demo=row["demo"],
        updated_at=row["updated_at"],
        position_at=row["position_at"],
        position_stale=is_stale(mobile=row["mobile"], position_at=row["position_at"], at=clock.at),
    )
