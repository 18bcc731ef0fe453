"""Safe-travel hubs, for anybody; and what their own staff change."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import limits, paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint, public
from api.wire.context import now, waylight
from schemas.hubs import (
    HubDeskOut,
    HubEditIn,
    HubIn,
    HubList,
    HubOut,
    HubPositionIn,
    HubsQuery,
    NearestQuery,
    NearHubList,
    OverrideIn,
)
from waylight.domain.geo import Point
from waylight.domain.hubs import Hub, HubDesk
from waylight.domain.principals import Kind
from waylight.services import hubs

blueprint = Blueprint("hubs", __name__, description="Safe-travel hubs.")

# The public answers have an age of 0: a hub that closes early must not be sent to somebody out of a
# cache. A kept copy is asked about each time, and is good again for the price of a 304.


@blueprint.route("/v1/hubs")
@require(Kind.NOBODY)
@public(max_age_s=0)
@blueprint.arguments(HubsQuery, location="query")
@blueprint.response(200, HubList, headers=paging.LINK)
def list_hubs(query: dict[str, Any]) -> ResponseReturnValue:
    """Every hub, as it is now."""
    rows = partial(hubs.list_hubs, waylight().database, at=now(), bounds=query["bbox"])
    return paging.page_by_id(query, rows, of=paging.scope("hubs", query["bbox"]))


@blueprint.route("/v1/hubs/nearest")
@require(Kind.NOBODY)
@public(max_age_s=0, shared=False)
@blueprint.arguments(NearestQuery, location="query")
@blueprint.response(200, NearHubList)
def nearest(query: dict[str, Any]) -> dict[str, Any]:
    """The nearest hubs that are open.

    By distance on the WGS 84 ellipsoid. Nothing of where you are is kept.
    """
    moment = now()
    found = hubs.nearest_hubs(
        waylight().database,
        Point(query["lon"], query["lat"]),
        at=query["at"] or moment,
        now=moment,
        open_now=query["open_now"],
        needs=query["needs"],
        limit=query["limit"],
    )
    return {"items": found, "next_cursor": None}


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>')
@require(Kind.NOBODY)
@public(max_age_s=0)
@blueprint.response(200, HubOut)
def one(hub_id: UUID) -> Hub:
    """One hub, as it is now."""
    return hubs.one_hub(waylight().database, hub_id, at=now())


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>', methods=["PATCH"])
@require(Kind.STAFF, scopes=("hubs:manage",), quota=limits.HOURS)
@versions.versioned()
@blueprint.arguments(HubEditIn, example=HubEditIn.example)
@blueprint.response(200, HubDeskOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], hub_id: UUID) -> ResponseReturnValue:
    """Change your hub's hours, services or address. It counts from the next answer on."""
    return _answer(hubs.edit_hub(**_change(hub_id), values=body))


@blueprint.route("/v1/hubs", methods=["POST"])
@require(Kind.STAFF, scopes=("organisation:manage",), quota=limits.HOURS)
@blueprint.arguments(HubIn, example=HubIn.example)
@blueprint.response(201, HubDeskOut, headers=versions.HEADERS)
def found(body: dict[str, Any]) -> ResponseReturnValue:
    """Make a hub of your organisation. Passengers are shown it from the next answer on."""
    return _answer(hubs.found_hub(**asking(values=body)), 201)


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@versions.versioned()
@blueprint.response(204)
def retire(hub_id: UUID) -> None:
    """Retire a hub for good. Whoever is on the way there is told of the nearest open one."""
    hubs.retire_hub(**_change(hub_id), vault=waylight().vault, request_id=g.request_id)


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/desk')
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="hubs:manage")
@blueprint.response(200, HubDeskOut, headers=versions.HEADERS)
def desk(hub_id: UUID) -> ResponseReturnValue:
    """Your hub as you see it: the override that runs, its reason, its version."""
    context = waylight()
    return _answer(hubs.read_desk(context.database, principal(), hub_id=hub_id, now=now()))


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/override', methods=["PUT"])
@require(Kind.STAFF, scopes=("hubs:manage",))
@versions.versioned()
@blueprint.arguments(OverrideIn, example=OverrideIn.example)
@blueprint.response(200, HubDeskOut, headers=versions.HEADERS)
def override(body: dict[str, Any], hub_id: UUID) -> ResponseReturnValue:
    """Close early or open now, whatever the hours say. It ends by itself.

    Whoever is on the way to a hub that closes is told at once, and the nearest open hub as well.
    """
    return _answer(hubs.override_hub(**_change(hub_id), **body))


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/override', methods=["DELETE"])
@require(Kind.STAFF, scopes=("hubs:manage",))
@versions.versioned()
@blueprint.response(200, HubDeskOut, headers=versions.HEADERS)
def lift_override(hub_id: UUID) -> ResponseReturnValue:
    """Let the hours count again."""
    return _answer(hubs.lift_override(**_change(hub_id)))


@blueprint.route('/v1/hubs/<wire_id("hub"):hub_id>/position', methods=["PUT"])
@require(Kind.STAFF, scopes=("hubs:manage",))
@versions.versioned(409)
@blueprint.arguments(HubPositionIn, example=HubPositionIn.example)
@blueprint.response(200, HubDeskOut, headers=versions.HEADERS)
def move(body: dict[str, Any], hub_id: UUID) -> ResponseReturnValue:
    """Say where your mobile hub is. After 30 minutes of silence it may have moved."""
    place = {"here": body["position"], "fixed_at": body["fixed_at"]}
    return _answer(hubs.move_hub(**_change(hub_id), **place))


def _change(hub_id: UUID) -> dict[str, Any]:
    """What every change is called with."""
    context = waylight()
    return {
        "database": context.database,
        "principal": principal(),
        "hub_id": hub_id,
        "if_match": versions.if_match(),
        "now": now(),
        "channels": context.settings.channels,
    }


def _answer(found: HubDesk, status: int = 200) -> ResponseReturnValue:
    return found, status, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
