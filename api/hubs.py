"""Safe-travel hubs, for anybody."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import require
from api.wire.blueprint import Blueprint, public
from api.wire.context import now, waylight
from schemas.hubs import HubList, HubOut, HubsQuery, NearestQuery, NearHubList
from waylight.domain.geo import Point
from waylight.domain.hubs import Hub
from waylight.domain.principals import Kind
from waylight.services import hubs

blueprint = Blueprint("hubs", __name__, description="Safe-travel hubs.")


@blueprint.route("/v1/hubs")
@require(Kind.NOBODY)
@public(max_age_s=60)
@blueprint.arguments(HubsQuery, location="query")
@blueprint.response(200, HubList, headers=paging.LINK)
def list_hubs(query: dict[str, Any]) -> ResponseReturnValue:
    """Every hub, as it is now."""
    scope = paging.scope("hubs", query["bbox"])
    after = paging.after(query["cursor"], of=scope)
    rows = hubs.list_hubs(
        waylight().database,
        at=now(),
        bounds=query["bbox"],
        after=UUID(after[0]) if after else None,
        limit=query["limit"] + 1,
    )
    return paging.page(rows, limit=query["limit"], of=scope, values=lambda hub: [hub.id])


@blueprint.route("/v1/hubs/nearest")
@require(Kind.NOBODY)
@public(max_age_s=30, shared=False)
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
@public(max_age_s=60)
@blueprint.response(200, HubOut)
def one(hub_id: UUID) -> Hub:
    """One hub, as it is now."""
    return hubs.one_hub(waylight().database, hub_id, at=now())
