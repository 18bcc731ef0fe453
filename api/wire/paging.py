"""Cursors: where a list goes on. Opaque, bound to their list and its filters, and signed.

A page is found by the values of the last row shown, never by counting rows, so that rows which
come and go meanwhile neither repeat nor hide others.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import orjson
from flask import request

from api.wire.context import waylight
from api.wire.errors import InvalidCursor

SIGNATURE = 12
"""Bytes: nobody needs to forge one, and a cursor stays short in a link."""

LINK = {
    "Link": {
        "description": "`rel=next`, on every page but the last.",
        "schema": {"type": "string"},
    }
}
"""How a list documents its header."""

Row = TypeVar("Row")


def scope(name: str, *filters: object) -> str:
    """The list that a cursor belongs to: its name and the filters it was asked with."""
    return orjson.dumps([name, *map(repr, filters)]).decode()


def after(cursor: str | None, *, of: str) -> list[Any] | None:
    """The values that the page before ended with; None at the start.

    Raises InvalidCursor for a cursor that was changed, made up or taken from another list.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    signature, values = raw[:SIGNATURE], raw[SIGNATURE:]
    # The last character carries spare bits, so another text can decode to the same bytes.
    if not hmac.compare_digest(signature, _sign(values, of)) or _encoded(raw) != cursor:
        raise InvalidCursor
    found: list[Any] = orjson.loads(values)
    return found


def cursor_at(values: Sequence[object], *, of: str) -> str:
    """The cursor of a page that ends with a row of these values (JSON scalars)."""
    raw = orjson.dumps(list(values))
    return _encoded(_sign(raw, of) + raw)


def page(
    rows: Sequence[Row], *, limit: int, of: str, values: Callable[[Row], Sequence[object]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The envelope of a page and its headers, as a view returns them.

    `rows` holds up to `limit + 1`: the one too many says that there is more. `values` are those of
    a row that the order of the list is made of.
    """
    shown = rows[:limit]
    if len(rows) <= limit:
        return {"items": shown, "next_cursor": None}, {}
    cursor = cursor_at(values(shown[-1]), of=of)
    query = urlencode({**request.args.to_dict(), "cursor": cursor})
    return (
        {"items": shown, "next_cursor": cursor},
        {"Link": f'<{request.path}?{query}>; rel="next"'},
    )


def page_by_id(
    query: Mapping[str, Any], read: Callable[..., Sequence[Any]], *, of: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """The page that `query` asks for of a list in the order of its ids, as `page`.

    `read` is the list itself, but for `after`, an id or None, and `limit`. Raises InvalidCursor.
    """
    seen, limit = after(query["cursor"], of=of), query["limit"]
    rows = read(after=UUID(seen[0]) if seen else None, limit=limit + 1)
    return page(rows, limit=limit, of=of, values=lambda row: [row.id])


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sign(values: bytes, of: str) -> bytes:
    return waylight().vault.keyed_hash("cursor", of.encode() + b"\0" + values)[:SIGNATURE]
