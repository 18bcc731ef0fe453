"""`waylight organisation`: a new tenant, which only whoever runs the installation makes."""

from datetime import UTC, datetime

import click

from waylight.cli.terminal import opened, say
from waylight.domain.organisations import KINDS


@click.group()
def organisation() -> None:
    """Organisations. Their administrators change their own over the API."""


@organisation.command("create")
@click.option(
    "--key", required=True, help="A short name, such as night-riders, for these commands."
)
@click.option("--name", required=True, help="What passengers read.")
@click.option("--kind", required=True, type=click.Choice(KINDS))
@click.option("--city", help="The city's slug, when several are loaded.")
@click.option("--phone", help="Where anybody reaches it.")
def create(*, key: str, name: str, kind: str, city: str | None, phone: str | None) -> None:
    """Make an organisation that is in no city pack. `waylight staff create` lets somebody in."""
    from waylight.services.operations import organisations as operations

    with opened() as waylight:
        made = operations.create(
            waylight.database,
            waylight.vault,
            key=key,
            name=name,
            kind=kind,
            city=city,
            phone=phone,
            now=datetime.now(UTC),
        )
    say(f"Organisation {made}. Let its first administrator in:")
    click.echo(f"waylight staff create --organisation {key} --name NAME --email ADDRESS")
