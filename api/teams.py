"""Teams: whether they are on duty, where they are and what they can do."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.teams import (
    CapabilitiesIn,
    DutyIn,
    HeartbeatOut,
    TeamEditIn,
    TeamIn,
    TeamList,
    TeamOut,
    TeamPositionIn,
    TeamsQuery,
)
from waylight.domain.principals import Kind
from waylight.domain.teams import Fix, Heartbeat, Team
from waylight.services import teams

blueprint = Blueprint("teams", __name__, description="Transport safety teams.")


@blueprint.route("/v1/teams")
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage")
@blueprint.arguments(TeamsQuery, location="query")
@blueprint.response(200, TeamList, headers=paging.LINK)
def list_teams(query: dict[str, Any]) -> ResponseReturnValue:
    """The teams of your organisation; for the control room, of its city."""
    caller, limit = principal(), query["limit"]
    scope = paging.scope("teams", caller.organisation_id)
    after = paging.after(query["cursor"], of=scope)
    rows = teams.list_teams(
        waylight().database,
        caller,
        after=(after[0], UUID(after[1])) if after else None,
        limit=limit + 1,
        now=now(),
    )
    return paging.page(rows, limit=limit, of=scope, values=lambda team: [team.name, team.id])


@blueprint.route('/v1/teams/<wire_id("team"):team_id>')
@require(Kind.STAFF, scopes=("alerts:read",), or_scope="teams:manage")
@blueprint.response(200, TeamOut, headers=versions.HEADERS)
def one(team_id: UUID) -> ResponseReturnValue:
    """One team, as it is now."""
    return _answer(teams.read_team(waylight().database, principal(), team_id=team_id, now=now()))


@blueprint.route("/v1/teams", methods=["POST"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.arguments(TeamIn, example=TeamIn.example)
@blueprint.response(201, TeamOut, headers=versions.HEADERS)
def found(body: dict[str, Any]) -> ResponseReturnValue:
    """Make a team of your organisation. It is told of nothing before it has a coverage and a shift.

    How it is reached is set with `POST /v1/teams/{team_id}/addresses`.
    """
    return _answer(teams.found_team(**asking(), **body), 201)


@blueprint.route('/v1/teams/<wire_id("team"):team_id>', methods=["PATCH"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@versions.versioned()
@blueprint.arguments(TeamEditIn, example=TeamEditIn.example)
@blueprint.response(200, TeamOut, headers=versions.HEADERS)
def edit(body: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """Give a team another name or base. It counts from the next report on."""
    which = asking(team_id=team_id, if_match=versions.if_match())
    return _answer(teams.edit_team(**which, **body))


@blueprint.route('/v1/teams/<wire_id("team"):team_id>', methods=["DELETE"])
@require(Kind.STAFF, scopes=("organisation:manage",))
@versions.versioned(409)
@blueprint.response(204)
def retire(team_id: UUID) -> None:
    """Retire a team for good: it is alerted no more. What it did stays; so does its name there."""
    teams.retire_team(**asking(team_id=team_id, if_match=versions.if_match()))


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/duty', methods=["PUT"])
@require(Kind.STAFF, scopes=("teams:duty",))
@versions.versioned()
@blueprint.arguments(DutyIn, example=DutyIn.example)
@blueprint.response(200, TeamOut, headers=versions.HEADERS)
def set_duty(body: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """Say that a team is available, busy or off. It counts from the next report on."""
    changed = teams.set_duty(
        waylight().database,
        principal(),
        team_id=team_id,
        duty=body["status"],
        until=body["until"],
        if_match=versions.if_match(),
        now=now(),
    )
    return _answer(changed)


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/position', methods=["PUT"])
@require(Kind.STAFF, scopes=("teams:duty",))
@blueprint.arguments(TeamPositionIn, example=TeamPositionIn.example)
@blueprint.response(200, HeartbeatOut)
def set_position(fix: Fix, team_id: UUID) -> Heartbeat:
    """Say where a team is, every 10 to 30 seconds. It takes the place of the one before.

    No history is kept: the last position is all there is, and after a day, or once the team is
    off, not even that.
    """
    return teams.set_position(waylight().database, principal(), team_id=team_id, fix=fix, now=now())


@blueprint.route('/v1/teams/<wire_id("team"):team_id>/capabilities', methods=["PUT"])
@require(Kind.STAFF, scopes=("teams:manage",))
@versions.versioned()
@blueprint.arguments(CapabilitiesIn, example=CapabilitiesIn.example)
@blueprint.response(200, TeamOut, headers=versions.HEADERS)
def set_capabilities(body: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """Say what a team can do, and until when. It counts from the next report on."""
    changed = teams.set_capabilities(
        waylight().database,
        principal(),
        team_id=team_id,
        capabilities=body["capabilities"],
        if_match=versions.if_match(),
        now=now(),
    )
    return _answer(changed)


def _answer(team: Team, status: int = 200) -> ResponseReturnValue:
    return team, status, versions.etag(team.version)  # type: ignore[return-value] # dumped by the response decorator
