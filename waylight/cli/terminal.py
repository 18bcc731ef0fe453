"""What every command shares: the settings, an open database, words to the person who typed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from waylight.config import ConfigurationError, Settings
from waylight.domain.errors import Unavailable, WaylightError
from waylight.log import configure_logging

if TYPE_CHECKING:
    from waylight.services.context import Waylight


def say(message: object) -> None:
    """Tells the person at the terminal how it goes; standard output is for answers."""
    click.echo(str(message), err=True)


def read_settings() -> Settings:
    """The settings from the environment. Raises ClickException that names each wrong one."""
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    return settings


@contextmanager
def opened() -> Iterator["Waylight"]:
    """What a command works with; what goes wrong on purpose is said in words and ends with 1."""
    import psycopg

    from waylight.services.context import open_waylight

    waylight = open_waylight(read_settings())
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
