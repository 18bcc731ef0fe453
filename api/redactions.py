"""Hiding a part of a report from its readers, and reading it as it came. Nothing is kept."""

from typing import Any
from uuid import UUID

from api.wire.auth import asking, require
from api.wire.blueprint import Blueprint
from schemas.incidents import OriginalOut, RedactionIn, RedactionOut
from waylight.domain.alerts import Story
from waylight.domain.principals import Kind
from waylight.domain.redactions import Redaction
from waylight.services.reports import redactions

blueprint = Blueprint(
    "redactions", __name__, description="What is hidden of a report; its own words are kept."
)


@blueprint.route('/v1/reports/<wire_id("report"):report_id>/redactions', methods=["POST"])
@require(Kind.STAFF, scopes=("reports:redact",))
@blueprint.doc(responses={404: "Problem404", 409: "Problem409"})
@blueprint.arguments(RedactionIn, example=RedactionIn.example)
@blueprint.response(201, RedactionOut)
def redact(body: dict[str, Any], report_id: UUID) -> Redaction:
    """Hide a part of what a passenger wrote from all who read the report.

    For the organisation that has the incident, and the control room. The original keeps lying under
    its own permission. The passenger is told that a part is hidden.
    """
    return redactions.redact(**asking(report_id=report_id), **body)


@blueprint.route('/v1/reports/<wire_id("report"):report_id>/original')
@require(Kind.STAFF, scopes=("reports:original",), fresh=True)
@blueprint.response(200, OriginalOut)
def original(report_id: UUID) -> Story:
    """What the passenger wrote, whatever was redacted since. It is in the audit log as such."""
    return redactions.read_original(**asking(report_id=report_id))
