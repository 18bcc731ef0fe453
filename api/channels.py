"""What providers of messages tell us: receipts, and answers by text.

An answer is 204 whether we know the message or not: nobody learns here what we sent to whom.
"""

from typing import Any

from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from api.wire.providers import NotifyToken, TwilioSignature
from schemas.channels import NotifyAnswerIn, NotifyReceiptIn, TwilioAnswerIn, TwilioStatusIn
from waylight.domain.principals import Kind
from waylight.services import alerts

blueprint = Blueprint("channels", __name__, description="For providers of messages.")

DELIVERED = frozenset({"delivered", "read"})
FAILED = frozenset(
    {
        *("permanent-failure", "temporary-failure", "technical-failure"),
        *("undelivered", "failed", "canceled"),
    }
)
"""The last words of GOV.UK Notify and of Twilio; all others say that it is on its way."""


@blueprint.route("/v1/channels/notify/receipts", methods=["POST"])
@require(Kind.PROVIDER, provider=NotifyToken())
@blueprint.arguments(NotifyReceiptIn, example=NotifyReceiptIn.example)
@blueprint.response(204)
def notify_receipt(body: dict[str, Any]) -> None:
    """GOV.UK Notify says what became of a message."""
    _confirm(body["id"], body["status"])


@blueprint.route("/v1/channels/notify/inbound", methods=["POST"])
@require(Kind.PROVIDER, provider=NotifyToken())
@blueprint.arguments(NotifyAnswerIn, example=NotifyAnswerIn.example)
@blueprint.response(204)
def notify_answer(body: dict[str, Any]) -> None:
    """GOV.UK Notify received a text message."""
    _answer(body["id"], sender=body["source_number"], text=body["message"])


@blueprint.route("/v1/channels/twilio/status", methods=["POST"])
@require(Kind.PROVIDER, provider=TwilioSignature())
@blueprint.arguments(TwilioStatusIn, location="form")
@blueprint.response(204)
def twilio_status(body: dict[str, Any]) -> None:
    """Twilio says what became of a message."""
    _confirm(body["ref"], body["status"])


@blueprint.route("/v1/channels/twilio/inbound", methods=["POST"])
@require(Kind.PROVIDER, provider=TwilioSignature())
@blueprint.arguments(TwilioAnswerIn, location="form")
@blueprint.response(204)
def twilio_answer(body: dict[str, Any]) -> None:
    """Twilio received a text message."""
    _answer(body["ref"], sender=body["sender"], text=body["text"])


def _confirm(ref: str, status: str) -> None:
    provider = principal().name or ""
    if status in DELIVERED | FAILED:
        alerts.confirm(
            waylight().database,
            provider,
            ref,
            delivered=status in DELIVERED,
            detail=None if status in DELIVERED else f"{provider}: {status}",
            now=now(),
        )


def _answer(ref: str, *, sender: str, text: str) -> None:
    context = waylight()
    alerts.answer_by_text(
        context.database,
        context.vault,
        provider=principal().name or "",
        ref=ref,
        sender=sender,
        text=text,
        channels=context.settings.channels,
        now=now(),
    )
