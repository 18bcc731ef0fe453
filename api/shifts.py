"""Shifts that staff set for their teams."""

from functools import partial
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import limits, paging, versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.shifts import (
    PreviewIn,
    PreviewOut,
    PreviewQuery,
    ShiftIn,
    ShiftList,
    ShiftOut,
    ShiftsQuery,
)
from waylight.domain.principals import Kind
from waylight.domain.shifts import Hours, Shift
from waylight.services import shifts
from waylight.services.shifts import Preview

blueprint = Blueprint("shifts", __name__, description="When teams are on shift.")


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/shifts')
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage")
@blueprint.arguments(ShiftsQuery, location="query")
@blueprint.response(200, ShiftList, headers=paging.LINK)
def list_shifts(query: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """The shifts that staff set for a team, oldest first; those that are over too."""
    rows = partial(shifts.list_shifts, **_of(team_id))
    return paging.page_by_id(query, rows, of=paging.scope("shifts", team_id))


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/shifts', methods=["POST"])
@require(Kind.STAFF, scopes=("teams:manage",), quota=limits.HOURS)
@blueprint.arguments(ShiftIn, example=ShiftIn.example)
@blueprint.response(201, ShiftOut, headers=versions.HEADERS)
def add(hours: Hours, team_id: UUID) -> ResponseReturnValue:
    """Give a team one more shift. It counts at once; look at the preview first."""
    return _answer(shifts.add_shift(**_of(team_id), hours=hours), status=201)


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/shifts/preview')
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage", quota=limits.HOURS)
@blueprint.arguments(PreviewQuery, location="query")
@blueprint.response(200, PreviewOut)
def preview(query: dict[str, Any], team_id: UUID) -> Preview:
    """When a team is on shift in the coming days, one-off changes included."""
    return shifts.preview(**_of(team_id), days=query["days"])


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/shifts/preview', methods=["POST"])
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage", quota=limits.HOURS)
@blueprint.arguments(PreviewIn, example=PreviewIn.example)
@blueprint.response(200, PreviewOut)
def try_out(body: dict[str, Any], team_id: UUID) -> Preview:
    """What the coming days would be with a shift that is not set yet. Nothing is changed."""
    return shifts.preview(
        **_of(team_id), days=body["days"], hours=body["shift"], instead_of=body["instead_of"]
    )


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/shifts/<wire_id("shift"):shift_id>')
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage")
@blueprint.response(200, ShiftOut, headers=versions.HEADERS)
def one(team_id: UUID, shift_id: UUID) -> ResponseReturnValue:
    """One shift."""
    return _answer(shifts.read_shift(**_of(team_id), shift_id=shift_id))


@blueprint.route(
    '/v1/teams/<wire_id("team"):team_id>/shifts/<wire_id("shift"):shift_id>', methods=["PUT"]
)
@require(Kind.STAFF, scopes=("teams:manage",), quota=limits.HOURS)
@versions.versioned()
@blueprint.arguments(ShiftIn, example=ShiftIn.example)
@blueprint.response(200, ShiftOut, headers=versions.HEADERS)
def change(hours: Hours, team_id: UUID, shift_id: UUID) -> ResponseReturnValue:
    """Give a shift other hours. They count at once."""
    return _answer(
        shifts.change_shift(
            **_of(team_id), shift_id=shift_id, hours=hours, if_match=versions.if_match()
        )
    )


@blueprint.route(
    '/v1/teams/<wire_id("team"):team_id>/shifts/<wire_id("shift"):shift_id>', methods=["DELETE"]
)
@require(Kind.STAFF, scopes=("teams:manage",), quota=limits.HOURS)
@versions.versioned()
@blueprint.response(204)
def remove(team_id: UUID, shift_id: UUID) -> None:
    """Remove a shift. Without a recurring one the rule of the city pack counts again."""
    shifts.remove_shift(**_of(team_id), shift_id=shift_id, if_match=versions.if_match())


def _of(team_id: UUID) -> dict[str, Any]:
    """What every verb of this page is called with."""
    return {
        "database": waylight().database,
        "principal": principal(),
        "team_id": team_id,
        "now": now(),
    }


def _answer(shift: Shift, *, status: int = 200) -> ResponseReturnValue:
    return shift, status, versions.etag(shift.version)  # type: ignore[return-value] # dumped by the response decorator
