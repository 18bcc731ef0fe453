"""A city pack in memory: every row checked, every reference known to exist."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from waylight.domain import places
from waylight.domain.geo import Bounds, Point
from waylight.domain.organisations import KINDS

PLACE_KINDS = frozenset(places.KINDS)
MODES = frozenset(
    {
        "tube",
        "dlr",
        "overground",
        "elizabeth",
        "rail",
        "tram",
        "bus",
        "taxi",
        "street",
        "cable_car",
        "river",
    }
)
ORGANISATION_KINDS = frozenset(KINDS)
TEAM_KINDS = frozenset({"field", "control_room"})
CAPABILITIES = frozenset({"first_aid", "sign_language", "women_officers", "safeguarding"})
HUB_KINDS = frozenset({"safe_travel_hub", "hospital", "station", "hub_bus"})
SERVICES = frozenset(
    {
        "water",
        "phone_charging",
        "first_aid",
        "quiet_space",
        "women_only_space",
        "taxi_help",
        "trained_staff",
        "cctv",
        "toilets",
        "interpreter",
    }
)
ACCESS = frozenset(
    {
        "step_free",
        "accessible_toilet",
        "hearing_loop",
        "sign_language",
        "assistance_dogs",
        "text_relay",
    }
)
WAYS = ("sms", "phone", "url")
"""How somebody can be reached."""


@dataclass(frozen=True)
class Rejected:
    """A row that was left out: the line of a CSV file (the header is 1), else the n-th entry."""

    file: str
    row: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.reason}"


@dataclass(frozen=True)
class CityRow:
    """city.yaml."""

    slug: str
    name: str
    country: str
    time_zone: str
    holidays: Mapping[str, Any]
    outline: str
    service_area: str
    control_room: str
    languages: tuple[str, ...]
    attribution: tuple[str, ...]


@dataclass(frozen=True)
class AreaRow:
    """An area; `geojson` is a MultiPolygon, closed rings of numbers that are positions."""

    code: str
    name: str
    kind: str
    demo: bool
    geojson: str
    bounds: Bounds


@dataclass(frozen=True)
class PlaceRow:
    """A stop, station, stand or venue."""

    key: str
    stop_id: str | None
    name: str
    source_name: str
    kind: str
    point: Point
    modes: tuple[str, ...]
    lines: tuple[str, ...]
    codes: tuple[str, ...]
    area: str | None
    heading: int | None
    demo: bool


@dataclass(frozen=True)
class LineRow:
    """A line or route."""

    key: str
    name: str
    mode: str


@dataclass(frozen=True)
class LineStopRow:
    """One stop of a line, in the order of travel."""

    line: str
    sequence: int
    place: str


@dataclass(frozen=True)
class OrganisationRow:
    """A body that owns teams and hubs."""

    key: str
    name: str
    kind: str
    contact: Mapping[str, str]
    demo: bool


@dataclass(frozen=True)
class CoverageRow:
    """Which reports a team may be alerted to; None means any."""

    area: str
    modes: tuple[str, ...] | None
    routes: tuple[str, ...] | None
    category_groups: tuple[str, ...] | None
    schedule: str | None


@dataclass(frozen=True)
class TeamRow:
    """A transport safety team or a control room."""

    key: str
    organisation: str
    name: str
    kind: str
    base: Point
    capabilities: tuple[str, ...]
    shifts: str
    demo: bool
    coverages: tuple[CoverageRow, ...]


@dataclass(frozen=True)
class HubRow:
    """A safe-travel hub."""

    key: str
    organisation: str
    name: str
    kind: str
    mobile: bool
    point: Point
    address: str
    opening_hours: str
    services: tuple[str, ...]
    access: tuple[str, ...]
    languages: tuple[str, ...]
    phone: str | None
    demo: bool


@dataclass(frozen=True)
class Pack:
    """Everything of a pack that can be loaded, and what cannot.

    `sizes` are rows by file; `swapped` names the files whose rejected positions mostly fit when
    lon and lat change places.
    """

    city: CityRow
    bounds: Bounds
    areas: tuple[AreaRow, ...]
    places: tuple[PlaceRow, ...]
    lines: tuple[LineRow, ...]
    line_stops: tuple[LineStopRow, ...]
    organisations: tuple[OrganisationRow, ...]
    teams: tuple[TeamRow, ...]
    hubs: tuple[HubRow, ...]
    jurisdiction: tuple[Mapping[str, Any], ...]
    contacts: Mapping[str, Any]
    contacts_verified_at: date | None
    rejected: tuple[Rejected, ...]
    sizes: Mapping[str, int]
    swapped: frozenset[str]
    notes: tuple[str, ...]
