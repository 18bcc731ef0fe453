"""Whom a hub expects, as its alert shows it."""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from waylight.db.alerts import arrivals
from waylight.domain import hubs
from waylight.domain.arrivals import Arrival, Expected, band


def expected_by(conn: Connection[Any], alert: Mapping[str, Any]) -> tuple[Expected, ...]:
    """Everybody whom a hub's alert told it to expect; empty for a team's.

    The way of somebody who joined is taken to be as long as the first's: reports of one event lie
    within 150 m, or in one vehicle.
    """
    if alert["hub_id"] is None:
        return ()
    rows = arrivals.told(conn, alert["id"], hub_id=alert["hub_id"])
    return tuple(_expected(row, alert["distance_m"]) for row in rows)


def _expected(row: Mapping[str, Any], distance_m: int | None) -> Expected:
    met = hubs.met(row["needs"], row["features"])
    return Expected(
        report_id=row["report_id"],
        told_at=row["since"],
        band=band(distance_m, told_at=row["since"]),
        needs_met=met,
        needs_unmet=tuple(need for need in row["needs"] if need not in met),
        language=row["language"],
        language_spoken=row["language"] and row["language"] in row["languages"],
        status=row["status"] and Arrival(row["status"]),
        at=row["at"],
        redirected_at=row["redirected_at"],
    )
