"""Turns to try a password or a code: few at once, then later and later (OWASP, device cookies).

Who tries is known by a keyed hash, kept under a salt that is thrown away every day. A device that
its person has signed in with tries under a name of its own: whatever strangers try from wherever,
the rightful owner's telephone is not kept out.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import sessions as db
from waylight.db.session import Database
from waylight.domain.accounts import ALL_OF_ADDRESS, ANYWHERE, FROM_ADDRESS, Throttle
from waylight.domain.errors import TooManyRequests
from waylight.vault import Vault

DEVICE_PREFIX = "waylight_dv_"
NONCE_BYTES = 16
MAC_BYTES = 16


@dataclass(frozen=True)
class Turn:
    """Whom a try counts for: names with how often, the `shared` ones also others'."""

    own: Sequence[tuple[bytes, Throttle]]
    shared: Sequence[tuple[bytes, Throttle]] = ()


def of_sign_in(
    vault: Vault, login: bytes, account: UUID | None, *, network: str | None, device: str | None
) -> Turn:
    """Whom a try to sign in counts for; nobody where the network is not counted.

    Tries count for the address, whichever account of it there is, so that no count says which.
    """
    known = _nonce(vault, login, account, device)
    if known is not None:
        return Turn([(_name(vault, b"device", login, known), FROM_ADDRESS)])
    if network is None:
        return Turn([])
    where = network.encode()
    return Turn(
        own=[
            (_name(vault, b"from", login, where), FROM_ADDRESS),
            (_name(vault, b"anywhere", login), ANYWHERE),
        ],
        shared=[(_name(vault, b"address", where), ALL_OF_ADDRESS)],
    )


def of_person(vault: Vault, staff_id: UUID, throttle: Throttle, *, is_proved: bool = True) -> Turn:
    """Whom a try of somebody who is signed in counts for.

    Whoever has not shown the second factor that is due may be a stranger with the person's password
    at a provider: their guesses are counted together, and keep nobody waiting who has shown it.
    """
    kind = b"person" if is_proved else b"unproved"
    return Turn([(_name(vault, kind, staff_id.bytes), throttle)])


def take(database: Database, turn: Turn, *, now: datetime) -> None:
    """A turn, by one statement. Raises TooManyRequests where there is none yet, Unavailable."""
    asked = (*turn.own, *turn.shared)
    with database.intake(autocommit=True) as conn:
        wait_s = db.take_turn(
            conn,
            [name for name, _ in asked],
            free=[throttle.free for _, throttle in asked],
            longest_s=[throttle.longest_s for _, throttle in asked],
            fresh_salt=secrets.token_bytes(32),
            now=now,
        )
    if wait_s:
        raise TooManyRequests(
            "That was tried too often: wait for the time in `Retry-After`.", retry_after_s=wait_s
        )


def forget(conn: Connection[Any], turn: Turn, *, only_this: bool = False) -> None:
    """The try was right: those before it are forgotten, or that one alone."""
    own, shared = [name for name, _ in turn.own], [name for name, _ in turn.shared]
    if only_this:
        own, shared = [], own + shared
    db.forget_turns(conn, own, shared=shared)


def device_of(vault: Vault, login: bytes, account: UUID, device: str | None = None) -> str:
    """The token that says: whoever holds it has signed in to this account before.

    That of the device, if it has one, else a new one. It opens nothing, and is not stored. An
    account of the same address in another organisation knows it not: whoever made that one would
    have as many devices to guess from as they like.
    """
    if device is not None and _nonce(vault, login, account, device) is not None:
        return device
    nonce = secrets.token_bytes(NONCE_BYTES)
    return DEVICE_PREFIX + _base64url(nonce + _mac(vault, login, account, nonce))


def _nonce(vault: Vault, login: bytes, account: UUID | None, device: str | None) -> bytes | None:
    """Which device that is; None for a token that was made up, or for another account."""
    given = (device or "").removeprefix(DEVICE_PREFIX)
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except ValueError:
        return None
    nonce, mac = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
    is_known = hmac.compare_digest(mac, _mac(vault, login, account, nonce))
    return nonce if is_known and account is not None else None


def _mac(vault: Vault, login: bytes, account: UUID | None, nonce: bytes) -> bytes:
    whose = account.bytes if account is not None else bytes(16)
    return vault.keyed_hash("known device", login + whose + nonce)[:MAC_BYTES]


def _name(vault: Vault, kind: bytes, *parts: bytes) -> bytes:
    return vault.keyed_hash("sign-in attempt", b"\0".join((kind, *parts)))


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
