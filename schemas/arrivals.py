"""The arrival log of a hub on the wire. There is no field for a story."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import Body, Codes, Timestamp, WireId
from waylight.domain.arrivals import Arrival

STATUSES = [one.value for one in Arrival]


class ArrivalIn(Body):
    """What became of somebody whom the hub was told to expect."""

    status = fields.Enum(
        Arrival,
        by_value=True,
        required=True,
        metadata={
            "description": "`did_not_arrive` only once they have had their time: `walk.latest`."
            " `left_safely`, `handed_to_police` and `handed_to_ambulance` follow `arrived`."
        },
    )
    report_id = WireId(
        "report",
        load_default=None,
        metadata={"description": "Which of `expects`; may be left out while there is only one."},
    )
    at = Timestamp(
        load_default=None, metadata={"description": "When it happened; now when left out."}
    )

    example = {"status": "arrived"}


class WalkOut(Schema):
    """Minutes on foot, as a band in steps of five: an estimate."""

    minutes_from = fields.Integer(attribute="walk_minutes_from", required=True)
    minutes_to = fields.Integer(attribute="walk_minutes_to", required=True)
    earliest = Timestamp(required=True)
    latest = Timestamp(required=True)


class ExpectedOut(Schema):
    """Somebody whom this hub was told to expect: what they need, and when they may be there.

    Not who they are, where they are or what they wrote.
    """

    report_id = WireId("report", required=True)
    told_at = Timestamp(required=True)
    walk = fields.Nested(WalkOut, attribute="band", required=True, allow_none=True)
    needs_met = Codes(required=True)
    needs_unmet = Codes(required=True)
    language = fields.String(required=True, allow_none=True)
    language_spoken = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Whether the hub speaks it."}
    )
    status = fields.String(
        required=True,
        allow_none=True,
        metadata={"enum": [*STATUSES, None], "description": "The last entry; null before any."},
    )
    at = Timestamp(required=True, allow_none=True)
    redirected_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Since when they know that this hub closes or has moved."},
    )


EXPECTED_EXAMPLE: dict[str, Any] = {
    "report_id": "report_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "told_at": "2026-11-21T23:52:41Z",
    "walk": {
        "minutes_from": 0,
        "minutes_to": 20,
        "earliest": "2026-11-21T23:52:41Z",
        "latest": "2026-11-22T00:12:41Z",
    },
    "needs_met": ["step_free"],
    "needs_unmet": [],
    "language": "en",
    "language_spoken": True,
    "status": None,
    "at": None,
    "redirected_at": None,
}
