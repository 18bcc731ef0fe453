"""Dry-runs of routing on the wire."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from schemas.common import Answer, Body, Flag, Position, Timestamp, Whole, WireId
from schemas.coverages import CoverageIn
from schemas.organisations import TimetableIn
from schemas.teams import CapabilityIn, outside_city
from waylight.domain.dry_runs import (
    ASSUMPTIONS,
    LONGEST,
    MOST_CHANGES,
    CoverageChange,
    Proposal,
    TeamChange,
)

BECAUSE = (
    "newly_covered",
    "no_longer_covered",
    "order_changed",
    "would_climb",
    "would_not_climb",
)


class CoverageChangeIn(Body):
    """A coverage that would be new (no `coverage_id`), other (both) or gone (no `rule`)."""

    team_id = WireId("team", required=True)
    coverage_id = WireId("coverage", load_default=None, allow_none=True)
    rule = fields.Nested(CoverageIn, load_default=None, allow_none=True)

    @post_load
    def understood(self, data: dict[str, Any], **_: Any) -> CoverageChange:
        """The change as the rules know it."""
        return CoverageChange(**data)


class TeamChangeIn(Body):
    """A team that would be retired, start from elsewhere, or be able to do something else."""

    team_id = WireId("team", required=True)
    retired = Flag(load_default=False)
    base = Position(load_default=None)
    outside_city = outside_city()
    capabilities = fields.List(
        fields.Nested(CapabilityIn),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=20),
    )

    @post_load
    def understood(self, data: dict[str, Any], **_: Any) -> TeamChange:
        """The change as the rules know it."""
        held = data["capabilities"]
        return TeamChange(**{**data, "capabilities": None if held is None else tuple(held)})


class DryRunIn(Body):
    """What would change, and how far to look back."""

    coverages = fields.List(
        fields.Nested(CoverageChangeIn),
        load_default=list,
        validate=validate.Length(max=MOST_CHANGES),
    )
    teams = fields.List(
        fields.Nested(TeamChangeIn), load_default=list, validate=validate.Length(max=MOST_CHANGES)
    )
    timetable = fields.Nested(TimetableIn, load_default=None, allow_none=True)
    days = Whole(load_default=30, validate=validate.Range(min=1, max=LONGEST.days))
    limit = Whole(
        load_default=100,
        validate=validate.Range(min=1, max=500),
        metadata={"description": "How many reports to look at, at most."},
    )
    cursor = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=1024),
        metadata={"description": "`next_cursor` of the page before, with the same proposal."},
    )

    example: Any = {
        "coverages": [{"team_id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "rule": CoverageIn.example}],
        "days": 30,
    }

    @post_load
    def understood(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The proposal as the rules know it, beside how much is to be looked at."""
        proposal = Proposal(
            tuple(data.pop("coverages")), tuple(data.pop("teams")), data.pop("timetable")
        )
        return {"proposal": proposal, **data}


class DryRunToldOut(Answer):
    """Who is told first."""

    team_id = WireId("team", required=True, allow_none=True)
    name = fields.String(required=True)
    organisation = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": ["primary", "backup", "control_room"]})


class DifferenceOut(Answer):
    """A report that would have gone otherwise."""

    report_id = WireId("report", required=True)
    priority = fields.Integer(required=True)
    was = fields.Nested(DryRunToldOut, required=True, allow_none=True)
    would_be = fields.Nested(DryRunToldOut, required=True, allow_none=True)
    because = fields.String(required=True, metadata={"enum": list(BECAUSE)})


class AssumptionOut(Schema):
    """Something that is taken for granted."""

    code = fields.String(required=True, metadata={"enum": list(ASSUMPTIONS)})
    detail = fields.String(required=True)


class DryRunOut(Answer):
    """Which of your reports would have gone otherwise. Nothing was changed."""

    items = fields.List(fields.Nested(DifferenceOut), required=True)
    looked_at = fields.Integer(
        required=True, metadata={"description": "Reports of this page, changed or not."}
    )
    reports = fields.Integer(
        required=True,
        metadata={"description": "All of the period that you may see, counted to 10,000."},
    )
    since = Timestamp(required=True)
    until = Timestamp(required=True)
    cut_short = fields.Boolean(
        required=True,
        metadata={"description": "The time was up before the page was: go on with the cursor."},
    )
    next_cursor = fields.String(required=True, allow_none=True)
    assumptions = fields.List(fields.Nested(AssumptionOut), required=True)

    example: Any = {
        "items": [
            {
                "report_id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d",
                "priority": 2,
                "was": {
                    "team_id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
                    "name": "Euston team",
                    "organisation": "Safe Journeys",
                    "role": "primary",
                },
                "would_be": {
                    "team_id": "team_01jdw2s4x0e6qv3t8k5n7b9c2e",
                    "name": "Camden night team",
                    "organisation": "Safe Journeys",
                    "role": "primary",
                },
                "because": "newly_covered",
            }
        ],
        "looked_at": 100,
        "reports": 412,
        "since": "2026-10-22T23:52:40Z",
        "until": "2026-11-21T23:52:40Z",
        "cut_short": False,
        "next_cursor": "Zm9v",
        "assumptions": [{"code": code, "detail": said} for code, said in ASSUMPTIONS.items()],
    }
