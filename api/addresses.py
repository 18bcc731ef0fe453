"""Where teams and hubs are reached by text message and e-mail."""

from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.addresses import AddressChangeIn, AddressList, AddressOut, NewAddressIn
from waylight.domain.addresses import Address, AddressState
from waylight.domain.principals import Kind
from waylight.services import addresses

blueprint = Blueprint("addresses", __name__, description="Telephones and mailboxes of recipients.")


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/addresses')
@require(Kind.STAFF, scopes=("teams:manage",))
@blueprint.response(200, AddressList)
def of_team(team_id: UUID) -> dict[str, Any]:
    """Where one of your organisation's teams is reached. At most 50, the oldest first."""
    return _listed(team_id=team_id)


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/addresses', methods=["POST"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.conflicting
@blueprint.arguments(NewAddressIn, example=NewAddressIn.example)
@blueprint.response(201, AddressOut, headers=versions.HEADERS)
@blueprint.alt_response(200, schema=AddressOut, headers=versions.HEADERS, success=True)
def add_to_team(body: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """Give a team an address. The same one twice is one: the second answer is 200."""
    return _added(body, team_id=team_id)


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/addresses')
@require(Kind.STAFF, scopes=("teams:manage",))
@blueprint.response(200, AddressList)
def of_hub(hub_id: UUID) -> dict[str, Any]:
    """Where one of your organisation's hubs is reached. At most 50, the oldest first."""
    return _listed(hub_id=hub_id)


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/addresses', methods=["POST"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.conflicting
@blueprint.arguments(NewAddressIn, example=NewAddressIn.example)
@blueprint.response(201, AddressOut, headers=versions.HEADERS)
@blueprint.alt_response(200, schema=AddressOut, headers=versions.HEADERS, success=True)
def add_to_hub(body: dict[str, Any], hub_id: UUID) -> ResponseReturnValue:
    """Give a hub an address. The same one twice is one: the second answer is 200."""
    return _added(body, hub_id=hub_id)


@blueprint.route('/v1/addresses/<wire_id("address"):address_id>')
@require(Kind.STAFF, scopes=("teams:manage",))
@blueprint.response(200, AddressOut, headers=versions.HEADERS)
def one(address_id: UUID) -> ResponseReturnValue:
    """One address, as it is now."""
    context = waylight()
    found = addresses.read_address(context.database, context.vault, principal(), address_id)
    return _answer(found)


@blueprint.route('/v1/addresses/<wire_id("address"):address_id>', methods=["PATCH"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.versioned(409)
@blueprint.arguments(AddressChangeIn, example=AddressChangeIn.example)
@blueprint.response(200, AddressOut, headers=versions.HEADERS)
def change(body: dict[str, Any], address_id: UUID) -> ResponseReturnValue:
    """Rename an address, change its language, pause it, or resume it."""
    context, state = waylight(), body.pop("state", None)
    changed = addresses.change_address(
        context.database,
        context.vault,
        principal(),
        address_id,
        **body,
        state=AddressState(state) if state else None,
        if_match=versions.if_match(),
        request_id=g.request_id,
        now=now(),
    )
    return _answer(changed)


@blueprint.route('/v1/addresses/<wire_id("address"):address_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.versioned()
@blueprint.response(204)
def remove(address_id: UUID) -> None:
    """Take an address away, for example of a telephone that is lost.

    Nothing is answered from it any more, and it cannot be read, by nobody; add it again to use it.
    """
    context = waylight()
    addresses.remove_address(
        context.database,
        context.vault,
        principal(),
        address_id,
        if_match=versions.if_match(),
        request_id=g.request_id,
        now=now(),
    )


@blueprint.route('/v1/addresses/<wire_id("address"):address_id>/test', methods=["POST"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.conflicting
@blueprint.response(202, AddressOut, headers=versions.HEADERS)
def send_test(address_id: UUID) -> ResponseReturnValue:
    """Send a test message there, marked as one, by the same way as an alert."""
    context = waylight()
    tried = addresses.try_address(
        context.database,
        context.vault,
        principal(),
        address_id,
        channels=context.settings.channels,
        request_id=g.request_id,
        now=now(),
    )
    return _answer(tried, status=202)


def _listed(**recipient: UUID) -> dict[str, Any]:
    context = waylight()
    found = addresses.list_addresses(context.database, context.vault, principal(), **recipient)
    return {"items": found, "next_cursor": None}


def _added(body: dict[str, Any], **recipient: Any) -> ResponseReturnValue:  # noqa: ANN401 - a team's or a hub's id
    context = waylight()
    found, is_new = addresses.add_address(
        context.database,
        context.vault,
        principal(),
        **recipient,
        **body,
        trying_out=context.settings.profile != "production",
        request_id=g.request_id,
        now=now(),
    )
    return _answer(found, status=201 if is_new else 200)


def _answer(found: Address, *, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
