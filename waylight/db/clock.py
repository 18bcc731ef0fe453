"""The database's clock: the one that every process can ask."""

from datetime import datetime
from typing import Any

from psycopg import Connection


def read(conn: Connection[Any]) -> datetime:
    """This moment, by the server."""
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    found: datetime = row[0]
    return found
