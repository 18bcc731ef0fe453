"""OAuth 2 for programs that must have it: short-lived access tokens for a client (RFC 6749, 4.4).

A client is a key of `services/clients`: its id is the `client_id`, its token the `client_secret`.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from waylight.db import keys as db
from waylight.db.session import Database
from waylight.domain import tokens
from waylight.domain.clients import ACCESS_TOKEN_LASTS
from waylight.domain.principals import Kind, Principal
from waylight.services import keys
from waylight.vault import TOKEN_PREFIXES, Vault


def client_with(
    database: Database, vault: Vault, *, client_id: UUID | None, secret: str, now: datetime
) -> Principal | None:
    """The client of this id, if this is its secret; None for any other pair.

    The one statement asks for the secret alone: an unknown client and a wrong secret are the same
    work, and no guess says which clients there are. Raises Unavailable.
    """
    if not tokens.is_token(secret, TOKEN_PREFIXES["client"]):
        return None
    caller = keys.authenticate(database, vault, secret, now=now)
    fits = caller is not None and caller.kind is Kind.CLIENT and caller.key_id == client_id
    return caller if fits else None


def issue_access_token(
    database: Database, vault: Vault, client: Principal, *, scopes: Iterable[str], now: datetime
) -> str:
    """A token that carries these scopes of a client for `ACCESS_TOKEN_LASTS`.

    It ends with the client, and loses what the client loses. Raises Unavailable.
    """
    assert client.key_id is not None  # noqa: S101 - `client_with` found it
    token = vault.new_token("access token")
    with database.intake() as conn:
        db.keep_access_token(
            conn,
            token_hash=vault.hash_token(token),
            key_id=client.key_id,
            scopes=sorted(set(scopes) & client.scopes),
            now=now,
            expires_at=now + ACCESS_TOKEN_LASTS,
        )
    return token
