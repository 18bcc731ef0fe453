"""People on their way to a hub that will not take them in: told at once, and the next hub too."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.db import hubs as db_hubs
from waylight.db.hubs import walks
from waylight.db.session import Database
from waylight.domain import routing
from waylight.domain.arrivals import Walk, broken_by, is_over, on_the_way
from waylight.domain.geo import Point
from waylight.domain.hubs import ranked_m, stays_open
from waylight.services.hubs.reading import Clock
from waylight.services.sweeping import sweep

LOOKED_BACK = timedelta(hours=4)
"""Nobody walks for longer: a hub further than 5 km is told of nobody."""

LOOKED_AT = 20
"""Hubs near the passenger that are asked, nearest first."""

SWEEP = 50


def redirect_walks(
    database: Database,
    *,
    channels: Sequence[str],
    now: datetime,
    hub_id: UUID | None = None,
    alert_id: UUID | None = None,
    limit: int = SWEEP,
) -> int:
    """Tells everybody whose hub declined, closes before they are there, or moved; returns how many.

    Their report says so, with the nearest open hub instead, and that hub is told to expect them, in
    one transaction for each alert, of `limit` alerts at most. Those of one hub, or of one alert,
    when it is named. A failing one keeps no other. Raises Unavailable.
    """
    told: list[int] = []
    sweep(
        database,
        find=lambda conn, seen: walks.due(
            conn, now=now, since=now - LOOKED_BACK, hub_id=hub_id, alert_id=alert_id, skip=seen
        ),
        id_of=lambda walk: walk["id"],
        do=lambda conn, walk: told.append(_redirect(conn, walk, channels=channels, now=now)),
        failure="walk_not_redirected",
        of="alert_id",
        limit=limit,
    )
    return sum(told)


def stand_down_others(database: Database, report_id: UUID, *, but: UUID, now: datetime) -> None:
    """Somebody has arrived: whichever other hub still waits for them alone need not. `but`: ours.

    Raises Unavailable.
    """
    with database.intake() as conn:
        events.write(
            conn,
            *(
                events.Event(
                    "alert.withdrawn",
                    now,
                    city_id=ended["city_id"],
                    organisation_id=ended["organisation_id"],
                    report_id=report_id,
                    incident_id=ended["incident_id"],
                    alert_id=ended["id"],
                    data={"reason": "arrived_elsewhere", "by_alert_id": str(but)},
                    exercise=ended["exercise"],
                )
                for ended in walks.stand_down(conn, report_id, but=but, now=now)
            ),
        )


def _redirect(
    conn: Connection[Any], walk: Mapping[str, Any], *, channels: Sequence[str], now: datetime
) -> int:
    told, elsewhere, alive = 0, False, False
    for report in walks.reports(conn, walk):
        first = report["id"] == walk["report_id"] and walk["distance_m"] is not None
        distance_m = walk["distance_m"] if first else report["distance_m"]
        on_foot = Walk(
            told_at=report["since"],
            distance_m=distance_m,
            is_open=walk["open"],
            open_until=walk["open_until"],
            declined=walk["state"] == "declined",
            moved=walk["moved"],
            known_to_close=walk["known_to_close"],
        )
        why = broken_by(on_foot, now=now)
        if why is None:
            alive |= not is_over(on_foot, now=now)
            continue
        told += 1
        spot = Point(report["lon"], report["lat"])
        # Where a hub stood that has moved is not known any more, nor how near they came to it.
        if not walk["moved"]:
            spot = on_the_way(
                spot,
                Point(walk["lon"], walk["lat"]),
                distance_m=distance_m,
                walked=now - report["since"],
            )
        refused = walks.refused_by(conn, report)
        if why != "moved":
            refused.add(walk["hub_id"])
        instead = _nearest_open(conn, spot, refused=refused, now=now)
        elsewhere |= why != "moved" or instead is None or instead["id"] != walk["hub_id"]
        _tell(conn, walk, report, why=why, instead=instead, channels=channels, now=now)
    walks.mark(
        conn,
        walk["id"],
        told=told > 0,
        ended=not alive and (elsewhere or not told),
        now=now,
    )
    return told


def _nearest_open(
    conn: Connection[Any], here: Point, *, refused: set[UUID], now: datetime
) -> dict[str, Any] | None:
    """The nearest hub that is open when they get there, else the nearest that is open."""
    clock = Clock(conn, at=now, now=now)
    near = db_hubs.nearest(
        conn, here, at=now, expanded=True, open_now=True, features=(), limit=LOOKED_AT
    )
    fit = [
        row
        for row in near
        if row["id"] not in refused
        and row["distance_m"] <= routing.HEADS_UP_WITHIN_M
        and clock.is_open(row)
    ]

    def preference(row: Mapping[str, Any]) -> tuple[object, ...]:
        far_m = ranked_m(
            row["distance_m"], mobile=row["mobile"], position_at=row["position_at"], at=now
        )
        return (_may_close(row, clock), far_m, row["id"])

    return min(fit, key=preference, default=None)


def _may_close(row: Mapping[str, Any], clock: Clock) -> bool:
    minutes = routing.walk_minutes(row["distance_m"])
    return not stays_open(clock.open_until(row), at=clock.at, walk_minutes=minutes)


def _tell(
    conn: Connection[Any],
    walk: Mapping[str, Any],
    report: Mapping[str, Any],
    *,
    why: str,
    instead: Mapping[str, Any] | None,
    channels: Sequence[str],
    now: datetime,
) -> None:
    def event(kind: str, alert_id: UUID, organisation_id: UUID, **data: object) -> events.Event:
        return events.Event(
            kind,
            now,
            city_id=walk["city_id"],
            organisation_id=organisation_id,
            report_id=report["id"],
            incident_id=report["incident_id"],
            alert_id=alert_id,
            data={"hub_id": str(walk["hub_id"]), "reason": why, **data},
            exercise=walk["exercise"],
        )

    if why != "declined":
        events.write(conn, event(f"alert.hub_{why}", walk["id"], walk["organisation_id"]))
    if instead is None:
        events.write(conn, event("alert.not_redirected", walk["id"], walk["organisation_id"]))
        return
    if instead["id"] == walk["hub_id"]:
        return
    clock = Clock(conn, at=now, now=now)
    reasons: list[dict[str, Any]] = [{"code": "hub_instead", "params": {"name": walk["hub"]}}]
    if _may_close(instead, clock):
        reasons.append({"code": "hub_may_close", "params": {}})
    recipient = {
        "team_id": None,
        "hub_id": str(instead["id"]),
        "organisation_id": str(instead["organisation_id"]),
        "role": "hub",
        "rank": 1,
        "distance_m": round(instead["distance_m"]),
        "reasons": reasons,
        "channels": list(channels) if report["priority"] < 4 else [],
    }
    alert_id = walks.tell(conn, report["id"], report["incident_id"], recipient, now=now)
    events.write(
        conn,
        event(
            "alert.redirected",
            alert_id,
            instead["organisation_id"],
            walk_minutes=routing.walk_minutes(instead["distance_m"]),
        ),
    )
