"""Dry-runs: what a change would have done to the reports of the last weeks."""

from typing import Any
from uuid import UUID

from api.wire import limits, paging
from api.wire.auth import asking, principal, require
from api.wire.blueprint import Blueprint
from schemas.dry_runs import DryRunIn, DryRunOut
from waylight.domain.dry_runs import ASSUMPTIONS, DryRun
from waylight.domain.principals import Kind
from waylight.services import dry_runs

blueprint = Blueprint("dry_runs", __name__, description="Trying changes of routing out.")


@blueprint.route("/v1/routing/dry-runs", methods=["POST"])
@require(Kind.STAFF, scopes=("organisation:manage",), quota=limits.HOURS)
@blueprint.arguments(DryRunIn, example=DryRunIn.example)
@blueprint.response(200, DryRunOut)
def dry_run(body: dict[str, Any]) -> Any:  # noqa: ANN401 - dumped by the response decorator
    """Which of your last reports would have gone to another team. Nothing is changed.

    Only reports that your organisation was granted are looked at; `assumptions` says what is not
    known. Change nothing but the cursor from page to page.
    """
    scope = paging.scope("dry-runs", principal().organisation_id, body["proposal"], body["days"])
    seen = paging.after(body.pop("cursor"), of=scope)
    found = dry_runs.dry_run(**asking(), **body, after=UUID(seen[0]) if seen else None)
    cursor = paging.cursor_at([found.after], of=scope) if found.after else None
    return _Page(found, cursor)


class _Page:
    """A page with its cursor and what was taken for granted."""

    def __init__(self, found: DryRun, cursor: str | None) -> None:
        vars(self).update(vars(found), next_cursor=cursor)
        self.assumptions = [{"code": code, "detail": said} for code, said in ASSUMPTIONS.items()]
