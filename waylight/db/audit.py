"""The audit log: entries are written and never changed, ordered after commit, sealed, and read."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import astuple, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.db.rows import fetch_all, fetch_one
from waylight.domain.audit import Entry, Seal

COLUMNS = tuple(field.name for field in fields(Entry))
AT_ONCE = 2_000
"""Rows that a long reading fetches at a time."""

RECENT = timedelta(minutes=15)
"""How far back an entry without a place is looked for every time: no transaction is open longer."""

A_WHILE = timedelta(hours=1)
"""How far back it is looked for by whoever asks whether sealing is behind."""

MOST = 100_000
"""Entries without a place that are counted at most."""

WRITE = f"""
insert into audit_entries ({", ".join(COLUMNS)}, signature)
values ({", ".join(["%s"] * (len(COLUMNS) + 1))})
"""  # noqa: S608 - the names of our own columns

# Both tables from one id on: else all that was ever sealed is gone through for the few that wait.
UNSEALED = """
with begun as (
    select coalesce(%(after)s::uuid, uuid_v7_floor(%(since)s::timestamptz),
                    '00000000-0000-0000-0000-000000000000'::uuid) as id)
select e.* from audit_entries e
where e.id > (select id from begun)
  and not exists (select from audit_positions p
                  where p.entry_id = e.id and p.entry_id > (select id from begun))
order by e.id limit %(limit)s
"""

# One statement, so one moment: what a worker seals after it is not half seen.
EXTENT = """
select (select coalesce(max(number), 0) from audit_seals),
       (select coalesce(max(position), 0) from audit_positions)
"""

SEALS = """
select * from audit_seals where number between %s and %s order by number
"""

POSITIONS = """
select p.position, p.entry_id, p.is_signed, p.digest as position_digest, e.*
from audit_positions p left join audit_entries e on e.id = p.entry_id
where p.position between %s and %s order by p.position
"""

# Every filter names the organisation (design, D11); the policy of the staff role is the second lock
# on the same door.
PAGE = """
select e.*, s.name as person
from audit_entries e
left join staff s on s.id = e.staff_id and s.organisation_id = e.organisation_id
where e.organisation_id = %(organisation)s
  and (%(staff)s::uuid is null or e.staff_id = %(staff)s)
  and (%(report)s::uuid is null or e.report_id = %(report)s)
  and (%(action)s::text is null or e.action = %(action)s)
  and (%(from)s::timestamptz is null or e.at >= %(from)s)
  and (%(until)s::timestamptz is null or e.at < %(until)s)
  and (%(after)s::uuid is null or e.id < %(after)s)
order by e.id desc limit %(limit)s
"""

STATE = """
select (select max(number) from audit_seals) as last_seal,
       count(*) as unsealed,
       coalesce(extract(epoch from %(now)s - min(e.at)), 0)::float8 as oldest_s
from (
    select e.at from audit_entries e
    where e.id >= uuid_v7_floor(%(since)s)
      and not exists (select from audit_positions p
                      where p.entry_id = e.id and p.entry_id >= uuid_v7_floor(%(since)s))
    order by e.id limit %(most)s) e
"""


def write(conn: Connection[Any], entries: Sequence[tuple[Entry, bytes]]) -> None:
    """Writes entries, each with its signature; they get their place once this has committed."""
    if not entries:
        return
    with conn.cursor() as cursor:
        # One round trip for all of them.
        cursor.executemany(WRITE, [[*astuple(entry), signature] for entry, signature in entries])


def not_shown(conn: Connection[Any], report_ids: Sequence[UUID], *, staff_id: UUID) -> set[UUID]:
    """Those of the reports that a person has no entry about yet."""
    rows = conn.execute(
        """
        select report from unnest(%s::uuid[]) report
        where not exists (
            select from audit_entries e where e.report_id = report and e.staff_id = %s)
        """,
        [list(report_ids), staff_id],
    ).fetchall()
    return {row[0] for row in rows}


def unsealed(
    conn: Connection[Any], *, since: datetime | None, after: UUID | None = None, limit: int
) -> list[tuple[Entry, bytes | None]]:
    """Committed entries without a place, oldest id first, each with its signature.

    Those behind the entry `after`, else those that were begun after `since`; all without either.
    """
    rows = fetch_all(conn, UNSEALED, {"since": since, "after": after, "limit": limit})
    return [(entry_of(row), row["signature"]) for row in rows]


def last_seal(conn: Connection[Any]) -> tuple[Seal, int, bytes] | None:
    """The newest seal with the version of its key and its signature; None before the first."""
    row = fetch_one(conn, "select * from audit_seals order by number desc limit 1", [])
    return None if row is None else signed_seal(row)


def seal(conn: Connection[Any], number: int) -> tuple[Seal, int, bytes] | None:
    """The seal of a number as `last_seal` has it; None when there is none."""
    row = fetch_one(conn, "select * from audit_seals where number = %s", [number])
    return None if row is None else signed_seal(row)


def write_seal(
    conn: Connection[Any],
    seal: Seal,
    covered: Sequence[tuple[UUID, bool, bytes]],
    *,
    key_version: int,
    signature: bytes,
) -> None:
    """Writes a seal and the places of its entries: {id, whether it is signed, digest} of each."""
    ids, signed, digests = zip(*covered, strict=True) if covered else ((), (), ())
    conn.execute(
        """
        insert into audit_positions (position, entry_id, is_signed, digest)
        select %s + n - 1, id, is_signed, digest
        from unnest(%s::uuid[], %s::boolean[], %s::bytea[])
             with ordinality covered (id, is_signed, digest, n)
        """,
        [seal.first_position, list(ids), list(signed), list(digests)],
    )
    conn.execute(
        """
        insert into audit_seals (number, first_position, last_position, count, digest, previous,
                                 sealed_at, unsigned_until, key_version, signature)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [*astuple(seal), key_version, signature],
    )


def extent(conn: Connection[Any]) -> tuple[int, int]:
    """The number of the newest seal and the last place, of one moment; 0 where there is none."""
    row = conn.execute(EXTENT).fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    return row[0], row[1]


def seals(conn: Connection[Any], *, first: int, last: int) -> Generator[tuple[Seal, int, bytes]]:
    """Every seal from a number to another, in order, read as it is asked for. To be closed."""
    for row in _read(conn, "audit_seals_read", SEALS, [first, last]):
        yield signed_seal(row)


def positions(conn: Connection[Any], *, first: int, last: int) -> Generator[Mapping[str, Any]]:
    """Every place from one to another, in order, with the columns of its entry. To be closed.

    These are None where the entry is gone. Read as it is asked for.
    """
    yield from _read(conn, "audit_positions_read", POSITIONS, [first, last])


def page(
    conn: Connection[Any],
    organisation_id: UUID,
    *,
    staff_id: UUID | None,
    report_id: UUID | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Entries of an organisation, newest first, older than the entry `after`."""
    return fetch_all(
        conn,
        PAGE,
        {
            "organisation": organisation_id,
            "staff": staff_id,
            "report": report_id,
            "action": action,
            "from": since,
            "until": until,
            "after": after,
            "limit": limit,
        },
    )


def state(conn: Connection[Any], *, since: datetime, most: int, now: datetime) -> dict[str, Any]:
    """{last_seal, unsealed, oldest_s}: of what was begun after `since`, at most `most` rows."""
    row = fetch_one(conn, STATE, {"since": since, "most": most, "now": now})
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return row


def is_there(conn: Connection[Any]) -> bool:
    """Whether this database has a chain: one of an older release does not."""
    row = conn.execute("select to_regclass('audit_seals') is not null").fetchone()
    return bool(row and row[0])


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry of a row."""
    return Entry(**{name: row[name] for name in COLUMNS})


def signed_seal(row: Mapping[str, Any]) -> tuple[Seal, int, bytes]:
    """The seal of a row, the version of its key, and its signature."""
    found = Seal(**{field.name: row[field.name] for field in fields(Seal)})
    return found, row["key_version"], row["signature"]


def _read(
    conn: Connection[Any], name: str, statement: str, values: Sequence[object]
) -> Generator[dict[str, Any]]:
    with conn.cursor(name=name, row_factory=dict_row) as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(statement, values)
        yield from cursor
