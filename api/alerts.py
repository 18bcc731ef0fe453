"""The inbox of staff and the steps that they take. Every answer is personal: nothing is kept."""

from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.alerts import (
    AlertDetailOut,
    AlertList,
    AlertsQuery,
    CloseIn,
    DeclineIn,
    NothingIn,
)
from schemas.incidents import HandOverIn
from waylight.domain.alerts import AlertDetail
from waylight.domain.principals import Kind
from waylight.services import alerts, incidents

blueprint = Blueprint("alerts", __name__, description="What teams are told, and their answers.")


@blueprint.route("/v1/alerts")
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.doc(responses={404: "Problem404"})
@blueprint.arguments(AlertsQuery, location="query")
@blueprint.response(200, AlertList, headers=paging.LINK)
def inbox(query: dict[str, Any]) -> ResponseReturnValue:
    """The alerts of your organisation, newest first.

    The control room may name any team of its city.
    """
    context, caller = waylight(), principal()
    limit, team, states = query["limit"], query["team"], query["status"]
    scope = paging.scope("alerts", caller.organisation_id, team, states)
    rows = alerts.list_alerts(
        context.database,
        context.vault,
        caller,
        team_id=team,
        states=states,
        after=_after(query["cursor"], of=scope),
        limit=limit,
        now=now(),
        request_id=g.request_id,
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda alert: [alert.id])


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>')
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def one(alert_id: UUID) -> ResponseReturnValue:
    """One alert: why it came to you, where, and the story where it was granted.

    The passenger is told that a person has seen it.
    """
    return _answer(alerts.read_alert(**asking(alert_id=alert_id)))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/acknowledge', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(NothingIn, required=False)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def acknowledge(_body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """We have it. The first team holds the incident, the rungs still waiting are withdrawn.

    A later team joins. When a more serious report has joined, read the alert and say it again, or
    send its version with `If-Match`: the ladder rests only once you know of that report.
    """
    return _answer(alerts.acknowledge(**_step(alert_id)))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/decline', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(DeclineIn, required=False)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def decline(body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """We cannot come, or no longer. The next team is told at once.

    With the cause `not_ours` that is a team of another organisation, if one covers the place.
    """
    channels = waylight().settings.channels
    return _answer(alerts.decline(**_step(alert_id), **body, channels=channels))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/en-route', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(NothingIn, required=False)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def en_route(_body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """We are on the way."""
    return _answer(alerts.en_route(**_step(alert_id)))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/on-scene', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(NothingIn, required=False)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def on_scene(_body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """We have arrived."""
    return _answer(alerts.on_scene(**_step(alert_id)))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/close', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(CloseIn, required=False)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def close(body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """We are done. The last team to close also closes the incident."""
    return _answer(alerts.close(**_step(alert_id), ending=body["outcome"], note=body["note"]))


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/hand-over', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(HandOverIn, example=HandOverIn.example)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def hand_over(body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """Ask another team to take the incident over. You have it until they do.

    They are told at once, and the ladder runs for their answer. Both ends are in the passenger's
    timeline.
    """
    channels = waylight().settings.channels
    return _answer(incidents.hand_over(**_step(alert_id), **body, channels=channels))


def _after(cursor: str | None, *, of: str) -> UUID | None:
    after = paging.after(cursor, of=of)
    return UUID(after[0]) if after else None


def _step(alert_id: UUID) -> dict[str, Any]:
    """What every step is called with."""
    return asking(alert_id=alert_id, if_match=versions.if_match())


def _answer(found: AlertDetail) -> ResponseReturnValue:
    return found, 200, versions.etag(found.alert.version)  # type: ignore[return-value] # dumped by the response decorator
