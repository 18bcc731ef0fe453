"""Signing in, and proving once more who one is.

Whatever is wrong, the answer is the same and so is the work: two statements and one hash.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils import uuid7

from waylight.db import accounts as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain import roles
from waylight.domain.accounts import FRESH_FOR, FROM_ADDRESS, OpenedSession
from waylight.domain.errors import WrongCredentials
from waylight.domain.principals import Principal
from waylight.services import passwords
from waylight.services.accounts import factors, turns
from waylight.services.accounts.identity import login_hashes, person_of, session_of, tell
from waylight.vault import Vault


@dataclass(frozen=True, repr=False)
class SignIn:
    """What somebody sends to sign in; `organisation` is a key, for whoever has several accounts."""

    email: str
    password: str
    code: str | None = None
    organisation: str | None = None
    device: str | None = None


def sign_in(
    database: Database,
    vault: Vault,
    given: SignIn,
    *,
    network: str | None,
    session_s: int,
    idle_s: int,
    now: datetime,
) -> OpenedSession:
    """A session for whoever has the password and, where one is set up, the second factor.

    Raises WrongCredentials, the same for whatever is wrong, and TooManyRequests for whoever tried
    too often, before any password is looked at. A hash of older parameters is made anew.
    """
    logins = login_hashes(vault, given.email)
    login = logins[0]
    with database.intake(autocommit=True) as conn:
        row = db.login(conn, logins, organisation=given.organisation)
    account = row["id"] if row else None
    turn = turns.of_sign_in(vault, login, account, network=network, device=given.device)
    turns.take(database, turn, now=now)
    is_right = passwords.is_right(row["password_hash"] if row else None, given.password)
    if row is None or not is_right or row["disabled_at"] is not None:
        raise WrongCredentials
    proof = factors.proof_of(vault, row, given.code, now=now)
    if proof is None:
        raise WrongCredentials
    renewed = _renewed(row["password_hash"], given.password)
    token, session_id = vault.new_token("session"), UUID(bytes=uuid7().bytes)
    expires_at = now + timedelta(seconds=session_s)
    with database.intake() as conn:
        if not proof.use(conn, row["id"]) or not db_sessions.open_session(
            conn,
            session_id=session_id,
            staff_id=row["id"],
            token_hash=vault.hash_token(token),
            idle_s=idle_s,
            expires_at=expires_at,
            now=now,
        ):
            raise WrongCredentials
        if renewed is not None:
            db.change(conn, row["id"], {"password_hash": renewed}, now=now)
        # Who is right at one of several accounts with an address has proved nothing of the others.
        turns.forget(conn, turn, only_this=row["is_shared"])
        policy = db.policy(conn, row["organisation_id"])
        tell(
            conn,
            "session.opened",
            organisation_id=row["organisation_id"],
            account=row["id"],
            by=row["id"],
            now=now,
            session_id=str(session_id),
            recovery_code=proof.recovery is not None,
        )
    demanded = roles.needs_totp(row["roles"], demanded=policy["requires_totp"])
    must_enrol = demanded and row["totp_secret"] is None
    return OpenedSession(
        token=token,
        device=turns.device_of(vault, login, row["id"], given.device),
        expires_at=expires_at,
        idle_s=idle_s,
        scopes=() if must_enrol else tuple(sorted(roles.scopes_of(row["roles"]))),
        must_enrol=must_enrol,
    )


def step_up(
    database: Database,
    vault: Vault,
    principal: Principal,
    *,
    password: str | None,
    code: str | None,
    now: datetime,
) -> datetime:
    """Makes the caller's session fresh, for the password or a code; returns until when.

    Raises NotAllowed for a key, WrongCredentials, TooManyRequests.
    """
    staff_id, organisation_id = person_of(principal)
    session_id = session_of(principal)
    turn = turns.of_person(vault, staff_id, FROM_ADDRESS, is_proved=not principal.must_prove)
    turns.take(database, turn, now=now)
    with database.intake(autocommit=True) as conn:
        row = db.own(conn, staff_id)
    if row is None:
        raise WrongCredentials
    proof: factors.Proof | None = None
    if password is not None:
        is_right = passwords.is_right(row["password_hash"], password)
        # A password beside a provider that vouches for no second factor makes up for none.
        if is_right and not principal.must_prove:
            proof = factors.Proof()
    elif row["totp_secret"] is not None:
        proof = factors.proof_of(vault, row, code, now=now)
    if proof is None:
        raise WrongCredentials
    until = now + FRESH_FOR
    with database.intake() as conn:
        if not proof.use(conn, staff_id):
            raise WrongCredentials
        db_sessions.freshen(conn, session_id, until=until)
        if password is None:
            db_sessions.prove_factor(conn, session_id)
        turns.forget(conn, turn)
        tell(
            conn,
            "session.stepped_up",
            organisation_id=organisation_id,
            account=staff_id,
            by=staff_id,
            now=now,
            session_id=str(session_id),
        )
    return until


def _renewed(stored: str, password: str) -> str | None:
    return passwords.hash_password(password) if passwords.is_outdated(stored) else None
