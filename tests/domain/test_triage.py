from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.categories import CATEGORIES, SEVERITIES
from waylight.domain.reports import Happening, NewReport, Perspective, Want
from waylight.domain.triage import severity, timing, triage

NOW = datetime(2026, 11, 21, 23, 52, 40, tzinfo=UTC)
RAPE, FOLLOWED, COMMENT, STARING = (
    "rape",
    "being_followed",
    "sexual_comment_gesture",
    "staring_leering",
)


def level(report: NewReport) -> int:
    return triage(report, timing(report, received_at=NOW)).level


def codes(report: NewReport) -> list[str]:
    return [r.code for r in triage(report, timing(report, received_at=NOW)).reasons]


def earlier(**ago: float) -> dict[str, Any]:
    return {"happening": Happening.EARLIER, "happened_to": NOW - timedelta(**ago)}


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        # 1: in danger now; hurt, or weapon seen, with now or just now
        (NewReport(in_danger=True), 1),
        (NewReport(in_danger=True, categories=("poor_lighting",)), 1),
        (NewReport(hurt_or_unwell=True), 1),
        (NewReport(weapon_seen=True, happening=Happening.JUST_NOW), 1),
        # 1: Extreme with now or just now
        (NewReport(categories=(RAPE,)), 1),
        (NewReport(categories=("spiking_drink",), happening=Happening.JUST_NOW), 1),
        # 1: the person nearby, Severe, now
        (NewReport(categories=(FOLLOWED,), person_nearby=True), 1),
        (NewReport(categories=(FOLLOWED,), person_nearby=True, happening=Happening.JUST_NOW), 2),
        # 2: Extreme or Severe within 24 hours; under 18; Moderate now
        (NewReport(categories=(RAPE,), **earlier(hours=3)), 2),
        (NewReport(categories=(FOLLOWED,)), 2),
        (NewReport(categories=(FOLLOWED,), **earlier(hours=23)), 2),
        (NewReport(categories=(STARING,), under_18=True, **earlier(days=9)), 2),
        (NewReport(categories=(COMMENT,)), 2),
        (NewReport(hurt_or_unwell=True, **earlier(hours=3)), 2),
        # 3: Extreme or Severe older; Moderate just now; Minor now and the person nearby
        (NewReport(categories=(RAPE,), **earlier(hours=25)), 3),
        (NewReport(categories=(FOLLOWED,), **earlier(days=30)), 3),
        (NewReport(categories=(COMMENT,), happening=Happening.JUST_NOW), 3),
        (NewReport(categories=(STARING,), person_nearby=True), 3),
        # 4: the rest
        (NewReport(categories=(STARING,)), 4),
        (NewReport(categories=(COMMENT,), **earlier(hours=2)), 4),
        (NewReport(categories=("poor_lighting",)), 4),
    ],
)
def test_the_first_rule_that_holds_gives_the_priority(report, expected):
    assert level(report) == expected


def test_extreme_without_a_time_is_taken_as_recent():
    assert level(NewReport(categories=(RAPE,), happening=Happening.EARLIER)) == 2


def test_every_rule_that_holds_is_a_reason():
    report = NewReport(categories=("spiking_drink", FOLLOWED), in_danger=True, person_nearby=True)
    assert codes(report) == [
        "in_danger",
        "category_spiking",
        "severity_extreme_now",
        "severe_within_24h",
    ]


def test_a_description_of_a_person_alone_never_has_urgency():
    report = NewReport(description_of_person="grey rucksack")
    assert level(report) == 4
    assert codes(report)[0] == "description_only"
    assert level(replace(report, in_danger=True)) == 1


def test_cap_words_follow_the_table():
    report = NewReport(categories=(FOLLOWED,), perspective=Perspective.ON_BEHALF)
    found = triage(report, timing(report, received_at=NOW))
    assert (found.urgency, found.severity, found.certainty) == ("Immediate", "Severe", "Likely")


def test_answers_raise_the_severity_and_never_lower_it():
    assert severity(NewReport(categories=(STARING,), weapon_seen=True))[0] == "Extreme"
    assert severity(NewReport(categories=(STARING,), hurt_or_unwell=True))[0] == "Severe"
    assert severity(NewReport(categories=(RAPE,), hurt_or_unwell=True))[0] == "Extreme"


# --- the phone's clock ---------------------------------------------------------------------------


def test_a_report_from_a_phone_an_hour_fast_has_its_true_age():
    fast = timedelta(hours=1)
    report = NewReport(
        categories=(FOLLOWED,),
        recorded_at=NOW - timedelta(minutes=11) + fast,
        sent_at=NOW + fast,
    )
    when = timing(report, received_at=NOW)
    assert when.age == timedelta(minutes=11)
    assert when.happening is Happening.NOW
    assert [w.code for w in when.warnings] == ["clock_corrected"]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (15, Happening.NOW),
        (16, Happening.JUST_NOW),
        (60, Happening.JUST_NOW),
        (61, Happening.EARLIER),
        (120, Happening.EARLIER),
    ],
)
def test_a_now_that_waited_in_a_phone_is_demoted_and_shown_with_its_age(minutes, expected):
    report = NewReport(
        categories=(FOLLOWED,), recorded_at=NOW - timedelta(minutes=minutes), sent_at=NOW
    )
    assert timing(report, received_at=NOW).happening is expected
    aged = [
        r for r in triage(report, timing(report, received_at=NOW)).reasons if r.code == "aged_now"
    ]
    assert [r.params["age_min"] for r in aged] == ([] if minutes == 15 else [minutes])


def test_somebody_in_danger_is_never_demoted():
    report = NewReport(in_danger=True, recorded_at=NOW - timedelta(hours=2), sent_at=NOW)
    assert timing(report, received_at=NOW).happening is Happening.NOW
    assert level(report) == 1


@pytest.mark.parametrize("off", [timedelta(days=400), timedelta(hours=-2)])
def test_an_absurd_clock_counts_as_now(off):
    report = NewReport(categories=(FOLLOWED,), recorded_at=NOW - off)
    when = timing(report, received_at=NOW)
    assert (when.happening, when.age) == (Happening.NOW, timedelta(0))
    assert [w.code for w in when.warnings] == ["clock_absurd"]


def test_an_event_in_the_future_is_named_and_not_believed():
    report = NewReport(
        categories=(RAPE,), happening=Happening.EARLIER, happened_from=NOW + timedelta(days=1)
    )
    when = timing(report, received_at=NOW)
    assert when.happened_at == NOW
    assert [w.code for w in when.warnings] == ["clock_ahead"]


REPORTS = st.builds(
    NewReport,
    categories=st.lists(st.sampled_from(sorted(CATEGORIES)), max_size=4, unique=True).map(tuple),
    happening=st.sampled_from(Happening),
    perspective=st.sampled_from(Perspective),
    in_danger=st.none() | st.booleans(),
    hurt_or_unwell=st.none() | st.booleans(),
    weapon_seen=st.none() | st.booleans(),
    person_nearby=st.none() | st.booleans(),
    under_18=st.none() | st.booleans(),
    wants=st.lists(st.sampled_from(Want), max_size=2, unique=True).map(tuple),
    recorded_at=st.none()
    | st.datetimes(
        datetime(2025, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        datetime(2027, 1, 1),  # noqa: DTZ001 - the same
        timezones=st.just(UTC),
    ),
)


@given(REPORTS)
def test_saying_one_is_in_danger_never_lowers_the_priority(report):
    assert level(replace(report, in_danger=True)) == 1
    assert level(report) in range(1, 5)


@given(REPORTS, st.sampled_from(sorted(CATEGORIES)))
def test_one_more_category_never_lowers_the_priority_or_severity(report, category):
    if not report.categories:
        return
    more = replace(report, categories=(*report.categories, category))
    assert level(more) <= level(report)
    assert SEVERITIES.index(severity(more)[0]) >= SEVERITIES.index(severity(report)[0])
