"""Taking a report, and coming back to it."""

from typing import Any

import marshmallow
from flask import Request, request
from webargs.core import missing

from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.coding import decoded_kindly
from api.wire.context import now, waylight
from api.wire.json import StrictParser, loads, sent
from api.wire.retries import idempotency_key
from schemas.common import LANGUAGE, SUFFIX, WireId
from schemas.reports import MyReportOut, ReportIn, ReportReceiptOut
from waylight import texts
from waylight.domain.errors import NotFound
from waylight.domain.principals import Kind
from waylight.domain.reports import MyReport, NewReport, ReportReceipt, Submission
from waylight.services import reports


class KindParser(StrictParser):
    """Takes a report whatever its media type says: no formality between a passenger and help."""

    minds_media_type = False

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:  # noqa: ANN401, ARG002 - webargs' own
        """The body as strict JSON, but for its texts; `missing` when there is none.

        One that was cut short is taken where it makes JSON all the same: it says all that it says.
        """
        said = req.headers.get("Content-Encoding", "")
        data = decoded_kindly(sent(req, cut_short=True), said, req.max_content_length)
        return loads(data, any_text=True) if data else missing


class ReportBlueprint(Blueprint):
    """Routes whose bodies come from passengers."""

    ARGUMENTS_PARSER = KindParser()


blueprint = ReportBlueprint("reports", __name__, description="Reports of passengers.")

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A UUID of your own making, quoted or bare. Retry with the same key: one report,"
    " one alarm, the same answer for 72 hours.",
    "schema": {"type": "string"},
}
"""Without an example: strangers who try it would share one key, and with it a receipt."""

REPORT_ID = {
    "name": "report_id",
    "in": "path",
    "required": True,
    "schema": {
        "type": "string",
        "pattern": f"^report_{SUFFIX}$",
        "maxLength": WireId.length("report"),
    },
}
LOCATION = {"Location": {"description": "Where to read it again.", "schema": {"type": "string"}}}


@blueprint.route("/v1/reports", methods=["POST"])
@require(Kind.NOBODY, Kind.CLIENT, Kind.STAFF)
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(ReportIn(), example=ReportIn.example)
@blueprint.response(201, ReportReceiptOut(), example=ReportReceiptOut.example, headers=LOCATION)
def submit(report: NewReport) -> tuple[ReportReceipt, int, dict[str, str]]:
    """Report what is happening. No account; every field is optional.

    A 201 means: stored durably, and somebody is being told, or `alerting` says that nobody is and
    the safety card what to do. Mistakes come back as `warnings`, never as a refusal.
    """
    context = waylight()
    # The phone's own language is the better guess of the two; the report's is better than none.
    LANGUAGE.set(texts.choose(request.headers.get("Accept-Language"), report.language))
    submission = Submission(
        report=report,
        received_at=now(),
        idempotency_key=idempotency_key(),
        principal=principal(),
    )
    answer = reports.submit_reports(
        context.database, context.vault, context.settings, [submission]
    )[0]
    return answer, 201, {"Location": f"/v1/reports/{WireId.of('report', answer.id)}"}


@blueprint.route("/v1/reports/mine")
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.response(200, MyReportOut)
def mine() -> MyReport:
    """What became of your report: who was told, who has seen it, what happens now.

    Send the receipt as `Authorization: Receipt K7QD-...`. Every receipt that opens nothing gets
    the same 404, a missing one too; one whose own check fails is told that.
    """
    return _mine()


@blueprint.route("/v1/reports/<report_id>")
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.doc(parameters=[REPORT_ID])
@blueprint.response(200, MyReportOut)
def one(report_id: str) -> MyReport:
    """The same, at the address that the 201 gave in `Location`; only for this report's receipt."""
    report = _mine()
    if WireId.of("report", report.id) != report_id:
        raise NotFound
    return report


def _mine() -> MyReport:
    context = waylight()
    found = reports.my_report(context.database, context.vault, principal().receipt or "")
    LANGUAGE.set(texts.choose(request.headers.get("Accept-Language"), found.language))
    return found
