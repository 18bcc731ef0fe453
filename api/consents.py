"""Whom a passenger lets read their report, by its receipt."""

from flask import request

from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import waylight
from schemas.common import LANGUAGE
from schemas.consents import RECIPIENTS, ConsentsOut
from waylight import texts
from waylight.domain.consents import Consents
from waylight.domain.principals import Kind
from waylight.domain.reports import ShareWith
from waylight.services import reports

blueprint = Blueprint(
    "consents", __name__, description="Whom passengers let read what they reported."
)

CONSENTS = "/v1/reports/mine/consents"
ONE = f"{CONSENTS}/<any({', '.join(RECIPIENTS)}):recipient>"
RECIPIENT = {
    "name": "recipient",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": RECIPIENTS},
}


@blueprint.route(CONSENTS)
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.response(200, ConsentsOut, example=ConsentsOut.example)
def consents() -> Consents:
    """Whom you let read your report, and could let read it: one organisation for each recipient.

    Each with why it is that one, and with what else it may read the report by.
    """
    context = waylight()
    return _said(reports.my_consents(context.database, context.vault, principal().receipt or ""))


@blueprint.route(ONE, methods=["PUT"])
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.doc(parameters=[RECIPIENT], responses={409: "Problem409"})
@blueprint.response(200, ConsentsOut, example=ConsentsOut.example)
def give(recipient: str) -> Consents:
    """Let this organisation read your report. Nobody is alerted by it. Twice is as good as once."""
    return _said(reports.give_consent(**asking(recipient=ShareWith(recipient))))


@blueprint.route(ONE, methods=["DELETE"])
@require(Kind.PASSENGER, Kind.NOBODY)
@blueprint.doc(parameters=[RECIPIENT])
@blueprint.response(200, ConsentsOut, example=ConsentsOut.example)
def withdraw(recipient: str) -> Consents:
    """Take your consent back, at once. What only it had opened is closed.

    Whoever was alerted to help you goes on reading the report for that: `still_reads`.
    """
    return _said(reports.withdraw_consent(**asking(recipient=ShareWith(recipient))))


def _said(found: Consents) -> Consents:
    LANGUAGE.set(texts.choose(request.headers.get("Accept-Language"), found.language))
    return found
