"""The SQL that Waylight sends for a request, word for word, as a script and a table for pgbench.

The app itself is asked in this process and its statements are written down: whatever it comes to
send, pgbench sends as well. Parameters lie in the table bench_parameters, one row a request; a
first statement fetches a row of them, renews what must be fresh, and is taken off the result.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from flask import Flask
from flask.testing import FlaskClient
from psycopg import sql
from psycopg.types.json import Jsonb

from api.app import create_app
from waylight.config import Settings
from waylight.db.session import Connection, Database
from waylight.log import configure_logging
from waylight.services.context import Waylight
from waylight.vault import Vault

TABLE = "bench_parameters"
FETCH = "/* fetch */"
"""Stands in the one statement that is not Waylight's."""

NOW = """to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
FRESH_HASH = "encode(sha256(uuid_send(gen_random_uuid())), 'hex')"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Sent:
    """One statement as it was given to psycopg."""

    text: str
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Script:
    """A pgbench script; `rows` is how many requests its table holds."""

    text: str
    rows: int


class _Recorder(Database):
    """A Database that writes down what goes over its pools."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sent: list[Sent] = []

    def _configure(self, conn: Connection) -> None:
        super()._configure(conn)
        sent = self.sent

        class Cursor(psycopg.Cursor[Any]):
            def execute(
                self,
                query: Any,  # noqa: ANN401 - psycopg's own
                params: Any = None,  # noqa: ANN401 - the same
                **options: Any,  # noqa: ANN401 - the same
            ) -> "Cursor":
                if params is not None:
                    named = params if isinstance(params, Mapping) else dict(_lettered(params))
                    sent.append(Sent(str(query), tuple(named.items())))
                super().execute(query, params, **options)
                return self

        conn.cursor_factory = Cursor


@contextmanager
def recorded(settings: Settings) -> Iterator[tuple[FlaskClient, list[Sent]]]:
    """A client of the app, and the list that every statement sent for it is added to."""
    configure_logging("warning")  # the terminal is for the table, not for a line a request
    database = _Recorder(settings)
    app: Flask = create_app(settings, context=Waylight(settings, database, Vault(settings)))
    try:
        yield app.test_client(), database.sent
    finally:
        database.close()


def record_submits(settings: Settings, bodies: Sequence[str]) -> list[list[Sent]]:
    """For each body the two statements of its submit. They are written, as reports."""
    found = []
    with recorded(settings) as (client, sent):
        for body in ("{}", *bodies):  # the first one is refused, and reads the cities
            sent.clear()
            answer = client.post(
                "/v1/reports",
                data=body,
                headers={"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"},
            )
            if body != "{}":
                if answer.status_code != 201:
                    raise RuntimeError(f"a report of the bench was answered {answer.status_code}")
                found.append(_hot(sent))
    return found


def record_nearest(settings: Settings, paths: Sequence[str]) -> list[list[Sent]]:
    """For each path its statement; a second, wider look of the same request is left out."""
    found = []
    with recorded(settings) as (client, sent):
        for path in paths:
            sent.clear()
            if client.get(path).status_code != 200:
                raise RuntimeError("a question of the bench was not answered")
            found.append(sent[:1])
    return found


def _hot(sent: Sequence[Sent]) -> list[Sent]:
    """The read and the write: not what is read once a process, nor once a joined report."""
    write = next(n for n, one in enumerate(sent) if "submit_reports" in one.text)
    return list(sent[write - 1 : write + 1])


def store(conn: psycopg.Connection[Any], work: str, requests: Sequence[Sequence[Sent]]) -> Script:
    """Puts the parameters into a table of their own, and returns the script that uses them.

    `conn` is the owner's. Every request must have sent the same texts.
    """
    texts = {tuple(one.text for one in request) for request in requests}
    if len(texts) != 1:
        raise RuntimeError(f"{work}: not every request sends the same statements")
    table = f"{TABLE}_{work}"
    first = requests[0]
    columns = [_column(n, name) for n, one in enumerate(first) for name, _ in one.values]
    markers = ("id", "receipt_hash", "key_hash", "at")
    conn.execute(
        sql.SQL("create table {} (n integer primary key, {})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(
                sql.SQL("{} text not null").format(sql.Identifier(name))
                for name in (*markers, *columns)
            ),
        )
    )
    conn.execute(_view(table, columns))
    copy = sql.SQL("copy {} from stdin").format(sql.Identifier(table))
    with conn.cursor() as cursor, cursor.copy(copy) as out:
        for n, request in enumerate(requests):
            values = [as_text(value) for one in request for _, value in one.values]
            out.write_row([n, *_markers(request), *values])
    return Script(_script(table, first, columns), len(requests))


def _markers(request: Sequence[Sent]) -> tuple[str, str, str, str]:
    """What must be fresh in every request; the id of nothing where there is none."""
    none = str(uuid4())
    for one in request:
        for _, value in one.values:
            if isinstance(value, Jsonb) and "receipt" in value.obj[0]:
                written = value.obj[0]
                return (
                    str(written["report"]["id"]),
                    written["receipt"]["hash"].removeprefix("\\x"),
                    written["idempotency"]["key_hash"].removeprefix("\\x"),
                    as_text(written["report"]["received_at"]),
                )
    moments = [value for one in request for _, value in one.values if isinstance(value, datetime)]
    return none, none, none, as_text(moments[0]) if moments else none


def _view(table: str, columns: Sequence[str]) -> str:
    """What the fetching statement reads: the parameters with ids, hashes and times made fresh."""
    fresh = ", ".join(
        f"replace(replace(replace(replace({name}, p.id, f.id), receipt_hash, f.receipt),"
        f" key_hash, f.key), at, f.now) as {name}"
        for name in columns
    )
    return (
        f"create view {table}_fresh as select n, {fresh} from {table} p,"  # noqa: S608 - the same
        f" lateral (select uuid_v7()::text as id, {FRESH_HASH} as receipt, {FRESH_HASH} as key,"
        f" {NOW} as now where p.n >= 0) f;"
        f" grant select on {table}_fresh to waylight_intake"
    )


def _script(table: str, request: Sequence[Sent], columns: Sequence[str]) -> str:
    statements = [bound(one, n) + ";" for n, one in enumerate(request)]
    return "\n".join(
        (
            "\\set n (:from + :client_id + :k * :clients) % :rows",
            "\\set k :k + 1",
            f"select {FETCH} {', '.join(columns)} from {table}_fresh where n = :n \\gset",  # noqa: S608 - the same
            *statements,
            "",
        )
    )


def bound(one: Sent, number: int) -> str:
    """A statement with pgbench's variables, of the types that psycopg sends."""
    values = dict(one.values)
    lettered = iter(name for name, _ in one.values)

    def variable(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match[1] or next(lettered)
        return f":{_column(number, name)}{_cast(values[name])}"

    return re.sub(r"%\((\w+)\)s|%s|%%", variable, one.text).strip()


def as_text(value: object) -> str:
    """A parameter as PostgreSQL reads it from text."""
    if isinstance(value, Jsonb):
        return orjson.dumps(value.obj).decode()
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, list):
        return "{" + ",".join(value) + "}"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"the bench cannot pass on a {type(value).__name__}")


def _cast(value: object) -> str:
    kinds = ((Jsonb, "jsonb"), (bool, "boolean"), (datetime, "timestamptz"), (list, "text[]"))
    for kind, name in (*kinds, (int, "smallint"), (float, "float8")):
        if isinstance(value, kind):
            return f"::{name}"
    return ""


def _column(number: int, name: str) -> str:
    return f"s{number}_{name}"


def _lettered(values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    return zip(LETTERS, values, strict=False)
