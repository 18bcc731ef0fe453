"""Changing keys under a running deployment (design, D9): which are needed, and wrapping anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from waylight.db.operations import rotation as db
from waylight.db.session import Database
from waylight.services.accounts.identity import login_hash
from waylight.services.addresses import fingerprint_of
from waylight.vault import Keyring, Vault, VaultError

BATCH = 500
PATIENCE_S = 600.0
"""Counting goes over every story and receipt; nobody is waiting for it."""

SEALED = db.SEALED
FIELDS = SEALED["report_secrets"][1]
"""What is sealed of a report."""


@dataclass(frozen=True)
class KeyState:
    """One version of a key: whether it is held, used for what is new, and how much needs it."""

    purpose: str
    version: int
    fingerprint: str | None
    needed_by: int
    in_use: bool
    coming: bool
    """It is held by this process, and not used yet."""
    first: bool
    """It gives the roles their passwords and idempotency keys their hashes."""


@dataclass(frozen=True)
class Rewrapped:
    """What a run did: stories wrapped anew, and reports whose key could not be opened."""

    done: int
    failed: tuple[UUID, ...]


def states(database: Database, vault: Vault) -> list[KeyState]:
    """Every version of a key that is held or needed. Raises Unavailable."""
    with database.intake(within_s=PATIENCE_S) as conn:
        needed = db.needed(conn)
    in_use = {
        "vault": vault.key_version,
        "receipt": vault.receipt_version,
        "support": vault.support.key_version if vault.support else 0,
    }
    return [
        KeyState(
            purpose=purpose,
            version=version,
            fingerprint=held.get(version),
            needed_by=needed[purpose].get(version, 0),
            in_use=version == in_use[purpose],
            coming=version > in_use[purpose],
            first=purpose == "vault" and version == vault.first_version,
        )
        for purpose, held in vault.fingerprints.items()
        for version in sorted({*held, *needed[purpose]})
    ]


def rewrap(database: Database, vault: Vault, *, progress: Callable[[str], None]) -> Rewrapped:
    """Wraps the key of all that is sealed by the key in use, each proved to open before.

    Of what support workers wrote that is the support key; without one it is left as it is.

    Addresses, those that people sign in with too, are found by a hash of that key from then on.

    Safe while reports come in, and to stop and start again at any moment: each batch is a
    transaction, and what is sealed is always wrapped by one key that is held. Raises Unavailable.
    """
    done, failed = 0, list[UUID]()
    for table, (_, fields) in (db.SEALED | db.SUPPORT).items():
        ring = vault.support if table in db.SUPPORT else vault
        if ring is None:
            continue
        after = UUID(int=0)
        while True:
            with database.intake(within_s=PATIENCE_S) as conn:
                rows = db.wrapped_otherwise(
                    conn, table, version=ring.key_version, after=after, limit=BATCH
                )
                if not rows:
                    break
                wrappings = []
                for row in rows:
                    try:
                        wrappings.append(_wrapped_anew(vault, ring, table, row, fields))
                    except VaultError:
                        failed.append(row["id"])
                done += db.rewrap(conn, table, wrappings, version=ring.key_version)
            after = rows[-1]["id"]
            purpose = "support" if table in db.SUPPORT else "vault"
            progress(f"{done} of {table} wrapped by {purpose} key {ring.key_version}")
    return Rewrapped(done, tuple(failed))


def _wrapped_anew(
    vault: Vault, ring: Keyring, table: str, row: Mapping[str, Any], fields: Sequence[str]
) -> db.Wrapping:
    bound_to, before = row["id"], row["wrapped_key"]
    version, wrapped = ring.rewrap(bound_to, row["key_version"], before)
    opened = {
        field: ring.open(bound_to, version, wrapped, field, row[field])
        for field in fields
        if row[field] is not None
    }
    found_by = None
    if table == "addresses":
        found_by = fingerprint_of(vault, orjson.loads(opened["address"]))
    if table == "accounts":
        found_by = login_hash(vault, opened["email"])
    return db.Wrapping(bound_to, before, wrapped, found_by)
