"""A city made row by row, for tests that need to know exactly what is in it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from waylight.db.session import Database
from waylight.domain.geo import Point


def found_city(database: Database, *, slug: str = "test", time_zone: str = "Europe/London") -> UUID:
    """A city with one organisation; returns the organisation's id."""
    with database.owner() as conn:
        city = _one(
            conn,
            """
            insert into cities (slug, name, country, time_zone, holidays, languages, outline_code,
                service_area_code, attribution, jurisdiction, contacts, bounds, pack_digest)
            values (%s, %s, 'GB', %s, %s, '{en}', 'x', 'x', '{}', '[]', '{}',
                    '{-180,-90,180,90}', '')
            returning id
            """,
            [slug, slug.title(), time_zone, Jsonb(HOLIDAYS)],
        )
        return _one(
            conn,
            """
            insert into organisations (city_id, key, name, kind)
            values (%s, 'friends', 'Friends of the night (demo)', 'charity') returning id
            """,
            [city],
        )


def put_hub(
    database: Database,
    organisation: UUID,
    point: Point,
    *,
    name: str = "Hub",
    hours: str = "24/7",
    open_during: Sequence[tuple[datetime, datetime]] | None = None,
    expanded_until: datetime | None = None,
    services: Sequence[str] = (),
    access: Sequence[str] = (),
    retired: bool = False,
) -> UUID:
    """A hub; without `expanded_until` its hours have not been expanded."""
    spans = [f"[{start.isoformat()},{end.isoformat()})" for start, end in open_during or ()]
    with database.owner() as conn:
        return _one(
            conn,
            """
            insert into hubs (city_id, organisation_id, key, name, kind, position, address,
                opening_hours, open_during, expanded_until, services, access, languages, retired,
                demo)
            select city_id, id, gen_random_uuid()::text, %s, 'safe_travel_hub', %s::geography,
                   'Somewhere', %s, %s::tstzmultirange, %s, %s, %s, '{en}', %s, true
            from organisations where id = %s returning id
            """,
            [
                name,
                point.ewkt(),
                hours,
                f"{{{','.join(spans)}}}" if open_during is not None else None,
                expanded_until,
                list(services),
                list(access),
                retired,
                organisation,
            ],
        )


def put_place(
    database: Database,
    organisation: UUID,
    point: Point,
    *,
    name: str = "Stop",
    kind: str = "bus_stop",
    stop_id: str | None = None,
    codes: Sequence[str] = (),
) -> UUID:
    """A place of the organisation's city."""
    with database.owner() as conn:
        return _one(
            conn,
            """
            insert into places (city_id, key, stop_id, name, source_name, kind, position, modes,
                                lines, codes)
            select city_id, gen_random_uuid()::text, %s, %s, %s, %s, %s::geography, '{bus}', '{}',
                   %s
            from organisations where id = %s returning id
            """,
            [stop_id, name, name, kind, point.ewkt(), list(codes), organisation],
        )


def _one(conn: Any, statement: str, values: Sequence[Any]) -> UUID:
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


HOLIDAYS: Any = {"country": "GB", "subdivision": "ENG"}


def utc(text: str) -> datetime:
    """An instant written as `2026-11-21 23:30`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
