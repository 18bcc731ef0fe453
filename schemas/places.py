"""Stops, stations, stands and venues on the wire."""

from marshmallow import Schema, fields, validate

from schemas.common import (
    Codes,
    PageQuery,
    Position,
    QueryPoint,
    WireId,
    list_of,
)
from waylight.domain.places import KINDS


class PlacesQuery(PageQuery):
    """Which places to find; every condition given must hold."""

    q = fields.String(
        load_default=None,
        validate=validate.Length(max=200),
        metadata={
            "description": "Words of the name in any order, or a public id or code.",
            "examples": ["camden town"],
        },
    )
    near = QueryPoint(
        load_default=None,
        metadata={
            "description": "longitude,latitude: the nearest first.",
            "examples": ["-0.1426,51.539"],
        },
    )
    kind = fields.String(
        load_default=None,
        validate=validate.OneOf(KINDS, error="This must be one of: {choices}."),
        metadata={"description": "Only of this kind.", "examples": ["station"]},
    )
    stop_id = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=64),
        metadata={"description": "The public stop id (NaPTAN, GTFS).", "examples": ["HUBABW"]},
    )


class PlaceOut(Schema):
    """A place. Stop ids may be missing and may repeat; `id` is always there and unique."""

    id = WireId("place", required=True)
    stop_id = fields.String(required=True, allow_none=True)
    name = fields.String(required=True)
    kind = fields.String(required=True)
    location = Position(attribute="point", required=True)
    modes = Codes(required=True)
    lines = Codes(required=True)
    codes = fields.List(
        fields.String(), required=True, metadata={"description": "Other public codes of it."}
    )
    area = fields.String(required=True, allow_none=True)
    heading = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"minimum": 0, "maximum": 360, "description": "Which way buses leave, degrees."},
    )
    distance_m = fields.Method(
        "whole_metres",
        required=True,
        metadata={
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "From `near`; null without it.",
        },
    )
    demo = fields.Boolean(required=True, metadata={"description": "Invented, for trying out."})

    example = {
        "id": "place_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "stop_id": "940GZZLUCTN",
        "name": "Camden Town",
        "kind": "station",
        "location": {"type": "Point", "coordinates": [-0.142746, 51.539298]},
        "modes": ["tube"],
        "lines": ["northern"],
        "codes": ["1000036"],
        "area": "Camden",
        "heading": None,
        "distance_m": None,
        "demo": False,
    }

    def whole_metres(self, place: object) -> int | None:
        """The distance, rounded; the order of a list is by the exact one."""
        metres: float | None = getattr(place, "distance_m", None)
        return None if metres is None else round(metres)


PlaceList = list_of(PlaceOut)
