"""Devices of staff that get push messages."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint, View, document_responses
from api.wire.context import now, waylight
from schemas.push import DeviceIn, DeviceList, DeviceOut, PushKeyOut
from waylight.domain.principals import Kind
from waylight.domain.push import Device, NewDevice
from waylight.services import push

blueprint = Blueprint("push", __name__, description="Push messages to the devices of staff.")


def _refused(*statuses: int) -> Callable[[View], View]:
    """Documents in which other ways a view may answer."""
    return lambda view: document_responses(view, *statuses)


@blueprint.route("/v1/push/key")
@require(Kind.STAFF, scopes=("alerts:read",))
@_refused(404)
@blueprint.response(200, PushKeyOut)
def key() -> dict[str, Any]:
    """The key that a browser subscribes with. 404 where nothing is pushed."""
    context = waylight()
    return {"public_key": push.public_key(context.settings, context.vault)}


@blueprint.route("/v1/push/subscriptions", methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:read",))
@_refused(404, 409)
@blueprint.arguments(DeviceIn(), example=DeviceIn.example)
@blueprint.alt_response(200, schema=DeviceOut, success=True, description="It was there already.")
@blueprint.response(201, DeviceOut)
def subscribe(device: NewDevice) -> tuple[Device, int]:
    """Push to this device what a team or hub of yours is told.

    Sent again, it is the same device, with what you send now; sent with the key of another person,
    it is theirs from then on. It ends with the key that you send it with.
    """
    context = waylight()
    done = push.subscribe(
        context.database, context.vault, context.settings, principal(), device=device, now=now()
    )
    return done.device, 201 if done.is_new else 200


@blueprint.route("/v1/push/subscriptions")
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(200, DeviceList)
def list_devices() -> dict[str, Any]:
    """Your devices."""
    context = waylight()
    found = push.list_devices(context.database, context.vault, principal(), now=now())
    return {"items": found, "next_cursor": None}


@blueprint.route('/v1/push/subscriptions/<wire_id("device"):device_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(204)
def unsubscribe(device_id: UUID) -> None:
    """Push nothing to this device any more, what is waiting for it included."""
    push.unsubscribe(waylight().database, principal(), device_id=device_id, now=now())
