"""Webhooks: endpoints of yours that are told what happens."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import limits, paging, versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint, View, document_responses
from api.wire.context import now, waylight
from schemas.common import PageQuery
from schemas.webhooks import (
    RotationIn,
    WebhookDeliveryList,
    WebhookDeliveryOut,
    WebhookEditIn,
    WebhookIn,
    WebhookList,
    WebhookOut,
    WebhookSecretOut,
)
from waylight.domain.principals import Kind
from waylight.domain.webhooks import Delivery, Webhook
from waylight.services import webhooks

blueprint = Blueprint("webhooks", __name__, description="Endpoints of partners that are told.")

ONE = '/v1/webhooks/<wire_id("webhook"):webhook_id>'


def _conflicting(view: View) -> View:
    return document_responses(view, 409)


@blueprint.route("/v1/webhooks")
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, WebhookList, headers=paging.LINK)
def list_webhooks(query: dict[str, Any]) -> ResponseReturnValue:
    """The webhooks of your organisation, the oldest first."""
    context, caller = waylight(), principal()
    rows = partial(webhooks.list_webhooks, context.database, context.vault, caller)
    return paging.page_by_id(query, rows, of=paging.scope("webhooks", caller.organisation_id))


@blueprint.route("/v1/webhooks", methods=["POST"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",), fresh=True)
@_conflicting
@blueprint.arguments(WebhookIn, example=WebhookIn.example)
@blueprint.response(201, WebhookSecretOut, headers=versions.HEADERS)
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """Register an endpoint. Its secret is in this answer and nowhere else.

    It is told of what happens from now on.
    """
    context = waylight()
    made = webhooks.create_webhook(
        context.database,
        context.vault,
        principal(),
        values=body,
        channels=context.settings.channels,
        loopback_ports=context.settings.allowed_loopback_ports,
        now=now(),
    )
    return _answer(made, 201)


@blueprint.route(ONE)
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@blueprint.response(200, WebhookOut, headers=versions.HEADERS)
def one(webhook_id: UUID) -> ResponseReturnValue:
    """One webhook, and how its endpoint does."""
    context = waylight()
    return _answer(
        webhooks.read_webhook(context.database, context.vault, principal(), webhook_id=webhook_id)
    )


@blueprint.route(ONE, methods=["PATCH"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@versions.versioned(409)
@blueprint.arguments(WebhookEditIn, example=WebhookEditIn.example)
@blueprint.response(200, WebhookOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], webhook_id: UUID) -> ResponseReturnValue:
    """Change where events go, which, and whether they do."""
    ports = waylight().settings.allowed_loopback_ports
    changed = webhooks.edit_webhook(**_change(webhook_id), values=body, loopback_ports=ports)
    return _answer(changed)


@blueprint.route(ONE, methods=["DELETE"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@versions.versioned()
@blueprint.response(204)
def delete(webhook_id: UUID) -> None:
    """Take it away, with its secrets, its log and what waits."""
    context = waylight()
    webhooks.delete_webhook(
        context.database,
        context.vault,
        principal(),
        webhook_id=webhook_id,
        if_match=versions.if_match(),
        now=now(),
    )


@blueprint.route(f"{ONE}/rotate-secret", methods=["POST"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",), fresh=True)
@versions.versioned()
@blueprint.arguments(RotationIn, example=RotationIn.example)
@blueprint.response(200, WebhookSecretOut, headers=versions.HEADERS)
def rotate_secret(body: dict[str, Any], webhook_id: UUID) -> ResponseReturnValue:
    """A new secret. The one before signs beside it until `old_secret_until`."""
    overlap = timedelta(seconds=body["overlap_s"])
    return _answer(webhooks.rotate_secret(**_change(webhook_id), overlap=overlap))


@blueprint.route(f"{ONE}/enable", methods=["POST"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@versions.versioned()
@blueprint.response(200, WebhookOut, headers=versions.HEADERS)
def enable(webhook_id: UUID) -> ResponseReturnValue:
    """Active again, as if it had never failed. What happened meanwhile is not sent."""
    return _answer(webhooks.enable_webhook(**_change(webhook_id)))


@blueprint.route(f"{ONE}/ping", methods=["POST"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",), quota=limits.PINGS)
@_conflicting
@blueprint.response(202, WebhookDeliveryOut)
def ping(webhook_id: UUID) -> Delivery:
    """Send an event of the type `webhook.ping`, the way of every other."""
    return webhooks.ping_webhook(waylight().database, principal(), webhook_id=webhook_id, now=now())


@blueprint.route(f"{ONE}/deliveries")
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, WebhookDeliveryList, headers=paging.LINK)
def deliveries(query: dict[str, Any], webhook_id: UUID) -> ResponseReturnValue:
    """What was sent to it and what became of every attempt, the newest first."""
    limit, scope = query["limit"], paging.scope("webhook deliveries", webhook_id)
    before = paging.after(query["cursor"], of=scope)
    rows = webhooks.list_deliveries(
        waylight().database,
        principal(),
        webhook_id=webhook_id,
        before=UUID(before[0]) if before else None,
        limit=limit + 1,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda one: [one.id])


@blueprint.route(f'{ONE}/deliveries/<wire_id("delivery"):delivery_id>/replay', methods=["POST"])
@require(Kind.STAFF, Kind.CLIENT, scopes=("webhooks:manage",), quota=limits.REPLAYS)
@_conflicting
@blueprint.response(202, WebhookDeliveryOut)
def replay(webhook_id: UUID, delivery_id: UUID) -> Delivery:
    """Send its event again, with the same `webhook-id`: a delivery of its own."""
    return webhooks.replay_delivery(
        waylight().database,
        principal(),
        webhook_id=webhook_id,
        delivery_id=delivery_id,
        now=now(),
    )


def _change(webhook_id: UUID) -> dict[str, Any]:
    """What every change is called with."""
    context = waylight()
    return {
        "database": context.database,
        "vault": context.vault,
        "principal": principal(),
        "webhook_id": webhook_id,
        "if_match": versions.if_match(),
        "now": now(),
    }


def _answer(found: Webhook, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
