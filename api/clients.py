"""API clients: programs that call for your organisation."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import cors, paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.clients import (
    ClientEditIn,
    ClientIn,
    ClientList,
    ClientOut,
    ClientRotationIn,
    ClientTokenOut,
)
from schemas.common import PageQuery
from waylight.domain.clients import Client
from waylight.domain.principals import Kind
from waylight.services import clients

blueprint = Blueprint("clients", __name__, description="Keys of programs, and where they work.")

ONE = '/v1/clients/<wire_id("client"):client_id>'


@blueprint.route("/v1/clients")
@require(Kind.STAFF, scopes=("clients:manage",))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ClientList, headers=paging.LINK)
def list_clients(query: dict[str, Any]) -> ResponseReturnValue:
    """The API clients of your organisation, the oldest first, those that were revoked too."""
    caller = principal()
    rows = partial(clients.list_clients, waylight().database, caller, now=now())
    return paging.page_by_id(query, rows, of=paging.scope("clients", caller.organisation_id))


@blueprint.route("/v1/clients", methods=["POST"])
@require(Kind.STAFF, scopes=("clients:manage",), fresh=True)
@versions.conflicting
@blueprint.arguments(ClientIn, example=ClientIn.example)
@blueprint.response(201, ClientTokenOut, headers=versions.HEADERS)
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """Make a client. Its token is in this answer and nowhere else."""
    made = clients.create_client(**asking(values=body))
    cors.forget_pages()
    return _answer(made, 201)


@blueprint.route(ONE)
@require(Kind.STAFF, scopes=("clients:manage",))
@blueprint.response(200, ClientOut, headers=versions.HEADERS)
def one(client_id: UUID) -> ResponseReturnValue:
    """One client, and when it last called."""
    found = clients.read_client(waylight().database, principal(), client_id=client_id, now=now())
    return _answer(found)


@blueprint.route(ONE, methods=["PATCH"])
@require(Kind.STAFF, scopes=("clients:manage",), fresh=True)
@versions.versioned(409)
@blueprint.arguments(ClientEditIn, example=ClientEditIn.example)
@blueprint.response(200, ClientOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], client_id: UUID) -> ResponseReturnValue:
    """Change its name, what it may do, where it works and until when.

    You need every scope that it then has.
    """
    changed = clients.edit_client(**_change(client_id), values=body)
    cors.forget_pages()
    return _answer(changed)


@blueprint.route(f"{ONE}/rotate", methods=["POST"])
@require(Kind.STAFF, scopes=("clients:manage",), fresh=True)
@versions.versioned(409)
@blueprint.arguments(ClientRotationIn, example=ClientRotationIn.example)
@blueprint.response(200, ClientTokenOut, headers=versions.HEADERS)
def rotate(body: dict[str, Any], client_id: UUID) -> ResponseReturnValue:
    """A new token. The one before works beside it until `old_token_until`.

    You need every scope of the client. With `overlap_s` 0 its OAuth access tokens end as well.
    """
    overlap = timedelta(seconds=body["overlap_s"])
    return _answer(clients.rotate_client(**_change(client_id), overlap=overlap))


@blueprint.route(f"{ONE}/revoke", methods=["POST"])
@require(Kind.STAFF, scopes=("clients:manage",))
@versions.versioned()
@blueprint.response(200, ClientOut, headers=versions.HEADERS)
def revoke(client_id: UUID) -> ResponseReturnValue:
    """End it at once and for good: its tokens, its access tokens and its open streams."""
    revoked = clients.revoke_client(**_change(client_id))
    cors.forget_pages()
    return _answer(revoked)


def _change(client_id: UUID) -> dict[str, Any]:
    """What every change is called with."""
    return asking(client_id=client_id, if_match=versions.if_match())


def _answer(found: Client, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
