"""Coverages of a team on the wire: GeoJSON and the other words of a rule."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, pre_dump, validate

from schemas.common import Answer, Body, Flag, Name, Timestamp, WireId, list_of
from waylight.domain.categories import GROUPS
from waylight.domain.coverages import MOST_POLYGONS, MOST_POSITIONS, Coverage, Rule
from waylight.domain.schedules import LONGEST_EXPRESSION

_POSITION = {
    "type": "array",
    "prefixItems": [
        {"type": "number", "minimum": -180, "maximum": 180},
        {"type": "number", "minimum": -90, "maximum": 90},
    ],
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 3,
}
_RING = {"type": "array", "minItems": 4, "items": _POSITION}
SQUARE = {
    "type": "Polygon",
    "coordinates": [
        [[-0.15, 51.53], [-0.13, 51.53], [-0.13, 51.545], [-0.15, 51.545], [-0.15, 51.53]]
    ],
}
SHAPE: dict[str, Any] = {
    "description": "A Polygon or MultiPolygon (RFC 7946): longitude first, WGS 84, each ring closed"
    f" and without crossings, wound either way. At most {MOST_POSITIONS} positions and"
    f" {MOST_POLYGONS} polygons, 3 degrees across; across the antimeridian as two polygons.",
    "type": ["object", "null"],
    "required": ["type", "coordinates"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": ["Polygon", "MultiPolygon"]},
        "coordinates": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [_RING, {"type": "array", "minItems": 1, "items": _RING}]},
        },
        "bbox": {"type": "array", "items": {"type": "number"}},
    },
    "examples": [SQUARE],
}
AREA: dict[str, Any] = {
    "description": "The code of one of the city's own areas, in place of a shape.",
    "examples": ["E09000007"],
}
NAME: dict[str, Any] = {
    "description": "What passengers read as the place that you cover. Of a shape.",
    "examples": ["Camden Town and the Lock"],
}
SCHEDULE: dict[str, Any] = {
    "description": "When it holds, as OpenStreetMap `opening_hours` by the clocks of the city."
    " Null: always. The team's shifts count besides.",
    "examples": ["Fr-Sa 20:00-04:00"],
}
ANY = "Null: any."


class Shape(fields.Field[dict[str, Any]]):
    """GeoJSON as it was sent: the domain says what it has to be, with a place for each fault."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={**SHAPE, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("This must be a GeoJSON Polygon or MultiPolygon.")
        return value


def _some(*, longest: int, **metadata: Any) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.Length(min=1, max=60)),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=longest),
        metadata={"description": ANY, **metadata},
    )


class CoverageIn(Body):
    """Where, on what and when a team may be alerted: a shape or an area, and what else holds."""

    name = Name(load_default=None, allow_none=True, metadata=NAME)
    shape = Shape(load_default=None, allow_none=True)
    area = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=60),
        metadata=AREA,
    )
    outside_city = Flag(
        load_default=False,
        metadata={
            "description": "The shape leaves the city, and that is meant. It is checked when it is"
            " sent and not kept."
        },
    )
    modes = _some(longest=20, examples=[["tube", "bus"]])
    routes = _some(longest=200, examples=[["24"]])
    category_groups = _some(longest=len(GROUPS), examples=[[GROUPS[0]]])
    schedule = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=LONGEST_EXPRESSION),
        metadata=SCHEDULE,
    )

    example: Any = {"name": "Camden Town and the Lock", "shape": SQUARE, "modes": ["tube", "bus"]}

    @post_load
    def rule(self, data: dict[str, Any], **_: Any) -> Rule:
        """The rule as the domain knows it, each word once."""
        words = {
            name: None if data[name] is None else tuple(dict.fromkeys(data[name]))
            for name in ("modes", "routes", "category_groups")
        }
        return Rule(**{**data, **words})


class CoverageOut(Answer):
    """A coverage of a team."""

    id = WireId("coverage", required=True)
    team_id = WireId("team", required=True)
    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    name = fields.String(required=True, metadata={"description": NAME["description"]})
    area = fields.String(required=True, allow_none=True, metadata=AREA)
    shape = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            **SHAPE,
            "description": "A MultiPolygon (RFC 7946), wound to the right. Null for an area of the"
            " city.",
        },
    )
    modes = fields.List(fields.String(), required=True, allow_none=True)
    routes = fields.List(fields.String(), required=True, allow_none=True)
    category_groups = fields.List(fields.String(), required=True, allow_none=True)
    schedule = fields.String(required=True, allow_none=True, metadata=SCHEDULE)
    active = fields.Boolean(
        required=True, metadata={"description": "Whether its schedule holds now."}
    )
    set_by = fields.String(
        required=True,
        metadata={
            "enum": ["pack", "staff"],
            "description": "With `staff` a city pack that is loaded later leaves the coverages of"
            " this team alone.",
        },
    )
    updated_at = Timestamp(required=True)

    example: Any = {
        "id": "coverage_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "team_id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "version": 1,
        "name": "Camden Town and the Lock",
        "area": None,
        "shape": {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        "modes": ["tube", "bus"],
        "routes": None,
        "category_groups": None,
        "schedule": None,
        "active": True,
        "set_by": "staff",
        "updated_at": "2026-11-21T23:52:40Z",
    }

    @pre_dump
    def flatten(self, coverage: Coverage, **_: Any) -> Any:
        """Its rule beside its id."""
        return _Flat(coverage)


class _Flat:
    """A coverage whose rule's words are its own."""

    def __init__(self, coverage: Coverage) -> None:
        vars(self).update(vars(coverage.rule), **vars(coverage))


CoverageList = list_of(CoverageOut)
