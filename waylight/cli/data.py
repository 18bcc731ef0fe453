"""The commands that make the database what the code needs: schema and city."""

from datetime import UTC, datetime
from pathlib import Path

import click

from waylight.cli.terminal import opened, say


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the schema is the newest; exit 1.")
@click.option("--down", metavar="REVISION", help="Go back to REVISION or `base`. Loses data.")
@click.option("--yes", is_flag=True, help="Do not ask before data is lost.")
def migrate(*, check: bool, down: str | None, yes: bool) -> None:
    """Make roles, extensions and logins, and bring the schema to its newest version."""
    from waylight.services.operations import migrations

    with opened() as waylight:
        if check:
            at, needed = migrations.current(waylight.database), migrations.head()
            if at != needed:
                raise click.ClickException(f"The schema is at {at or 'nothing'}, not {needed}.")
            say(f"The schema is at {at}, the newest.")
        elif down:
            if not yes:
                click.confirm(f"Everything that came after {down} is lost. Go on?", abort=True)
            migrations.downgrade(waylight.database, down, progress=say)
        else:
            migrations.migrate(waylight.database, waylight.settings, progress=say)


@click.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--allow-retire",
    is_flag=True,
    help="Load even when more than a tenth of a file's rows would be retired or are rejected.",
)
def load(path: Path, *, allow_retire: bool) -> None:
    """Load the city pack in the folder PATH; loading it again changes what has changed."""
    from waylight.services.packs import load_pack

    with opened() as waylight:
        load_pack(
            waylight.database,
            path,
            now=datetime.now(UTC),
            progress=say,
            allow_retire=allow_retire,
        )
