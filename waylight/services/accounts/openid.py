"""Signing in by an OpenID provider: begun, proved by it, and a session for whom it vouches.

Nothing is stored of a sign-in that is begun: what its answer must fit is sealed, and kept by the
browser or app that began it. Nobody else can end it, and it ends once.

A provider belongs to one organisation. Whom it vouches for is looked for, made and let in as staff
of that organisation, whose policies show no one of another.
"""

import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from psycopg import Connection
from uuid_utils import uuid7

from waylight.db import accounts as db_accounts
from waylight.db import identity_providers as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain import roles as domain_roles
from waylight.domain.accounts import FRESH_FOR, ProviderSession, lacking_factor
from waylight.domain.errors import (
    InvalidRequest,
    NotFound,
    Problem,
    SignInRefused,
    StateConflict,
    Unavailable,
)
from waylight.domain.identity_providers import (
    LASTS,
    Asked,
    Providers,
    RelyingParty,
    Unfit,
    claim_names,
    has_second_factor,
    is_fresh,
    name_of,
    roles_of,
    verified_email,
)
from waylight.domain.principals import Kind, Principal
from waylight.domain.roles import Role
from waylight.log import get_logger
from waylight.services import audit
from waylight.services.accounts.identity import login_hashes, person_of, session_of, tell
from waylight.services.accounts.managing import insert_account
from waylight.services.identity_providers import party_of, rules_of
from waylight.vault import Vault, VaultError

log = get_logger(__name__)

PURPOSE = "openid sign-in"


@dataclass(frozen=True, repr=False)
class Begun:
    """Where to send somebody, and what to keep until they come back."""

    url: str
    sign_in: str
    expires_at: datetime


@dataclass(frozen=True, repr=False)
class Answer:
    """What came back: `sign_in` was kept, the rest is in the address that the provider led to."""

    sign_in: str
    state: str
    code: str
    iss: str | None = None


@dataclass(frozen=True, repr=False)
class _Proved:
    """Somebody for whom a provider vouches: its row, what it says, and how they were asked."""

    provider: Mapping[str, Any]
    claims: Mapping[str, Any]
    subject_hash: bytes
    fresh: bool

    @property
    def has_second_factor(self) -> bool:
        """Whether its organisation takes the provider's word for a second factor."""
        return has_second_factor(self.claims, self.provider["second_factor_values"])

    @property
    def roles(self) -> list[Role]:
        """Those that the mapping gives them."""
        return sorted(roles_of(rules_of(self.provider), self.claims))

    @property
    def email(self) -> str | None:
        """The address that the provider has verified, where it may vouch for it."""
        return verified_email(self.claims, self.provider["email_domains"])

    def check_let_in(self) -> None:
        """Raises Unfit for whom no rule fits, and who is of none of the domains vouched for."""
        if self.provider["role_mapping"] and not self.roles:
            raise Unfit("no_role")
        if self.provider["email_domains"] and self.email is None:
            raise Unfit("no_verified_email")


def begin_sign_in(
    database: Database,
    vault: Vault,
    providers: Providers,
    provider_id: UUID,
    *,
    redirect_uri: str | None,
    fresh: bool,
    now: datetime,
) -> Begun:
    """Begins to sign somebody in: with `fresh`, the provider asks who they are once more.

    Raises NotFound for a provider that there is not or that is disabled, InvalidRequest for an
    address that is none of its `redirect_uris`, Unavailable where it does not answer.
    """
    with database.intake(autocommit=True) as conn:
        row = db.enabled(conn, provider_id)
    if row is None:
        raise NotFound
    if redirect_uri is not None and redirect_uri not in row["redirect_uris"]:
        detail = "This is none of the provider's redirect_uris."
        raise InvalidRequest(problems=[Problem("/redirect_uri", "unknown_redirect_uri", detail)])
    asked = Asked(
        redirect_uri=redirect_uri or row["redirect_uris"][0],
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_verifier=secrets.token_urlsafe(48),
        fresh=fresh,
    )
    url = providers.authorization_url(_party(vault, row), asked, scopes=row["scopes"])
    begun = {
        "id": secrets.token_hex(16),
        "provider": str(provider_id),
        "at": now.timestamp(),
        "redirect_uri": asked.redirect_uri,
        "state": asked.state,
        "nonce": asked.nonce,
        "code_verifier": asked.code_verifier,
        "fresh": fresh,
    }
    sealed = vault.seal_text(PURPOSE, orjson.dumps(begun).decode())
    return Begun(url=url, sign_in=sealed, expires_at=now + LASTS)


def sign_in_with_provider(
    database: Database,
    vault: Vault,
    providers: Providers,
    answer: Answer,
    *,
    session_s: int,
    idle_s: int,
    request_id: str | None = None,
    now: datetime,
) -> ProviderSession:
    """A session for whoever brings back what the provider gave them for this sign-in.

    Raises SignInRefused, the same for whatever is wrong; Unavailable where the provider does not
    answer. Roles are those of the mapping, from now on.
    """
    proved = _prove(database, vault, providers, answer, now=now)
    token = vault.new_token("session")
    expires_at = now + timedelta(seconds=session_s)
    fresh_until = now + FRESH_FOR if proved.fresh else None
    opened = {
        "token_hash": vault.hash_token(token),
        "idle_s": idle_s,
        "expires_at": expires_at,
        "fresh_until": fresh_until,
        "second_factor": proved.has_second_factor,
    }
    with _one_answer(proved.provider["id"]):
        try:
            account, policy = _let_in(database, vault, proved, opened, request_id, now=now)
        except StateConflict:
            # Somebody new who comes twice at once: by now they are there.
            account, policy = _let_in(database, vault, proved, opened, request_id, now=now)
    must_enrol, must_prove = lacking_factor(
        is_demanded=domain_roles.needs_totp(account["roles"], demanded=policy["requires_totp"]),
        has_totp=account["totp_since"] is not None,
        by_provider=True,
        is_proved=proved.has_second_factor,
    )
    scopes = frozenset[str]()
    if not must_enrol and not must_prove:
        scopes = domain_roles.scopes_of(account["roles"])
    return ProviderSession(
        token=token,
        expires_at=expires_at,
        idle_s=idle_s,
        scopes=tuple(sorted(scopes)),
        must_enrol=must_enrol,
        must_prove=must_prove,
        fresh_until=fresh_until,
    )


def _let_in(
    database: Database,
    vault: Vault,
    proved: _Proved,
    opened: Mapping[str, Any],
    request_id: str | None,
    *,
    now: datetime,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Opens a session, by its columns: the account, and what its organisation demands.

    All as staff of the provider's organisation. Raises Unfit, and StateConflict where the same
    person is just being made.
    """
    row, session_id = proved.provider, UUID(bytes=uuid7().bytes)
    with database.staff(row["organisation_id"]) as conn:
        # What was changed while the provider was asked must not be got round.
        if not db.hold(conn, row["id"], version=row["version"]):
            raise Unfit("provider_changed")
        account = _person(conn, vault, proved, request_id=request_id, now=now)
        if not db.open_session(
            conn,
            session_id=session_id,
            provider_id=row["id"],
            staff_id=account["id"],
            now=now,
            **opened,
        ):
            raise Unfit("disabled")
        tell(
            conn,
            "session.opened",
            organisation_id=row["organisation_id"],
            account=account["id"],
            by=account["id"],
            now=now,
            session_id=str(session_id),
            provider_id=str(row["id"]),
            roles=account["roles"],
            second_factor=proved.has_second_factor,
        )
        return account, db_accounts.policy(conn, row["organisation_id"])


def step_up_with_provider(
    database: Database,
    vault: Vault,
    providers: Providers,
    principal: Principal,
    answer: Answer,
    *,
    now: datetime,
) -> datetime:
    """Makes the caller's session fresh: their provider asked them anew. Returns until when.

    Raises NotAllowed for a key; SignInRefused for whatever is wrong, also for somebody else, for
    whoever would not be let in any more, and for a sign-in that was not begun with `fresh`;
    Unavailable where the provider does not answer.
    """
    staff_id, organisation_id = person_of(principal)
    session_id = session_of(principal)
    proved = _prove(database, vault, providers, answer, now=now)
    row = proved.provider
    with _one_answer(row["id"]), database.staff(organisation_id) as conn:
        if not proved.fresh:
            raise Unfit("not_fresh")
        proved.check_let_in()
        # Of a provider of another organisation this one knows nobody.
        if db.person_of(conn, row["id"], proved.subject_hash, now=now) != staff_id:
            raise Unfit("other_person")
    until = now + FRESH_FOR
    with database.intake() as conn:
        db_sessions.freshen(conn, session_id, until=until)
        if proved.has_second_factor:
            db_sessions.prove_factor(conn, session_id)
        tell(
            conn,
            "session.stepped_up",
            organisation_id=organisation_id,
            account=staff_id,
            by=staff_id,
            now=now,
            session_id=str(session_id),
            provider_id=str(row["id"]),
        )
    return until


def _prove(
    database: Database, vault: Vault, providers: Providers, answer: Answer, *, now: datetime
) -> _Proved:
    """What the provider says of whoever brought this answer. No connection is held meanwhile."""
    with _one_answer(None):
        begun = _begun(vault, answer, now=now)
    provider_id = UUID(begun["provider"])
    began_at = datetime.fromtimestamp(begun["at"], UTC)
    asked = Asked(
        redirect_uri=begun["redirect_uri"],
        state=begun["state"],
        nonce=begun["nonce"],
        code_verifier=begun["code_verifier"],
        fresh=begun["fresh"],
    )
    with database.intake() as conn:
        row = db.enabled(conn, provider_id)
        spent = bytes.fromhex(begun["id"])
        # Used up before it is known to be right: of two who come at once, one asks.
        is_first = db.spend(conn, spent, until=began_at + LASTS, now=now)
    with _one_answer(provider_id):
        if row is None or asked.redirect_uri not in row["redirect_uris"]:
            raise Unfit("provider_gone")
        if not is_first:
            raise Unfit("used_before")
        claims = providers.claims(
            _party(vault, row),
            asked,
            code=answer.code,
            issuer=answer.iss,
            wanted={"email", "email_verified", *claim_names(rules_of(row))},
            now=now,
        )
        if asked.fresh and not is_fresh(claims, since=began_at, now=now):
            raise Unfit("not_asked_anew")
    # By no key of ours: whoever a subject is must be known after every change of keys.
    named = b"\0".join((row["id"].bytes, claims["sub"].encode(errors="surrogatepass")))
    return _Proved(row, claims, sha256(named).digest(), asked.fresh)


def _begun(vault: Vault, answer: Answer, *, now: datetime) -> Mapping[str, Any]:
    """The sign-in that this answer ends. Raises Unfit."""
    try:
        begun: dict[str, Any] = orjson.loads(vault.open_text(PURPOSE, answer.sign_in))
    except (VaultError, ValueError):
        raise Unfit("not_begun_here") from None
    if not hmac.compare_digest(begun["state"].encode(), answer.state.encode(errors="replace")):
        raise Unfit("other_state")
    if now >= datetime.fromtimestamp(begun["at"], UTC) + LASTS:
        raise Unfit("over")
    return begun


def _person(
    conn: Connection[Any],
    vault: Vault,
    proved: _Proved,
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
    proved: _Proved,
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
    proved: _Proved,
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


def _party(vault: Vault, row: Mapping[str, Any]) -> RelyingParty:
    try:
        return party_of(vault, row)
    except VaultError:
        log.error("openid_secret_unreadable", provider_id=str(row["id"]))  # noqa: TRY400 - no trace
        raise Unavailable("This provider cannot be used now: tell whoever runs it.") from None


@contextmanager
def _one_answer(provider_id: UUID | None) -> Iterator[None]:
    """The one answer to all that is wrong. Why, without who, is for the log of the operator."""
    try:
        yield
    except (Unfit, StateConflict) as error:
        why = error.reason if isinstance(error, Unfit) else "at_once"
        log.info("openid_sign_in_refused", provider_id=str(provider_id), reason=why)
        raise SignInRefused from None
