"""What every command shares: the settings, an open database, words to the person who typed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import UUID

import click

from waylight.config import ConfigurationError, Settings
from waylight.domain.errors import Unavailable, WaylightError
from waylight.ids import row_id
from waylight.log import configure_logging

if TYPE_CHECKING:
    from waylight.services.context import Waylight


class RowId(click.ParamType[UUID]):
    """An id as the API writes it, such as `staff_01...`, or as the commands list it, a UUID."""

    name = "id"

    def __init__(self, *prefixes: str) -> None:
        self.prefixes = prefixes

    def convert(
        self, value: str | UUID, param: click.Parameter | None, ctx: click.Context | None
    ) -> UUID:
        """The row's own id. Fails for what is none, and for an id of something else."""
        if isinstance(value, UUID):
            return value
        for prefix in self.prefixes:
            with suppress(ValueError):
                return row_id(prefix, value)
        try:
            return UUID(value)
        except ValueError:
            known = " or ".join(f"{prefix}_..." for prefix in self.prefixes)
            self.fail(f"{value!r} is no id: give {known}, or the UUID of the list.", param, ctx)


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
