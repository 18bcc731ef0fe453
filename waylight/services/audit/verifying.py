"""Going along the chain: is every seal ours, and every entry as it was sealed."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from waylight.db import audit as db
from waylight.db.session import Database
from waylight.domain.audit import (
    NOTHING_BEFORE,
    Break,
    Checkpoint,
    Seal,
    digest_of,
    digest_over,
)
from waylight.services.audit.sealing import SEAL, checkpoint_of
from waylight.services.audit.writing import ENTRY
from waylight.vault import Vault

PATIENCE_S = 3_600.0
"""It reads every entry; nobody is waiting for it."""

NEWEST = 200
"""Seals that a quick look goes along."""


@dataclass(frozen=True)
class Verdict:
    """What was found. The chain is whole when nothing is `broken`."""

    seals: int
    entries: int
    unsealed: int
    unsigned: int
    """Entries that a release without signatures wrote, before the first seal or within a day."""
    broken: Break | None
    newest: Checkpoint | None


@dataclass
class _Count:
    seals: int = 0
    entries: int = 0
    unsigned: int = 0
    last: Seal | None = None


def verify(
    database: Database, vault: Vault, *, checkpoint: Checkpoint | None = None, now: datetime
) -> Verdict:
    """Goes along the whole chain, and looks at what is not sealed yet.

    With a `checkpoint` that was kept elsewhere, the seal of that number has to be there and to be
    the same: a tail that was cut off cannot be seen otherwise. Raises Unavailable.
    """
    with database.intake(within_s=PATIENCE_S) as conn:
        return verify_with(conn, vault, checkpoint=checkpoint, now=now)


def verify_newest(conn: Connection[Any], vault: Vault, *, now: datetime) -> Verdict:
    """The same for the newest seals alone: quick, and no proof of what is older."""
    newest = db.last_seal(conn)
    first = max(1, newest[0].number - NEWEST + 1) if newest else 1
    return verify_with(conn, vault, first=first, now=now, recent_only=True)


def verify_with(
    conn: Connection[Any],
    vault: Vault,
    *,
    checkpoint: Checkpoint | None = None,
    first: int = 1,
    recent_only: bool = False,
    now: datetime,
) -> Verdict:
    """As `verify`, in the caller's transaction, from the seal `first` on."""
    count = _Count()
    with conn.transaction():
        broken = _first_break(conn, vault, count, first=first)
        newest = db.last_seal(conn)
        if broken is None and checkpoint is not None:
            broken = _against(conn, vault, checkpoint, newest=newest)
        unsealed, forged = _unsealed(conn, vault, count, now=now, recent_only=recent_only)
    return Verdict(
        seals=count.seals,
        entries=count.entries,
        unsealed=unsealed,
        unsigned=count.unsigned,
        broken=broken or forged,
        newest=checkpoint_of(*newest) if newest else None,
    )


def _first_break(conn: Connection[Any], vault: Vault, count: _Count, *, first: int) -> Break | None:
    if first > 1:
        found = db.seal(conn, first - 1)
        if found is None:
            return _missing(first - 1)
        count.last = found[0]
    start = count.last.last_position + 1 if count.last else 1
    last_seal, last_place = db.extent(conn)
    with (
        closing(db.positions(conn, first=start, last=last_place)) as places,
        closing(db.seals(conn, first=first, last=last_seal)) as seals,
    ):
        return _walk(vault, seals, places, count)


def _walk(
    vault: Vault,
    seals: Iterator[tuple[Seal, int, bytes]],
    places: Iterator[Mapping[str, Any]],
    count: _Count,
) -> Break | None:
    place = next(places, None)
    is_held = True
    for seal, key_version, signature in seals:
        broken = _seal_break(vault, seal, key_version, signature, before=count.last)
        if broken:
            return broken
        covered = []
        while place is not None and place["position"] <= seal.last_position:
            covered.append(place)
            place = next(places, None)
        broken = _cover_break(vault, seal, covered, count)
        if broken:
            return broken
        is_held = vault.holds(key_version)
        count.seals += 1
        count.entries += seal.count
        count.last = seal
    if place is not None:
        return Break(
            "place_inserted",
            f"an entry has place {place['position']}, which no seal covers",
            position=place["position"],
            entry_id=place["entry_id"],
        )
    if not is_held and count.last is not None:
        return Break(
            "key_missing",
            "the newest seal is by a vault key that is not set: nothing is proved",
            seal=count.last.number,
        )
    return None


def _seal_break(
    vault: Vault, seal: Seal, key_version: int, signature: bytes, *, before: Seal | None
) -> Break | None:
    """What is wrong with a seal by itself and with how it follows the one before."""
    expected = before.number + 1 if before else 1
    if seal.number != expected:
        return _missing(expected)
    # A seal by a key that was taken away since is covered by those that came after it.
    if vault.holds(key_version) and not vault.is_signed(
        SEAL, seal.hash(), signature, version=key_version
    ):
        return Break("seal_changed", "the seal is not signed by our key", seal=seal.number)
    if (
        seal.previous != (before.hash() if before else NOTHING_BEFORE)
        or seal.first_position != (before.last_position + 1 if before else 1)
        or (before is not None and seal.unsigned_until != before.unsigned_until)
    ):
        return Break("chain_cut", "the seal does not follow the one before it", seal=seal.number)
    return None


def _cover_break(
    vault: Vault, seal: Seal, covered: list[Mapping[str, Any]], count: _Count
) -> Break | None:
    """What is wrong with the entries that a seal covers."""
    digests = []
    for position, place in _in_order(seal, covered):
        if place is None:
            return Break(
                "place_deleted",
                "the place of an entry was taken away",
                seal=seal.number,
                position=position,
            )
        at = {"seal": seal.number, "position": position, "entry_id": place["entry_id"]}
        if place["id"] is None:
            return Break("entry_deleted", "the entry was deleted", **at)
        entry = db.entry_of(place)
        digest = digest_of(entry, position, is_signed=place["is_signed"])
        if digest != place["position_digest"]:
            return Break("entry_changed", "the entry was changed, or moved to another place", **at)
        digests.append(digest)
        if not place["is_signed"]:
            if place["signature"] is not None or seal.sealed_at > seal.unsigned_until:
                return Break("entry_inserted", "the entry was not written by Waylight", **at)
            count.unsigned += 1
    if len(digests) != seal.count or digest_over(digests) != seal.digest:
        return _disagreement(vault, seal, covered)
    return None


def _in_order(
    seal: Seal, covered: list[Mapping[str, Any]]
) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    by_position = {place["position"]: place for place in covered}
    for position in range(seal.first_position, seal.last_position + 1):
        yield position, by_position.get(position)


def _disagreement(vault: Vault, seal: Seal, covered: list[Mapping[str, Any]]) -> Break:
    """The entry that a seal disagrees with, where somebody has made its own digest fit."""
    before = None
    for place in covered:
        entry = db.entry_of(place)
        is_ours = not place["is_signed"] or vault.is_signed_by_any(
            ENTRY, entry.canonical(), place["signature"]
        )
        # Within a seal they are in the order of their ids.
        if not is_ours or (before is not None and entry.id < before):
            return Break(
                "entry_changed",
                "the entry was changed, or moved to another place, and its digest with it",
                seal=seal.number,
                position=place["position"],
                entry_id=entry.id,
            )
        before = entry.id
    return Break(
        "seal_disagrees",
        f"its entries, from place {seal.first_position} to {seal.last_position}, are not those that"
        " were sealed",
        seal=seal.number,
        position=seal.first_position,
        entry_id=covered[0]["entry_id"] if covered else None,
    )


def _against(
    conn: Connection[Any],
    vault: Vault,
    checkpoint: Checkpoint,
    *,
    newest: tuple[Seal, int, bytes] | None,
) -> Break | None:
    if vault.holds(checkpoint.key_version) and not vault.is_signed(
        SEAL, checkpoint.hash, checkpoint.signature, version=checkpoint.key_version
    ):
        return Break("checkpoint_foreign", "the checkpoint is not of this deployment's keys")
    found = db.seal(conn, checkpoint.seal)
    if found is None:
        number = newest[0].number if newest else 0
        return Break(
            "tail_cut",
            f"the checkpoint knows seal {checkpoint.seal} of {checkpoint.sealed_at.isoformat()},"
            f" and the chain ends with seal {number}: what came after it was taken away",
            seal=number + 1,
            position=(newest[0].last_position if newest else 0) + 1,
        )
    if found[0].hash() != checkpoint.hash:
        return Break(
            "tail_replaced",
            f"seal {checkpoint.seal} is another one than the checkpoint knows: the chain was cut"
            " before it and made anew",
            seal=checkpoint.seal,
        )
    return None


def _unsealed(
    conn: Connection[Any], vault: Vault, count: _Count, *, now: datetime, recent_only: bool
) -> tuple[int, Break | None]:
    """How many entries wait for their seal, and the first of them that Waylight has not written."""
    until = count.last.unsigned_until if count.last else None
    waiting = db.unsealed(conn, since=now - db.A_WHILE if recent_only else None, limit=db.MOST)
    for entry, signature in waiting:
        if vault.is_signed_by_any(ENTRY, entry.canonical(), signature):
            continue
        if signature is None and (until is None or now <= until):
            count.unsigned += 1
            continue
        return len(waiting), Break(
            "entry_inserted",
            "the entry is not sealed yet, and was not written by Waylight",
            entry_id=entry.id,
        )
    return len(waiting), None


def _missing(number: int) -> Break:
    return Break("seal_deleted", "the seal was taken away", seal=number)
