"""A shift that ends while an alert is open.

An alert that its team has taken on stays with it: the team works on past its shift. One that it has
not answered is nobody's to answer any more, and the ladder climbs at once.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from waylight.db import events
from waylight.db.alerts import off_duty
from waylight.db.session import Database
from waylight.services.sweeping import sweep

SWEEP = 200


def pass_over_off_duty(database: Database, *, now: datetime, limit: int = SWEEP) -> int:
    """Makes each ladder due that waits for a team which has gone off duty; returns how many.

    The alert stays open for the team, which may still answer it. Each is a transaction of its own,
    done once however many workers look. A ladder at rest, and one of priority 4, wait for nobody
    and are left alone. Raises Unavailable.
    """
    return sweep(
        database,
        find=lambda conn, skip: off_duty.find(conn, now=now, skip=skip),
        id_of=lambda found: found["incident_id"],
        do=lambda conn, found: _pass_over(conn, found, now=now),
        failure="off_duty_not_passed_over",
        of="incident_id",
        limit=limit,
    )


def _pass_over(conn: Connection[Any], found: Mapping[str, Any], *, now: datetime) -> None:
    off_duty.let_climb(conn, found["id"], found["incident_id"], now=now)
    events.write(
        conn,
        events.Event(
            "alert.off_duty",
            now,
            city_id=found["city_id"],
            organisation_id=found["organisation_id"],
            report_id=found["report_id"],
            incident_id=found["incident_id"],
            alert_id=found["id"],
            data={"role": found["role"]},
            exercise=found["exercise"],
        ),
    )
