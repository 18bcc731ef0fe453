"""Keys, the people behind them and the organisations they act for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from waylight.db.rows import fetch_one

SIGNED_IN = """
se.id is not null as is_session, se.fresh_until, se.identity_provider_id, se.second_factor,
a.roles, a.totp_since, p.requires_totp
"""
"""What a key that is a session has beside its row: of whom it is by now, not when it was opened."""

SESSION = """
left join sessions se on se.id = k.id
left join accounts a on a.staff_id = k.staff_id
left join sign_in_policies p on p.organisation_id = se.organisation_id
"""

LIVE = """
k.revoked_at is null and (k.expires_at is null or k.expires_at > %(now)s)
and a.disabled_at is null
and (se.id is null or se.last_used_at + se.idle_s * interval '1 second' > %(now)s)
"""
"""Of keys with SESSION beside them."""

FIND = f"""
with found as (
    select k.id, k.kind, k.name, k.organisation_id, k.staff_id, k.scopes, k.allowed_origins,
           k.last_used_on, s.name as person, s.role, se.last_used_at, {SIGNED_IN}
    from api_keys k left join staff s on s.id = k.staff_id
    {SESSION}
    where (k.token_hash = %(hash)s
           or k.old_token_hash = %(hash)s and k.old_token_until > %(now)s)
      and {LIVE}),
-- Writes once a day for each key; another caller who is just doing so is not waited for.
used as (
    update api_keys set last_used_on = %(today)s
    where id in (select k.id from api_keys k join found using (id)
                 where found.last_used_on is distinct from %(today)s
                 for update of k skip locked)),
-- The same of a session, once a minute.
seen as (
    update sessions set last_used_at = %(now)s
    where id in (select s.id from sessions s join found using (id)
                 where found.last_used_at < %(now)s - interval '1 minute'
                 for update of s skip locked))
select id, kind, name, organisation_id, staff_id, scopes, allowed_origins, person, role,
       is_session, fresh_until, identity_provider_id, second_factor, roles, totp_since,
       requires_totp
from found
"""  # noqa: S608 - constants of this file

# A scope that the client has lost since is lost to its access tokens too.
FIND_ACCESS = """
select k.id, k.kind, k.name, k.organisation_id, k.staff_id, k.allowed_origins,
       array(select unnest(t.scopes) intersect select unnest(k.scopes)) as scopes,
       null as person, null as role, false as is_session, null as fresh_until,
       null as identity_provider_id, false as second_factor, null as roles, null as totp_since,
       false as requires_totp
from access_tokens t join api_keys k on k.id = t.key_id
where t.token_hash = %(hash)s and t.expires_at > %(now)s
  and k.kind = 'client' and k.revoked_at is null
  and (k.expires_at is null or k.expires_at > %(now)s)
"""

KEEP_ACCESS = """
with over as (
    delete from access_tokens where token_hash in (
        select token_hash from access_tokens where expires_at < %(now)s
        order by expires_at limit 10 for update skip locked))
insert into access_tokens (token_hash, key_id, scopes, created_at, expires_at)
values (%(hash)s, %(key)s, %(scopes)s, %(now)s, %(until)s)
"""

ROTATE = """
with ended as (
    delete from access_tokens where key_id = %(id)s and %(until)s::timestamptz is null)
update api_keys
set old_token_hash = case when %(until)s::timestamptz is not null then token_hash end,
    old_token_until = %(until)s, token_hash = %(hash)s, rotated_at = %(now)s,
    version = version + 1
where id = %(id)s and revoked_at is null
"""

LIST = """
select k.id, k.kind, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_on,
       k.old_token_until, k.allowed_origins, o.name as organisation, s.name as person, s.role
from api_keys k
left join organisations o on o.id = k.organisation_id
left join staff s on s.id = k.staff_id
where not exists (select from sessions where id = k.id)
order by k.id
"""

ORGANISATIONS = """
select o.id, o.key, o.name, c.slug as city
from organisations o join cities c on c.id = o.city_id
where (%(city)s::text is null or c.slug = %(city)s)
order by c.id, o.key
"""

HUB_HOST = """
select o.key from organisations o
join cities c on c.id = o.city_id
join hubs h on h.organisation_id = o.id and not h.retired
where c.slug = %s
group by o.id order by count(*) desc, o.key limit 1
"""


def find_by_token_hash(
    conn: Connection[Any], token_hash: bytes, *, now: datetime
) -> dict[str, Any] | None:
    """The live key with this hash and the person behind it, noted as used today; None if unknown.

    One statement, the same for a right and a wrong token.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(FIND, {"hash": token_hash, "now": now, "today": now.date()})
        return cursor.fetchone()


def find_by_access_token(
    conn: Connection[Any], token_hash: bytes, *, now: datetime
) -> dict[str, Any] | None:
    """The live client that an access token was issued to, with the scopes of the token."""
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(FIND_ACCESS, {"hash": token_hash, "now": now})
        return cursor.fetchone()


def keep_access_token(
    conn: Connection[Any],
    *,
    token_hash: bytes,
    key_id: UUID,
    scopes: Sequence[str],
    now: datetime,
    expires_at: datetime,
) -> None:
    """Stores an access token, and forgets some that are over."""
    conn.execute(
        KEEP_ACCESS,
        {
            "hash": token_hash,
            "key": key_id,
            "scopes": list(scopes),
            "now": now,
            "until": expires_at,
        },
    )


def kind_of(conn: Connection[Any], key_id: UUID) -> str | None:
    """Whether a key is a person's or a program's."""
    row = conn.execute("select kind from api_keys where id = %s", [key_id]).fetchone()
    return row[0] if row else None


def rotate(
    conn: Connection[Any],
    key_id: UUID,
    *,
    token_hash: bytes,
    until: datetime | None,
    now: datetime,
) -> bool:
    """A new token for any live key; the one before works until then, without `until` no more.

    False when there is no such key.
    """
    values = {"id": key_id, "hash": token_hash, "until": until, "now": now}
    return conn.execute(ROTATE, values).rowcount == 1


def origins(conn: Connection[Any], *, now: datetime) -> set[str]:
    """Every page that some live client may be called from."""
    rows = conn.execute(
        "select distinct unnest(allowed_origins) from api_keys where kind = 'client'"
        " and revoked_at is null and coalesce(expires_at > %s, true)",
        [now],
    ).fetchall()
    return {row[0] for row in rows}


def list_all(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Every key, the oldest first: the row of LIST."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(LIST).fetchall()


def organisations(conn: Connection[Any], *, city: str | None) -> list[dict[str, Any]]:
    """{id, key, name, city} of each organisation of this city or of all; older cities first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(ORGANISATIONS, {"city": city}).fetchall()


def hub_host(conn: Connection[Any], city: str) -> str | None:
    """The key of the organisation that runs the most hubs of a city."""
    row = conn.execute(HUB_HOST, [city]).fetchone()
    return row[0] if row else None


def first_city(conn: Connection[Any], slug: str | None) -> str | None:
    """The slug of this city if it is loaded, of the first that was without one given."""
    row = conn.execute(
        "select slug from cities where %(slug)s::text is null or slug = %(slug)s"
        " order by id limit 1",
        {"slug": slug},
    ).fetchone()
    return row[0] if row else None


def keep_person(
    conn: Connection[Any],
    *,
    organisation_id: UUID,
    name: str,
    role: str,
    demo: bool,
    now: datetime,
) -> UUID:
    """The person of this name and role in the organisation; new when there is none."""
    person = {"org": organisation_id, "name": name, "role": role, "demo": demo, "now": now}
    row = conn.execute(
        "select id from staff where organisation_id = %(org)s and name = %(name)s"
        " and role = %(role)s and demo = %(demo)s order by id limit 1",
        person,
    ).fetchone()
    if row is None:
        row = conn.execute(
            "insert into staff (organisation_id, name, role, demo, created_at)"
            " values (%(org)s, %(name)s, %(role)s, %(demo)s, %(now)s) returning id",
            person,
        ).fetchone()
    assert row is not None  # noqa: S101 - an insert that returns has a row
    found: UUID = row[0]
    return found


def insert(
    conn: Connection[Any],
    *,
    kind: str,
    name: str,
    token_hash: bytes,
    staff_id: UUID | None,
    organisation_id: UUID | None,
    scopes: Sequence[str],
    expires_at: datetime | None,
    now: datetime,
    allowed_origins: Sequence[str] = (),
) -> UUID:
    """Stores a key and returns its id."""
    row = conn.execute(
        "insert into api_keys (kind, name, token_hash, staff_id, organisation_id, scopes,"
        " created_at, expires_at, allowed_origins) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " returning id",
        [
            kind,
            name,
            token_hash,
            staff_id,
            organisation_id,
            list(scopes),
            now,
            expires_at,
            list(allowed_origins),
        ],
    ).fetchone()
    assert row is not None  # noqa: S101 - the same
    found: UUID = row[0]
    return found


def live_of(conn: Connection[Any], staff_id: UUID) -> list[UUID]:
    """Every key of a person that was not revoked, sessions among them."""
    rows = conn.execute(
        "select id from api_keys where staff_id = %s and revoked_at is null", [staff_id]
    ).fetchall()
    return [row[0] for row in rows]


def revoke(conn: Connection[Any], key_id: UUID, *, now: datetime) -> bool:
    """Ends a key, unless it has ended, with its devices; False when there is no such key."""
    changed = conn.execute(
        "update api_keys set revoked_at = coalesce(revoked_at, %s) where id = %s", [now, key_id]
    )
    _sign_out(conn, [key_id], now=now)
    return changed.rowcount == 1


def find(conn: Connection[Any], key_id: UUID) -> dict[str, Any] | None:
    """Whose a key is and whether it has ended: {organisation_id, revoked_at}. Holds it still."""
    return fetch_one(
        conn, "select organisation_id, revoked_at from api_keys where id = %s for update", [key_id]
    )


def revoke_others(conn: Connection[Any], key_id: UUID, *, now: datetime) -> list[UUID]:
    """Ends every other key of the person whose key this is, with the devices of those keys.

    Returns which.
    """
    revoked = conn.execute(
        "update api_keys set revoked_at = %(now)s where revoked_at is null and id <> %(id)s"
        " and staff_id = (select staff_id from api_keys where id = %(id)s) returning id",
        {"now": now, "id": key_id},
    ).fetchall()
    ended = [row[0] for row in revoked]
    _sign_out(conn, ended, now=now)
    return ended


def _sign_out(conn: Connection[Any], key_ids: Sequence[UUID], *, now: datetime) -> None:
    """Ends the devices of keys. After the keys: a device that is just being added waits for them.

    By a statement of its own, which sees what that one wrote.
    """
    conn.execute(
        """
        select end_devices(array(select id from addresses
                                 where api_key_id = any (%s) and state <> 'gone'),
                           'signed_out', %s)
        """,
        [list(key_ids), now],
    )
