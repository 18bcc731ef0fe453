"""Safe-travel hubs on the wire."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_dump, validate
from marshmallow.utils import get_value

from schemas.common import (
    Body,
    Codes,
    Flag,
    Name,
    PageQuery,
    Position,
    QueryBounds,
    QueryFlag,
    QueryInteger,
    QueryNumber,
    Timestamp,
    WireId,
    Words,
    list_of,
)
from waylight.domain.geo import Point
from waylight.domain.hubs import HubDesk, NearHub, Standing
from waylight.domain.reports import Need
from waylight.domain.routing import walk_minutes

DIRECTIONS = "https://www.openstreetmap.org/directions?to={lat:.6f}%2C{lon:.6f}"
"""Only the hub is in the link: where the caller stands is nobody's business."""


PHONE = r"^\+?[0-9][0-9 ]{1,38}(?!\n)$"
CALENDARS = range(1970, 2101)
"""Years for which opening hours and their holidays mean anything."""


def directions_to(point: Point) -> str:
    """A link that a phone opens as a map."""
    return DIRECTIONS.format(lat=point.lat, lon=point.lon)


HUB_EXAMPLE: dict[str, Any] = {
    "id": "hub_01jdw2s4x0e6qv3t8k5n7b9c1d",
    "name": "King's Cross safe travel hub (demo)",
    "kind": "safe_travel_hub",
    "mobile": False,
    "organisation": "Safe Journeys (demo)",
    "location": {"type": "Point", "coordinates": [-0.123194, 51.530312]},
    "address": "King's Cross & St Pancras International station, Camden",
    "opening_hours": "Fr-Sa 21:00-02:30",
    "time_zone": "Europe/London",
    "open": True,
    "open_until": "2026-11-22T02:30:00Z",
    "services": ["water", "phone_charging", "first_aid", "trained_staff"],
    "access": ["step_free", "hearing_loop"],
    "languages": ["en", "es"],
    "phone": "020 7946 0101",
    "demo": True,
    "directions_url": directions_to(Point(-0.123194, 51.530312)),
    "updated_at": "2026-11-20T04:00:00Z",
    "position_at": None,
    "position_stale": False,
}


def _within_calendars(at: datetime) -> None:
    if at.year not in CALENDARS:
        msg = f"This must lie within {CALENDARS[0]} to {CALENDARS[-1]}."
        raise ValidationError(msg)


def _code() -> fields.String:
    return fields.String(
        validate=validate.Regexp(
            r"^[a-z][a-z0-9_-]{1,39}(?!\n)$",
            error="This must be 2 to 40 of a-z, 0-9, - and _, a letter first.",
        ),
        metadata={"maxLength": 40},
    )


def _phone(**kwargs: Any) -> fields.String:
    return fields.String(
        allow_none=True,
        validate=[
            validate.Length(min=3, max=40),
            validate.Regexp(PHONE, error="This must be a telephone number, like 020 7946 0101."),
        ],
        metadata={"examples": ["020 7946 0101"]},
        **kwargs,
    )


def _languages(**kwargs: Any) -> fields.List[str]:
    tag = fields.String(
        validate=validate.Regexp(
            r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}(?!\n)$",
            error="This must be the tag of a language (BCP 47), like en or pt-BR.",
        ),
        metadata={"maxLength": 39, "examples": ["en"]},
    )
    return fields.List(tag, validate=validate.Length(max=40), **kwargs)


def _name(**kwargs: Any) -> Name:
    return Name(metadata={"description": "What passengers read."}, **kwargs)


class HubsQuery(PageQuery):
    """Which hubs to list."""

    bbox = QueryBounds(
        load_default=None,
        metadata={
            "description": "Only hubs within west,south,east,north in degrees; west exceeds east"
            " across the antimeridian.",
            "examples": ["-0.51,51.28,0.33,51.69"],
        },
    )


class NearestQuery(Body):
    """Where the caller is, when, and with what needs."""

    lat = QueryNumber(
        required=True,
        validate=validate.Range(min=-90, max=90),
        metadata={"description": "Latitude, WGS 84.", "examples": [51.539]},
    )
    lon = QueryNumber(
        required=True,
        validate=validate.Range(min=-180, max=180),
        metadata={"description": "Longitude, WGS 84.", "examples": [-0.1426]},
    )
    limit = QueryInteger(
        load_default=5,
        validate=validate.Range(min=1, max=100),
        metadata={"description": "How many at most."},
    )
    open_now = QueryFlag(
        load_default=True,
        metadata={"description": "Only hubs that are open at `at`; `false` for all, marked."},
    )
    needs = Words(
        tuple(Need),
        load_default=(),
        metadata={
            "description": "Hubs that meet all of these come first; if too few do, the others"
            " follow with what they lack in `needs_unmet`.",
            "examples": ["step_free,women_only"],
        },
    )
    at = Timestamp(
        load_default=None,
        validate=_within_calendars,
        metadata={
            "description": f"At which instant, {CALENDARS[0]} to {CALENDARS[-1]}; now when absent.",
            "pattern": "^(19[7-9][0-9]|20[0-9][0-9]|2100)-",
            "examples": ["2026-11-21T23:52:40Z"],
        },
    )


class HubOut(Schema):
    """A safe-travel hub as it is now."""

    id = WireId("hub", required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True, metadata={"examples": ["safe_travel_hub", "hub_bus"]})
    mobile = fields.Boolean(required=True, metadata={"description": "It may move."})
    organisation = fields.String(required=True)
    location = Position(attribute="point", required=True)
    address = fields.String(required=True)
    opening_hours = fields.String(
        required=True,
        metadata={"description": "OpenStreetMap `opening_hours`, in the hub's `time_zone`."},
    )
    time_zone = fields.String(required=True)
    open = fields.Boolean(required=True)
    open_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Null while it is closed, and when it never closes."},
    )
    services = Codes(required=True)
    access = Codes(required=True)
    languages = Codes(required=True)
    phone = fields.String(required=True, allow_none=True)
    demo = fields.Boolean(required=True, metadata={"description": "Invented, for trying out."})
    directions_url = fields.Function(
        lambda hub: directions_to(get_value(hub, "point")),
        required=True,
        metadata={"type": "string", "format": "uri"},
    )
    updated_at = Timestamp(required=True)
    position_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={
            "description": "When a mobile hub said that it is at `location`; null where that is the"
            " published place."
        },
    )
    position_stale = fields.Boolean(
        required=True,
        metadata={
            "description": "It has been silent for more than 30 minutes and may have moved: it is"
            " ranked as far away as it may be by now."
        },
    )

    example = HUB_EXAMPLE


class NearHubOut(HubOut):
    """A hub as seen from where the caller is."""

    distance_m = fields.Integer(
        required=True, metadata={"minimum": 0, "description": "As the crow flies."}
    )
    walk_minutes = fields.Integer(
        required=True, metadata={"minimum": 1, "description": "An estimate, rounded up."}
    )
    needs_met = Codes(required=True)
    needs_unmet = Codes(required=True)
    open_on_arrival = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether it is open when somebody who walks there now arrives, and for"
            " ten minutes more."
        },
    )

    example = {
        **HUB_EXAMPLE,
        "distance_m": 410,
        "walk_minutes": 7,
        "needs_met": ["step_free"],
        "needs_unmet": [],
        "open_on_arrival": True,
    }

    def get_attribute(self, obj: dict[str, Any], attr: str, default: Any) -> Any:
        """The value of what `flatten` made; marshmallow's own look-up takes four calls for it."""
        return obj.get(attr, default)

    @pre_dump
    def flatten(self, near: NearHub, **_: Any) -> dict[str, Any]:
        """The hub's own fields beside those of the caller's view of it."""
        return {
            **vars(near.hub),
            "distance_m": round(near.distance_m),
            "walk_minutes": walk_minutes(near.distance_m),
            "needs_met": near.needs_met,
            "needs_unmet": near.needs_unmet,
            "open_on_arrival": near.open_on_arrival,
        }


class HubEditIn(Body):
    """What to change of a hub. What is left out stays as it is."""

    opening_hours = fields.String(
        validate=validate.Length(min=1, max=1000),
        metadata={
            "description": "OpenStreetMap `opening_hours`, in the hub's time zone.",
            "examples": ["Mo-Su 18:00-02:00"],
        },
    )
    address = Name(most=200)
    phone = _phone()
    services = fields.List(_code(), validate=validate.Length(max=40))
    access = fields.List(_code(), validate=validate.Length(max=40))
    languages = _languages()
    name = _name()
    position = Position(
        metadata={"description": "Of a hub that does not move; a mobile one says where it is."}
    )
    outside_city = Flag(
        metadata={"description": "The place lies outside the city, and that is meant."}
    )

    example = {"opening_hours": "Mo-Su 18:00-02:00"}


class HubIn(Body):
    """A new hub."""

    name = _name(required=True)
    kind = fields.String(
        required=True,
        validate=validate.OneOf(["safe_travel_hub", "hospital", "station", "hub_bus"]),
    )
    mobile = Flag(load_default=False, metadata={"description": "It may move."})
    position = Position(required=True)
    outside_city = Flag(
        load_default=False,
        metadata={"description": "The place lies outside the city, and that is meant."},
    )
    address = Name(most=200, required=True)
    opening_hours = fields.String(
        required=True,
        validate=validate.Length(min=1, max=1000),
        metadata={
            "description": "OpenStreetMap `opening_hours`, in the city's time zone.",
            "examples": ["Mo-Su 18:00-02:00"],
        },
    )
    services = fields.List(_code(), load_default=list, validate=validate.Length(max=40))
    access = fields.List(_code(), load_default=list, validate=validate.Length(max=40))
    languages = _languages(load_default=list)
    phone = _phone(load_default=None)

    example: Any = {
        "name": "Camden Lock safe hub",
        "kind": "safe_travel_hub",
        "position": {"type": "Point", "coordinates": [-0.1463, 51.5414]},
        "address": "Camden Lock Place, London",
        "opening_hours": "Fr-Sa 21:00-04:00",
        "services": ["water", "trained_staff"],
        "access": ["step_free"],
        "languages": ["en"],
    }


class OverrideIn(Body):
    """Open or closed from now on, whatever the hours say."""

    status = fields.Enum(Standing, by_value=True, required=True)
    until = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Until when, at most 30 days ahead. Left out: until the last of today's"
            " hours ends."
        },
    )
    reason = fields.String(
        required=True,
        validate=[
            validate.Length(max=200, error="This may have at most 200 characters."),
            validate.Regexp(r"\s*\S", error="Say something."),
        ],
        metadata={"description": "For the staff of your organisation; nobody else reads it."},
    )

    example = {"status": "closed", "reason": "No first-aider on site."}


class HubPositionIn(Body):
    """Where a mobile hub is."""

    position = Position(required=True)
    fixed_at = Timestamp(
        load_default=None,
        metadata={"description": "Since when this is known; now when left out."},
    )

    example = {"position": {"type": "Point", "coordinates": [-0.1273, 51.5074]}}


class OverrideOut(Schema):
    """An override that runs, for the staff of the hub's own organisation."""

    status = fields.String(required=True, metadata={"enum": [one.value for one in Standing]})
    since = Timestamp(attribute="starts_at", required=True)
    until = Timestamp(attribute="ends_at", required=True)
    reason = fields.String(required=True)
    set_by = fields.String(required=True, metadata={"description": "A colleague's name."})


class HubDeskOut(HubOut):
    """A hub as its own staff see it."""

    version = fields.Integer(
        required=True, metadata={"description": "The number in its ETag, for `If-Match`."}
    )
    override = fields.Nested(OverrideOut, required=True, allow_none=True)
    set_by_staff = Codes(
        attribute="edited",
        required=True,
        metadata={"description": "What staff changed: a pack that is loaded later leaves it."},
    )

    example = {
        **HUB_EXAMPLE,
        "open": False,
        "open_until": None,
        "version": 3,
        "override": {
            "status": "closed",
            "since": "2026-11-21T22:10:00Z",
            "until": "2026-11-22T02:30:00Z",
            "reason": "No first-aider on site.",
            "set_by": "Jo Demo",
        },
        "set_by_staff": [],
    }

    @pre_dump
    def flatten(self, desk: HubDesk, **_: Any) -> dict[str, Any]:
        """The hub's own fields beside those that only its staff see."""
        return {
            **vars(desk.hub),
            "version": desk.version,
            "override": desk.override,
            "edited": desk.edited,
        }


HubList = list_of(HubOut)
NearHubList = list_of(NearHubOut)
