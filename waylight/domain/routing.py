"""Who is told, in which order, and why. Independent of the order of its candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from waylight.domain.cities import ControlRoom
from waylight.domain.journeys import Meeting
from waylight.domain.reports import (
    Journey,
    Need,
    NewReport,
    OpenHub,
    Priority,
    Reason,
    Recipient,
    Want,
)

BACKUPS = 3
"""Rungs shown below the primary; each is chosen anew when the ladder gets there."""

HUBS = 3
WALK_M_PER_MIN = 80.0
"""4.8 km/h, the walking speed journey planners commonly assume."""

WALK_DETOUR = 1.3
"""Streets are not straight: assumed ratio of path to straight line."""

INFER_STATION_M = 75.0
"""Without a stated mode, a report this close to a station is taken to be in it."""

LINK_WITHIN_M = 150.0
VEHICLE_WITHIN_M = 40_000.0
"""How far one vehicle gets in the 15 minutes of a link, at 160 km/h."""

HUB_WITHIN_M = 20_000.0
"""A hub further away helps nobody now, and is not shown."""

HEADS_UP_WITHIN_M = 5_000.0
"""A hub further away would wait for somebody who cannot walk there."""

CAPABILITY_OF_NEED = {
    Need.SIGN_LANGUAGE: "sign_language",
    Need.WOMEN_ONLY: "women_officers",
    Need.FIRST_AID: "first_aid",
}
"""The team capability that answers a need; other needs are met by hubs."""


@dataclass(frozen=True)
class Candidate:
    """A team whose coverage contains the report, as the database found it.

    `elsewhere` is on its way to, or on the scene of, another incident. The distance is from where
    it was `position_age_s` ago; from its base when that is None or not `position_fresh`.
    """

    team_id: UUID
    name: str
    organisation_id: UUID
    organisation: str
    organisation_kind: str
    capabilities: tuple[str, ...]
    on_duty: bool
    on_duty_by_hand: bool
    busy: bool
    distance_m: int
    position_age_s: int | None
    area: str
    demo: bool
    elsewhere: bool = False
    position_fresh: bool = True
    ahead: Meeting | None = None
    """Where it can be before the vehicle that the report is about."""
    waits_s: Mapping[int, float] = field(default_factory=dict)
    """How long it has to answer, by priority, where its organisation says so."""


@dataclass(frozen=True)
class Facts:
    """What routing looks at in a report."""

    priority: int
    has_position: bool
    in_service_area: bool
    mode: str | None
    allows_police: bool
    prefers_police: bool
    wants_team: bool
    wants_hub: bool
    under_18: bool
    description_only: bool
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class Routing:
    """The decision: `told` now, `next` if nobody answers, and what stood in the way.

    `facts` are what it was decided by, `fit` all teams that could have been chosen, and those that
    could have been but for their shift.
    """

    facts: Facts
    told: tuple[Recipient, ...]
    next: tuple[Recipient, ...]
    shortfalls: tuple[Reason, ...]
    fit: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a passenger's own words rule out, whoever chooses and whenever (design, wants)."""

    allows_police: bool
    wants_team: bool
    under_18: bool


def limits(wants: Sequence[str], *, under_18: bool | None) -> Limits:
    """The limits of a stored report."""
    stated = set(wants) - {Want.RECORD_ONLY, Want.SUPPORT_ONLY}
    return Limits(
        allows_police=not wants or Want.POLICE in wants,
        wants_team=not stated or bool(stated & {Want.HELP, Want.CONTACT, Want.POLICE}),
        under_18=bool(under_18),
    )


def refusal(
    limits: Limits | Facts,
    *,
    organisation_kind: str,
    capabilities: Sequence[str],
    is_control_room: bool = False,
) -> str | None:
    """Why a team must not be told of a report, as a code of the reasons; None when it may be.

    A control room may always be told but of a child: then it needs the safeguarding capability, as
    every team does.
    """
    if limits.under_18 and "safeguarding" not in capabilities:
        return "safeguarding_only"
    if is_control_room:
        return None
    if not limits.allows_police and organisation_kind == "police":
        return "police_not_wanted"
    if not limits.wants_team:
        return "team_not_wanted"
    return None


def facts(
    report: NewReport,
    priority: Priority,
    *,
    has_position: bool,
    in_service_area: bool,
    mode: str | None,
    groups: Sequence[str],
) -> Facts:
    """What routing needs to know, from the report's own words."""
    wants = set(report.wants) - {Want.RECORD_ONLY, Want.SUPPORT_ONLY}
    return Facts(
        priority=priority.level,
        has_position=has_position,
        in_service_area=in_service_area,
        mode=mode,
        allows_police=report.allows_police,
        prefers_police=Want.POLICE in wants,
        wants_team=not wants or bool(wants & {Want.HELP, Want.CONTACT, Want.POLICE}),
        wants_hub=Want.HUB in wants,
        under_18=bool(report.under_18),
        description_only=report.only_describes_a_person,
        capabilities=required_capabilities(report, groups),
    )


def required_capabilities(report: NewReport, groups: Sequence[str]) -> tuple[str, ...]:
    """What a team should be able to do for this passenger; safeguarding is a must for a child."""
    wanted = {CAPABILITY_OF_NEED[need] for need in report.needs if need in CAPABILITY_OF_NEED}
    if report.hurt_or_unwell or "spiking" in groups:
        wanted.add("first_aid")
    if report.under_18 or "safeguarding" in groups:
        wanted.add("safeguarding")
    return tuple(sorted(wanted))


def choose(
    facts: Facts,
    candidates: Sequence[Candidate],
    *,
    control_room: ControlRoom | None,
    hub: Recipient | None = None,
    moving: bool = False,
    notes: Sequence[Reason] = (),
) -> Routing:
    """The primary, the ladder below it, the hub, the control room, each with its reasons.

    A team must be on duty; a child's needs the safeguarding capability; police only where the
    passenger allows it. Then: capabilities met, police first when asked for, available before
    busy, ahead of the vehicle before behind it, nearest; a team that is at work on another incident
    is busy, and when all are, the nearest of them is told. The control room is told when nobody
    fits and, at priority 1, always. Somebody is always told when there is a control room.
    `moving`: the next stops of the report's vehicle are known; `notes` are shortfalls found
    elsewhere.
    """
    fit = sorted((c for c in candidates if _fits(c, facts)), key=lambda c: _preference(c, facts))
    shortfalls = (*_shortfalls(facts, candidates, fit), *notes)
    if moving and not any(c.ahead for c in fit):
        shortfalls += (Reason("no_team_ahead"),)
    ladder = [
        _recipient(c, facts, rank=rank, nearest=_is_nearest(c, fit))
        for rank, c in enumerate(fit[: BACKUPS + 1], start=1)
    ]
    told, waiting = ladder[:1], ladder[1:]
    if control_room is not None:
        told_now = not told or (facts.priority == 1 and _may_oversee(control_room, facts))
        room = control_room_recipient(
            control_room, rank=1 if not told else len(ladder) + 1, facts=facts
        )
        if told_now:
            told.append(replace(room, rank=1 if not told else 2))
            waiting = [replace(r, rank=r.rank + (1 if len(told) > 1 else 0)) for r in waiting]
        else:
            waiting.append(room)
    if facts.wants_hub:
        if hub is None:
            shortfalls += (Reason("no_hub_near"),)
        else:
            told.append(hub)
            shortfalls += tuple(r for r in hub.reasons if r.code == "hub_may_close")
    return Routing(
        facts=facts,
        told=tuple(told),
        next=tuple(replace(r, told="if_unanswered") for r in waiting),
        shortfalls=shortfalls,
        # A team that works on past its shift still looks after what joins its incident.
        fit=tuple(c.team_id for c in (*fit, *_off_duty(candidates, facts))) if fit else (),
    )


def audience(report: NewReport) -> str:
    """Who may ever be told, as one word: reports join an incident only within one audience.

    Joining tells the holder about the new report; a holder its passenger refused must not be one.
    """
    return audience_of(limits(report.wants, under_18=report.under_18))


def audience_of(limits: Limits) -> str:
    """The audience of a report with these limits."""
    words = []
    if limits.under_18:
        words.append("child")
    if not limits.allows_police:
        words.append("no_police")
    if not limits.wants_team:
        words.append("hub_only")
    return "_".join(words) or "open"


def vehicle(journey: Journey, mode: str | None) -> str | None:
    """The vehicle as one word; None unless mode, route and number are known: numbers repeat."""
    if not (mode and journey.route_id and journey.vehicle_id):
        return None
    return f"{mode}|{journey.route_id}|{journey.vehicle_id}".lower()


def as_rung(recipient: Recipient, *, rank: int, not_ours_to: str | None = None) -> Recipient:
    """The same recipient as a later rung of a ladder nobody has answered.

    `not_ours_to` is the team that has just said that it is not the right one.
    """
    role = "backup" if recipient.role == "primary" else recipient.role
    why = Reason("rerouted", {"name": not_ours_to}) if not_ours_to else Reason("next_in_ladder")
    return replace(recipient, rank=rank, role=role, reasons=(why, *recipient.reasons))


def rank_hubs(
    hubs: Sequence[OpenHub], needs: Sequence[str], *, limit: int = HUBS
) -> tuple[OpenHub, ...]:
    """The nearest open hubs; one that meets every need always makes the list, first if nearest.

    Those that close before somebody could be there come last.
    """
    nearest = sorted(hubs, key=hub_preference)
    chosen = nearest[:limit]
    if needs and chosen and not any(not hub.needs_unmet for hub in chosen):
        meeting = next((hub for hub in nearest if not hub.needs_unmet), None)
        if meeting is not None:
            chosen = [*chosen[: limit - 1], meeting]
    return tuple(chosen)


def hub_preference(hub: OpenHub) -> tuple[object, ...]:
    """What hubs are sorted by: open on arrival, then near, as far as that is known."""
    far_m = hub.distance_m if hub.rank_m is None else hub.rank_m
    return (not hub.open_on_arrival, far_m, hub.id)


def hub_doubts(hub: OpenHub) -> tuple[Reason, ...]:
    """What speaks against being sent to a hub, to be said with it."""
    doubts = []
    if not hub.open_on_arrival:
        doubts.append(Reason("hub_may_close"))
    if hub.silent_min is not None:
        doubts.append(Reason("hub_may_have_moved", {"age_min": hub.silent_min}))
    return tuple(doubts)


def walk_minutes(distance_m: float) -> int:
    """Minutes on foot, rounded up: straight line times 1.3 at 80 m a minute."""
    return max(1, -int(-distance_m * WALK_DETOUR // WALK_M_PER_MIN))


def _off_duty(candidates: Sequence[Candidate], facts: Facts) -> list[Candidate]:
    return [c for c in candidates if not c.on_duty and _fits(replace(c, on_duty=True), facts)]


def _fits(candidate: Candidate, facts: Facts) -> bool:
    return (
        candidate.on_duty
        and not facts.description_only
        and refusal(
            facts,
            organisation_kind=candidate.organisation_kind,
            capabilities=candidate.capabilities,
        )
        is None
    )


def _missing(candidate: Candidate, facts: Facts) -> list[str]:
    return [c for c in facts.capabilities if c not in candidate.capabilities]


def _preference(candidate: Candidate, facts: Facts) -> tuple[object, ...]:
    return (
        len(_missing(candidate, facts)),
        facts.prefers_police and candidate.organisation_kind != "police",
        candidate.busy or candidate.elsewhere,
        candidate.ahead is None,
        candidate.ahead.earliest.timestamp() if candidate.ahead else 0.0,
        candidate.distance_m,
        candidate.team_id,
    )


def _is_nearest(candidate: Candidate, fit: Sequence[Candidate]) -> bool:
    # Of a team ahead it is no merit to be near a place that the vehicle has left.
    return candidate.ahead is None and candidate.distance_m == min(c.distance_m for c in fit)


def _recipient(candidate: Candidate, facts: Facts, *, rank: int, nearest: bool) -> Recipient:
    reasons = [Reason("covers_area", {"area": candidate.area})]
    if facts.mode:
        reasons.append(Reason("covers_mode", {"mode": facts.mode}))
    reasons.append(Reason("on_duty_by_hand" if candidate.on_duty_by_hand else "on_shift"))
    if candidate.elsewhere:
        reasons.append(Reason("on_other_incident"))
    else:
        reasons.append(Reason("busy" if candidate.busy else "available"))
    reasons += [
        Reason(
            "capability_missing" if c in _missing(candidate, facts) else "capability_met",
            {"capability": c},
        )
        for c in facts.capabilities
    ]
    if facts.prefers_police and candidate.organisation_kind == "police":
        reasons.append(Reason("police_wanted"))
    if candidate.ahead:
        met = candidate.ahead
        reasons.append(
            Reason(
                "ahead_of_vehicle",
                {"stop": met.stop, "from_min": met.from_min, "to_min": met.to_min},
            )
        )
    if nearest:
        reasons.append(Reason("nearest", {"distance_m": candidate.distance_m}))
    age_s = candidate.position_age_s
    if age_s is None:
        reasons.append(Reason("from_base"))
    elif candidate.position_fresh:
        reasons.append(Reason("from_position", {"age_s": age_s}))
    else:
        reasons.append(Reason("position_stale", {"age_s": age_s, "age_min": age_s // 60}))
    return Recipient(
        team_id=candidate.team_id,
        hub_id=None,
        name=candidate.name,
        organisation_id=candidate.organisation_id,
        organisation=candidate.organisation,
        role="primary" if rank == 1 else "backup",
        rank=rank,
        told="now",
        distance_m=candidate.distance_m,
        demo=candidate.demo,
        reasons=tuple(reasons),
    )


def _may_oversee(room: ControlRoom, facts: Facts) -> bool:
    """A child's report goes beyond its safeguarding team only to safeguarding people."""
    return not facts.under_18 or "safeguarding" in room.capabilities


def control_room_recipient(room: ControlRoom, *, rank: int, facts: Facts) -> Recipient:
    """The control room as a rung, with the reason it is told."""
    code = (
        "control_room_priority_1"
        if rank > 1 and facts.priority == 1
        else ("control_room_fallback" if rank == 1 else "next_in_ladder")
    )
    return Recipient(
        team_id=room.team_id,
        hub_id=None,
        name=room.name,
        organisation_id=room.organisation_id,
        organisation=room.organisation,
        role="control_room",
        rank=rank,
        told="now",
        demo=room.demo,
        reasons=(Reason(code),),
    )


def _shortfalls(
    facts: Facts, candidates: Sequence[Candidate], fit: Sequence[Candidate]
) -> tuple[Reason, ...]:
    found: list[Reason] = []
    if facts.description_only:
        found.append(Reason("description_only"))
    if not facts.has_position:
        found.append(Reason("no_position"))
    elif not facts.in_service_area:
        found.append(Reason("outside_service_area"))
    elif not candidates:
        found.append(Reason("no_team_covers"))
    elif not any(c.on_duty for c in candidates):
        found.append(Reason("no_team_on_duty"))
    if not facts.allows_police:
        found.append(Reason("police_not_wanted"))
    if facts.under_18:
        found.append(Reason("safeguarding_only"))
    found += [
        Reason("capability_missing", {"capability": c})
        for c in facts.capabilities
        if fit and not any(c in candidate.capabilities for candidate in fit[:1])
    ]
    return tuple(found)
