"""Your organisation, as its administrators see it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import waylight
from schemas.organisations import (
    OrganisationEditIn,
    OrganisationList,
    OrganisationOut,
    TimetableIn,
    TimetableOut,
)
from waylight.domain.organisations import Organisation
from waylight.domain.principals import Kind
from waylight.services import organisations

blueprint = Blueprint("organisations", __name__, description="Your organisation.")

ONE = '/v1/organisations/<wire_id("organisation"):organisation_id>'


@blueprint.route("/v1/organisations")
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.response(200, OrganisationList)
def list_organisations() -> dict[str, Any]:
    """Your organisation: the one that there is for you."""
    found = organisations.read_organisation(waylight().database, principal())
    return {"items": [found], "next_cursor": None}


@blueprint.route(ONE)
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.response(200, OrganisationOut, headers=versions.HEADERS)
def one(organisation_id: UUID) -> ResponseReturnValue:
    """Your organisation."""
    which = {"organisation_id": organisation_id}
    return _answer(organisations.read_organisation(waylight().database, principal(), **which))


@blueprint.route(ONE, methods=["PATCH"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@versions.versioned()
@blueprint.arguments(OrganisationEditIn, example=OrganisationEditIn.example)
@blueprint.response(200, OrganisationOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], organisation_id: UUID) -> ResponseReturnValue:
    """Change its name, and how anybody reaches it."""
    which = asking(organisation_id=organisation_id, if_match=versions.if_match())
    return _answer(organisations.edit_organisation(**which, values=body))


@blueprint.route(f"{ONE}/escalation")
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.response(200, TimetableOut, headers=versions.HEADERS)
def timetable(organisation_id: UUID) -> ResponseReturnValue:
    """How long a rung of yours has to answer before the next one is told."""
    which = {"organisation_id": organisation_id}
    return _answer(organisations.read_organisation(waylight().database, principal(), **which))


@blueprint.route(f"{ONE}/escalation", methods=["PUT"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@versions.demanded()
@blueprint.arguments(TimetableIn, example=TimetableIn.example)
@blueprint.response(200, TimetableOut, headers=versions.HEADERS)
def set_timetable(waits: Mapping[int, float | None], organisation_id: UUID) -> ResponseReturnValue:
    """Quicken or slow your rungs, within bounds. It counts for rungs that are told from now on.

    The control room hears of priority 1 at once whatever is said here.
    """
    which = asking(organisation_id=organisation_id, if_match=versions.if_match_demanded())
    return _answer(organisations.set_timetable(**which, waits_s=waits))


def _answer(found: Organisation) -> ResponseReturnValue:
    return found, 200, versions.etag(found.version)  # type: ignore[return-value] # dumped by the response decorator
