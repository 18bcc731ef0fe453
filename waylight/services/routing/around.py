"""Looking around a report: what is near it, who could help, and who is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from waylight.db import nearby
from waylight.domain import hubs, location, routing, triage
from waylight.domain.alerts import waits_of
from waylight.domain.categories import CATEGORIES
from waylight.domain.cities import City
from waylight.domain.geo import Point
from waylight.domain.reports import (
    Located,
    NewReport,
    OpenHub,
    PlaceRef,
    Priority,
    Reason,
    Recipient,
    ReportWarning,
    ShareWith,
)
from waylight.domain.teams import Duty, is_on_duty
from waylight.services.schedules import is_on_shift_in, is_open_in, open_until_in, team_plan


@dataclass(frozen=True)
class Surroundings:
    """What is around a report, as domain words."""

    located: Located
    city: City | None
    place_id: UUID | None
    area_id: UUID | None
    area_codes: tuple[str, ...]
    modes: tuple[str, ...]
    in_service_area: bool
    candidates: tuple[routing.Candidate, ...]
    hubs: tuple[OpenHub, ...]
    hub_organisations: dict[UUID, tuple[UUID, str]]
    worker_alive: bool
    cities_version: int | None
    warnings: tuple[ReportWarning, ...] = ()
    moving: bool = False
    """In a vehicle whose next stops are known; `notes` say why they are not."""
    notes: tuple[Reason, ...] = ()
    readers: Mapping[ShareWith, UUID] = field(default_factory=dict)
    """The organisations that those whom the passenger ticked stand for."""


@dataclass(frozen=True)
class Draft:
    """A report triaged and ready to be looked up."""

    report: NewReport
    received_at: datetime
    when: triage.Timing
    priority: Priority
    groups: tuple[str, ...]
    sources: tuple[location.Source, ...]
    warnings: tuple[ReportWarning, ...]


def draft(report: NewReport, cities: Sequence[City], *, received_at: datetime) -> Draft:
    """Everything that can be said of a report without looking anything up."""
    report, mode_warnings = _known_mode(report, cities)
    when = triage.timing(report, received_at=received_at)
    sources, warnings = location.sources(
        report.location, report.journey, served=[city.bounds for city in cities]
    )
    return Draft(
        report=report,
        received_at=received_at,
        when=when,
        priority=triage.triage(report, when),
        groups=groups_of(report.categories),
        sources=sources,
        warnings=(*mode_warnings, *when.warnings, *warnings),
    )


def _known_mode(
    report: NewReport, cities: Sequence[City]
) -> tuple[NewReport, tuple[ReportWarning, ...]]:
    """A mode that no city has would match no team; the place then says how the person travels."""
    mode = report.journey.mode
    if mode is None or any(mode in city.modes for city in cities):
        return report, ()
    journey = replace(report.journey, mode=None)
    rejected = {**report.rejected, "/journey/mode": mode}
    return (
        replace(report, journey=journey, rejected=rejected),
        (ReportWarning("/journey/mode", "unknown_value"),),
    )


def groups_of(categories: Sequence[str]) -> tuple[str, ...]:
    """The category groups of a report, in the order of its categories."""
    return tuple(dict.fromkeys(CATEGORIES[code].group for code in categories or ("other",)))


def query(draft: Draft, *, n: int) -> dict[str, Any]:
    """The question `db/nearby.surroundings` answers about a draft."""
    report = draft.report
    return {
        "n": n,
        "at": draft.received_at,
        "sources": [_source(source) for source in draft.sources],
        "modes": [report.journey.mode] if report.journey.mode else None,
        "route_id": report.journey.route_id,
        "groups": draft.groups,
        "capabilities": routing.required_capabilities(report, draft.groups),
        "allows_police": report.allows_police,
        "prefers_police": "police" in report.wants,
        "excluded": (),
        "exercise": report.exercise,
        "vehicle": routing.vehicle(report.journey, report.journey.mode),
    }


def look_around(
    conn: Connection[Any], drafts: Sequence[Draft], cities: Sequence[City]
) -> list[Surroundings]:
    """The surroundings of every draft by one statement."""
    rows = ask(conn, [query(draft, n=n) for n, draft in enumerate(drafts)])
    return [understand(draft, row, cities) for draft, row in zip(drafts, rows, strict=True)]


def ask(conn: Connection[Any], queries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts that `db/nearby` has, as near as the rules of routing ask for them."""
    return nearby.surroundings(
        conn,
        queries,
        station_m=routing.INFER_STATION_M,
        hub_within_m=routing.HUB_WITHIN_M,
        link_m=routing.LINK_WITHIN_M,
    )


def understand(draft: Draft, row: dict[str, Any], cities: Sequence[City]) -> Surroundings:
    """A row of facts as domain words."""
    report = draft.report
    city = next((city for city in cities if city.id == row["city_id"]), None)
    spot = None
    if row["source_index"] is not None:
        place = None
        if row["place_id"] is not None:
            place = PlaceRef(id=row["place_ref"], name=row["place_name"], demo=row["place_demo"])
        spot = location.Spot(
            row["source_index"],
            Point(row["lon"], row["lat"]),
            place,
            spread_m=row["spread_m"] or 0.0,
        )
    located = location.locate(report.location, draft.sources, spot, now=draft.when.phone_now)
    warnings = location.unknown_stops(report.location, report.journey, row["known_stops"])
    if located.source in ("stop", "journey") and row["spread_m"]:
        warnings += (ReportWarning("/location/stop_id", "ambiguous_stop"),)
    if located.point is not None and not row["in_service_area"]:
        warnings += (ReportWarning("/location", "outside_service_area"),)
    at = draft.received_at
    return Surroundings(
        located=located,
        city=city,
        place_id=row["place_id"],
        area_id=row["area_id"],
        area_codes=tuple(row["area_codes"] or ()),
        modes=tuple(row["modes"] or ()),
        in_service_area=row["in_service_area"],
        candidates=tuple(candidate(team, city, at) for team in row["teams"]),
        hubs=tuple(
            hub
            for hub in (_hub(hub, city, at, report.needs) for hub in row["hubs"])
            if hub is not None
        ),
        hub_organisations={
            UUID(hub["id"]): (UUID(hub["organisation_id"]), hub["organisation"])
            for hub in row["hubs"]
        },
        worker_alive=row["worker_alive"],
        cities_version=row["cities_version"],
        warnings=warnings,
    )


def blind(draft: Draft) -> Surroundings:
    """The surroundings when nothing could be looked up: routing falls back to the control room."""
    spots = (
        location.Spot(index, source.point)
        for index, source in enumerate(draft.sources)
        if source.point is not None
    )
    spot = next(spots, None)
    return Surroundings(
        located=location.locate(
            draft.report.location, draft.sources, spot, now=draft.when.phone_now
        ),
        city=None,
        place_id=None,
        area_id=None,
        area_codes=(),
        modes=(),
        in_service_area=False,
        candidates=(),
        hubs=(),
        hub_organisations={},
        worker_alive=False,
        cities_version=None,
    )


def decide(draft: Draft, around: Surroundings, city: City | None) -> routing.Routing:
    """Who is told about this report. Nobody when the passenger asked for that."""
    report = draft.report
    facts = routing.facts(
        report,
        draft.priority,
        has_position=around.located.point is not None,
        in_service_area=around.in_service_area,
        mode=report.journey.mode or next(iter(around.modes), None),
        groups=draft.groups,
    )
    if report.tells_nobody:
        code = "support_only" if "support_only" in report.wants else "told_nobody"
        return routing.Routing(facts, told=(), next=(), shortfalls=(Reason(code),))
    return routing.choose(
        facts,
        around.candidates,
        control_room=city.control_room if city else None,
        hub=_heads_up(around),
        moving=around.moving,
        notes=around.notes,
    )


def hubs_for(draft: Draft, around: Surroundings) -> tuple[OpenHub, ...]:
    """The open hubs that the passenger is shown."""
    return routing.rank_hubs(around.hubs, draft.report.needs)


def default_city(
    cities: Sequence[City], slug: str | None = None, *, point: Point | None = None
) -> City | None:
    """The city whose control room takes a report that lies in no known area.

    The one whose bounds hold its point; without such, or a point, the one with this slug, else the
    first that was loaded.
    """
    around = (city for city in cities if point is not None and city.bounds.contains(point))
    return next(around, None) or next(
        (city for city in cities if city.slug == slug), cities[0] if cities else None
    )


def _source(source: location.Source) -> dict[str, Any]:
    if source.point is not None:
        return {"lon": source.point.lon, "lat": source.point.lat}
    ours = (source.stop_id or "").removeprefix("place:")
    return {
        "stop_id": source.stop_id,
        "place_id": ours if ours != source.stop_id else None,
    }


def candidate(row: dict[str, Any], city: City | None, at: datetime) -> routing.Candidate:
    """A team as `db/nearby` found it, on duty or not at that instant."""
    duty = Duty(row["duty_status"])
    until = datetime.fromisoformat(row["duty_until"]) if row["duty_until"] else None
    on_shift = row["on_shift"]
    active = row["active"]
    if city is not None:
        if _stale(row["expanded_until"], at):
            on_shift = is_on_shift_in(city, team_plan(row["shifts"], row["set_shifts"]), at)
        if row["schedule"] is not None and _stale(row["schedule_expanded_until"], at):
            active = is_open_in(city, row["schedule"], at)
    return routing.Candidate(
        team_id=UUID(row["team_id"]),
        name=row["name"],
        organisation_id=UUID(row["organisation_id"]),
        organisation=row["organisation"],
        organisation_kind=row["organisation_kind"],
        capabilities=tuple(row["capabilities"]),
        on_duty=active and is_on_duty(duty, until, on_shift=on_shift, at=at),
        on_duty_by_hand=until is not None and not on_shift,
        busy=duty is Duty.BUSY,
        distance_m=row["distance_m"],
        position_age_s=row["position_age_s"],
        area=row["area"],
        demo=row["demo"],
        elsewhere=row["elsewhere"],
        position_fresh=row["position_fresh"],
        waits_s=waits_of(row["escalation"]),
    )


def _hub(
    row: dict[str, Any], city: City | None, at: datetime, needs: Sequence[str]
) -> OpenHub | None:
    # A horizon that ran out must not close every hub: the hours themselves are asked instead.
    stale = _stale(row["expanded_until"], at)
    if stale and (city is None or not is_open_in(city, row["opening_hours"], at)):
        return None
    until = row["open_until"]
    open_until = datetime.fromisoformat(until) if until not in (None, "infinity") else None
    if stale and city is not None:
        open_until = open_until_in(city, row["opening_hours"], at)
    minutes = routing.walk_minutes(row["distance_m"])
    said = row["position_at"] and datetime.fromisoformat(row["position_at"])
    where = {"mobile": row["mobile"], "position_at": said, "at": at}
    met = hubs.met(needs, [*row["services"], *row["access"]])
    return OpenHub(
        id=UUID(row["id"]),
        name=row["name"],
        point=Point(row["lon"], row["lat"]),
        distance_m=round(row["distance_m"]),
        walk_minutes=minutes,
        open_until=open_until,
        services=tuple(row["services"]),
        access=tuple(row["access"]),
        needs_met=met,
        needs_unmet=tuple(need for need in needs if need not in met),
        demo=row["demo"],
        open_on_arrival=hubs.stays_open(open_until, at=at, walk_minutes=minutes),
        silent_min=int((at - said).total_seconds() // 60) if hubs.is_stale(**where) else None,
        rank_m=hubs.ranked_m(row["distance_m"], **where),
    )


def _heads_up(around: Surroundings) -> Recipient | None:
    within_reach = [hub for hub in around.hubs if hub.distance_m <= routing.HEADS_UP_WITHIN_M]
    if not within_reach:
        return None
    hub = min(within_reach, key=routing.hub_preference)
    organisation_id, organisation = around.hub_organisations[hub.id]
    return Recipient(
        team_id=None,
        hub_id=hub.id,
        name=hub.name,
        organisation_id=organisation_id,
        organisation=organisation,
        role="hub",
        rank=1,
        told="now",
        distance_m=hub.distance_m,
        demo=hub.demo,
        reasons=(Reason("hub_asked_for"), *routing.hub_doubts(hub)),
    )


def _stale(expanded_until: str | None, at: datetime) -> bool:
    return expanded_until is None or (
        expanded_until != "infinity" and datetime.fromisoformat(expanded_until) < at
    )
