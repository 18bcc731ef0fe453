"""Reports that passengers let your organisation read. Every answer is personal: nothing is kept."""

from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.alerts import GrantedReportOut
from schemas.common import PageQuery
from schemas.consents import SharedReportList
from waylight.domain.alerts import GrantedReport
from waylight.domain.principals import Kind
from waylight.services.reports import shared

blueprint = Blueprint(
    "shared_reports", __name__, description="Reports that passengers let your organisation read."
)


@blueprint.route("/v1/shared-reports")
@require(Kind.STAFF, scopes=("reports:read",))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, SharedReportList, headers=paging.LINK)
def list_shared(query: dict[str, Any]) -> ResponseReturnValue:
    """The reports that your organisation reads by their passengers' consent, newest first."""
    context, caller, limit = waylight(), principal(), query["limit"]
    scope = paging.scope("shared reports", caller.organisation_id)
    after = paging.after(query["cursor"], of=scope)
    rows = shared.list_shared(
        context.database,
        context.vault,
        caller,
        after=UUID(after[0]) if after else None,
        limit=limit + 1,
        now=now(),
        request_id=g.request_id,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda row: [row.id])


@blueprint.route('/v1/shared-reports/<wire_id("report"):report_id>')
@require(Kind.STAFF, scopes=("reports:read",))
@blueprint.response(200, GrantedReportOut)
def one(report_id: UUID) -> GrantedReport:
    """One of them, whole. 404 from the moment on at which its passenger takes the consent back.

    Reading it is in the audit log, and the passenger is told that your organisation read it.
    """
    context = waylight()
    return shared.read_shared(
        context.database,
        context.vault,
        principal=principal(),
        report_id=report_id,
        now=now(),
        request_id=g.request_id,
    )
