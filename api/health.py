"""Probes for a load balancer or an orchestrator: public, and never counted against a limit."""

from flask import current_app

from api.wire.auth import require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.health import Health, Readiness
from waylight.domain.principals import Kind

blueprint = Blueprint("health", __name__, description="Whether this server lives and can work.")


@blueprint.route("/healthz")
@require(Kind.NOBODY)
@blueprint.response(200, Health)
def alive() -> dict[str, str]:
    """Whether the process answers; nothing else is asked."""
    return {"status": "ok"}


@blueprint.route("/readyz")
@require(Kind.NOBODY)
@blueprint.response(200, Readiness)
def ready() -> dict[str, str]:
    """Whether reports can be taken and somebody will be told of them.

    503 names each thing that is missing: the database, a schema as new as the code, a worker that
    lives. Answers are kept for a second.
    """
    current_app.extensions["waylight.readiness"].check(waylight().database, now=now())
    return {"status": "ready"}
