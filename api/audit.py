"""Who looked at what and who changed what, for the organisation's own auditors. Nothing is kept."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, g, request
from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from api.wire.negotiation import best_of
from schemas.audit import (
    CSV,
    NDJSON,
    AuditEntryList,
    AuditExportQuery,
    AuditQuery,
    as_csv,
    ndjson,
)
from waylight.domain.audit import Entry
from waylight.domain.principals import Kind
from waylight.services import audit

blueprint = Blueprint("audit", __name__, description="Who looked at what, and who changed what.")


@blueprint.route("/v1/audit")
@require(Kind.STAFF, scopes=("audit:read",))
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditEntryList, headers=paging.LINK)
def entries(query: dict[str, Any]) -> ResponseReturnValue:
    """Every look and act of your organisation's people, newest first.

    It says who, when and which report, never what stands in it.
    """
    limit, cursor = query.pop("limit"), query.pop("cursor")
    scope = paging.scope("audit", principal().organisation_id, *query.values())
    rows = audit.list_entries(
        waylight().database,
        principal(),
        filters=_filters(query),
        after=_after(cursor, of=scope),
        limit=limit + 1,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda row: [row.entry.id])


@blueprint.route("/v1/audit/export")
@require(Kind.STAFF, scopes=("audit:read",), fresh=True)
@blueprint.arguments(AuditExportQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type=NDJSON)
@blueprint.alt_response(200, schema={"type": "string"}, content_type=CSV, success=True)
def export(query: dict[str, Any]) -> ResponseReturnValue:
    """The same as NDJSON, or as CSV by `Accept: text/csv`; newest first, at most 100,000 entries.

    Ask for a shorter time by `from` and `until` when there are more. The export itself is an entry.
    """
    context, limit, caller = waylight(), query.pop("limit"), principal()
    found = audit.export_entries(
        context.database,
        context.vault,
        caller,
        filters=_filters(query),
        limit=limit,
        now=now(),
        request_id=g.request_id,
    )
    return _attached(found)


def _filters(query: dict[str, Any]) -> audit.Filters:
    return audit.Filters(
        staff_id=query["actor"],
        report_id=query["report"],
        action=query["action"],
        since=query["since"],
        until=query["until"],
    )


def _after(cursor: str | None, *, of: str) -> UUID | None:
    after = paging.after(cursor, of=of)
    return UUID(after[0]) if after else None


def _attached(found: Iterator[Entry]) -> Response:
    media_type = best_of((NDJSON, CSV)) or NDJSON
    lines = as_csv(found) if media_type == CSV else ndjson(found)
    response = Response(lines if request.method == "GET" else b"", content_type=media_type)
    ending = "csv" if media_type == CSV else "ndjson"
    response.headers["Content-Disposition"] = f'attachment; filename="audit.{ending}"'
    response.vary.add("Accept")
    return response
