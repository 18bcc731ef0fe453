"""More hubs for the desk, and what their staff do."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.desk import NOW, SPOT, Desk
from waylight.domain.geo import Point
from waylight.domain.hubs import Standing
from waylight.services import hubs
from waylight.services.reports import my_report
from waylight.services.schedules import expand_hub


def put_hub(
    desk: Desk,
    name: str,
    *,
    north: float,
    hours: str = "24/7",
    mobile: bool = False,
    now: datetime = NOW,
) -> UUID:
    """A further hub, run by the operator, so many degrees north of the spot."""
    with desk.database.owner() as conn:
        row = conn.execute(
            """
            insert into hubs (city_id, organisation_id, key, name, kind, mobile, position, address,
                opening_hours, services, access, languages)
            select city_id, organisation_id, %s, %s, 'safe_travel_hub', %s, %s::geography,
                   'Somewhere', %s, '{first_aid}', '{step_free}', '{en,es}'
            from teams where id = %s returning id
            """,
            [name, name, mobile, Point(SPOT.lon, SPOT.lat + north).ewkt(), hours, desk.second],
        ).fetchone()
        assert row is not None
        found: UUID = row[0]
        expand_hub(conn, found, now=now)
    return found


def set_hours(desk: Desk, hub_id: UUID, expression: str, *, now: datetime = NOW) -> None:
    """Other hours for a hub, expanded."""
    with desk.database.owner() as conn:
        conn.execute("update hubs set opening_hours = %s where id = %s", [expression, hub_id])
        expand_hub(conn, hub_id, now=now)


def override(desk: Desk, status: str, *, now: datetime = NOW, **others: Any) -> Any:
    """The desk's hub is opened or closed by its own staff."""
    values: dict[str, Any] = {
        "hub_id": desk.hub,
        "until": now + timedelta(hours=1),
        "reason": "Broken door",
        "if_match": None,
        "channels": desk.settings.channels,
        "now": now,
        "status": Standing(status),
        **others,
    }
    return hubs.override_hub(desk.database, values.pop("who", desk.hub_host), **values)


def codes(desk: Desk, receipt: str) -> list[str]:
    """What a passenger's timeline says, as codes, but for who has read the report."""
    return [code for code, _ in said(desk, receipt)]


def said(desk: Desk, receipt: str) -> list[tuple[str, str | None]]:
    """The same with the names."""
    return [
        (entry.code, entry.params.get("name"))
        for entry in my_report(desk.database, desk.vault, receipt).timeline
        if entry.code != "read"
    ]
