"""Accounts of an organisation, for its administrators."""

from functools import partial
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.common import PageQuery
from schemas.sessions import SessionList, SignInPolicyOut, TotpDemandIn
from schemas.staff import InvitationIn, InvitationOut, StaffEditIn, StaffIn, StaffList, StaffOut
from waylight.domain.accounts import Account, Invitation
from waylight.domain.principals import Kind
from waylight.services import accounts

blueprint = Blueprint("staff", __name__, description="The accounts of your organisation.")

SCOPES = ("staff:manage",)
ONE = '/v1/staff/<wire_id("staff"):staff_id>'


@blueprint.route("/v1/staff")
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, StaffList, headers=paging.LINK)
def list_accounts(query: dict[str, Any]) -> ResponseReturnValue:
    """The accounts of your organisation, the oldest first."""
    context, caller = waylight(), principal()
    rows = partial(accounts.list_accounts, context.database, context.vault, caller)
    return paging.page_by_id(query, rows, of=paging.scope("staff", caller.organisation_id))


@blueprint.route("/v1/staff", methods=["POST"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.conflicting
@blueprint.arguments(StaffIn, example=StaffIn.example)
@blueprint.response(201, StaffOut, headers=versions.HEADERS)
def create(body: dict[str, Any]) -> ResponseReturnValue:
    """An account for a new person. They sign in once they have accepted an invitation."""
    return _answer(accounts.create_account(**asking(), **body), 201)


@blueprint.route(ONE)
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(200, StaffOut, headers=versions.HEADERS)
def one(staff_id: UUID) -> ResponseReturnValue:
    """One account."""
    context = waylight()
    return _answer(accounts.read_account(context.database, context.vault, principal(), staff_id))


@blueprint.route(ONE, methods=["PATCH"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.versioned(409)
@blueprint.arguments(StaffEditIn, example=StaffEditIn.example)
@blueprint.response(200, StaffOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], staff_id: UUID) -> ResponseReturnValue:
    """Change name, job or roles, or whether they may sign in.

    A role that is taken away ends their sessions. The last administrator stays one.
    """
    changed = accounts.change_account(
        **asking(), **body, staff_id=staff_id, if_match=versions.if_match()
    )
    return _answer(changed)


@blueprint.route(f"{ONE}/invitation", methods=["POST"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.conflicting
@blueprint.arguments(InvitationIn, required=False, example=InvitationIn.example)
@blueprint.response(201, InvitationOut, example=InvitationOut.example)
def invite(body: dict[str, Any], staff_id: UUID) -> Invitation:
    """What a person sets their password with: at the beginning, and when they forgot it.

    Good once, for a day; the one before is good no more.
    """
    return accounts.invite(**asking(), **body, staff_id=staff_id)


@blueprint.route(f"{ONE}/sessions")
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(200, SessionList)
def list_sessions(staff_id: UUID) -> dict[str, Any]:
    """A person's sessions that are not over, the newest first."""
    found = accounts.list_sessions_of(waylight().database, principal(), staff_id, now=now())
    return {"items": found, "next_cursor": None}


@blueprint.route(f"{ONE}/sessions", methods=["DELETE"])
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(204)
def end_sessions(staff_id: UUID) -> None:
    """End all sessions of a person."""
    accounts.end_sessions_of(**asking(), staff_id=staff_id)


@blueprint.route(f'{ONE}/sessions/<wire_id("session"):session_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(204)
def end_session(staff_id: UUID, session_id: UUID) -> None:
    """End one session of a person."""
    accounts.end_session_of(**asking(), staff_id=staff_id, session_id=session_id)


@blueprint.route("/v1/sign-in-policy")
@require(Kind.STAFF, scopes=SCOPES)
@blueprint.response(200, SignInPolicyOut, headers=versions.HEADERS)
def policy() -> ResponseReturnValue:
    """What your organisation demands of everybody who signs in."""
    found = accounts.read_policy(waylight().database, principal())
    return found, 200, versions.etag(found["version"])


@blueprint.route("/v1/sign-in-policy", methods=["PUT"])
@require(Kind.STAFF, scopes=SCOPES, fresh=True)
@versions.versioned()
@blueprint.arguments(TotpDemandIn, example=TotpDemandIn.example)
@blueprint.response(200, SignInPolicyOut, headers=versions.HEADERS)
def set_policy(body: dict[str, Any]) -> ResponseReturnValue:
    """Demand a second factor of everybody, or of administrators alone. It holds at once."""
    found = accounts.change_policy(**asking(), **body, if_match=versions.if_match())
    return found, 200, versions.etag(found["version"])


def _answer(found: Account, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
