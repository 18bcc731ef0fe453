"""Coverages: where, on what and when a team may be alerted."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import g
from flask.typing import ResponseReturnValue

from api.wire import limits, paging, versions
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint
from api.wire.context import now, waylight
from schemas.common import PageQuery
from schemas.coverages import CoverageIn, CoverageList, CoverageOut
from waylight.domain.coverages import Coverage, Rule
from waylight.domain.principals import Kind
from waylight.services import coverages

blueprint = Blueprint("coverages", __name__, description="Where and when teams may be alerted.")

ALL = '/v1/teams/<wire_id("team"):team_id>/coverages'
ONE = f'{ALL}/<wire_id("coverage"):coverage_id>'


@blueprint.route(ALL)
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, CoverageList, headers=paging.LINK)
def list_coverages(query: dict[str, Any], team_id: UUID) -> ResponseReturnValue:
    """The coverages of a team, the oldest first."""
    rows = partial(coverages.list_coverages, **_of(team_id))
    return paging.page_by_id(query, rows, of=paging.scope("coverages", team_id))


@blueprint.route(ALL, methods=["POST"])
@require(Kind.STAFF, scopes=("organisation:manage",), quota=limits.HOURS)
@versions.conflicting
@blueprint.arguments(CoverageIn, example=CoverageIn.example)
@blueprint.response(201, CoverageOut, headers=versions.HEADERS)
def add(rule: Rule, team_id: UUID) -> ResponseReturnValue:
    """Let a team be alerted in one more place. It counts from the next report on.

    Try it with `POST /v1/routing/dry-runs` first.
    """
    return _answer(coverages.add_coverage(**_change(team_id), rule=rule), 201)


@blueprint.route(ONE)
@require(Kind.STAFF, scopes=("organisation:manage",))
@blueprint.response(200, CoverageOut, headers=versions.HEADERS)
def one(team_id: UUID, coverage_id: UUID) -> ResponseReturnValue:
    """One coverage."""
    return _answer(coverages.read_coverage(**_of(team_id), coverage_id=coverage_id))


@blueprint.route(ONE, methods=["PUT"])
@require(Kind.STAFF, scopes=("organisation:manage",), quota=limits.HOURS)
@versions.demanded(409)
@blueprint.arguments(CoverageIn, example=CoverageIn.example)
@blueprint.response(200, CoverageOut, headers=versions.HEADERS)
def change(rule: Rule, team_id: UUID, coverage_id: UUID) -> ResponseReturnValue:
    """Another rule in its place; what is left out is any. It counts from the next report on."""
    seen = versions.if_match_demanded()
    which = _change(team_id, coverage_id=coverage_id, if_match=seen)
    return _answer(coverages.change_coverage(**which, rule=rule))


@blueprint.route(ONE, methods=["DELETE"])
@require(Kind.STAFF, scopes=("organisation:manage",), quota=limits.HOURS)
@versions.demanded(409)
@blueprint.response(204)
def remove(team_id: UUID, coverage_id: UUID) -> None:
    """The team is no longer alerted by it."""
    seen = versions.if_match_demanded()
    coverages.remove_coverage(**_change(team_id, coverage_id=coverage_id, if_match=seen))


def _of(team_id: UUID) -> dict[str, Any]:
    """What every verb of this page is called with."""
    return {
        "database": waylight().database,
        "principal": principal(),
        "team_id": team_id,
        "now": now(),
    }


def _change(team_id: UUID, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as the verbs take it
    """What every change is called with."""
    return {**_of(team_id), "vault": waylight().vault, "request_id": g.request_id, **more}


def _answer(coverage: Coverage, status: int = 200) -> ResponseReturnValue:
    return coverage, status, versions.etag(coverage.version)  # type: ignore[return-value] # dumped by the response decorator
