"""What Prometheus scrapes. Not public: a count below k says something of a person (design, 6.1)."""

from flask import Response, current_app

from api.wire.auth import require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from waylight.domain.principals import Kind
from waylight.metrics import MEDIA_TYPE

blueprint = Blueprint("metrics", __name__, description="What is counted and timed.")


@blueprint.route("/metrics")
@require(Kind.CLIENT, scopes=("metrics:read",), outlives_database=True)
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
def scrape() -> Response:
    """Counts and times in Prometheus' text format; docs/metrics.md says what each means.

    While the database is away, a key that this process has accepted within the last hour still
    opens, and `waylight_database_up` is 0.
    """
    text = current_app.extensions["waylight.scrape"].text(waylight().database, now=now())
    return Response(text, content_type=MEDIA_TYPE)
