"""Who an account is: its address found again and opened, the events that tell of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import events
from waylight.domain.accounts import Account
from waylight.domain.addresses import normal_email
from waylight.domain.errors import NotAllowed
from waylight.domain.principals import Principal
from waylight.services import audit
from waylight.vault import Vault, VaultError


def login_hash(vault: Vault, email: str) -> bytes:
    """The keyed hash that an account is stored with: of the vault key in use."""
    return login_hashes(vault, email)[0]


def login_hashes(vault: Vault, email: str) -> list[bytes]:
    """Those by which an address is found again, whatever its case and spaces: of each key held.

    `waylight secrets rewrap` makes those that are stored anew, so that a key can go.
    """
    text = normal_email(email) or email.strip()
    return list(vault.keyed_hashes("login", text.casefold().encode(errors="replace")))


def person_of(principal: Principal) -> tuple[UUID, UUID]:
    """The person and the organisation of a caller. Raises NotAllowed for whoever is none."""
    if principal.staff_id is None or principal.organisation_id is None:
        raise NotAllowed("This is for staff: sign in.")
    return principal.staff_id, principal.organisation_id


def session_of(principal: Principal) -> UUID:
    """The caller's session. Raises NotAllowed for a caller with a key, which has none."""
    if not principal.is_session or principal.key_id is None:
        raise NotAllowed("This is for sessions, and you call with a key: sign in.")
    return principal.key_id


def opened(vault: Vault, row: Mapping[str, Any], field: str) -> str | None:
    """What is sealed in a field of an account; None for nothing, and where it cannot be read."""
    if row[field] is None or row["wrapped_key"] is None:
        return None
    try:
        return vault.open(row["id"], row["key_version"], row["wrapped_key"], field, row[field])
    except VaultError:
        return None


def account_of(vault: Vault, row: Mapping[str, Any]) -> Account:
    """The account of a row."""
    return Account(
        id=row["id"],
        organisation_id=row["organisation_id"],
        version=row["version"],
        name=row["name"],
        job=row["job"],
        email=opened(vault, row, "email"),
        roles=tuple(row["roles"]),
        has_password=row["password_set_at"] is not None,
        totp_since=row["totp_since"],
        invited_until=row["invited_until"],
        disabled_at=row["disabled_at"],
        created_at=row["created_at"],
    )


def record(
    conn: Connection[Any],
    vault: Vault,
    kind: str,
    *,
    principal: Principal | None,
    organisation_id: UUID,
    account: UUID,
    request_id: str | None,
    now: datetime,
) -> None:
    """What a person changed of what they sign in with: an event, and in the audit log.

    `principal` is None for whoever had an invitation and no session yet.
    """
    tell(conn, kind, organisation_id=organisation_id, account=account, by=account, now=now)
    audit.write(
        conn,
        vault,
        kind,
        principal=principal,
        subject_id=account,
        organisation_id=organisation_id,
        request_id=request_id,
        now=now,
    )


def tell(
    conn: Connection[Any],
    kind: str,
    *,
    organisation_id: UUID,
    account: UUID | None,
    by: UUID | None,
    now: datetime,
    **data: object,
) -> None:
    """An event: what happened to which account, by whom; the address and names are not in it."""
    about = {} if account is None else {"account_id": str(account)}
    events.write(
        conn,
        events.Event(
            kind, now, organisation_id=organisation_id, staff_id=by, data={**about, **data}
        ),
    )
