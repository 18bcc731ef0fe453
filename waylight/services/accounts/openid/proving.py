"""A sign-in by a provider: begun, and what the provider says of whoever brings it back."""

import hmac
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from waylight.db import identity_providers as db
from waylight.db.session import Database
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
    roles_of,
    verified_email,
)
from waylight.domain.roles import Role
from waylight.log import get_logger
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
class Proved:
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


def prove(
    database: Database, vault: Vault, providers: Providers, answer: Answer, *, now: datetime
) -> Proved:
    """What the provider says of whoever brought this answer. No connection is held meanwhile."""
    with one_answer(None):
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
    with one_answer(provider_id):
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
    return Proved(row, claims, sha256(named).digest(), asked.fresh)


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


def _party(vault: Vault, row: Mapping[str, Any]) -> RelyingParty:
    try:
        return party_of(vault, row)
    except VaultError:
        log.error("openid_secret_unreadable", provider_id=str(row["id"]))  # noqa: TRY400 - no trace
        raise Unavailable("This provider cannot be used now: tell whoever runs it.") from None


@contextmanager
def one_answer(provider_id: UUID | None) -> Iterator[None]:
    """The one answer to all that is wrong. Why, without who, is for the log of the operator."""
    try:
        yield
    except (Unfit, StateConflict) as error:
        why = error.reason if isinstance(error, Unfit) else "at_once"
        log.info("openid_sign_in_refused", provider_id=str(provider_id), reason=why)
        raise SignInRefused from None
