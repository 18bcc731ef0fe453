"""The commands that only look: the document of the API, and the doctor."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from waylight.services.operations.doctor import Finding


@click.command()
def openapi() -> None:
    """Print openapi.yaml, generated from the code."""
    from api.openapi import openapi_yaml

    click.echo(openapi_yaml(), nl=False)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
def doctor(*, as_json: bool) -> None:
    """Say what is wrong with this deployment, each with its fix; exit 1 when anything is.

    What others have to mend, such as a partner's endpoint, is a warning, and exits with 0.
    """
    from waylight.services.context import open_waylight
    from waylight.services.operations.doctor import examine, usable_settings

    findings, settings = usable_settings(os.environ)
    if not as_json:
        _tell(findings)
    if settings is not None:
        waylight = open_waylight(settings)
        with closing(waylight.database):
            for finding in examine(
                waylight.database, waylight.vault, now=datetime.now(UTC), settings=settings
            ):
                findings.append(finding)
                if not as_json:
                    _tell([finding])
    well = all(finding.problem is None or finding.warning for finding in findings)
    if as_json:
        click.echo(json.dumps({"well": well, "findings": [asdict(one) for one in findings]}))
    if not well:
        sys.exit(1)


def _tell(findings: "Iterable[Finding]") -> None:
    for finding in findings:
        if finding.problem is None:
            click.echo(f"ok       {finding.what}")
        else:
            word = "WARNING" if finding.warning else "PROBLEM"
            click.echo(f"{word}  {finding.what}: {finding.problem}")
            click.echo(f"         -> {finding.fix}")
