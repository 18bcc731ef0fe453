"""Moving the schema up and down, and saying where it stands."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.errors import UndefinedTable

from waylight.config import Settings
from waylight.db import setup
from waylight.db.session import Database

FOLDER = Path(__file__).resolve().parents[2] / "migrations"


def _silent(_message: str) -> None:
    pass


def migrate(
    database: Database, settings: Settings, *, progress: Callable[[str], None] = _silent
) -> None:
    """Sets up roles, extensions and logins, then brings the schema to its head.

    Safe to run again, and by two processes at once: the second waits. Raises SetupRefused when the
    login lacks the rights, ConfigurationError without WAYLIGHT_DATABASE_URL.
    """
    with database.connect("admin") as conn:
        setup.prepare(conn, settings)
    command.upgrade(_config(database, progress), "head")


def downgrade(
    database: Database, revision: str, *, progress: Callable[[str], None] = _silent
) -> None:
    """Takes the schema back to a revision, or to nothing with `base`. Data is lost."""
    command.downgrade(_config(database, progress), revision)


def head() -> str:
    """The revision that this code needs."""
    revision = ScriptDirectory(str(FOLDER)).get_current_head()
    assert revision is not None  # noqa: S101 - the folder holds at least the first migration
    return revision


def current(database: Database) -> str | None:
    """The revision of the database; None before the first migration. Raises Unavailable."""
    with database.connect("intake") as conn:
        try:
            row = conn.execute("select version_num from alembic_version").fetchone()
        except UndefinedTable:
            return None
    return row[0] if row else None


def _config(database: Database, progress: Callable[[str], None]) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["database"] = database
    config.attributes["progress"] = progress
    return config
