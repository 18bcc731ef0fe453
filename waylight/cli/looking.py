"""The commands that only look: the document of the API, and the doctor."""

import sys
from datetime import UTC, datetime

import click

from waylight.cli.terminal import opened


@click.command()
def openapi() -> None:
    """Print openapi.yaml, generated from the code."""
    from api.openapi import openapi_yaml

    click.echo(openapi_yaml(), nl=False)


@click.command()
def doctor() -> None:
    """Say what is wrong with this deployment, each with its fix; exit 1 when anything is."""
    from waylight.services.operations.doctor import examine

    ill = False
    with opened() as waylight:
        for finding in examine(waylight.database, now=datetime.now(UTC)):
            if finding.problem is None:
                click.echo(f"ok       {finding.what}")
            else:
                ill = True
                click.echo(f"PROBLEM  {finding.what}: {finding.problem}")
                click.echo(f"         -> {finding.fix}")
    if ill:
        sys.exit(1)
