"""How Alembic reaches the database: as `waylight_owner`, one process at a time, never for long."""

import os
import re

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from geoalchemy2 import alembic_helpers
from sqlalchemy import Connection, text

from waylight.config import Settings
from waylight.db.models import Base
from waylight.db.operations.setup import MIGRATION_LOCK
from waylight.db.session import Database

# A statement that waits for a lock makes every later reader of the table wait behind it.
LIMITS = "set lock_timeout = '5s'; set statement_timeout = '15min'"

PARTITIONED = [
    table.name
    for table in Base.metadata.tables.values()
    if table.dialect_options["postgresql"]["partition_by"]
]
PARTITION = re.compile(rf"({'|'.join(PARTITIONED)})_(default|\d{{4}}_\d{{2}})")


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leaves out partitions, which are data: the worker makes them as months come."""
    return not (kind == "table" and PARTITION.fullmatch(name or ""))


def tell(
    ctx: MigrationContext,  # noqa: ARG001 - this and the next are what Alembic passes, by name
    step: MigrationInfo,
    heads: object,  # noqa: ARG001 - the same
    run_args: object,  # noqa: ARG001 - the same
) -> None:
    """Says which migration has run."""
    progress = context.config.attributes.get("progress", print)
    revisions = step.destination_revision_ids
    progress(f"schema {'up' if step.is_upgrade else 'down'} to {', '.join(revisions) or 'nothing'}")


def run(connection: Connection) -> None:
    """Runs what Alembic was asked for, each migration in a transaction of its own."""
    # Waiting for another process to finish its migrations has no time limit: limits come after.
    connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    connection.execute(text(LIMITS))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=True,
        include_name=include_name,
        include_object=alembic_helpers.include_object,
        render_item=alembic_helpers.render_item,
        process_revision_directives=alembic_helpers.writer,
        on_version_apply=tell,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Waylight's migrations run against a database: leave out --sql.")

database = context.config.attributes.get("database") or Database(
    Settings.from_environment(os.environ)
)
# Closing the connection gives the lock back.
with database.engine("owner").connect() as connection:
    run(connection)
