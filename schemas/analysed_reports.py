"""What analysts read, on the wire."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from schemas.common import Answer, Codes, PageQuery, Position, Timestamp, WireId, list_of
from schemas.reports.outgoing import PlaceRefOut


class AnalysedQuery(PageQuery):
    """Which reports to count."""

    since = Timestamp(
        data_key="from",
        load_default=None,
        metadata={"description": "Only what came in hours that begin at this instant or later."},
    )
    until = Timestamp(
        load_default=None,
        metadata={"description": "Only what came in hours that begin before this instant."},
    )

    @validates_schema(skip_on_field_errors=True)
    def ends_after_it_begins(self, data: dict[str, Any], **_: Any) -> None:
        """Raises ValidationError for a time that is none."""
        if data["since"] and data["until"] and data["until"] <= data["since"]:
            raise ValidationError("This must be later than `from`.", "until")


class AnalysedReportOut(Answer):
    """One report to be counted: what kind, roughly when and where, and nothing of anybody."""

    id = WireId(
        "analysed",
        required=True,
        metadata={"description": "The same report has the same id, here and nowhere else."},
    )
    received_hour = Timestamp(required=True)
    categories = Codes(required=True)
    happening = fields.String(required=True, metadata={"enum": ["now", "just_now", "earlier"]})
    mode = fields.String(required=True, allow_none=True)
    priority = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    position = Position(
        required=True,
        allow_none=True,
        metadata={
            "description": "The middle of the cell of a fixed grid of 50 m. Null where your"
            " organisation may not know where, or nobody does."
        },
    )
    place = fields.Nested(
        PlaceRefOut,
        required=True,
        allow_none=True,
        metadata={"description": "A station that the passenger named; no smaller place."},
    )

    example = {
        "id": "analysed_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "received_hour": "2026-11-21T23:00:00Z",
        "categories": ["being_followed"],
        "happening": "now",
        "mode": "tube",
        "priority": 2,
        "position": {"type": "Point", "coordinates": [-0.142672, 51.539009]},
        "place": None,
    }


AnalysedReportList = list_of(AnalysedReportOut)
