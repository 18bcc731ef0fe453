"""The vehicle of an incident on the wire: which stops come next, and when."""

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields

from schemas.common import Timestamp, WireId
from schemas.reports.outgoing import ReasonOut
from waylight.domain.journeys import FASTER, SLOWER


class PaceOut(Schema):
    """What a prediction assumes: no timetable is known."""

    speed_kmh = fields.Float(
        required=True, metadata={"description": "Between stops, in a straight line."}
    )
    dwell_s = fields.Float(required=True, metadata={"description": "At each stop."})
    faster = fields.Constant(
        FASTER,
        required=True,
        metadata={"type": "number", "description": "`earliest` takes so much of that time."},
    )
    slower = fields.Constant(
        SLOWER,
        required=True,
        metadata={"type": "number", "description": "`latest` takes so much, and a minute."},
    )
    source = fields.String(required=True)


class PassingOut(Schema):
    """A stop ahead, and between which instants the vehicle gets there."""

    stop_id = fields.Function(
        lambda one: (
            WireId.of("place", UUID(one.stop.id.removeprefix("place:")))
            if one.stop.id.startswith("place:")
            else one.stop.id
        ),
        required=True,
        metadata={"type": "string", "description": "Its stop id, or `place_...` without one."},
    )
    name = fields.String(attribute="stop.name", required=True)
    earliest = Timestamp(required=True)
    latest = Timestamp(required=True)


class VehicleOut(Schema):
    """The vehicle of an incident by its latest report, worked out for the moment of reading.

    The stops that it has surely passed by now are left out.
    """

    report_id = WireId("report", required=True)
    route_id = fields.String(required=True)
    line = fields.String(required=True, allow_none=True)
    towards = fields.String(required=True, allow_none=True)
    since = Timestamp(required=True, metadata={"description": "When the report was made."})
    age_s = fields.Integer(required=True)
    over = fields.Boolean(
        required=True, metadata={"description": "It must have reached the end of its line."}
    )
    stops = fields.List(fields.Nested(PassingOut), required=True)
    assumes = fields.Nested(PaceOut, attribute="pace", required=True, allow_none=True)
    reason = fields.Nested(
        ReasonOut,
        required=True,
        allow_none=True,
        metadata={"description": "Why no stop is predicted."},
    )


VEHICLE_EXAMPLE: dict[str, Any] = {
    "report_id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "route_id": "northern",
    "line": None,
    "towards": None,
    "since": "2026-11-21T23:41:03Z",
    "age_s": 712,
    "over": False,
    "stops": [],
    "assumes": None,
    "reason": {
        "code": "no_line_order",
        "text": "The order of the stops on this line is not known. The stop was used.",
    },
}
