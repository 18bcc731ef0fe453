"""Teams and whether they are on duty."""

from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue

from api.wire import paging, versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.teams import DutyIn, TeamList, TeamOut, TeamsQuery
from waylight.domain.principals import Kind
from waylight.domain.teams import Team
from waylight.services import teams

blueprint = Blueprint("teams", __name__, description="Transport safety teams.")


@blueprint.route("/v1/teams")
@require(Kind.STAFF, scopes=("alerts:read",))
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
@require(Kind.STAFF, scopes=("alerts:read",))
@blueprint.response(200, TeamOut, headers=versions.HEADERS)
def one(team_id: UUID) -> ResponseReturnValue:
    """One team, as it is now."""
    return _answer(teams.read_team(waylight().database, principal(), team_id=team_id, now=now()))


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


def _answer(team: Team) -> ResponseReturnValue:
    return team, 200, versions.etag(team.version)  # type: ignore[return-value] # dumped by the response decorator
