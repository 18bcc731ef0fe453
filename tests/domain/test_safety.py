from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from uuid import UUID

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from waylight import texts
from waylight.domain.categories import GROUPS
from waylight.domain.cities import City, ControlRoom
from waylight.domain.geo import Bounds
from waylight.domain.reports import (
    Need,
    NewReport,
    Perspective,
    Priority,
    Recipient,
    ShareWith,
    Want,
)
from waylight.domain.safety import jurisdiction, safety_card

LONDON = Path(__file__).parents[2] / "data" / "london"
RAILS = ["tube", "dlr", "overground", "elizabeth", "rail", "tram", "cable_car"]
OUTLINE = "E12000007"
SQUARE_MILE = "E09000001"


def read(name):
    return yaml.safe_load((LONDON / name).read_text(encoding="utf-8"))


def london():
    """London as the loader stores it: organisations by name."""
    names = {row["key"]: row["name"] for row in read("organisations.yaml")}
    rules = read("jurisdiction.yaml")["rules"]
    return City(
        id=UUID(int=1),
        slug="london",
        name="London",
        time_zone="Europe/London",
        version=1,
        bounds=Bounds(west=-1, south=51, east=1, north=52),
        control_room=ControlRoom(
            team_id=UUID(int=900),
            name="Control room",
            organisation_id=UUID(int=901),
            organisation="Control",
            capabilities=("safeguarding",),
        ),
        jurisdiction=[
            {**rule, "organisation": rule.get("body") or names[rule["organisation"]]}
            for rule in rules
        ],
        contacts=read("contacts.yaml"),
        contacts_verified_at=date(2026, 11, 1).isoformat(),
    )


CITY = london()
TEAM = Recipient(
    team_id=UUID(int=1),
    hub_id=None,
    name="Camden team",
    organisation_id=UUID(int=2),
    organisation="British Transport Police",
    role="primary",
    rank=1,
    told="now",
)
ROOM = replace(TEAM, team_id=UUID(int=900), name="Control room", role="control_room", rank=2)
HUB = replace(TEAM, team_id=None, hub_id=UUID(int=3), name="Camden hub", role="hub")


def card(
    report=None,
    *,
    city=CITY,
    level=2,
    urgency="Immediate",
    groups=("pursuit",),
    modes=("tube",),
    recipients=(TEAM,),
    shared=(),
    alerting="live",
):
    return safety_card(
        city,
        report=report or NewReport(),
        priority=Priority(level=level, urgency=urgency, severity="Severe", certainty="Observed"),
        groups=groups,
        modes=modes,
        recipients=recipients,
        shared=shared,
        alerting=alerting,
    )


def advice(*args, **changes):
    return [reason.code for reason in card(*args, **changes).advice]


def who(*args, **changes):
    return [reason.code for reason in card(*args, **changes).who_sees_this]


# --- Whose job it is --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", RAILS)
@pytest.mark.parametrize("areas", [[], [OUTLINE], [OUTLINE, SQUARE_MILE]])
def test_everything_on_rails_is_for_the_transport_police(mode, areas):
    job = jurisdiction(CITY, modes=[mode], area_codes=areas)
    assert job.body == "British Transport Police"
    assert job.contact["sms"] == "61016"


@pytest.mark.parametrize("mode", ["bus", "taxi", "street", "river"])
def test_61016_is_never_given_for_a_bus_a_taxi_or_a_street(mode):
    for areas in ([], [OUTLINE], [OUTLINE, SQUARE_MILE]):
        job = jurisdiction(CITY, modes=[mode], area_codes=areas)
        assert "61016" not in job.contact.values()
        assert job.contact["phone"] == "101"


def test_the_square_mile_has_its_own_police_and_the_rest_of_london_the_met():
    streets = {
        codes: jurisdiction(CITY, modes=["street"], area_codes=codes).body
        for codes in [(OUTLINE, SQUARE_MILE), (OUTLINE, "E09000007"), ("tfl-network",), ()]
    }
    assert list(streets.values()) == [
        "City of London Police",
        "Metropolitan Police Service",
        "The local police force",
        "The local police force",
    ]


def test_a_tram_names_the_other_number_that_a_source_gives():
    job = jurisdiction(CITY, modes=["tram"], area_codes=[OUTLINE])
    assert job.reason.code == "tram_sources_differ"
    assert "101" in texts.say("reasons", job.reason.code, "en", job.reason.params)


def test_a_station_shared_with_buses_is_on_rails():
    job = jurisdiction(CITY, modes=["bus", "tube"], area_codes=[OUTLINE])
    assert job.body == "British Transport Police"


def test_contacts_that_do_not_exist_are_left_out():
    job = jurisdiction(CITY, modes=["street"], area_codes=[OUTLINE, SQUARE_MILE])
    assert job.contact == {"phone": "101"}


def test_without_a_city_nobody_is_named():
    job = jurisdiction(None, modes=["tube"], area_codes=[])
    assert (job.body, job.reason.code, job.contact) == (None, "jurisdiction_unknown", {})


# --- The card ---------------------------------------------------------------------------------


def test_999_comes_first_with_the_silent_call_and_the_text_beside_it():
    emergency = card().emergency
    assert [(e.need, e.phone or e.sms) for e in emergency[:3]] == [
        ("immediate_danger", "999"),
        ("cannot_speak", "999"),
        ("deaf_or_speech_impaired", "999"),
    ]
    assert "55" in texts.say("how", emergency[1].how, "en", {})
    assert "mobile" in texts.say("how", emergency[1].how, "en", {})
    assert "register" in texts.say("how", emergency[2].how, "en", {})


@pytest.mark.parametrize("need", [Need.TEXT_ONLY, Need.SIGN_LANGUAGE, Need.HEARING_LOOP])
def test_somebody_who_needs_text_sees_the_text_number_first(need):
    emergency = card(NewReport(needs=(need,))).emergency
    assert (emergency[0].sms, emergency[0].phone) == ("999", None)
    assert emergency[1].phone == "999"


def test_the_police_line_fits_the_mode_and_is_gone_when_police_are_not_wanted():
    def numbers(report, mode):
        return [e.sms or e.phone for e in card(report, modes=[mode]).emergency]

    assert numbers(NewReport(), "tube")[3] == "61016"
    assert numbers(NewReport(), "bus")[3] == "101"
    assert numbers(NewReport(wants=(Want.HELP,)), "tube") == ["999", "999", "999"]
    assert numbers(NewReport(wants=(Want.POLICE,)), "tube")[3] == "61016"


def test_spiking_brings_first_aid_and_the_short_window_for_a_test():
    report = NewReport(in_danger=True)
    assert advice(report, level=1, groups=("pursuit", "spiking")) == [
        "call_emergency",
        "spiking_stay",
        "spiking_keep_drink",
        "spiking_tell_early",
        "spiking_no_more_alcohol",
    ]
    words = " ".join(
        texts.say("advice", reason.code, "en", reason.params)
        for reason in card(report, level=1, groups=("spiking",)).advice
    )
    assert "12 hours" in words
    assert "ambulance" in words
    assert "999" in words


def test_a_witness_of_spiking_is_told_to_stay_with_the_person():
    report = NewReport(perspective=Perspective.WITNESSED)
    codes = advice(report, groups=("spiking",))
    assert "stay_with_them" in codes
    assert not {"spiking_stay", "spiking_no_more_alcohol", "not_your_fault"} & set(codes)


def test_danger_in_the_underground_names_staff_and_people():
    assert advice(NewReport(in_danger=True), level=1) == [
        "call_emergency",
        "tell_staff",
        "move_to_people",
        "not_your_fault",
        "keep_receipt",
    ]


def test_danger_on_a_bus_names_the_driver():
    codes = advice(NewReport(in_danger=True), level=1, modes=("bus",))
    assert "tell_driver" in codes
    assert "tell_staff" not in codes


def test_delayed_alerting_is_said_first_with_a_number_to_call_instead():
    first = card(NewReport(in_danger=True), level=1, alerting="delayed").advice[0]
    assert (first.code, first.params) == ("alerting_delayed", {"phone": "999"})


def test_what_happened_long_ago_gets_no_advice_for_the_moment():
    codes = advice(urgency="Past", groups=("contact",))
    assert codes == ["keep_clothes", "not_your_fault", "keep_receipt"]


def test_a_dark_stop_is_nobodys_fault_and_says_nothing_of_fault():
    assert advice(groups=("environment",), level=4, modes=("street",)) == ["keep_receipt"]


def test_a_childs_card_has_childline_first_and_no_line_for_adults():
    support = card(NewReport(under_18=True), groups=("contact",)).support
    assert support[0].phone == "0800 1111"
    assert "0808 500 2222" not in [entry.phone for entry in support]
    assert "child_tell_adult" in advice(NewReport(under_18=True))


def test_an_adults_card_has_no_childline():
    for under_18 in (None, False):
        support = card(NewReport(under_18=under_18), groups=("contact",)).support
        assert [entry.phone for entry in support] == ["020 3299 6900", "0808 500 2222", "111"]


def test_support_follows_what_happened():
    assert [e.phone for e in card(groups=("pursuit",)).support] == ["0808 802 0300"]
    assert card(groups=("environment",)).support == ()


def test_somebody_who_asks_only_for_support_always_gets_some():
    report = NewReport(wants=(Want.SUPPORT_ONLY,))
    found = card(report, groups=("other",), recipients=(), alerting="none")
    assert found.support
    assert [reason.code for reason in found.who_sees_this] == ["nobody"]
    assert found.advice[0].code == "told_nobody"


def test_record_only_says_that_nobody_is_told_and_still_gives_999():
    report = NewReport(wants=(Want.RECORD_ONLY,), in_danger=True)
    found = card(report, recipients=(), alerting="none", level=1)
    assert [reason.code for reason in found.who_sees_this] == ["nobody"]
    assert [reason.code for reason in found.advice[:2]] == ["call_emergency", "told_nobody"]
    assert found.emergency[0].phone == "999"


def test_who_sees_names_everybody_told_and_the_room_that_may_look():
    assert who(recipients=(TEAM, HUB)) == ["team", "hub", "control_room_may"]
    assert who(recipients=(TEAM, ROOM)) == ["team", "control_room"]
    shared = (ShareWith.OPERATOR, ShareWith.POLICE)
    assert who(shared=shared)[-2:] == ["shared_operator", "shared_police"]
    assert who(recipients=(), shared=shared[:1]) == ["nobody_yet", "shared_operator"]
    ticked = NewReport(share_with=shared)
    assert who(ticked) == ["team", "control_room_may"], "there was nobody to share it with"


@pytest.mark.parametrize("want", [Want.RECORD_ONLY, Want.SUPPORT_ONLY])
def test_who_is_told_of_by_nobody_and_shared_is_seen_by_those_alone(want):
    shared = (ShareWith.SUPPORT,)
    found = card(NewReport(wants=(want,)), recipients=(), alerting="none", shared=shared)
    assert [reason.code for reason in found.who_sees_this] == ["shared_support"]
    codes = [reason.code for reason in found.advice]
    assert "alerted_nobody" in codes
    assert "told_nobody" not in codes


def test_a_refusal_of_police_and_the_care_for_a_child_are_said():
    report = NewReport(wants=(Want.HELP,), under_18=True)
    assert who(report) == ["team", "control_room_may", "police_no", "child_limited"]


def test_a_control_room_without_safeguarding_does_not_see_a_child():
    room = replace(CITY.control_room, capabilities=())
    assert who(NewReport(under_18=True), city=replace(CITY, control_room=room)) == [
        "team",
        "child_limited",
    ]


def test_without_a_city_the_card_still_says_how_to_get_help():
    found = card(NewReport(in_danger=True), city=None, level=1, alerting="delayed")
    assert [reason.code for reason in found.advice[:2]] == ["alerting_delayed_here", "tell_staff"]
    assert advice(NewReport(in_danger=True), city=None, level=1)[0] == "call_emergency_here"
    assert (found.emergency, found.support, found.verified_at) == ((), (), None)


def test_a_contact_without_a_number_is_left_out():
    contacts = {
        "emergency": [],
        "support": [{"code": "x", "need": "support", "name": "Page", "url": "https://x.example"}],
    }
    assert card(city=replace(CITY, contacts=contacts)).support == ()


# --- Every card -------------------------------------------------------------------------------

reports = st.builds(
    NewReport,
    in_danger=st.none() | st.booleans(),
    person_nearby=st.none() | st.booleans(),
    under_18=st.none() | st.booleans(),
    perspective=st.sampled_from(Perspective),
    wants=st.lists(st.sampled_from(Want), unique=True).map(tuple),
    needs=st.lists(st.sampled_from(Need), unique=True).map(tuple),
    share_with=st.lists(st.sampled_from(ShareWith), unique=True).map(tuple),
)


@given(
    report=reports,
    level=st.integers(1, 4),
    urgency=st.sampled_from(["Immediate", "Expected", "Past"]),
    groups=st.lists(st.sampled_from(GROUPS), min_size=1, unique=True),
    modes=st.lists(st.sampled_from([*RAILS, "bus", "taxi", "street"]), max_size=3, unique=True),
    alerting=st.sampled_from(["live", "delayed", "none"]),
    shared=st.lists(st.sampled_from(ShareWith), unique=True),
    language=st.sampled_from(texts.languages()),
)
def test_every_card_is_short_small_and_said_in_words(*, language, **case):
    found = card(recipients=(TEAM, ROOM, HUB), **case)
    assert len(found.emergency) <= 4
    assert len(found.support) <= 3
    assert 1 <= len(found.advice) <= 5
    said = {
        "emergency": [
            {**asdict(entry), "how": texts.say("how", entry.how, language, {})}
            for entry in found.emergency
        ],
        "support": [
            {**asdict(entry), "how": texts.say("how", entry.how, language, {})}
            for entry in found.support
        ],
        "advice": [
            {"code": r.code, "text": texts.say("advice", r.code, language, r.params)}
            for r in found.advice
        ],
        "who_sees_this": [
            {"code": r.code, "text": texts.say("who_sees", r.code, language, r.params)}
            for r in found.who_sees_this
        ],
    }
    for line in (*said["advice"], *said["who_sees_this"]):
        assert line["text"] != line["code"]
        assert texts.UNKNOWN not in line["text"]
    for entry in (*said["emergency"], *said["support"]):
        assert entry["how"] not in {e.how for e in (*found.emergency, *found.support)}
    # Less than half of what a 201 may hold (8,192 bytes).
    assert len(orjson.dumps(said)) < 4_096
