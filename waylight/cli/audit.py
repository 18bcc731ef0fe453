"""`waylight audit`: sealing the audit log, and proving that nobody has changed it."""

import json
import sys
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from waylight.cli.terminal import opened, say

if TYPE_CHECKING:
    from waylight.domain.audit import Break, Checkpoint

FORMAT = "waylight_audit_checkpoint_1"
"""What a checkpoint of this format is under."""


@click.group()
def audit() -> None:
    """Verify, seal and checkpoint the log of who has read and changed what."""


@audit.command("verify")
@click.option(
    "--checkpoint",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that was kept elsewhere: finds a tail that was cut off.",
)
def verify(*, file: Path | None) -> None:
    """Go along the whole chain; exit 1 when it is broken, naming the first seal and row."""
    from waylight.services import audit as service

    kept = None if file is None else _read_checkpoint(file)
    with opened() as waylight:
        found = service.verify(
            waylight.database, waylight.vault, checkpoint=kept, now=datetime.now(UTC)
        )
    if found.broken is None:
        click.echo(f"whole: {found.seals} seals over {found.entries} entries")
    else:
        click.echo(f"BROKEN: {_described(found.broken)}")
    click.echo(f"{found.unsealed} entries are not sealed yet")
    if found.unsigned:
        click.echo(f"{found.unsigned} entries without a signature, of an earlier release")
    if found.broken is not None:
        sys.exit(1)


@audit.command("seal")
def seal() -> None:
    """Seal now what has been written; the worker does it every few seconds."""
    from waylight.services import audit as service

    with opened() as waylight:
        sealed = service.seal(
            waylight.database, waylight.vault, now=datetime.now(UTC), everything=True
        )
    say(f"{sealed} entries sealed.")


@audit.command("checkpoint")
def checkpoint() -> None:
    """Print how far the chain has come, to be kept where nobody of this server can write.

    Exit 1 when the chain is broken: a checkpoint of that proves nothing.
    """
    from waylight.services import audit as service

    with opened() as waylight:
        found = service.verify(waylight.database, waylight.vault, now=datetime.now(UTC))
    if found.broken is not None:
        raise click.ClickException(f"The chain is broken: {_described(found.broken)}.")
    if found.newest is None:
        raise click.ClickException("Nothing is sealed yet: start a worker.")
    click.echo(_written(found.newest))


def _described(broken: "Break") -> str:
    where = [
        f"{name} {value}"
        for name, value in (
            ("seal", broken.seal),
            ("place", broken.position),
            ("entry", broken.entry_id),
        )
        if value is not None
    ]
    return f"{broken.code} at {', '.join(where) or 'the chain'}: {broken.detail}"


def _written(checkpoint: "Checkpoint") -> str:
    content = {
        "seal": checkpoint.seal,
        "hash": checkpoint.hash.hex(),
        "last_position": checkpoint.last_position,
        "sealed_at": checkpoint.sealed_at.isoformat(),
        "key_version": checkpoint.key_version,
        "signature": b64encode(checkpoint.signature).decode(),
    }
    return json.dumps({FORMAT: content})


def _read_checkpoint(file: Path) -> "Checkpoint":
    from waylight.domain.audit import Checkpoint

    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))[FORMAT]
        return Checkpoint(
            seal=int(content["seal"]),
            hash=bytes.fromhex(content["hash"]),
            last_position=int(content["last_position"]),
            sealed_at=datetime.fromisoformat(content["sealed_at"]),
            key_version=int(content["key_version"]),
            signature=b64decode(content["signature"], validate=True),
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = (
            f"{file} is no checkpoint of an audit log: it has to hold the line that"
            " `waylight audit checkpoint` printed."
        )
        raise click.ClickException(msg) from error
