"""Rows as dictionaries, for statements that are written here and never put together from values."""

from typing import Any, LiteralString

from psycopg import Connection
from psycopg.abc import Params
from psycopg.rows import dict_row


def fetch_all(
    conn: Connection[Any], statement: LiteralString, parameters: Params
) -> list[dict[str, Any]]:
    """Every row of a statement, by the names of its columns."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def fetch_one(
    conn: Connection[Any], statement: LiteralString, parameters: Params
) -> dict[str, Any] | None:
    """The first row of a statement; None when it has none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchone()
