"""The cities of this deployment, each with its control room and the modes it knows."""

from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

CITIES = """
select c.id, c.slug, c.name, c.time_zone, c.version + coalesce(t.version, 0) as version, c.bounds,
       c.jurisdiction, c.contacts, c.contacts_verified_at, c.holidays, t.id as team_id,
       t.name as team_name, t.capabilities, t.staff_capabilities, t.demo as team_demo,
       o.id as organisation_id, o.name as organisation_name, o.escalation,
       array(select unnest(v.modes) from coverages v join teams m on m.id = v.team_id
             where m.city_id = c.id
             union select l.mode from lines l where l.city_id = c.id) as modes
from cities c
left join teams t on t.id = c.control_room_id
left join organisations o on o.id = t.organisation_id
order by c.id
"""


def read(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Every city, the first loaded first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(CITIES).fetchall()
