"""API clients of an organisation: made, changed, rotated and revoked by its staff."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import clients as db
from waylight.db.session import Database
from waylight.domain.changes import check_says_something, check_version
from waylight.domain.clients import MOST, Client, not_held, state_of
from waylight.domain.errors import (
    InvalidRequest,
    NotAllowed,
    NotFound,
    Problem,
    StateConflict,
)
from waylight.domain.principals import Kind, Principal
from waylight.services import audit
from waylight.services.keys import CLIENT_SCOPES, read_origins
from waylight.services.staff import organisation_of
from waylight.vault import Vault


def create_client(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    values: Mapping[str, Any],
    request_id: str | None = None,
    now: datetime,
) -> Client:
    """A new client of the caller's organisation; its token is in this answer alone.

    `values` are `name`, `scopes`, `allowed_origins` and `expires_at`. Raises InvalidRequest for
    what is no scope, no origin or over already, NotAllowed for a scope that the caller has not got,
    StateConflict for one client too many.
    """
    organisation_id = organisation_of(principal)
    checked = _checked(values, now=now)
    _check_held(principal, checked["scopes"])
    token = vault.new_token(Kind.CLIENT)
    with database.staff(organisation_id) as conn:
        if db.count_live(conn, organisation_id, now=now) >= MOST:
            raise StateConflict(f"An organisation has at most {MOST} clients: revoke one first.")
        row = db.insert(
            conn,
            organisation_id=organisation_id,
            token_hash=vault.hash_token(token),
            now=now,
            **checked,
        )
        audit.tell(
            conn,
            vault,
            "client.created",
            principal=principal,
            subject_id=row["id"],
            data={"client_id": str(row["id"])},
            request_id=request_id,
            now=now,
        )
    return _client(row, now=now, token=token)


def list_clients(
    database: Database, principal: Principal, *, after: UUID | None, limit: int, now: datetime
) -> Sequence[Client]:
    """Those of the caller's organisation, revoked ones too, the oldest first."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db.page(conn, organisation_id, after=after, limit=limit)
    return [_client(row, now=now) for row in rows]


def read_client(
    database: Database, principal: Principal, *, client_id: UUID, now: datetime
) -> Client:
    """One of them. Raises NotFound, also for one of another organisation."""
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        return _client(_own(conn, organisation_id, client_id), now=now)


def edit_client(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    client_id: UUID,
    values: Mapping[str, Any],
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Client:
    """Changes its name, scopes, pages or when it ends.

    The caller needs every scope that it then has: who changes where a key works, or how long, gives
    what it opens. Raises as `create_client` and `read_client`, StaleVersion, and StateConflict for
    one that is revoked.
    """
    check_says_something(is_empty=not values)
    checked = _checked(values, now=now)

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        _check_held(principal, checked.get("scopes", row["scopes"]))
        return db.change(conn, client_id, checked)

    return _change(
        database,
        vault,
        principal,
        client_id,
        change,
        kind="client.updated",
        if_match=if_match,
        request_id=request_id,
        now=now,
        data={"changed": sorted(values)},
    )


def rotate_client(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    client_id: UUID,
    overlap: timedelta,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Client:
    """A new token, in this answer alone; the one before works for `overlap`, one older no more.

    With no overlap it ends at once, with the access tokens that were got with it. The caller needs
    every scope of the client: the token is a key to all of them. Raises as `edit_client`.
    """
    token = vault.new_token(Kind.CLIENT)
    until = now + overlap if overlap else None

    def change(conn: Connection[Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
        _check_held(principal, row["scopes"])
        db.rotate(conn, client_id, token_hash=vault.hash_token(token), until=until, now=now)
        return _own(conn, row["organisation_id"], client_id)

    return _change(
        database,
        vault,
        principal,
        client_id,
        change,
        kind="client.rotated",
        if_match=if_match,
        request_id=request_id,
        now=now,
        token=token,
    )


def revoke_client(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    client_id: UUID,
    if_match: int | None,
    request_id: str | None = None,
    now: datetime,
) -> Client:
    """Ends it at once, with every token of it. Doing it again changes nothing.

    It needs none of its scopes: whoever sees a leak must be able to stop it. Raises as
    `read_client` and StaleVersion.
    """

    def change(conn: Connection[Any], _row: Mapping[str, Any]) -> Mapping[str, Any]:
        return db.change(conn, client_id, {"revoked_at": now})

    return _change(
        database,
        vault,
        principal,
        client_id,
        change,
        kind="client.revoked",
        if_match=if_match,
        request_id=request_id,
        now=now,
        revoking=True,
    )


def _change(
    database: Database,
    vault: Vault,
    principal: Principal,
    client_id: UUID,
    change: Callable[[Connection[Any], Mapping[str, Any]], Mapping[str, Any]],
    *,
    kind: str,
    if_match: int | None,
    request_id: str | None,
    now: datetime,
    data: Mapping[str, Any] | None = None,
    token: str | None = None,
    revoking: bool = False,
) -> Client:
    organisation_id = organisation_of(principal)
    with database.staff(organisation_id) as conn:
        row = _own(conn, organisation_id, client_id, lock=True)
        check_version(if_match, row["version"])
        if row["revoked_at"] is not None:
            if revoking:
                return _client(row, now=now)
            raise StateConflict("It is revoked, and stays so: make a new client.")
        changed = change(conn, row)
        audit.tell(
            conn,
            vault,
            kind,
            principal=principal,
            subject_id=client_id,
            data={"client_id": str(client_id), **(data or {})},
            request_id=request_id,
            now=now,
        )
    return _client(changed, now=now, token=token)


def _own(
    conn: Connection[Any], organisation_id: UUID, client_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    row = db.find(conn, client_id, organisation_id, lock=lock)
    if row is None:
        raise NotFound
    return row


def _checked(values: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    found = dict(values)
    problems = []
    if "scopes" in found:
        problems = [
            Problem(
                f"/scopes/{at}",
                "unknown_scope",
                f"A program may have: {', '.join(CLIENT_SCOPES)}. All else is for people.",
            )
            for at, scope in enumerate(found["scopes"])
            if scope not in CLIENT_SCOPES
        ]
        found["scopes"] = sorted(set(found["scopes"]))
    if found.get("expires_at") is not None and found["expires_at"] <= now:
        problems.append(Problem("/expires_at", "in_the_past", "This moment is over."))
    if problems:
        raise InvalidRequest(problems=problems)
    if "allowed_origins" in found:
        found["allowed_origins"] = read_origins(found["allowed_origins"])
    return found


def _check_held(principal: Principal, scopes: Iterable[str]) -> None:
    lacking = not_held(scopes, principal.scopes)
    if lacking:
        raise NotAllowed(
            "Nobody gives a scope that they have not got.",
            problems=[
                Problem("/scopes", "scope_not_held", f"You have not got the scope {scope}.")
                for scope in lacking
            ],
        )


def _client(row: Mapping[str, Any], *, now: datetime, token: str | None = None) -> Client:
    until = row["old_token_until"]
    return Client(
        id=row["id"],
        organisation_id=row["organisation_id"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        allowed_origins=tuple(row["allowed_origins"]),
        state=state_of(expires_at=row["expires_at"], revoked_at=row["revoked_at"], now=now),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_on=row["last_used_on"],
        rotated_at=row["rotated_at"],
        old_token_until=until if until is not None and until > now else None,
        revoked_at=row["revoked_at"],
        version=row["version"],
        token=token,
    )
