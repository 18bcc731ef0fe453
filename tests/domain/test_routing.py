import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.cities import ControlRoom
from waylight.domain.geo import Point
from waylight.domain.reports import (
    Need,
    NewReport,
    OpenHub,
    Priority,
    Reason,
    Recipient,
    Want,
)
from waylight.domain.routing import (
    Candidate,
    audience,
    choose,
    facts,
    rank_hubs,
    required_capabilities,
    walk_minutes,
)

ROOM = ControlRoom(
    team_id=UUID(int=900),
    name="Control room",
    organisation_id=UUID(int=901),
    organisation="Control",
    capabilities=("safeguarding",),
)
HUB = Recipient(
    team_id=None,
    hub_id=UUID(int=800),
    name="Hub",
    organisation_id=UUID(int=801),
    organisation="Council",
    role="hub",
    rank=1,
    told="now",
    reasons=(Reason("hub_asked_for"),),
)


def candidate(number: int, **changes: Any) -> Candidate:
    plain = Candidate(
        team_id=UUID(int=number),
        name=f"Team {number}",
        organisation_id=UUID(int=100 + number),
        organisation=f"Organisation {number}",
        organisation_kind="operator",
        capabilities=(),
        on_duty=True,
        on_duty_by_hand=False,
        busy=False,
        distance_m=100 * number,
        position_age_s=None,
        area="Camden",
        demo=True,
    )
    return replace(plain, **changes)


def priority(level: int) -> Priority:
    return Priority(level=level, urgency="Immediate", severity="Severe", certainty="Observed")


def route(report, candidates, *, level=2, room=ROOM, hub=None, **more):
    more = {
        "has_position": True,
        "in_service_area": True,
        "mode": "tube",
        "groups": ["pursuit"],
        **more,
    }
    known = facts(report, priority(level), **more)
    return choose(known, candidates, control_room=room, hub=hub)


def told(routing):
    return [r.name for r in routing.told]


FOLLOWED = NewReport(categories=("being_followed",))


def test_the_nearest_team_on_duty_is_the_primary_and_the_rest_wait_in_order():
    routing = route(FOLLOWED, [candidate(3), candidate(1), candidate(2)])
    assert told(routing) == ["Team 1"]
    assert [(r.name, r.rank) for r in routing.next] == [
        ("Team 2", 2),
        ("Team 3", 3),
        ("Control room", 4),
    ]
    assert all(r.told == "if_unanswered" for r in routing.next)


def test_the_control_room_is_told_at_once_at_priority_1():
    routing = route(FOLLOWED, [candidate(1), candidate(2)], level=1)
    assert [(r.name, r.rank) for r in routing.told] == [("Team 1", 1), ("Control room", 2)]
    assert [(r.name, r.rank) for r in routing.next] == [("Team 2", 3)]


@pytest.mark.parametrize(
    ("candidates", "changes", "shortfall"),
    [
        ([], {}, "no_team_covers"),
        ([candidate(1, on_duty=False)], {}, "no_team_on_duty"),
        ([], {"in_service_area": False}, "outside_service_area"),
        ([], {"has_position": False}, "no_position"),
    ],
)
def test_when_nobody_fits_the_control_room_is_told_and_says_why(candidates, changes, shortfall):
    routing = route(FOLLOWED, candidates, **changes)
    assert told(routing) == ["Control room"]
    assert [r.code for r in routing.told[0].reasons] == ["control_room_fallback"]
    assert shortfall in [r.code for r in routing.shortfalls]


def test_available_comes_before_busy_and_nearer():
    busy = candidate(1, busy=True)
    assert told(route(FOLLOWED, [busy, candidate(2)])) == ["Team 2"]
    assert told(route(FOLLOWED, [busy])) == ["Team 1"]


def test_a_needed_capability_comes_before_nearness():
    hurt = NewReport(hurt_or_unwell=True)
    aider = candidate(5, capabilities=("first_aid",))
    assert told(route(hurt, [candidate(1), aider])) == ["Team 5"]
    reasons = route(hurt, [candidate(1)]).shortfalls
    assert Reason("capability_missing", {"capability": "first_aid"}) in reasons


def test_without_police_in_a_stated_list_no_police_team_is_told_or_next():
    police = candidate(1, organisation_kind="police")
    asked = replace(FOLLOWED, wants=(Want.HELP, Want.HUB))
    routing = route(asked, [police, candidate(2)], level=1)
    assert "Team 1" not in [r.name for r in (*routing.told, *routing.next)]
    assert "police_not_wanted" in [r.code for r in routing.shortfalls]
    assert told(route(replace(FOLLOWED, wants=()), [police, candidate(2)])) == ["Team 1"]


def test_police_come_first_when_the_passenger_asks_for_them():
    police = candidate(7, organisation_kind="police")
    asked = replace(FOLLOWED, wants=(Want.HELP, Want.POLICE))
    assert told(route(asked, [candidate(1), police])) == ["Team 7"]


def test_a_child_is_told_only_to_safeguarding_people():
    child = replace(FOLLOWED, under_18=True)
    safe = candidate(4, capabilities=("safeguarding",))
    routing = route(child, [candidate(1), safe], level=2)
    assert told(routing) == ["Team 4"]
    assert "Team 1" not in [r.name for r in routing.next]
    untrained = replace(ROOM, capabilities=())
    assert told(route(child, [safe], level=1, room=untrained)) == ["Team 4"]
    assert told(route(child, [candidate(1)], level=1, room=untrained)) == ["Control room"]


def test_a_description_of_a_person_alone_dispatches_nobody():
    described = NewReport(description_of_person="grey rucksack")
    assert told(route(described, [candidate(1)], level=4)) == ["Control room"]


def test_a_hub_is_told_only_when_asked_for():
    asked = replace(FOLLOWED, wants=(Want.HELP, Want.HUB))
    assert told(route(asked, [candidate(1)], hub=HUB)) == ["Team 1", "Hub"]
    assert told(route(FOLLOWED, [candidate(1)], hub=HUB)) == ["Team 1"]


def test_a_hub_alone_never_holds_an_incident_so_the_control_room_knows_too():
    asked = replace(FOLLOWED, wants=(Want.HUB,))
    assert told(route(asked, [candidate(1)], hub=HUB)) == ["Control room", "Hub"]


@given(st.integers(0, 2**32), st.lists(st.integers(1, 40), unique=True, max_size=12))
def test_the_choice_does_not_depend_on_the_order_of_the_candidates(seed, numbers):
    teams = [candidate(n, busy=n % 3 == 0, distance_m=100 * (n % 4)) for n in numbers]
    shuffled = list(teams)
    random.Random(seed).shuffle(shuffled)
    assert route(FOLLOWED, teams) == route(FOLLOWED, shuffled)


@given(st.sets(st.sampled_from(Want)), st.booleans(), st.integers(1, 4), st.booleans())
def test_somebody_is_always_told_when_there_is_a_control_room(wants, child, level, covered):
    report = replace(FOLLOWED, wants=tuple(sorted(wants)), under_18=child)
    assert route(report, [candidate(1)] if covered else [], level=level).told


def test_ranks_rise_one_by_one():
    for level in (1, 2):
        routing = route(FOLLOWED, [candidate(n) for n in range(1, 9)], level=level)
        ranks = [r.rank for r in (*routing.told, *routing.next)]
        assert ranks == list(range(1, len(ranks) + 1))


def test_what_a_passenger_needs_a_team_for():
    report = NewReport(needs=(Need.SIGN_LANGUAGE, Need.STEP_FREE), under_18=True)
    assert required_capabilities(report, ["spiking"]) == (
        "first_aid",
        "safeguarding",
        "sign_language",
    )


def test_reports_with_different_audiences_are_told_apart():
    assert audience(FOLLOWED) == "open"
    assert audience(replace(FOLLOWED, wants=(Want.HELP,))) == "no_police"
    assert audience(replace(FOLLOWED, wants=(Want.POLICE,), under_18=True)) == "child"
    assert audience(replace(FOLLOWED, wants=(Want.HUB,))) == "no_police_hub_only"


def hub(number: int, *, unmet: tuple[str, ...] = ()) -> OpenHub:
    return OpenHub(
        id=UUID(int=number),
        name=f"Hub {number}",
        point=Point(-0.1, 51.5),
        distance_m=100 * number,
        walk_minutes=1,
        open_until=datetime(2026, 11, 22, tzinfo=UTC),
        services=(),
        access=(),
        needs_unmet=unmet,
    )


def test_the_nearest_three_hubs_are_shown_and_one_that_meets_every_need_is_among_them():
    hubs = [
        hub(4),
        hub(2, unmet=("step_free",)),
        hub(1, unmet=("step_free",)),
        hub(3, unmet=("step_free",)),
    ]
    assert [h.id.int for h in rank_hubs(hubs, ["step_free"])] == [1, 2, 4]
    assert [h.id.int for h in rank_hubs(hubs, [])] == [1, 2, 3]


def test_a_walk_is_rounded_up_and_never_zero():
    assert [walk_minutes(m) for m in (0, 1, 61, 410)] == [1, 1, 1, 7]
    assert walk_minutes(62) == 2
