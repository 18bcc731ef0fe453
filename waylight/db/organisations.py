"""Organisations as their own staff read and change them; policies refuse another's."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

SELECT = """
select o.id, o.version, o.name, o.kind, o.contact, o.edited, o.escalation, o.demo, c.slug as city
from organisations o join cities c on c.id = o.city_id
where o.id = %s
"""

JSON = frozenset({"contact", "escalation"})


def find(conn: Connection[Any], organisation_id: UUID) -> dict[str, Any] | None:
    """One organisation."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SELECT, [organisation_id]).fetchone()


def city_id(conn: Connection[Any], organisation_id: UUID) -> UUID | None:
    """Where it is at home."""
    row = conn.execute(
        "select city_id from organisations where id = %s", [organisation_id]
    ).fetchone()
    return row[0] if row else None


def names(conn: Connection[Any], organisation_id: UUID) -> dict[str, Any] | None:
    """{name, others, jobs}: its name, those of all others, and of those whose job its city says.

    By the last consent for the police finds its reader.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select us.name,
                   array(select o.name from organisations o where o.id <> us.id) as others,
                   array(select distinct j->>'organisation'
                         from jsonb_array_elements(c.jurisdiction) j
                         where j->>'organisation' is not null) as jobs
            from organisations us join cities c on c.id = us.city_id where us.id = %s
            """,
            [organisation_id],
        ).fetchone()


def names_in(conn: Connection[Any], city_id: UUID) -> list[str]:
    """The names of all organisations of a city, and of those whose job it says reports are."""
    rows = conn.execute(
        """
        select name from organisations where city_id = %(city)s
        union select j->>'organisation' from cities, jsonb_array_elements(jurisdiction) j
        where id = %(city)s and j->>'organisation' is not null
        """,
        {"city": city_id},
    ).fetchall()
    return [row[0] for row in rows]


def change(
    conn: Connection[Any],
    organisation_id: UUID,
    values: Mapping[str, Any],
    *,
    edited: Sequence[str] = (),
    if_match: int | None,
) -> bool:
    """Writes columns with a new version; False when `if_match` is not the version now.

    What is `edited` a pack leaves alone from now on. A city reads its control room's organisation
    anew by the version of that team.
    """
    columns = sql.SQL("").join(
        sql.SQL("{} = {}, ").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    changed = conn.execute(
        sql.SQL(
            "update organisations set {} version = version + 1,"
            " edited = array(select distinct unnest(edited || %(edited)s) order by 1)"
            " where id = %(id)s and (%(if_match)s::int is null or version = %(if_match)s)"
        ).format(columns),
        {
            **{
                name: Jsonb(value) if name in JSON and value is not None else value
                for name, value in values.items()
            },
            "edited": list(edited),
            "id": organisation_id,
            "if_match": if_match,
        },
    )
    if changed.rowcount:
        conn.execute(
            "update teams set version = version + 1 where organisation_id = %s"
            " and id in (select control_room_id from cities)",
            [organisation_id],
        )
    return changed.rowcount == 1


def waits(conn: Connection[Any], organisation_id: UUID | None) -> Mapping[str, Any] | None:
    """What an organisation's timetable says; None where it says nothing."""
    row = conn.execute(
        "select escalation from organisations where id = %s", [organisation_id]
    ).fetchone()
    return row[0] if row else None


def create(
    conn: Connection[Any],
    *,
    city_id: UUID,
    key: str,
    name: str,
    kind: str,
    contact: Mapping[str, str | None],
) -> UUID | None:
    """A new organisation that no pack takes back; None when the city has one with this key."""
    row = conn.execute(
        """
        insert into organisations (city_id, key, name, kind, contact, edited)
        values (%s, %s, %s, %s, %s, '{contact,key,name}')
        on conflict (city_id, key) do nothing returning id
        """,
        [city_id, key, name, kind, Jsonb(dict(contact))],
    ).fetchone()
    return row[0] if row else None
