"""OpenID providers of an organisation, for its administrators."""

from functools import partial
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import waylight
from schemas.common import PageQuery
from schemas.identity_providers import (
    IdentityProviderEditIn,
    IdentityProviderIn,
    IdentityProviderList,
    IdentityProviderOut,
)
from waylight.domain.identity_providers import IdentityProvider
from waylight.domain.principals import Kind
from waylight.services import identity_providers

blueprint = Blueprint(
    "identity_providers", __name__, description="Who vouches for the people of your organisation."
)

SCOPES = ("staff:manage",)
ONE = '/v1/identity-providers/<wire_id("provider"):provider_id>'


@blueprint.route("/v1/identity-providers")
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, IdentityProviderList, headers=paging.LINK)
def list_providers(query: dict[str, Any]) -> ResponseReturnValue:
    """The OpenID providers of your organisation, the oldest first."""
    scope = paging.scope("identity providers", principal().organisation_id)
    rows = partial(identity_providers.list_providers, waylight().database, principal())
    return paging.page_by_id(query, rows, of=scope)


@blueprint.route("/v1/identity-providers", methods=["POST"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.conflicting
@blueprint.arguments(IdentityProviderIn, example=IdentityProviderIn.example)
@blueprint.response(201, IdentityProviderOut, headers=versions.HEADERS)
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """Let a provider sign in the people of your organisation. Nothing is asked of it yet."""
    settings = waylight().settings
    made = identity_providers.create_provider(
        **asking(),
        values=body,
        loopback_ports=settings.allowed_loopback_ports,
        networks=settings.openid_networks,
    )
    return _answer(made, 201)


@blueprint.route(ONE)
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(200, IdentityProviderOut, headers=versions.HEADERS)
def one(provider_id: UUID) -> ResponseReturnValue:
    """One provider."""
    return _answer(
        identity_providers.read_provider(waylight().database, principal(), provider_id=provider_id)
    )


@blueprint.route(ONE, methods=["PATCH"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.versioned(409)
@blueprint.arguments(IdentityProviderEditIn, example=IdentityProviderEditIn.example)
@blueprint.response(200, IdentityProviderOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], provider_id: UUID) -> ResponseReturnValue:
    """Change whom it lets in as what.

    Disabled, or where it vouches for less than before, it ends the sessions that it opened, at
    once.
    """
    changed = identity_providers.edit_provider(
        **asking(), provider_id=provider_id, values=body, if_match=versions.if_match()
    )
    return _answer(changed)


@blueprint.route(ONE, methods=["DELETE"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.versioned()
@blueprint.response(204)
def delete(provider_id: UUID) -> None:
    """Take it away, and end the sessions that it opened. The accounts of its people stay."""
    identity_providers.delete_provider(
        **asking(), provider_id=provider_id, if_match=versions.if_match()
    )


@blueprint.route(f'{ONE}/people/<wire_id("staff"):staff_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@blueprint.response(204)
def forget(provider_id: UUID, staff_id: UUID) -> None:
    """Forget which of the provider's people this is, where it has made another of them.

    Their sessions end. The next whom it vouches for with their address becomes them.
    """
    identity_providers.forget_person(**asking(), provider_id=provider_id, staff_id=staff_id)


def _answer(found: IdentityProvider, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
