"""Putting committed entries into an order and sealing them, batch by batch."""

from datetime import datetime, timedelta

from waylight.db import audit as db
from waylight.db.operations.chores import take_turn
from waylight.db.session import Database
from waylight.domain.audit import Checkpoint, Seal, digest_of, seal_over
from waylight.domain.errors import WaylightError
from waylight.services.audit.writing import ENTRY
from waylight.vault import Vault

SEAL = "audit seal"
"""What a signature of a seal is for."""

BATCH = 1_000
PATIENCE_S = 600.0
"""Looking at everything goes over every entry; nobody is waiting for it."""

UPGRADE = timedelta(days=1)
"""How long after the first seal entries of a release without signatures are believed."""


class ChainBroken(WaylightError):
    """The newest seal of the audit log is not ours: nothing is sealed on top of it."""

    code = "chain_broken"


def seal(database: Database, vault: Vault, *, now: datetime, everything: bool = False) -> int:
    """Seals entries that have committed since; returns how many.

    Each batch is one transaction, and another worker at it is left to it. Looks at what was begun
    within `db.RECENT`, or at `everything`. The first seal is made without any entry too: from then
    on nothing unsigned is believed. After a change of the vault key an empty seal by the new one
    covers all before it. Raises ChainBroken, Unavailable.
    """
    since = None if everything else now - db.RECENT
    sealed, after = 0, None
    while True:
        with database.intake(within_s=PATIENCE_S if everything else None) as conn:
            if not take_turn(conn, "audit"):
                return sealed
            newest = db.last_seal(conn)
            if newest is not None:
                _check(vault, *newest)
            waiting = db.unsealed(conn, since=since, after=after, limit=BATCH)
            if not waiting and newest is not None and newest[1] == vault.key_version:
                return sealed
            before = newest[0] if newest else None
            first = before.last_position + 1 if before else 1
            covered = []
            for position, (entry, signature) in enumerate(waiting, start=first):
                is_signed = vault.is_signed_by_any(ENTRY, entry.canonical(), signature)
                digest = digest_of(entry, position, is_signed=is_signed)
                covered.append((entry.id, is_signed, digest))
            is_upgrade = any(signature is None for _, signature in waiting)
            made = seal_over(
                [digest for _, _, digest in covered],
                before=before,
                unsigned_until=now + UPGRADE if is_upgrade else now,
                now=now,
            )
            db.write_seal(
                conn,
                made,
                covered,
                key_version=vault.key_version,
                signature=vault.sign(SEAL, made.hash()),
            )
        sealed += len(waiting)
        if len(waiting) < BATCH:
            return sealed
        after = waiting[-1][0].id


def checkpoint_of(seal: Seal, key_version: int, signature: bytes) -> Checkpoint:
    """What to keep elsewhere of a seal."""
    return Checkpoint(
        seal=seal.number,
        hash=seal.hash(),
        last_position=seal.last_position,
        sealed_at=seal.sealed_at,
        key_version=key_version,
        signature=signature,
    )


def _check(vault: Vault, newest: Seal, key_version: int, signature: bytes) -> None:
    # Sealing on top of a forged seal would vouch for it.
    if not vault.holds(key_version):
        raise ChainBroken(
            f"Seal {newest.number} was made by vault key {key_version}, which is not set: put it"
            " back into WAYLIGHT_VAULT_KEYS until a seal by the new key is made."
        )
    if not vault.is_signed(SEAL, newest.hash(), signature, version=key_version):
        raise ChainBroken(
            f"Seal {newest.number} of the audit log is not signed by our key: run"
            " `waylight audit verify`."
        )
