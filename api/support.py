"""Notes of support workers: apart from everything else. Every answer is personal: nothing is kept.

Reserved: the conversation with the passenger comes later and lives in the same place.
"""

from typing import Any
from uuid import UUID

from flask import g

from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.support import SupportNoteIn, SupportNoteOut, SupportNotesOut
from waylight.domain.principals import Kind
from waylight.domain.support import SupportNote
from waylight.services import support

blueprint = Blueprint("support", __name__, description="What support workers write, apart.")

NOTES = '/v1/shared-reports/<wire_id("report"):report_id>/support-notes'


@blueprint.route(NOTES)
@require(Kind.STAFF, scopes=("support:work",))
@blueprint.doc(responses={409: "Problem409"})
@blueprint.response(200, SupportNotesOut, example=SupportNotesOut.example)
def notes(report_id: UUID) -> dict[str, list[SupportNote]]:
    """What your support service wrote about a report whose passenger agreed to your help.

    Nobody else reads it, whatever they may: no police, no operator, no control room.
    """
    return {"items": support.list_notes(*_whose(report_id), now=now(), request_id=g.request_id)}


@blueprint.route(NOTES, methods=["POST"])
@require(Kind.STAFF, scopes=("support:work",))
@blueprint.doc(responses={409: "Problem409"})
@blueprint.arguments(SupportNoteIn(), example=SupportNoteIn.example)
@blueprint.response(201, SupportNoteOut)
def write(body: dict[str, Any], report_id: UUID) -> SupportNote:
    """Write a note. It is destroyed with its key when the passenger takes the consent back."""
    return support.add_note(*_whose(report_id), body["text"], now=now(), request_id=g.request_id)


@blueprint.route("/v1/reports/mine/support-notes", methods=["DELETE"])
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.response(204)
def erase() -> None:
    """Destroy what support workers wrote about your report. Your consent stays as it is."""
    context = waylight()
    support.erase(context.database, context.vault, principal(), now=now(), request_id=g.request_id)


def _whose(report_id: UUID) -> tuple[Any, Any, Any, UUID]:
    context = waylight()
    return context.database, context.vault, principal(), report_id
