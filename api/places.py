"""Stops, stations, stands and venues, for anybody."""

from typing import Any

from flask.typing import ResponseReturnValue

from api.wire import paging
from api.wire.auth import require
from api.wire.blueprint import Blueprint, public
from api.wire.context import waylight
from schemas.places import PlaceList, PlacesQuery
from waylight.domain.principals import Kind
from waylight.services import places

blueprint = Blueprint("places", __name__, description="Where reports can happen.")


@blueprint.route("/v1/places")
@require(Kind.NOBODY)
@public(max_age_s=3600, shared=False)
@blueprint.arguments(PlacesQuery, location="query")
@blueprint.response(200, PlaceList, headers=paging.LINK)
def find(query: dict[str, Any]) -> ResponseReturnValue:
    """Find places by name, code, kind or distance.

    The nearest first with `near`; otherwise the best fit first, then by kind and name.
    """
    limit, cursor = query.pop("limit"), query.pop("cursor")
    scope = paging.scope("places", query)
    after = paging.after(cursor, of=scope)
    rows = places.find_places(waylight().database, **query, after=after, limit=limit + 1)
    return paging.page(rows, limit=limit, of=scope, values=places.order_of)
