"""`waylight secrets`: changing the keys that nobody but us may hold."""

import sys
from typing import TYPE_CHECKING

import click

from waylight.cli.terminal import opened, say

if TYPE_CHECKING:
    from waylight.services.operations.rotation import KeyState

WHAT = {"vault": "stories", "receipt": "receipts", "support": "cases"}
POWER = {
    "vault": "can read stories",
    "receipt": "can make receipts that open reports",
    "support": "can read what support workers wrote",
}


@click.group()
def secrets() -> None:
    """Make, count and change the keys of the vault, of receipts and of the support store."""


@secrets.command("new")
@click.argument("purpose", type=click.Choice(["vault", "receipt", "support"]))
def new_secret(*, purpose: str) -> None:
    """Print a fresh key with the next version, to be put behind those in use."""
    with opened() as waylight:
        version = max(waylight.vault.fingerprints[purpose], default=0) + 1
        setting = f"WAYLIGHT_{purpose.upper()}_KEYS"
        say(f"Put it behind those in {setting}, after a comma. Whoever sees it {POWER[purpose]}.")
        click.echo(f"{version}:{waylight.vault.new_key()}")


@secrets.command("status")
def status() -> None:
    """List each key: its fingerprint, what needs it, and whether it may be taken away.

    Exit 1 when one is needed that is not set.
    """
    from waylight.services.operations import rotation

    with opened() as waylight:
        states = rotation.states(waylight.database, waylight.vault)
    for state in states:
        click.echo(
            f"{state.purpose:7} key {state.version:<5} {state.fingerprint or 'NOT SET':32} "
            f" {state.needed_by:>9} {WHAT[state.purpose]:8}  {_advice(state)}"
        )
    if any(state.fingerprint is None for state in states):
        sys.exit(1)


@secrets.command("rewrap")
def rewrap() -> None:
    """Wrap the key of every story by the vault key in use, while all goes on.

    May be stopped and started again at any moment. Exit 1 when a story's key cannot be opened.
    """
    from waylight.services.operations import rotation

    with opened() as waylight:
        done = rotation.rewrap(waylight.database, waylight.vault, progress=say)
    say(f"{done.done} stories wrapped anew, {len(done.failed)} could not be opened.")
    for report_id in done.failed:
        click.echo(report_id)
    if done.failed:
        sys.exit(1)


def _advice(state: "KeyState") -> str:
    if state.fingerprint is None:
        return f"PROBLEM: set it again in WAYLIGHT_{state.purpose.upper()}_KEYS"
    if state.in_use:
        return "in use"
    if state.coming:
        return "not in use yet"
    if state.needed_by:
        return "keep" if state.purpose == "receipt" else "keep until `waylight secrets rewrap`"
    if state.first:
        return "may be taken away; then run `waylight migrate` and restart: the logins change"
    return "may be taken away"
