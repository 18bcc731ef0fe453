"""Lone workers: a sign of life from whoever is on a scene, and what is missed without one."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.check_ins import CheckInDefaultIn, CheckInDefaultOut, CheckInIn, CheckInOut
from waylight.domain.check_ins import CheckIn, CheckInDefault
from waylight.domain.principals import Kind
from waylight.services.alerts import check_ins

blueprint = Blueprint("check_ins", __name__, description="Timers of lone responders.")


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/check-in', methods=["PUT"])
@require(Kind.STAFF, scopes=("alerts:act",))
@blueprint.doc(responses={409: "Problem409"})
@blueprint.arguments(CheckInIn, required=False, example=CheckInIn.example)
@blueprint.response(200, CheckInOut)
def check_in(body: dict[str, Any], alert_id: UUID) -> CheckIn:
    """I am well, and will say so again in time. Starts a timer, or sets it anew.

    On the way or on the scene. When it runs out, the control room and the team's other addresses
    are told until somebody answers, or the next sign of life comes.
    """
    return check_ins.check_in(
        waylight().database, principal(), alert_id=alert_id, due_in_s=body["due_in_s"], now=now()
    )


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/check-in', methods=["DELETE"])
@require(Kind.STAFF, scopes=("alerts:act",))
@blueprint.response(204)
def stop(alert_id: UUID) -> None:
    """Stop the timer: nobody is out alone any more. Closing or declining stops it too."""
    check_ins.stop(waylight().database, principal(), alert_id=alert_id, now=now())


@blueprint.route("/v1/check-ins/default")
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(200, CheckInDefaultOut, headers=versions.HEADERS)
def default() -> ResponseReturnValue:
    """What starts when somebody of your organisation arrives on a scene."""
    return _answer(check_ins.read_default(waylight().database, principal()))


@blueprint.route("/v1/check-ins/default", methods=["PUT"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.versioned()
@blueprint.arguments(CheckInDefaultIn, example=CheckInDefaultIn.example)
@blueprint.response(200, CheckInDefaultOut, headers=versions.HEADERS)
def set_default(body: dict[str, Any]) -> ResponseReturnValue:
    """Set what starts on a scene, or that nothing does. Timers that run stay as they are."""
    return _answer(
        check_ins.set_default(
            waylight().database,
            principal(),
            due_in_s=body["due_in_s"],
            if_match=versions.if_match(),
            now=now(),
        )
    )


def _answer(found: CheckInDefault) -> ResponseReturnValue:
    return found, 200, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
