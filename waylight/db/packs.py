"""Bringing the tables of a city into line with its pack. Runs as the owner, in one transaction.

Every table has a natural key, so a row keeps its id for as long as it is in the pack. Rows are
copied into a temporary table and compared there: a row that did not change is not written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from waylight.db.hubs.managing import keep_edited

PIECE_VERTICES = 128
"""At most so many in a piece of an area: asking whether a piece holds a point is quick."""


@dataclass(frozen=True)
class Table:
    """A table that is kept in line. `columns` are name and type; the first is the natural key.

    `when_changed` is set on a row that changed, beside its columns.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    when_changed: str = ""
    among: str = "true"
    """Which rows are a pack's to keep or to let go; the others are their staff's."""


PLACES = Table(
    "places",
    (
        ("key", "text"),
        ("stop_id", "text"),
        ("name", "text"),
        ("source_name", "text"),
        ("kind", "text"),
        ("position", "geography(Point, 4326)"),
        ("modes", "text[]"),
        ("lines", "text[]"),
        ("codes", "text[]"),
        ("area_id", "uuid"),
        ("heading", "integer"),
        ("demo", "boolean"),
    ),
)
LINES = Table("lines", (("line_id", "text"), ("name", "text"), ("mode", "text")))
ORGANISATIONS = Table(
    "organisations",
    (
        ("key", "text"),
        ("name", "text"),
        ("kind", "text"),
        ("contact", "jsonb"),
        ("demo", "boolean"),
    ),
    # A control room's organisation is read again when its city is.
    when_changed="version = t.version + 1",
    among="not 'key' = any (t.edited)",
)
TEAMS = Table(
    "teams",
    (
        ("key", "text"),
        ("organisation_id", "uuid"),
        ("name", "text"),
        ("kind", "text"),
        ("base", "geography(Point, 4326)"),
        ("capabilities", "text[]"),
        ("shifts", "text"),
        ("demo", "boolean"),
        ("retired", "boolean"),
    ),
    # What the staff set by hand, and where the team is, is theirs: it stays.
    when_changed="version = t.version + 1",
    among="not 'retired' = any (t.edited)",
)
HUBS = Table(
    "hubs",
    (
        ("key", "text"),
        ("organisation_id", "uuid"),
        ("name", "text"),
        ("kind", "text"),
        ("mobile", "boolean"),
        ("position", "geography(Point, 4326)"),
        ("address", "text"),
        ("opening_hours", "text"),
        ("services", "text[]"),
        ("access", "text[]"),
        ("languages", "text[]"),
        ("phone", "text"),
        ("demo", "boolean"),
        ("retired", "boolean"),
    ),
    # What the staff set by hand stays: `synchronise_hubs`.
    when_changed="updated_at = now(), version = t.version + 1",
    among="not 'retired' = any (t.edited)",
)
AREAS = Table(
    "areas",
    (
        ("code", "text"),
        ("name", "text"),
        ("kind", "text"),
        ("demo", "boolean"),
        ("geom", "geometry(MultiPolygon, 4326)"),
    ),
    among="t.organisation_id is null",
)

COVERAGES = Table(
    "coverages",
    (
        ("team_id", "uuid"),
        ("area_id", "uuid"),
        ("modes", "text[]"),
        ("routes", "text[]"),
        ("category_groups", "text[]"),
        ("schedule", "text"),
    ),
)

SAME_COVERAGE = """
    s.team_id = c.team_id and s.area_id = c.area_id
    and row(s.modes, s.routes, s.category_groups, s.schedule)
        is not distinct from row(c.modes, c.routes, c.category_groups, c.schedule)
"""
REMOVE_COVERAGES = f"""
delete from coverages c using teams t where t.id = c.team_id and t.city_id = %s
and not 'coverages' = any (t.edited)
and not exists (select from pg_temp.staged_coverages s where {SAME_COVERAGE})
"""  # noqa: S608 - constants of this file
ADD_COVERAGES = f"""
insert into coverages (team_id, area_id, modes, routes, category_groups, schedule)
select s.* from pg_temp.staged_coverages s
where not exists (select from coverages c where {SAME_COVERAGE})
  and not exists (select from teams t where t.id = s.team_id and 'coverages' = any (t.edited))
"""  # noqa: S608 - the same

CITY_JSON = frozenset({"holidays", "jurisdiction", "contacts"})

COUNTED = ("areas", "places", "lines", "line_stops", "organisations", "teams", "coverages", "hubs")


def take_turn(conn: Connection[Any], slug: str) -> None:
    """Waits until nobody else loads a pack of this city; held to the end of the transaction."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended('pack:' || %s, 0))", [slug])


def loaded(conn: Connection[Any], slug: str) -> dict[str, Any] | None:
    """The id, pack_digest and version of a city; None before its first pack."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select id, pack_digest, version from cities where slug = %s", [slug]
        ).fetchone()


def counts(conn: Connection[Any], city_id: UUID) -> dict[str, int]:
    """How many rows a city has in each table of COUNTED, the retired ones left out."""
    row = conn.execute(
        """
        select (select count(*) from areas where city_id = %(city)s and organisation_id is null),
               (select count(*) from places where city_id = %(city)s),
               (select count(*) from lines where city_id = %(city)s),
               (select count(*) from line_stops where city_id = %(city)s),
               (select count(*) from organisations where city_id = %(city)s),
               (select count(*) from teams where city_id = %(city)s and not retired),
               (select count(*) from coverages c join teams t on t.id = c.team_id
                where t.city_id = %(city)s and not t.retired),
               (select count(*) from hubs where city_id = %(city)s and not retired)
        """,
        {"city": city_id},
    ).fetchone()
    return dict(zip(COUNTED, row or (), strict=True))


def keep_city(conn: Connection[Any], values: dict[str, Any]) -> UUID:
    """Writes a city's own row, its version one up; returns its id. The control room comes later."""
    columns = [sql.Identifier(name) for name in values]
    row = conn.execute(
        sql.SQL(
            "insert into cities ({columns}) values ({values}) on conflict (slug) do update set"
            " ({columns}, version) = row({excluded}, cities.version + 1) returning id"
        ).format(
            columns=sql.SQL(", ").join(columns),
            values=sql.SQL(", ").join(sql.Placeholder(name) for name in values),
            excluded=sql.SQL(", ").join(sql.SQL("excluded.") + name for name in columns),
        ),
        {name: Jsonb(v) if name in CITY_JSON else v for name, v in values.items()},
    ).fetchone()
    assert row is not None  # noqa: S101 - an upsert returns its row
    city_id: UUID = row[0]
    return city_id


def set_control_room(conn: Connection[Any], city_id: UUID, key: str) -> None:
    """Points the city at its control room, by the key of the team."""
    conn.execute(
        "update cities set control_room_id ="
        " (select id from teams where city_id = cities.id and key = %s) where id = %s",
        [key, city_id],
    )


def synchronise(
    conn: Connection[Any], table: Table, city_id: UUID, rows: Iterable[Sequence[Any]]
) -> tuple[int, int, int]:
    """Writes what is new or different; returns how many rows are added, changed, unchanged.

    `rows` have the values of the table's columns, in order. Rows that are not among them stay.
    """
    staged = _stage(conn, table, list(rows))
    return _merge(conn, table, city_id, staged=staged)


KEEP_TEAMS = """
update pg_temp.staged_teams s set
    name = case when 'name' = any (t.edited) then t.name else s.name end,
    base = case when 'base' = any (t.edited) then t.base else s.base end,
    retired = case when 'retired' = any (t.edited) then t.retired else s.retired end
from teams t
where t.city_id = %s and t.key = s.key and t.edited && '{name,base,retired}'
returning s.key, array(
    select unnest(t.edited) intersect select unnest('{name,base,retired}'::text[]) order by 1)
"""
KEEP_ORGANISATIONS = """
update pg_temp.staged_organisations s set
    name = case when 'name' = any (t.edited) then t.name else s.name end,
    contact = case when 'contact' = any (t.edited) then t.contact else s.contact end
from organisations t
where t.city_id = %s and t.key = s.key and t.edited && '{name,contact}'
returning s.key, array(
    select unnest(t.edited) intersect select unnest('{name,contact}'::text[]) order by 1)
"""


def synchronise_edited(
    conn: Connection[Any], table: Table, city_id: UUID, rows: Iterable[Sequence[Any]]
) -> tuple[tuple[int, int, int], list[tuple[str, list[str]]]]:
    """The same for TEAMS and ORGANISATIONS, of which what staff set stays, as of hubs."""
    staged = _stage(conn, table, list(rows))
    keep = KEEP_TEAMS if table is TEAMS else KEEP_ORGANISATIONS
    edited = sorted(conn.execute(keep, [city_id]).fetchall())
    return _merge(conn, table, city_id, staged=staged), edited


def synchronise_hubs(
    conn: Connection[Any], city_id: UUID, rows: Iterable[Sequence[Any]]
) -> tuple[tuple[int, int, int], list[tuple[str, list[str]]]]:
    """The same for hubs, but that what their staff set stays.

    The second result has the key of each such hub, and the columns that stay.
    """
    staged = _stage(conn, HUBS, list(rows))
    edited = keep_edited(conn, city_id)
    return _merge(conn, HUBS, city_id, staged=staged), edited


def synchronise_areas(
    conn: Connection[Any], city_id: UUID, rows: Iterable[Sequence[Any]]
) -> tuple[tuple[int, int, int], list[tuple[str, str]]]:
    """The same for areas, whose last value is GeoJSON; their pieces follow them.

    A polygon that is not valid, such as one that crosses itself, is repaired; the second result
    has the code and the fault of each.
    """
    drawn = Table(AREAS.name, (*AREAS.columns[:-1], ("geojson", "text")))
    staged = _stage(conn, drawn, list(rows))
    conn.execute("alter table pg_temp.staged_areas add geom geometry(MultiPolygon, 4326)")
    conn.execute("update pg_temp.staged_areas set geom = st_geomfromgeojson(geojson)")
    faulty = conn.execute(
        "select code, st_isvalidreason(geom) from pg_temp.staged_areas where not st_isvalid(geom)"
    ).fetchall()
    if faulty:
        conn.execute(
            "update pg_temp.staged_areas"
            " set geom = st_multi(st_collectionextract(st_makevalid(geom), 3))"
            " where not st_isvalid(geom)"
        )
    conn.execute(
        """
        delete from area_parts where area_id in (
            select t.id from areas t left join pg_temp.staged_areas s on s.code = t.code
            where t.city_id = %s and s.geom::bytea is distinct from t.geom::bytea)
        """,
        [city_id],
    )
    merged = _merge(conn, AREAS, city_id, staged=staged)
    conn.execute(
        """
        insert into area_parts (area_id, part, geom)
        select a.id, row_number() over (partition by a.id), (st_dump(piece)).geom
        from areas a
        join pg_temp.staged_areas s on s.code = a.code
        cross join lateral st_dump(a.geom) polygon
        cross join lateral st_subdivide(polygon.geom, %(vertices)s) piece
        where a.city_id = %(city)s and st_dimension(piece) = 2
          and not exists (select from area_parts where area_id = a.id)
        """,
        {"city": city_id, "vertices": PIECE_VERTICES},
    )
    return merged, faulty


def replace_line_stops(
    conn: Connection[Any], city_id: UUID, rows: Iterable[tuple[str, int, UUID]]
) -> tuple[int, int, int, int]:
    """Makes the stops of every line those of the pack: added, changed, unchanged, removed."""
    wanted = {(line, sequence): place for line, sequence, place in rows}
    have = {
        (line, sequence): place
        for line, sequence, place in conn.execute(
            "select line_id, sequence, place_id from line_stops where city_id = %s", [city_id]
        ).fetchall()
    }
    differ = [stop for stop in wanted if wanted[stop] != have.get(stop)]
    removed = [stop for stop in have if stop not in wanted]
    with conn.cursor() as cursor:
        cursor.executemany(
            "delete from line_stops where city_id = %s and line_id = %s and sequence = %s",
            [(city_id, *stop) for stop in (*removed, *differ)],
        )
        cursor.executemany(
            "insert into line_stops (city_id, line_id, sequence, place_id) values (%s, %s, %s, %s)",
            [(city_id, *stop, wanted[stop]) for stop in differ],
        )
    changed = sum(stop in have for stop in differ)
    return len(differ) - changed, changed, len(wanted) - len(differ), len(removed)


def replace_coverages(
    conn: Connection[Any], city_id: UUID, rows: Iterable[Sequence[Any]]
) -> tuple[int, int, int]:
    """Makes the coverages of a city those of the pack; returns added, unchanged, removed.

    `rows` are team_id, area_id, modes, routes, category_groups, schedule. A coverage has no name:
    it is the sum of these.
    """
    staged = _stage(conn, COVERAGES, list(rows))
    removed = conn.execute(REMOVE_COVERAGES, [city_id]).rowcount
    added = conn.execute(ADD_COVERAGES).rowcount
    return added, staged - added, removed


def ids(conn: Connection[Any], table: Table, city_id: UUID) -> dict[str, UUID]:
    """The id of every row of a city by its natural key."""
    found = conn.execute(
        sql.SQL("select {key}, id from {table} where city_id = %s").format(
            key=sql.Identifier(table.columns[0][0]), table=sql.Identifier(table.name)
        ),
        [city_id],
    ).fetchall()
    return dict(found)


def set_by_staff(conn: Connection[Any], city_id: UUID) -> tuple[int, int, int]:
    """How many teams follow shifts, capabilities and coverages of their staff, not the pack's."""
    row = conn.execute(
        """
        select count(*) filter (where exists (
                   select from shifts s where s.team_id = t.id and s.kind = 'recurring')),
               count(*) filter (where staff_capabilities is not null),
               count(*) filter (where 'coverages' = any (edited))
        from teams t where city_id = %s and not retired
          -- Of a team that staff made no pack says anything.
          and not starts_with(key, 'staff:')
        """,
        [city_id],
    ).fetchone()
    return (row[0], row[1], row[2]) if row else (0, 0, 0)


def retire_vanished(conn: Connection[Any], table: Table, city_id: UUID) -> int:
    """Retires teams or hubs that are no longer staged: alerts refer to them. Returns how many."""
    return conn.execute(
        sql.SQL(
            "update {table} t set retired = true{changed} where t.city_id = %s and not t.retired"
            " and {among} and not exists (select from pg_temp.{staged} s where s.key = t.key)"
        ).format(
            table=sql.Identifier(table.name),
            staged=sql.Identifier(f"staged_{table.name}"),
            changed=sql.SQL(f", {table.when_changed}" if table.when_changed else ""),
            among=sql.SQL(table.among),
        ),
        [city_id],
    ).rowcount


REMOVE_VANISHED = {
    "lines": """
        delete from lines t where t.city_id = %s
        and not exists (select from pg_temp.staged_lines s where s.line_id = t.line_id)
    """,
    # `not in` over a list that is read once: reports have no index by place or area.
    "places": """
        delete from places t where t.city_id = %s
        and not exists (select from pg_temp.staged_places s where s.key = t.key)
        and t.id not in (select place_id from reports where place_id is not null)
    """,
    "areas": """
        delete from areas t where t.city_id = %s
        and not exists (select from pg_temp.staged_areas s where s.code = t.code)
        and t.organisation_id is null
        and t.id not in (select area_id from reports where area_id is not null)
        and not exists (select from places p where p.area_id = t.id)
        -- What staff set on it stays: a team that covers nothing is told of nothing.
        and not exists (select from coverages c where c.area_id = t.id)
    """,
    "organisations": """
        delete from organisations t where t.city_id = %s
        and not exists (select from pg_temp.staged_organisations s where s.key = t.key)
        and not 'key' = any (t.edited)
        and not exists (select from teams where organisation_id = t.id)
        and not exists (select from hubs where organisation_id = t.id)
        and not exists (select from staff where organisation_id = t.id)
        and not exists (select from api_keys where organisation_id = t.id)
        and not exists (select from alerts where organisation_id = t.id)
        and not exists (select from grants where organisation_id = t.id)
        and not exists (select from events where organisation_id = t.id)
    """,
}
"""Rows that left the pack go where nothing refers to them; the others stay, known by their name."""


def remove_vanished(conn: Connection[Any], table: Table, city_id: UUID) -> int:
    """Removes rows that are no longer staged and that nothing refers to; returns how many."""
    return conn.execute(REMOVE_VANISHED[table.name], [city_id]).rowcount


def count_vanished(conn: Connection[Any], table: Table, city_id: UUID) -> int:
    """How many rows of a city are still there without being staged."""
    key = sql.Identifier(table.columns[0][0])
    row = conn.execute(
        sql.SQL(
            "select count(*) from {table} t where t.city_id = %s and {among}"
            " and not exists (select from pg_temp.{staged} s where s.{key} = t.{key})"
        ).format(
            table=sql.Identifier(table.name),
            staged=sql.Identifier(f"staged_{table.name}"),
            key=key,
            among=sql.SQL(table.among),
        ),
        [city_id],
    ).fetchone()
    return int(row[0]) if row else 0


def refresh_statistics(conn: Connection[Any]) -> None:
    """Tells the planner what the tables hold now: it chose for empty ones until here."""
    conn.execute(
        "analyze cities, areas, area_parts, places, lines, line_stops, organisations,"
        " teams, coverages, hubs"
    )


def _stage(conn: Connection[Any], table: Table, rows: Sequence[Sequence[Any]]) -> int:
    """Copies rows into the temporary table `staged_<name>`; returns how many."""
    name = sql.Identifier(f"staged_{table.name}")
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in table.columns
    )
    conn.execute(sql.SQL("drop table if exists pg_temp.{}").format(name))
    conn.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(name, columns))
    with (
        conn.cursor() as cursor,
        cursor.copy(sql.SQL("copy pg_temp.{} from stdin").format(name)) as copy,
    ):
        for row in rows:
            copy.write_row([_copied(value) for value in row])
    # Without statistics the planner takes a temporary table for a small one.
    conn.execute(sql.SQL("analyze pg_temp.{}").format(name))
    return len(rows)


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return Jsonb(value)
    return list(value) if isinstance(value, tuple) else value


def _merge(
    conn: Connection[Any], table: Table, city_id: UUID, *, staged: int
) -> tuple[int, int, int]:
    names = [column for column, _ in table.columns]
    shapes = {column for column, kind in table.columns if kind.startswith("geo")}

    def listed(alias: str, *, comparable: bool = False) -> sql.Composed:
        # Two shapes are the same when their bytes are; `=` on them compares boxes in some versions.
        return sql.SQL(", ").join(
            sql.SQL("{}.{}{}").format(
                sql.SQL(alias),
                sql.Identifier(name),
                sql.SQL("::bytea" if comparable and name in shapes else ""),
            )
            for name in names
        )

    parts = {
        "table": sql.Identifier(table.name),
        "staged": sql.Identifier(f"staged_{table.name}"),
        "key": sql.Identifier(names[0]),
        "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
        "values": listed("s"),
        "here": listed("t", comparable=True),
        "there": listed("s", comparable=True),
        "changed": sql.SQL(f", {table.when_changed}" if table.when_changed else ""),
    }
    changed = conn.execute(
        sql.SQL(
            "update {table} t set ({columns}) = row({values}){changed} from pg_temp.{staged} s"
            " where t.city_id = %s and t.{key} = s.{key}"
            " and row({here}) is distinct from row({there})"
        ).format(**parts),
        [city_id],
    ).rowcount
    added = conn.execute(
        sql.SQL(
            "insert into {table} (city_id, {columns}) select %s, {values} from pg_temp.{staged} s"
            " where not exists (select from {table} t where t.city_id = %s and t.{key} = s.{key})"
        ).format(**parts),
        [city_id, city_id],
    ).rowcount
    return added, changed, staged - added - changed
