import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from waylight import texts
from waylight.domain.categories import CATEGORIES, GROUPS
from waylight.domain.reports import Need
from waylight.domain.roles import Role

ROOT = Path(__file__).parents[1]
PLACEHOLDER = re.compile(r"\{(\w+)\}")

CODES = {
    "reasons": """
        in_danger hurt_or_unwell weapon_seen severity_extreme_now person_nearby_severe
        severe_within_24h under_18 moderate_now severe_older moderate_just_now minor_nearby
        other_report aged_now clock_corrected covers_area covers_mode covers_group on_shift
        on_duty_by_hand available busy on_other_incident nearest from_base from_position
        position_stale capability_met
        capability_missing police_not_wanted police_wanted safeguarding_only
        control_room_priority_1 control_room_fallback next_in_ladder hub_asked_for joined_incident
        responder_overdue
        outside_service_area no_position no_team_covers no_team_on_duty routing_failed told_nobody
        support_only description_only exercise jurisdiction_unknown rerouted handed_over
        team_not_wanted""",
    "warnings": """
        unknown_category unknown_value malformed_value malformed_flag_in_danger coerced_value
        text_mended
        too_long_kept unknown_field swapped_coordinates impossible_position null_island
        outside_service_area unknown_stop inaccurate_point clock_ahead clock_absurd clock_corrected
        idempotency_key_ignored idempotency_key_reused exercise_ignored wants_conflict
        more_warnings""",
    "timeline": """
        received told told_next sent delivered not_delivered seen acknowledged declined en_route
        on_scene closed unanswered withdrawn joined recorded rerouted not_ours handing_over
        handed_over reopened parted redacted""",
    "advice": """
        call_emergency silent_call move_to_people stay_with_them spiking_stay
        spiking_no_more_alcohol spiking_keep_drink spiking_tell_early keep_clothes
        child_tell_adult alerting_delayed tell_staff not_your_fault keep_receipt told_nobody""",
    "who_sees": "team control_room hub nobody police_no child_limited",
}


def catalogue(language):
    text = (ROOT / "data" / "texts" / f"{language}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@cache
def sentences(language):
    return {
        (section, code): sentence
        for section, codes in catalogue(language).items()
        if isinstance(codes, dict)
        for code, sentence in codes.items()
    }


def test_there_are_three_languages_and_english_is_the_first():
    assert texts.languages() == ("en", "ar", "es")


@pytest.mark.parametrize("language", ["es", "ar"])
def test_every_language_has_the_same_codes_and_placeholders(language):
    english, other = sentences("en"), sentences(language)
    assert set(other) == set(english)
    for key, sentence in english.items():
        assert sorted(PLACEHOLDER.findall(other[key])) == sorted(PLACEHOLDER.findall(sentence)), key


def test_every_sentence_is_text_and_short():
    for language in texts.languages():
        for key, sentence in sentences(language).items():
            assert isinstance(sentence, str), (language, key)
            assert 2 <= len(sentence) <= 180, (language, key)
            assert sentence == " ".join(sentence.split()), (language, key)


def test_only_english_is_marked_as_reviewed():
    assert [language for language in texts.languages() if texts.reviewed(language)] == ["en"]
    assert {name: catalogue(name)["reviewed"] for name in ("es", "ar")} == {
        "es": False,
        "ar": False,
    }


@pytest.mark.parametrize("section", CODES)
def test_every_promised_code_has_a_sentence(section):
    for code in CODES[section].split():
        assert (section, code) in sentences("en"), code


def test_every_category_group_and_need_has_a_name():
    assert set(texts.section("categories", "en")) == set(CATEGORIES)
    assert set(texts.section("groups", "en")) == set(GROUPS)
    assert {str(need) for need in Need} <= set(texts.section("needs", "en"))
    assert {f"category_{group}" for group in GROUPS} <= set(texts.section("reasons", "en"))


@pytest.mark.parametrize("pack", [ROOT / "data/london", ROOT / "tests/data/tinytown"], ids=str)
def test_every_code_of_a_shipped_city_pack_has_a_sentence(pack):
    rules = yaml.safe_load((pack / "jurisdiction.yaml").read_text(encoding="utf-8"))["rules"]
    contacts = yaml.safe_load((pack / "contacts.yaml").read_text(encoding="utf-8"))
    entries = [entry for part in contacts.values() if isinstance(part, list) for entry in part]
    assert {rule["code"] for rule in rules} <= set(texts.section("reasons", "en"))
    assert {entry["how"] for entry in entries} <= set(texts.section("how", "en"))
    assert {entry["need"] for entry in entries} <= set(texts.section("needs", "en"))


@pytest.mark.parametrize(
    ("name", "section"), [("Reason", "reasons"), ("ReportWarning", "warnings")]
)
def test_every_code_written_in_the_source_has_a_sentence(name, section):
    known = set(texts.section(section, "en"))
    if name == "Reason":
        # Advice, consent and who sees a report are reasons on the wire with sections of their own.
        for section_of_its_own in ("advice", "who_sees", "consents"):
            known |= set(texts.section(section_of_its_own, "en"))
    at = 0 if name == "Reason" else 1
    written = set()
    for path in (*ROOT.glob("waylight/**/*.py"), *ROOT.glob("schemas/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == name
                and len(node.args) > at
            ):
                written |= {
                    part.value
                    for part in ast.walk(node.args[at])
                    if isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", part.value)
                    and not part.value.endswith("_")
                }
    assert len(written) > 5
    assert written <= known


def test_placeholders_are_filled():
    said = texts.say("timeline", "told", "en", {"name": "Team A", "organisation": "Police"})
    assert said == "Team A (Police) is being told."


def test_a_missing_value_leaves_an_ellipsis():
    assert texts.say("timeline", "told", "en", {"name": "Team A"}) == "Team A (…) is being told."
    assert texts.say("timeline", "told", "en", {"name": None, "organisation": "P"}).startswith("…")


def test_values_are_never_read_as_placeholders():
    said = texts.say("timeline", "told", "en", {"name": "{organisation}", "organisation": "{x}"})
    assert said == "{organisation} ({x}) is being told."


def test_modes_and_capabilities_are_said_in_the_callers_language():
    assert texts.say("reasons", "covers_mode", "es", {"mode": "tube"}) == "Atiende: metro."
    assert texts.say("reasons", "covers_mode", "es", {"mode": "zeppelin"}) == "Atiende: zeppelin."
    assert "إسعافات أولية" in texts.say(
        "reasons", "capability_met", "ar", {"capability": "first_aid"}
    )


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_roles_are_said_in_words_and_what_somebody_wrote_as_it_is(language):
    for role in (*Role, "hub_host"):
        said = texts.say("timeline", "read", language, {"organisation": "P", "role": role})
        assert "_" not in said
        assert texts.say("roles", role, language) in said
    said = texts.say("timeline", "read", language, {"organisation": "P", "role": "night shift"})
    assert "night shift" in said


def test_an_unknown_code_is_said_as_it_is_and_an_unknown_language_in_english():
    assert texts.say("reasons", "no_such_code", "en", {}) == "no_such_code"
    assert texts.say("no_such_section", "busy", "en", {}) == "busy"
    assert texts.say("reasons", "busy", "tlh", {}) == texts.say("reasons", "busy", "en", {})


@given(
    section=st.sampled_from([*CODES, "how", "needs", "nowhere"]) | st.text(max_size=10),
    code=st.text(max_size=20) | st.sampled_from(CODES["reasons"].split()),
    language=st.text(max_size=5) | st.sampled_from(["en", "es", "ar"]),
    params=st.dictionaries(
        st.sampled_from(["name", "area", "mode", "capability", "age_min", "count"]) | st.text(),
        st.none() | st.integers() | st.text() | st.floats() | st.lists(st.integers()),
    ),
)
def test_saying_something_never_raises(section, code, language, params):
    assert isinstance(texts.say(section, code, language, params), str)


@pytest.mark.parametrize(
    ("header", "fallback", "chosen"),
    [
        ("es", None, "es"),
        ("es-MX,en;q=0.5", None, "es"),
        ("en;q=0.2, ar;q=0.9", None, "ar"),
        ("fr, de;q=0.9, ar;q=0.3", "es", "ar"),
        ("fr", "es", "es"),
        ("*", "es", "es"),
        (None, "ar-EG", "ar"),
        (None, "es_419", "es"),
        (None, None, "en"),
        ("", "", "en"),
        ("en;q=0", "es", "es"),
        ("tlh", "xx", "en"),
        (";;;q=x,,,-", None, "en"),
        ("es;q=nan", None, "en"),
    ],
)
def test_the_callers_first_choice_that_exists_is_taken(header, fallback, chosen):
    assert texts.choose(header, fallback) == chosen


@given(st.text(), st.none() | st.text())
def test_choosing_a_language_never_raises(header, fallback):
    assert texts.choose(header, fallback) in texts.languages()


def test_a_hostile_header_costs_no_time():
    assert texts.choose("xx;q=0.1," * 100_000 + "es", None) == "en"
