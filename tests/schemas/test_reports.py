from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reports import ReportIn
from schemas.reports.example import REPORT_EXAMPLE
from waylight.domain.errors import NotAnObject, NothingToActOn, WaylightError
from waylight.domain.geo import Point
from waylight.domain.reports import Happening, Need, Perspective, ShareWith, Want

SOMETHING = {"categories": ["catcalling"]}


def load(**body):
    return ReportIn().load(body)


def said(report):
    return {(w.pointer, w.code) for w in report.warnings}


def test_the_example_is_understood_whole():
    report = ReportIn().load(REPORT_EXAMPLE)
    assert report.warnings == ()
    assert report.rejected == {}
    assert report.categories == ("being_followed", "spiking_drink")
    assert report.location.point == Point(-0.1426, 51.5390)
    assert report.location.stop_id == "940GZZLUCTN"
    assert report.journey.route_id == "northern"
    assert report.happened_from == datetime(2026, 11, 21, 23, 10, tzinfo=UTC)
    assert report.happened_estimated
    assert report.in_danger
    assert report.hurt_or_unwell is False
    assert report.wants == (Want.HELP, Want.HUB)
    assert report.needs == (Need.STEP_FREE,)
    assert report.share_with == (ShareWith.OPERATOR,)
    assert report.contact is not None
    assert report.contact.phone == "+447700900123"
    assert report.contact.voicemail_ok is False


def test_the_panic_button_is_enough():
    point = {"type": "Point", "coordinates": [-0.1, 51.5]}
    report = load(in_danger=True, location={"point": point})
    assert report.in_danger
    assert report.happening is Happening.NOW
    assert report.warnings == ()


@pytest.mark.parametrize(
    "body",
    [
        {"categories": ["catcalling"]},
        {"categories": "catcalling"},
        {"narrative": "someone is following me"},
        {"description_of_person": "grey rucksack"},
        {"location": {"description": "platform 3"}},
        {"location": "platform 3"},
        {"location": {"stop_id": "940GZZLUCTN"}},
        {"journey": {"vehicle_id": "123"}},
        {"hurt_or_unwell": True},
        {"person_nearby": True},
        {"wants": ["help"]},
        {"contact": {"phone": "07700 900123"}},
        {"in_danger": {"really": "yes"}},
        {"categories": [None]},
        {"narrative": ["not", "text"]},
    ],
)
def test_anything_to_act_on_is_taken(body):
    ReportIn().load(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"language": "en"},
        {"in_danger": False},
        {"happening": "now", "perspective": "witnessed"},
        {"foo": 1},
        {"categories": [], "narrative": "  ", "location": {}, "journey": {}, "contact": {}},
        {"recorded_at": "2026-11-21T23:41:03Z", "exercise": True},
    ],
)
def test_nothing_to_act_on_is_the_one_refusal(body):
    with pytest.raises(NothingToActOn) as refusal:
        ReportIn().load(body)
    assert refusal.value.problems


@pytest.mark.parametrize("body", [None, [], "help", 1, True])
def test_what_is_not_an_object_is_refused(body):
    with pytest.raises(NotAnObject):
        ReportIn().load(body)


def test_an_unknown_category_becomes_other_and_is_kept():
    report = load(categories=["being_followed", "growled_at", 7])
    assert report.categories == ("being_followed", "other")
    assert report.rejected == {"/categories/1": "growled_at", "/categories/2": 7}
    assert said(report) == {
        ("/categories/1", "unknown_category"),
        ("/categories/2", "unknown_category"),
    }


@pytest.mark.parametrize("value", ["perhaps", 2, {}, [], "ja"])
def test_a_malformed_danger_flag_counts_as_true(value):
    report = load(in_danger=value)
    assert report.in_danger is True
    assert said(report) == {("/in_danger", "malformed_flag_in_danger")}
    assert report.rejected == {"/in_danger": value}


@pytest.mark.parametrize(
    ("value", "meant"), [("true", True), ("YES", True), (1, True), ("false", False), (0, False)]
)
def test_a_flag_in_another_spelling_is_understood(value, meant):
    assert load(**SOMETHING, in_danger=value).in_danger is meant


@pytest.mark.parametrize("flag", ["hurt_or_unwell", "weapon_seen", "person_nearby", "under_18"])
def test_any_answer_that_cannot_be_read_is_taken_as_a_yes_and_kept(flag):
    report = load(**{flag: "bleeding"})
    assert getattr(report, flag) is True
    assert report.rejected == {f"/{flag}": "bleeding"}
    assert said(report) == {(f"/{flag}", "malformed_flag_yes")}


@pytest.mark.parametrize(("age", "child"), [(17, True), ("12", True), (18, False), (1, True)])
def test_an_age_answers_whether_somebody_is_under_18(age, child):
    assert load(**SOMETHING, under_18=age).under_18 is child


@pytest.mark.parametrize(
    "wants", [["nobody"], ["no police"], {"police": False}, "hlep", ["hlep", 7]]
)
def test_a_wish_that_cannot_be_read_is_no_consent_to_police(wants):
    report = load(**SOMETHING, wants=wants)
    assert report.wants == (Want.HELP,)
    assert not report.allows_police


@pytest.mark.parametrize("word", ["record-only", "Record Only", "RECORD_ONLY"])
def test_a_wish_is_understood_in_any_spelling(word):
    assert load(**SOMETHING, wants=[word]).tells_nobody


@pytest.mark.parametrize("metres", [1e39, 1e300, -1, 1e9])
def test_an_accuracy_that_is_not_of_this_earth_is_a_warning(metres):
    report = load(**SOMETHING, location={"accuracy_m": metres, "stop_id": "X"})
    assert report.location.accuracy_m is None
    assert said(report) == {("/location/accuracy_m", "malformed_value")}


def test_a_field_name_that_tells_the_story_is_never_said_back():
    story = "he grabbed my daughter Ann"
    report = load(**SOMETHING, **{story: 1}, journey={story: 2})
    assert sorted(w.pointer for w in report.warnings) == ["", "/journey"]
    assert report.rejected == {f"/{story}": 1, f"/journey/{story}": 2}
    with pytest.raises(NothingToActOn) as refusal:
        load(**{story: 1})
    assert story not in repr(refusal.value.problems)


def test_a_story_too_long_is_kept_whole_and_marked():
    story = "x" * 50_000
    report = load(narrative=story)
    assert report.narrative == story
    assert said(report) == {("/narrative", "too_long_kept")}


def test_coordinates_carry_their_swapped_twin():
    point = {"type": "Point", "coordinates": [51.539, -0.1426]}
    claim = load(location={"point": point}).location
    assert (claim.point, claim.swapped) == (Point(51.539, -0.1426), Point(-0.1426, 51.539))


def test_coordinates_possible_only_when_swapped_are_still_a_claim():
    claim = load(location={"point": {"type": "Point", "coordinates": [-33.8, 151.2]}}).location
    assert (claim.point, claim.swapped) == (None, Point(151.2, -33.8))


@pytest.mark.parametrize(
    "point",
    [
        {"type": "Point", "coordinates": [500, 500]},
        {"type": "Point", "coordinates": ["east", 1]},
        {"type": "Point", "coordinates": [1]},
        {"type": "Point"},
        "51.5,-0.1",
        7,
    ],
)
def test_an_impossible_position_is_a_warning_and_kept(point):
    report = load(**SOMETHING, location={"point": point, "stop_id": "X"})
    assert report.location.point is None
    assert report.location.stop_id == "X"
    assert [w.pointer for w in report.warnings] == ["/location/point"]
    assert report.rejected == {"/location/point": point}


def test_words_not_in_a_list_fall_back_to_the_default():
    report = load(
        **SOMETHING,
        happening="tomorrow",
        perspective=5,
        wants=["hlep"],
        needs=["a unicorn"],
        share_with="everyone",
    )
    assert report.happening is Happening.NOW
    assert report.perspective is Perspective.EXPERIENCED
    assert (report.needs, report.share_with) == ((), ())
    assert len(report.warnings) == 5


@pytest.mark.parametrize(
    ("field", "word", "read"),
    [
        ("categories", "catcalling", ("catcalling",)),
        ("wants", "Record only", (Want.RECORD_ONLY,)),
        ("needs", "step_free", (Need.STEP_FREE,)),
        ("share_with", "support", (ShareWith.SUPPORT,)),
    ],
)
def test_one_bare_word_is_a_list_and_said_to_have_been_read_as_one(field, word, read):
    report = load(**{**SOMETHING, field: word})
    assert getattr(report, field) == read
    assert said(report) == {(f"/{field}", "coerced_value")}
    assert report.rejected == {}


def test_a_text_cut_in_the_middle_of_an_emoji_is_mended_and_warned_of():
    report = load(
        narrative="help me \ud83d",
        location={"description": "seat \x00 12"},
        contact={"safe_times": "\ud83d\ude87 ok"},
        categories=["catcalling", "cat\udc00"],
        **{"nar\0rative": "x", "\ud800": "\0"},
    )
    assert report.narrative == "help me \ufffd"
    assert report.location.description == "seat  12"
    assert report.rejected == {
        "/categories/1": "cat\ufffd",
        "/nar\ufffdrative": "x",
        "/\ufffd": "",
    }
    mended = {pointer for pointer, code in said(report) if code == "text_mended"}
    assert {"/narrative", "/location/description", "/categories/1", ""} <= mended
    again = load(**{**SOMETHING, "narrative": "a \\u0000 that was typed"})
    assert (again.narrative, again.warnings) == ("a \\u0000 that was typed", ())


def test_asking_for_help_and_for_silence_means_help():
    report = load(**SOMETHING, wants=["record_only", "help"])
    assert report.wants == (Want.HELP,)
    assert not report.tells_nobody
    assert ("/wants", "wants_conflict") in said(report)
    assert load(**SOMETHING, wants=["record_only"]).tells_nobody


def test_unknown_fields_are_warnings_wherever_they_stand():
    report = load(**SOMETHING, foo=1, journey={"bar": 2, "mode": "TUBE"}, location={"baz": 3})
    assert said(report) == {
        ("/foo", "unknown_field"),
        ("/journey/bar", "unknown_field"),
        ("/location/baz", "unknown_field"),
    }
    assert report.journey.mode == "tube"
    assert report.rejected == {"/foo": 1, "/journey/bar": 2, "/location/baz": 3}


def test_a_bad_telephone_number_is_a_warning_and_kept():
    report = load(**SOMETHING, contact={"phone": "call me", "safe_times": "after 18:00"})
    assert report.contact is not None
    assert report.contact.phone is None
    assert report.contact.safe_times == "after 18:00"
    assert said(report) == {("/contact/phone", "malformed_value")}
    assert report.rejected == {"/contact/phone": "call me"}


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z", "9998-06-01T00:00:00Z", 5]
)
def test_a_malformed_time_is_a_warning(text):
    report = load(**SOMETHING, recorded_at=text)
    assert report.recorded_at is None
    assert said(report) == {("/recorded_at", "malformed_value")}


@pytest.mark.parametrize("stop", ["place-pktrm", "place_of_worship", "940GZZLUCTN"])
def test_a_stop_id_of_any_city_is_taken_as_it_is(stop):
    assert load(location={"stop_id": stop}).location.stop_id == stop


def test_a_hostile_field_name_does_not_fill_the_answer():
    report = load(**SOMETHING, **{"x" * 100_000: 1})
    assert [w.pointer for w in report.warnings] == [""]


def test_a_retry_has_the_same_fingerprint_and_another_story_has_not():
    first = load(narrative="a", sent_at="2026-11-21T23:52:40Z")
    retry = load(narrative="a", sent_at="2026-11-21T23:59:59Z")
    other = load(narrative="b", sent_at="2026-11-21T23:52:40Z")
    assert first.fingerprint == retry.fingerprint != other.fingerprint


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)  # what the strict JSON of the door lets in
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from([*ReportIn().fields, "nonsense"])
BODIES = st.dictionaries(FIELDS, JSON, max_size=6)


@given(BODIES)
def test_no_body_whatever_breaks_the_door(body):
    try:
        report = ReportIn().load(body)
    except NothingToActOn:
        return
    assert len(report.warnings) >= len(report.rejected)


@given(BODIES, st.sampled_from(["location", "journey", "contact", "occurred"]), BODIES)
def test_no_nested_body_costs_somebody_in_danger_their_report(body, name, inner):
    report = ReportIn().load({**body, name: inner, "in_danger": True})
    assert report.in_danger


@given(JSON)
def test_only_two_errors_are_ever_raised(value):
    try:
        ReportIn().load(value)
    except WaylightError as error:
        assert isinstance(error, NotAnObject | NothingToActOn)  # noqa: PT017 - either, or none
