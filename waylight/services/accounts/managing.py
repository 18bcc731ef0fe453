"""Accounts as administrators keep them, invitations, and what an organisation demands.

An administrator sees, makes and changes accounts of their own organisation. That is looked at here
and, for the role that all of it is written as, by the database again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from uuid_utils import uuid7

from waylight.db import accounts as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain.accounts import INVITED_FOR, Account, Invitation
from waylight.domain.addresses import normal_email
from waylight.domain.changes import check_version
from waylight.domain.errors import (
    InvalidRequest,
    LastAdministrator,
    NotAllowed,
    NotFound,
    Problem,
    StaleVersion,
    StateConflict,
)
from waylight.domain.principals import Principal
from waylight.domain.roles import Role
from waylight.services import audit, passwords
from waylight.services.accounts import turns
from waylight.services.accounts.factors import NO_TOTP
from waylight.services.accounts.identity import (
    account_of,
    login_hash,
    login_hashes,
    opened,
    person_of,
    record,
    session_of,
    tell,
)
from waylight.vault import Vault


def list_accounts(
    database: Database, vault: Vault, principal: Principal, *, after: UUID | None, limit: int
) -> list[Account]:
    """The accounts of the caller's organisation, the oldest first."""
    _, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        rows = db.page(conn, organisation_id, after=after, limit=limit)
    return [account_of(vault, row) for row in rows]


def read_account(database: Database, vault: Vault, principal: Principal, staff_id: UUID) -> Account:
    """One account of the caller's organisation. Raises NotFound for any other."""
    _, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        return account_of(vault, _found(conn, organisation_id, staff_id))


def create_account(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    email: str,
    name: str,
    job: str | None,
    roles: Sequence[Role],
    request_id: str | None = None,
    now: datetime,
) -> Account:
    """An account for a new person of the caller's organisation; nobody can sign in with it yet.

    Raises InvalidRequest for an address that is none, StateConflict for one that somebody of the
    organisation has. Whether others have it is not told, nor asked.
    """
    by, organisation_id = person_of(principal)
    staff_id = UUID(bytes=uuid7().bytes)
    with database.staff(organisation_id) as conn:
        if db.whose(conn, organisation_id, login_hashes(vault, email)) is not None:
            raise StateConflict(TAKEN, problems=[EMAIL_TAKEN])
        job = job or roles[0]
        db.hire(
            conn,
            staff_id=staff_id,
            organisation_id=organisation_id,
            name=name,
            job=job,
            now=now,
        )
        insert_account(
            conn,
            vault,
            staff_id=staff_id,
            organisation_id=organisation_id,
            email=email,
            roles=roles,
            by=by,
            now=now,
        )
        audit.write(
            conn,
            vault,
            "account.created",
            principal=principal,
            subject_id=staff_id,
            request_id=request_id,
            now=now,
        )
        return account_of(vault, _found(conn, organisation_id, staff_id))


def insert_account(
    conn: Connection[Any],
    vault: Vault,
    *,
    staff_id: UUID,
    organisation_id: UUID,
    email: str,
    roles: Sequence[str],
    by: UUID | None,
    now: datetime,
) -> None:
    """Writes the account of a person, and that it was made. Raises as `create_account`."""
    normal = normal_email(email)
    if normal is None:
        detail = "This must be an e-mail address, such as robin@example.org."
        raise InvalidRequest(problems=[Problem("/email", "invalid", detail)])
    if db.whose(conn, organisation_id, login_hashes(vault, normal)) is not None:
        raise StateConflict(TAKEN, problems=[EMAIL_TAKEN])
    sealed = vault.seal(staff_id, {"email": normal})
    made = db.insert(
        conn,
        staff_id=staff_id,
        organisation_id=organisation_id,
        login_hash=login_hash(vault, normal),
        key_version=sealed.key_version,
        wrapped_key=sealed.wrapped_key,
        email=sealed.ciphertexts["email"],
        roles=sorted(set(roles)),
        now=now,
    )
    if not made:
        raise StateConflict(TAKEN, problems=[EMAIL_TAKEN])
    tell(
        conn,
        "account.created",
        organisation_id=organisation_id,
        account=staff_id,
        by=by,
        now=now,
        roles=sorted(set(roles)),
    )


TAKEN = "Somebody of your organisation has this address: change their account."
EMAIL_TAKEN = Problem("/email", "email_taken", TAKEN)


def change_account(
    database: Database,
    vault: Vault,
    principal: Principal,
    staff_id: UUID,
    *,
    name: str | None = None,
    job: str | None = None,
    roles: Sequence[Role] | None = None,
    disabled: bool | None = None,
    if_match: int | None = None,
    request_id: str | None = None,
    now: datetime,
) -> Account:
    """Another name, job or roles; or no more signing in, which ends every key of the person.

    A role that is taken away ends their sessions, so that nothing stays open that it opened; one
    that is given holds from the next request on. Raises NotFound for an account of others,
    StaleVersion, LastAdministrator where nobody could administer the organisation after it.
    """
    by, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        administrators = db.lock_administrators(conn, organisation_id)
        row = _found(conn, organisation_id, staff_id, lock=True)
        check_version(if_match, row["version"])
        goes = disabled is True or (roles is not None and Role.ADMINISTRATOR not in roles)
        if goes and administrators == {staff_id}:
            raise LastAdministrator
        changes: dict[str, Any] = {}
        if roles is not None:
            changes["roles"] = sorted(set(roles))
        if disabled is not None:
            changes["disabled_at"] = (row["disabled_at"] or now) if disabled else None
            changes |= NO_INVITATION
        if name is not None or job is not None:
            db.rename(conn, staff_id, name=name, job=job)
        db.change(conn, staff_id, changes, now=now)
        if disabled:
            db_sessions.end_of(conn, staff_id, only_sessions=False, now=now)
        elif roles is not None and not set(row["roles"]) <= set(roles):
            db_sessions.end_of(conn, staff_id, now=now)
        tell(
            conn,
            "account.changed",
            organisation_id=organisation_id,
            account=staff_id,
            by=by,
            now=now,
            **{field: value for field, value in changes.items() if field == "roles"},
            **({} if disabled is None else {"disabled": disabled}),
        )
        audit.write(
            conn,
            vault,
            "account.changed",
            principal=principal,
            subject_id=staff_id,
            request_id=request_id,
            now=now,
        )
        return account_of(vault, _found(conn, organisation_id, staff_id))


def invite(
    database: Database,
    vault: Vault,
    principal: Principal,
    staff_id: UUID,
    *,
    reset_totp: bool = False,
    request_id: str | None = None,
    now: datetime,
) -> Invitation:
    """What a person sets their password with, once, within a day; the one before ends.

    With `reset_totp` their second factor goes when it is accepted: for a lost telephone. Raises
    NotFound for an account of others, StateConflict for a disabled one.
    """
    by, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        row = _found(conn, organisation_id, staff_id, lock=True)
        if row["disabled_at"] is not None:
            raise StateConflict("This account is disabled: enable it first.")
        invitation = write_invitation(conn, vault, row, by=by, reset_totp=reset_totp, now=now)
        audit.write(
            conn,
            vault,
            "account.invited",
            principal=principal,
            subject_id=staff_id,
            request_id=request_id,
            now=now,
        )
    return invitation


def write_invitation(
    conn: Connection[Any],
    vault: Vault,
    row: Mapping[str, Any],
    *,
    by: UUID | None,
    reset_totp: bool = False,
    now: datetime,
) -> Invitation:
    """Writes a new invitation for the account of a row, and that it was made."""
    token, until = vault.new_token("invitation"), now + INVITED_FOR
    changes = {"invitation_hash": vault.hash_token(token), "invited_until": until}
    # Until it is accepted the factor stays: whoever knows the old password alone would come in.
    db.change(conn, row["id"], {**changes, "totp_goes": reset_totp}, now=now)
    tell(
        conn,
        "account.invited",
        organisation_id=row["organisation_id"],
        account=row["id"],
        by=by,
        now=now,
        totp_reset=reset_totp,
    )
    return Invitation(token=token, expires_at=until, organisation=row["organisation_key"])


def accept_invitation(
    database: Database,
    vault: Vault,
    *,
    token: str,
    password: str,
    request_id: str | None = None,
    now: datetime,
) -> tuple[str, str]:
    """Sets the password of whoever was invited; returns what to sign in with beside it.

    That is the organisation's key, and a token for this device. Every session of the account ends.
    A second factor that is set up stays, unless the invitation was made for a lost one: a link
    alone opens nothing. Raises NotFound for an invitation that was used, is over or never was,
    InvalidRequest for a password that is not taken.
    """
    token_hash = vault.hash_token(token)
    with database.intake(autocommit=True) as conn:
        row = db.invited(conn, token_hash, now=now)
    if row is None:
        raise NotFound(OVER)
    passwords.check_new(password, known=_known(vault, row))
    hashed = passwords.hash_password(password)
    with database.intake() as conn:
        row = db.invited(conn, token_hash, now=now)
        if row is None:
            raise NotFound(OVER)
        _set_password(conn, vault, row, hashed, by=None, request_id=request_id, now=now)
        if row["totp_goes"]:
            db.change(conn, row["id"], NO_TOTP, now=now)
            record(
                conn,
                vault,
                "account.totp_removed",
                principal=None,
                organisation_id=row["organisation_id"],
                account=row["id"],
                request_id=request_id,
                now=now,
            )
    login = login_hash(vault, opened(vault, row, "email") or "")
    return row["organisation_key"], turns.device_of(vault, login, row["id"])


NO_INVITATION: Mapping[str, Any] = {
    "invitation_hash": None,
    "invited_until": None,
    "totp_goes": False,
}

OVER = "This invitation was used, is over, or never was: ask for another."


def set_password(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    password: str,
    request_id: str | None = None,
    now: datetime,
) -> None:
    """Another password for the caller; their other sessions end.

    Raises InvalidRequest, and NotAllowed for whoever a provider signed in: who leaves there must
    not have kept a door of their own.
    """
    staff_id, _ = person_of(principal)
    session_of(principal)
    if principal.identity_provider_id is not None:
        raise NotAllowed("Your provider signs you in: a password would outlive its word.")
    with database.intake(autocommit=True) as conn:
        row = db.own(conn, staff_id)
    if row is None:
        raise NotFound
    passwords.check_new(password, known=_known(vault, row))
    hashed = passwords.hash_password(password)
    with database.intake() as conn:
        _set_password(conn, vault, row, hashed, by=principal, request_id=request_id, now=now)


def read_policy(database: Database, principal: Principal) -> dict[str, Any]:
    """What the caller's organisation demands: {requires_totp, version}."""
    _, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        return db.policy(conn, organisation_id)


def change_policy(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    requires_totp: bool,
    if_match: int | None = None,
    request_id: str | None = None,
    now: datetime,
) -> dict[str, Any]:
    """Demands a second factor of everybody in the organisation, or of administrators alone.

    Who has none can do nothing else from their next request on. Raises StaleVersion.
    """
    by, organisation_id = person_of(principal)
    with database.staff(organisation_id) as conn:
        if not db.keep_policy(conn, organisation_id, requires_totp=requires_totp, version=if_match):
            raise StaleVersion(version=db.policy(conn, organisation_id)["version"])
        tell(
            conn,
            "sign_in_policy.changed",
            organisation_id=organisation_id,
            account=None,
            by=by,
            now=now,
            requires_totp=requires_totp,
        )
        audit.write(
            conn,
            vault,
            "sign_in_policy.changed",
            principal=principal,
            request_id=request_id,
            now=now,
        )
        return db.policy(conn, organisation_id)


def _set_password(
    conn: Connection[Any],
    vault: Vault,
    row: Mapping[str, Any],
    hashed: str,
    *,
    by: Principal | None,
    request_id: str | None,
    now: datetime,
) -> None:
    changes = {
        "password_hash": hashed,
        "password_set_at": now,
        **NO_INVITATION,
    }
    db.change(conn, row["id"], changes, now=now)
    kept = by.key_id if by is not None else None
    others = [one for one in db_sessions.sessions_of(conn, row["id"]) if one != kept]
    db_sessions.end(conn, others, now=now)
    record(
        conn,
        vault,
        "account.password_set",
        principal=by,
        organisation_id=row["organisation_id"],
        account=row["id"],
        request_id=request_id,
        now=now,
    )


def _known(vault: Vault, row: Mapping[str, Any]) -> tuple[str, ...]:
    """What anybody knows of a person."""
    email = opened(vault, row, "email") or ""
    return row["name"], email, row["organisation"], row["organisation_key"]


def _found(
    conn: Connection[Any], organisation_id: UUID, staff_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    row = db.find(conn, organisation_id, staff_id, lock=lock)
    if row is None:
        raise NotFound
    return row
