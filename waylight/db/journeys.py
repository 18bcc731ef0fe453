"""The lines of a city whose stops are known in their order."""

from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row


def ordered_stops(conn: Connection[Any], city_id: UUID) -> list[dict[str, Any]]:
    """The stops of every line with an order, by line and sequence."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select l.line_id, l.name as line, l.mode, p.id as place_id,
                   coalesce(p.stop_id, 'place:' || p.id) as stop_id, p.name, p.codes,
                   st_x(p.position::geometry) as lon, st_y(p.position::geometry) as lat
            from line_stops s
            join lines l on l.city_id = s.city_id and l.line_id = s.line_id
            join places p on p.id = s.place_id
            where s.city_id = %s
            order by l.line_id, s.sequence
            """,
            [city_id],
        ).fetchall()
