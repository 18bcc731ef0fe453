"""Who may read a report and why, and taking that back. Nothing of the report itself is here."""

from typing import Any
from uuid import UUID

from api.wire.auth import asking, require
from api.wire.blueprint import Blueprint
from schemas.grants import GrantsOut, RevocationIn
from waylight.domain.grants import Grant
from waylight.domain.principals import Kind
from waylight.services.reports import grants as service

blueprint = Blueprint("grants", __name__, description="Who may read a report, and why.")

GRANTS = '/v1/reports/<wire_id("report"):report_id>/grants'


@blueprint.route(GRANTS)
@require(Kind.STAFF, scopes=("incidents:manage",))
@blueprint.response(200, GrantsOut, example=GrantsOut.example)
def grants(report_id: UUID) -> dict[str, tuple[Grant, ...]]:
    """Who may read this report and could before: why, by whom, since when and until when.

    You know of your organisation's own grants and of those that it gave by a hand-over; the control
    room of all, but for what the passenger has with a support service.
    """
    found = service.list_grants(**asking(report_id=report_id))
    return {"items": found}


@blueprint.route(f'{GRANTS}/<wire_id("organisation"):organisation_id>/revoke', methods=["POST"])
@require(Kind.STAFF, scopes=("incidents:manage",))
@blueprint.doc(responses={404: "Problem404", 409: "Problem409"})
@blueprint.arguments(RevocationIn, example=RevocationIn.example)
@blueprint.response(200, GrantsOut, example=GrantsOut.example)
def revoke(
    body: dict[str, Any], report_id: UUID, organisation_id: UUID
) -> dict[str, tuple[Grant, ...]]:
    """Take back what an organisation may read of this report: your own, given by you, or overseen.

    Not while one of its alerts about it is open, not the oversight of an open incident, and never
    what its passenger consented to. The reason is kept as a note of the incident.
    """
    which = {"report_id": report_id, "organisation_id": organisation_id}
    return {"items": service.revoke_grants(**asking(**which, reason=body["reason"]))}
