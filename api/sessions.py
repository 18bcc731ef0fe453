"""Signing in and out: sessions of the staff, the caller's own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import g, request
from flask.typing import ResponseReturnValue

from api.wire import limits
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.sessions import (
    AcceptedOut,
    AcceptIn,
    FreshOut,
    SessionList,
    SessionOpenedOut,
    SignInIn,
    StepUpIn,
)
from waylight.domain.accounts import OpenedSession
from waylight.domain.principals import Kind
from waylight.services import accounts

blueprint = Blueprint("sessions", __name__, description="Signing in and out.")


@blueprint.route("/v1/sessions", methods=["POST"])
@require(Kind.NOBODY)
@blueprint.doc(responses={401: "Problem401"})
@blueprint.arguments(SignInIn, example=SignInIn.example)
@blueprint.response(201, SessionOpenedOut, example=SessionOpenedOut.example)
def sign_in(body: dict[str, Any]) -> OpenedSession:
    """Sign in, with a second factor where one is set up.

    Whatever is wrong, it answers `wrong_credentials`. After five tries of an account from one
    address each next waits twice as long as the last, up to a quarter of an hour.
    """
    context, settings = waylight(), waylight().settings
    return accounts.sign_in(
        context.database,
        context.vault,
        accounts.SignIn(**body),
        network=None if limits.is_exempt() else limits.network_of(request.remote_addr),
        session_s=settings.session_s,
        idle_s=settings.session_idle_s,
        now=now(),
    )


@blueprint.route("/v1/sessions")
@require(Kind.STAFF)
@blueprint.response(200, SessionList)
def list_sessions() -> dict[str, Any]:
    """Your sessions that are not over, the newest first."""
    found = accounts.list_sessions(waylight().database, principal(), now=now())
    return {"items": found, "next_cursor": None}


@blueprint.route("/v1/sessions", methods=["DELETE"])
@require(Kind.STAFF)
@blueprint.response(204)
def end_others() -> None:
    """End all your sessions but this one."""
    accounts.end_others(waylight().database, principal(), now=now())


@blueprint.route('/v1/sessions/<wire_id("session"):session_id>', methods=["DELETE"])
@require(Kind.STAFF)
@blueprint.response(204)
def end(session_id: UUID) -> None:
    """End one of your sessions: its stream closes within two seconds, its devices hear no more."""
    accounts.end_session(waylight().database, principal(), session_id, now=now())


@blueprint.route("/v1/sessions/current/step-up", methods=["POST"])
@require(Kind.STAFF)
@blueprint.arguments(StepUpIn, example=StepUpIn.example)
@blueprint.response(200, FreshOut, example=FreshOut.example)
def step_up(body: dict[str, Any]) -> dict[str, datetime]:
    """Prove once more that it is you, for ten minutes of what answers `step_up_needed`."""
    context = waylight()
    until = accounts.step_up(context.database, context.vault, principal(), **body, now=now())
    return {"fresh_until": until}


@blueprint.route("/v1/invitations/accept", methods=["POST"])
@require(Kind.NOBODY)
@blueprint.doc(responses={404: "Problem404"})
@blueprint.arguments(AcceptIn, example=AcceptIn.example)
@blueprint.response(200, AcceptedOut, example=AcceptedOut.example)
def accept(body: dict[str, Any]) -> ResponseReturnValue:
    """Set your password with an invitation. Then sign in."""
    context = waylight()
    organisation, device = accounts.accept_invitation(
        context.database, context.vault, **body, request_id=g.request_id, now=now()
    )
    return {"organisation": organisation, "device": device}
