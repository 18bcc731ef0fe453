"""The arrival log of a hub."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import versions
from api.wire.auth import asking, require
from api.wire.blueprint import Blueprint
from schemas.alerts import AlertDetailOut
from schemas.arrivals import ArrivalIn
from waylight.domain.principals import Kind
from waylight.services import alerts

blueprint = Blueprint("arrivals", __name__, description="Who came to a hub.")


@blueprint.route('/v1/alerts/<wire_id("alert"):alert_id>/arrival', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:act",))
@versions.versioned(409)
@blueprint.arguments(ArrivalIn, example=ArrivalIn.example)
@blueprint.response(200, AlertDetailOut, headers=versions.HEADERS)
def log(body: dict[str, Any], alert_id: UUID) -> ResponseReturnValue:
    """Log that somebody your hub expects arrived, did not arrive, or how they left.

    The passenger's timeline says it. Only for a hub's alert.
    """
    found = alerts.log_arrival(**asking(alert_id=alert_id, if_match=versions.if_match()), **body)
    return found, 200, versions.etag(found.alert.version)  # type: ignore[return-value] # dumped by the response decorator
