"""Reports that passengers let your organisation read. Every answer is personal: nothing is kept."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
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
    scope = paging.scope("shared reports", principal().organisation_id)
    after, limit = paging.after(query["cursor"], of=scope), query["limit"]
    rows = shared.list_shared(**asking(after=UUID(after[0]) if after else None, limit=limit))
    return paging.page(rows, limit=limit, of=scope, values=lambda row: [row.id])


@blueprint.route('/v1/shared-reports/<wire_id("report"):report_id>')
@require(Kind.STAFF, scopes=("reports:read",))
@blueprint.response(200, GrantedReportOut)
def one(report_id: UUID) -> GrantedReport:
    """One of them, whole. 404 from the moment on at which its passenger takes the consent back.

    Reading it is in the audit log, and the passenger is told that your organisation read it.
    """
    return shared.read_shared(**asking(report_id=report_id))
