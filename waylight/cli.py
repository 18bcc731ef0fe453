"""`waylight`: everything a person at a terminal can ask for. `python -m waylight.cli --help`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from waylight.config import ConfigurationError, Settings
from waylight.domain.errors import Unavailable, WaylightError
from waylight.log import configure_logging

if TYPE_CHECKING:
    from waylight.services.context import Waylight

ROOT = Path(__file__).resolve().parent.parent
DEMO_FILE = ROOT / ".local" / "demo.json"


def say(message: object) -> None:
    """Tells the person at the terminal how it goes; standard output is for answers."""
    click.echo(str(message), err=True)


def _settings() -> Settings:
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    return settings


@contextmanager
def _opened() -> Iterator["Waylight"]:
    """What a command works with; what goes wrong on purpose is said in words and ends with 1."""
    import psycopg

    from waylight.services.context import open_waylight

    waylight = open_waylight(_settings())
    configure_logging("warning")  # the command says itself how it goes
    try:
        yield waylight
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    except Unavailable as error:
        # The words of the error itself are for passengers.
        raise click.ClickException(f"The database cannot be used: {error.__cause__}") from error
    except WaylightError as error:
        problems = [
            f"{p.pointer}: {p.detail}" for p in error.problems if p.detail not in error.detail
        ]
        raise click.ClickException("\n  ".join([error.detail, *problems])) from error
    except psycopg.Error as error:
        raise click.ClickException(f"The database refused: {str(error).strip()}") from error
    finally:
        waylight.database.close()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Waylight: reports in, help on its way.

    Settings come from the environment, WAYLIGHT_DATABASE_URL, WAYLIGHT_VAULT_KEYS and
    WAYLIGHT_RECEIPT_KEYS before all; `waylight doctor` says what is missing.
    """


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def serve(options: tuple[str, ...]) -> None:
    """Serve the API with gunicorn, which takes any further OPTIONS."""
    _settings()  # wrong ones are named here, once, rather than by every worker
    config = ["--config", str(ROOT / "gunicorn.conf.py"), "--chdir", str(ROOT)]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *config, *options])  # noqa: S606 - nothing here is a shell's


@cli.command()
def worker() -> None:
    """Deliver alerts, climb ladders, keep hours expanded; until SIGTERM or Ctrl-C."""
    from waylight.worker import run

    try:
        run(_settings())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


@cli.command()
@click.option("--check", is_flag=True, help="Only say whether the schema is the newest; exit 1.")
@click.option("--down", metavar="REVISION", help="Go back to REVISION or `base`. Loses data.")
@click.option("--yes", is_flag=True, help="Do not ask before data is lost.")
def migrate(*, check: bool, down: str | None, yes: bool) -> None:
    """Make roles, extensions and logins, and bring the schema to its newest version."""
    from waylight.services import migrations

    with _opened() as waylight:
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


@cli.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--allow-retire",
    is_flag=True,
    help="Load even when more than a tenth of a file's rows would be retired or are rejected.",
)
def load(path: Path, *, allow_retire: bool) -> None:
    """Load the city pack in the folder PATH; loading it again changes what has changed."""
    from waylight.services.packs import load_pack

    with _opened() as waylight:
        load_pack(
            waylight.database,
            path,
            now=datetime.now(UTC),
            progress=say,
            allow_retire=allow_retire,
        )


@cli.group()
def key() -> None:
    """Make, list and revoke the keys of staff and of programs."""


@key.command("create")
@click.option("--organisation", help="The organisation's key in its city pack.")
@click.option("--city", help="The city's slug, when several are loaded.")
@click.option("--person", help="Whose key it is: makes a staff key.")
@click.option("--role", help="The person's role, such as officer or controller.")
@click.option("--client", "program", help="What program it is for: makes a client key.")
@click.option("--scope", "scopes", multiple=True, help="May be given several times.")
@click.option("--days", type=click.IntRange(min=1), help="Ends after so many days.")
def create_key(
    *,
    organisation: str | None,
    city: str | None,
    person: str | None,
    role: str | None,
    program: str | None,
    scopes: tuple[str, ...],
    days: int | None,
) -> None:
    """Make a key and print its token, which cannot be read again."""
    from waylight.services import keys

    if bool(person) == bool(program):
        raise click.UsageError("Say either --person NAME, for staff, or --client NAME.")
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=days) if days else None
    with _opened() as waylight:
        if person:
            if not organisation or not role:
                raise click.UsageError("A person needs an --organisation and a --role.")
            issued = keys.create_staff_key(
                waylight.database,
                waylight.vault,
                organisation=organisation,
                person=person,
                role=role,
                scopes=scopes,
                city=city,
                expires_at=expires_at,
                now=now,
            )
        else:
            issued = keys.create_client_key(
                waylight.database,
                waylight.vault,
                name=program or "",
                scopes=scopes,
                organisation=organisation,
                city=city,
                expires_at=expires_at,
                now=now,
            )
    say(f"Key {issued.id}. Keep its token now; it cannot be shown again:")
    click.echo(issued.token)


@key.command("list")
def list_keys() -> None:
    """List every key: id, kind, whose, until when, what for."""
    from waylight.services import keys

    with _opened() as waylight:
        now = datetime.now(UTC)
        for record in keys.list_keys(waylight.database):
            state = "live"
            if record.revoked_at:
                state = f"revoked {record.revoked_at:%Y-%m-%d}"
            elif record.expires_at:
                state = "ended" if record.expires_at <= now else "ends"
                state += f" {record.expires_at:%Y-%m-%d}"
            click.echo(
                f"{record.id}  {record.kind:6}  {state:18}  {record.name}"
                f"  [{record.organisation or '-'}]  {' '.join(record.scopes)}"
            )


@key.command("revoke")
@click.argument("key_id", type=click.UUID)
def revoke_key(key_id: UUID) -> None:
    """End the key with this id, at once."""
    from waylight.services import keys

    with _opened() as waylight:
        keys.revoke_key(waylight.database, key_id, now=datetime.now(UTC))
    say(f"Key {key_id} is revoked.")


@key.command("demo")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEMO_FILE,
    help="Where to keep them (.local/demo.json).",
)
def demo_keys(path: Path) -> None:
    """Make the demo's credentials, keeping those that still work."""
    from waylight.services import demo

    with _opened() as waylight:
        if waylight.settings.profile == "production":
            raise click.ClickException(
                "Tokens in a file are for the demo: set WAYLIGHT_PROFILE=demo, or use `key create`."
            )
        report = demo.write_demo_keys(
            waylight.database,
            waylight.vault,
            path,
            base_url=waylight.settings.base_url,
            city=waylight.settings.default_city,
            now=datetime.now(UTC),
        )
    for name in report.missing:
        say(f"No organisation in this city for {name}.")


@cli.command()
def openapi() -> None:
    """Print openapi.yaml, generated from the code."""
    from api.openapi import openapi_yaml

    click.echo(openapi_yaml(), nl=False)


@cli.command()
def doctor() -> None:
    """Say what is wrong with this deployment, each with its fix; exit 1 when anything is."""
    from waylight.services.doctor import examine

    ill = False
    with _opened() as waylight:
        for finding in examine(waylight.database, now=datetime.now(UTC)):
            if finding.problem is None:
                click.echo(f"ok       {finding.what}")
            else:
                ill = True
                click.echo(f"PROBLEM  {finding.what}: {finding.problem}")
                click.echo(f"         -> {finding.fix}")
    if ill:
        sys.exit(1)


if __name__ == "__main__":
    cli(prog_name="waylight")
