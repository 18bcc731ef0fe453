"""Accounts of staff: as their administrators see them, and as signing in does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import dict_row

SELECT = """
select a.staff_id as id, a.organisation_id, a.version, s.name, s.role as job, a.key_version,
       a.wrapped_key, a.email, a.roles, a.password_set_at, a.totp_since, a.invited_until,
       a.disabled_at, a.created_at, o.name as organisation, o.key as organisation_key
from accounts a
join staff s on s.id = a.staff_id
join organisations o on o.id = a.organisation_id
"""
"""What the role that serves people may read."""

LOGIN = """
select a.staff_id as id, a.organisation_id, a.key_version, a.wrapped_key, a.roles,
       a.password_hash, a.totp_secret, a.totp_step, a.recovery_hashes, a.disabled_at,
       s.name, o.key as organisation_key, o.name as organisation,
       exists (select from accounts other where other.login_hash = a.login_hash
               and other.staff_id <> a.staff_id) as is_shared
from accounts a
join staff s on s.id = a.staff_id
join organisations o on o.id = a.organisation_id
where a.login_hash = any (%(logins)s)
  and (%(organisation)s::text is null or o.key = %(organisation)s)
order by a.disabled_at is not null, a.password_hash is null, a.staff_id
limit 1
"""

SIGN_IN = """
select a.staff_id as id, a.organisation_id, a.key_version, a.wrapped_key, a.email, a.roles,
       a.password_hash, a.totp_secret, a.totp_since, a.totp_pending, a.totp_step,
       a.recovery_hashes, a.totp_goes, s.name, o.name as organisation, o.key as organisation_key,
       coalesce(p.requires_totp, false) as requires_totp
from accounts a
join staff s on s.id = a.staff_id
join organisations o on o.id = a.organisation_id
left join sign_in_policies p on p.organisation_id = a.organisation_id
where a.disabled_at is null and {which}
for update of a
"""

CHANGEABLE = frozenset(
    {
        "invitation_hash",
        "invited_until",
        "totp_goes",
        "roles",
        "disabled_at",
        "totp_secret",
        "totp_since",
        "totp_pending",
        "totp_step",
        "recovery_hashes",
        "password_hash",
        "password_set_at",
    }
)


def page(
    conn: Connection[Any], organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Accounts of an organisation, the oldest first: rows of SELECT."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} where a.organisation_id = %s and (%s::uuid is null or a.staff_id > %s)"
            " order by a.staff_id limit %s",
            [organisation_id, after, after, limit],
        ).fetchall()


def everyone(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Every account, by organisation. As the owner."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(f"{SELECT} order by o.key, a.staff_id").fetchall()


def find(
    conn: Connection[Any], organisation_id: UUID, staff_id: UUID, *, lock: bool = False
) -> dict[str, Any] | None:
    """One account of an organisation: a row of SELECT."""
    locking = " for update of a" if lock else ""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"{SELECT} where a.organisation_id = %s and a.staff_id = %s{locking}",
            [organisation_id, staff_id],
        ).fetchone()


def lock_administrators(conn: Connection[Any], organisation_id: UUID) -> set[UUID]:
    """Who can sign in as administrator of an organisation. Nobody takes that away until the end."""
    rows = conn.execute(
        "select staff_id from accounts where organisation_id = %s and disabled_at is null"
        " and 'administrator' = any (roles) and password_set_at is not null"
        " order by staff_id for update",
        [organisation_id],
    ).fetchall()
    return {row[0] for row in rows}


def hire(
    conn: Connection[Any],
    *,
    staff_id: UUID,
    organisation_id: UUID,
    name: str,
    job: str,
    now: datetime,
) -> None:
    """A new person of an organisation."""
    conn.execute(
        "insert into staff (id, organisation_id, name, role, created_at)"
        " values (%s, %s, %s, %s, %s)",
        [staff_id, organisation_id, name, job, now],
    )


def rename(conn: Connection[Any], staff_id: UUID, *, name: str | None, job: str | None) -> None:
    """Another name or job for a person."""
    conn.execute(
        "update staff set name = coalesce(%s, name), role = coalesce(%s, role) where id = %s",
        [name, job, staff_id],
    )


def whose(
    conn: Connection[Any], organisation_id: UUID, login_hashes: Sequence[bytes]
) -> UUID | None:
    """The person of the organisation who has this address, by any of its hashes."""
    row = conn.execute(
        "select staff_id from accounts where organisation_id = %s and login_hash = any (%s)",
        [organisation_id, list(login_hashes)],
    ).fetchone()
    return row[0] if row else None


def insert(
    conn: Connection[Any],
    *,
    staff_id: UUID,
    organisation_id: UUID,
    login_hash: bytes,
    key_version: int,
    wrapped_key: bytes,
    email: bytes,
    roles: Sequence[str],
    now: datetime,
) -> bool:
    """A new account, without a password; False when somebody there has this address."""
    made = conn.execute(
        """
        insert into accounts (staff_id, organisation_id, login_hash, key_version, wrapped_key,
                              email, roles, created_at, updated_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (organisation_id, login_hash) do nothing
        """,
        [
            staff_id,
            organisation_id,
            login_hash,
            key_version,
            wrapped_key,
            email,
            list(roles),
            now,
            now,
        ],
    )
    return made.rowcount == 1


def change(
    conn: Connection[Any], staff_id: UUID, changes: Mapping[str, Any], *, now: datetime
) -> None:
    """Sets columns of an account, which makes a new version. Raises ValueError for others."""
    if not changes.keys() <= CHANGEABLE:
        raise ValueError("a column that does not change so")
    values = {**changes, "updated_at": now}
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    conn.execute(
        sql.SQL(
            "update accounts set {}, version = version + 1 where staff_id = %(staff_id)s"
        ).format(assignments),
        {**values, "staff_id": staff_id},
    )


def login(
    conn: Connection[Any], login_hashes: Sequence[bytes], *, organisation: str | None
) -> dict[str, Any] | None:
    """Whom an address signs in, by any of its hashes; of several the oldest account. As intake.

    `is_shared` is whether others have accounts with this address.
    One statement, the same whether there is one or not.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            LOGIN, {"logins": list(login_hashes), "organisation": organisation}
        ).fetchone()


def own(conn: Connection[Any], staff_id: UUID) -> dict[str, Any] | None:
    """Somebody's own account with what they sign in with, locked. As intake."""
    return _locked(conn, "a.staff_id = %s", [staff_id])


def invited(
    conn: Connection[Any], invitation_hash: bytes, *, now: datetime
) -> dict[str, Any] | None:
    """The account of a live invitation, locked: of two who come at once, the second finds none."""
    return _locked(conn, "a.invitation_hash = %s and a.invited_until > %s", [invitation_hash, now])


def use_step(conn: Connection[Any], staff_id: UUID, step: int) -> bool:
    """Uses a code of a step of time up; False when it or a later one was used before."""
    used = conn.execute(
        "update accounts set totp_step = %s where staff_id = %s and coalesce(totp_step, -1) < %s",
        [step, staff_id, step],
    )
    return used.rowcount == 1


def use_recovery(conn: Connection[Any], staff_id: UUID, code_hash: bytes) -> bool:
    """Uses a recovery code up; False when it was used before."""
    used = conn.execute(
        "update accounts set recovery_hashes = array_remove(recovery_hashes, %s)"
        " where staff_id = %s and %s = any (recovery_hashes)",
        [code_hash, staff_id, code_hash],
    )
    return used.rowcount == 1


def policy(conn: Connection[Any], organisation_id: UUID) -> dict[str, Any]:
    """{requires_totp, version} of an organisation; version 0 where it never said anything."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "select requires_totp, version from sign_in_policies where organisation_id = %s",
            [organisation_id],
        ).fetchone()
    return found or {"requires_totp": False, "version": 0}


def keep_policy(
    conn: Connection[Any], organisation_id: UUID, *, requires_totp: bool, version: int | None
) -> bool:
    """Sets what an organisation demands; False when it has another version by now."""
    kept = conn.execute(
        """
        insert into sign_in_policies as p (organisation_id, requires_totp)
        select %(org)s, %(totp)s where coalesce(%(version)s::integer, 0) = 0
            or exists (select from sign_in_policies where organisation_id = %(org)s)
        on conflict (organisation_id) do update
        set requires_totp = excluded.requires_totp, version = p.version + 1
        where coalesce(%(version)s::integer, p.version) = p.version
        """,
        {"org": organisation_id, "totp": requires_totp, "version": version},
    )
    return kept.rowcount == 1


def _locked(conn: Connection[Any], which: str, values: Sequence[Any]) -> dict[str, Any] | None:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SIGN_IN.replace("{which}", which), values).fetchone()
