"""Whom a provider vouches for: found, linked or made, with the roles of its mapping."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils import uuid7

from waylight.db import accounts as db_accounts
from waylight.db import identity_providers as db
from waylight.db import sessions as db_sessions
from waylight.domain.identity_providers import Unfit, name_of
from waylight.domain.principals import Kind, Principal
from waylight.domain.roles import Role
from waylight.services import audit
from waylight.services.accounts.identity import login_hashes, tell
from waylight.services.accounts.managing import insert_account
from waylight.services.accounts.openid.proving import Proved
from waylight.vault import Vault


def account_of_proved(
    conn: Connection[Any],
    vault: Vault,
    proved: Proved,
    *,
    request_id: str | None,
    now: datetime,
) -> dict[str, Any]:
    """The account of whom a provider vouches for, with their roles of today. As staff.

    By their subject; the first time by the address that the provider has verified, and a new
    person where nobody has it and the mapping gives a role. Where it vouches for some domains alone
    the address is looked at every time: who has left them there has left. Raises Unfit.
    """
    row, organisation_id = proved.provider, proved.provider["organisation_id"]
    proved.check_let_in()
    given, email = proved.roles, proved.email
    staff_id = db.person_of(conn, row["id"], proved.subject_hash, now=now)
    if staff_id is None:
        if email is None:
            raise Unfit("no_verified_email")
        staff_id = db_accounts.whose(conn, organisation_id, login_hashes(vault, email))
        if staff_id is None:
            if not given:
                raise Unfit("nobody_here")
            staff_id = _hire(conn, vault, proved, email, given, request_id=request_id, now=now)
        _link(conn, vault, proved, staff_id, request_id=request_id, now=now)
    account = _enabled(conn, organisation_id, staff_id)
    if given and given != account["roles"]:
        account = _change_roles(conn, vault, account, given, request_id=request_id, now=now)
    return account


def _enabled(
    conn: Connection[Any], organisation_id: UUID, staff_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    account = db_accounts.find(conn, organisation_id, staff_id, lock=lock)
    if account is None or account["disabled_at"] is not None:
        raise Unfit("disabled")
    return account


def _hire(
    conn: Connection[Any],
    vault: Vault,
    proved: Proved,
    email: str,
    given: Sequence[Role],
    *,
    request_id: str | None,
    now: datetime,
) -> UUID:
    row, staff_id = proved.provider, UUID(bytes=uuid7().bytes)
    db_accounts.hire(
        conn,
        staff_id=staff_id,
        organisation_id=row["organisation_id"],
        name=name_of(proved.claims, email),
        job=given[0],
        now=now,
    )
    insert_account(
        conn,
        vault,
        staff_id=staff_id,
        organisation_id=row["organisation_id"],
        email=email,
        roles=given,
        by=None,
        now=now,
    )
    _audit(conn, vault, row, staff_id, "account.created", request_id=request_id, now=now)
    return staff_id


def _link(
    conn: Connection[Any],
    vault: Vault,
    proved: Proved,
    staff_id: UUID,
    *,
    request_id: str | None,
    now: datetime,
) -> None:
    """Notes that this subject is this person; an address that was given to another links nobody."""
    row = proved.provider
    if not db.link(
        conn,
        provider_id=row["id"],
        subject_hash=proved.subject_hash,
        staff_id=staff_id,
        organisation_id=row["organisation_id"],
        now=now,
    ):
        if db.person_of(conn, row["id"], proved.subject_hash, now=now) == staff_id:
            return  # the same person, who comes twice at once
        raise Unfit("linked_otherwise")
    tell(
        conn,
        "identity.linked",
        organisation_id=row["organisation_id"],
        account=staff_id,
        by=staff_id,
        now=now,
        provider_id=str(row["id"]),
    )
    _audit(conn, vault, row, staff_id, "identity.linked", request_id=request_id, now=now)


def _change_roles(
    conn: Connection[Any],
    vault: Vault,
    account: Mapping[str, Any],
    given: Sequence[str],
    *,
    request_id: str | None,
    now: datetime,
) -> dict[str, Any]:
    """Gives an account the roles of the mapping; one that is taken away ends its other sessions.

    The last administrator who can sign in without the provider stays one.
    """
    organisation_id, staff_id = account["organisation_id"], account["id"]
    # In the order in which administrators change accounts, or the two wait for each other.
    administrators = db_accounts.lock_administrators(conn, organisation_id)
    account = _enabled(conn, organisation_id, staff_id, lock=True)
    if administrators == {staff_id}:
        given = sorted({*given, Role.ADMINISTRATOR})
    if given == account["roles"]:
        return dict(account)
    db_accounts.change(conn, staff_id, {"roles": given}, now=now)
    if not set(account["roles"]) <= set(given):
        db_sessions.end_of(conn, staff_id, now=now)
    tell(
        conn,
        "account.changed",
        organisation_id=organisation_id,
        account=staff_id,
        by=staff_id,
        now=now,
        roles=given,
    )
    _audit(conn, vault, account, staff_id, "account.changed", request_id=request_id, now=now)
    return {**account, "roles": given}


def _audit(
    conn: Connection[Any],
    vault: Vault,
    row: Mapping[str, Any],
    staff_id: UUID,
    action: str,
    *,
    request_id: str | None,
    now: datetime,
) -> None:
    """An entry of what a provider's word did: by the person that it is about."""
    audit.write(
        conn,
        vault,
        action,
        principal=Principal(
            kind=Kind.STAFF, staff_id=staff_id, organisation_id=row["organisation_id"]
        ),
        subject_id=staff_id,
        request_id=request_id,
        now=now,
    )
