from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from waylight.domain.alerts import Named
from waylight.domain.events import (
    EXERCISE,
    NOUNS,
    RESERVED,
    TYPES,
    PublicEvent,
    public_type,
    reason_of,
)

ONE, OTHER, TEAM, SECOND = (UUID(int=n) for n in range(1, 5))


@pytest.mark.parametrize("told", TYPES)
def test_a_fact_with_a_public_name_keeps_it(told):
    assert public_type(told, exercise=False) == told


@pytest.mark.parametrize(
    ("kind", "told", "reason"),
    [
        ("alert.acknowledged", "alert.updated", "acknowledged"),
        ("alert.declined", "alert.updated", "declined"),
        ("alert.en_route", "alert.updated", "en_route"),
        ("alert.on_scene", "alert.updated", "on_scene"),
        ("alert.closed", "alert.updated", "closed"),
        ("alert.seen", "alert.updated", "seen"),
        ("incident.unanswered", "incident.updated", "unanswered"),
        ("incident.closed", "incident.updated", "closed"),
        ("hub.closed_early", "hub.updated", "closed_early"),
    ],
)
def test_a_fact_without_one_is_an_update_with_its_last_word_as_the_reason(kind, told, reason):
    assert public_type(kind, exercise=False) == told
    assert reason_of(kind, {"reason": "something a person wrote"}) == reason


@pytest.mark.parametrize(
    "kind",
    [
        "report.received",
        "report.withdrawn",
        "delivery.sent",
        "delivery.failed",
        "routing.failed",
        "team.duty_changed",
        "message.sent",
        "grant.made",
        "grant.",
        "alerts.created",
        "alert",
        "exercise.alert.created",
        "",
    ],
)
def test_what_is_not_public_has_no_type(kind):
    assert public_type(kind, exercise=False) is None
    assert public_type(kind, exercise=True) is None


@pytest.mark.parametrize("kind", [*TYPES, "alert.acknowledged", "incident.unanswered"])
def test_no_type_of_a_drill_is_ever_one_of_the_real_ones(kind):
    drill = public_type(kind, exercise=True) or ""
    assert drill == f"{EXERCISE}{public_type(kind, exercise=False)}"
    assert drill not in TYPES
    assert not any(drill.startswith(f"{noun}.") for noun in NOUNS)


def test_nothing_takes_the_names_that_are_reserved():
    assert not any(name.startswith(f"{noun}.") for name in TYPES for noun in RESERVED)
    assert not set(NOUNS) & set(RESERVED)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("report_joined", "report_joined"),
        ("acknowledged_elsewhere", "acknowledged_elsewhere"),
        ("He follows me.", None),
        ("a" * 65, None),
        ("x\n", None),
        (7, None),
        (None, None),
    ],
)
def test_only_a_code_is_a_reason(said, reason):
    assert reason_of("alert.updated", {"reason": said}) == reason
    assert reason_of("alert.updated", {}) is None


EVENT = PublicEvent(
    id=ONE,
    sequence=1,
    type="alert.created",
    at=datetime(2026, 11, 21, tzinfo=UTC),
    audience=frozenset({ONE}),
)


def test_an_event_concerns_its_audience_and_nobody_else():
    assert EVENT.concerns(ONE)
    assert not EVENT.concerns(OTHER)
    assert not EVENT.concerns(None)
    assert not replace(EVENT, audience=frozenset()).concerns(ONE)


def test_naming_a_team_only_ever_narrows():
    about = replace(EVENT, team=Named(TEAM, "First"))
    assert about.concerns(ONE, team_id=TEAM)
    assert not about.concerns(ONE, team_id=SECOND)
    assert not about.concerns(OTHER, team_id=TEAM)
    assert not EVENT.concerns(ONE, team_id=TEAM)
