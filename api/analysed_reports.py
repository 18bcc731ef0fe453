"""What analysts count: nothing exact, no words. Every answer is personal: nothing is kept."""

from typing import Any

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.analysed_reports import AnalysedQuery, AnalysedReportList
from waylight.domain.principals import Kind
from waylight.services.reports import analysed

blueprint = Blueprint("analysed_reports", __name__, description="Reports to be counted.")


@blueprint.route("/v1/analysed-reports")
@require(Kind.STAFF, scopes=("reports:analyse",))
@blueprint.arguments(AnalysedQuery, location="query")
@blueprint.response(200, AnalysedReportList, headers=paging.LINK)
def list_analysed(query: dict[str, Any]) -> ResponseReturnValue:
    """Reports that your organisation may see, to be counted: newest first, once their hour is over.

    Positions are rounded to a fixed grid of 50 m, times to the hour. No words, no contact, no
    names, no drills. Each is in the audit log, and its passenger is told once for each role.
    """
    context, caller, limit = waylight(), principal(), query["limit"]
    scope = paging.scope("analysed", caller.organisation_id, query["since"], query["until"])
    rows = analysed.list_analysed(
        context.database,
        context.vault,
        caller,
        since=query["since"],
        until=query["until"],
        after=paging.after(query["cursor"], of=scope),
        limit=limit,
        now=now(),
        request_id=g.request_id,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda row: row.position_in_list)
