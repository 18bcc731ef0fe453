"""Moving the schema up and down, and saying where it stands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from psycopg.errors import UndefinedTable

from waylight.config import Settings
from waylight.db.operations import setup
from waylight.db.session import Database
from waylight.domain.errors import WaylightError

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).resolve().parents[3] / "migrations"


class MigrationFailed(WaylightError):
    """A migration could not run, and what it had changed was undone."""

    code = "migration_failed"


def _silent(_message: str) -> None:
    pass


def migrate(
    database: Database, settings: Settings, *, progress: Callable[[str], None] = _silent
) -> None:
    """Sets up roles, extensions and logins, then brings the schema to its head.

    Safe to run again, and by two processes at once: the second waits. Raises SetupRefused when the
    login lacks the rights, MigrationFailed, Unavailable, ConfigurationError without
    WAYLIGHT_DATABASE_URL.
    """
    with database.connect("admin") as conn:
        setup.prepare(conn, settings)
    if current(database) == head():
        return  # without Alembic, which takes a second to import: this runs at every start
    _run("upgrade", database, "head", progress)


def downgrade(
    database: Database, revision: str, *, progress: Callable[[str], None] = _silent
) -> None:
    """Takes the schema back to a revision, or to nothing with `base`; data is lost.

    Raises MigrationFailed, also for a revision that there is not, and Unavailable.
    """
    _run("downgrade", database, revision, progress)


def head() -> str:
    """The revision that this code needs: files of migrations begin with theirs."""
    return max(revisions())


def revisions() -> frozenset[str]:
    """Every revision that this code knows."""
    found = FOLDER.glob("versions/[0-9]*.py")
    return frozenset(path.name.partition("_")[0] for path in found)


def current(database: Database) -> str | None:
    """The revision of the database; None before the first migration. Raises Unavailable."""
    with database.connect("intake") as conn:
        try:
            row = conn.execute("select version_num from alembic_version").fetchone()
        except UndefinedTable:
            return None
    return row[0] if row else None


def _run(
    way: Literal["upgrade", "downgrade"],
    database: Database,
    revision: str,
    progress: Callable[[str], None],
) -> None:
    from alembic import command  # noqa: PLC0415 - see migrate
    from alembic.util import CommandError  # noqa: PLC0415 - the same
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - the same

    try:
        getattr(command, way)(_config(database, progress), revision)
    except DBAPIError as error:
        raise MigrationFailed(f"The migration was undone: {str(error.orig).strip()}") from error
    except CommandError as error:
        raise MigrationFailed(str(error)) from error


def _config(database: Database, progress: Callable[[str], None]) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see migrate

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["database"] = database
    config.attributes["progress"] = progress
    return config
