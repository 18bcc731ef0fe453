import pytest

from waylight.domain.properties import (
    MEANING,
    TABLE,
    Property,
    Shown,
    View,
    level_of,
    shown,
    shows,
    views_of,
)


def test_the_table_says_something_of_every_property_to_every_view():
    assert set(TABLE) == set(MEANING) == set(Property)
    assert all(list(row) == list(View) for row in TABLE.values())


@pytest.mark.parametrize("what", Property)
def test_whoever_has_no_view_is_shown_nothing(what):
    assert shown(what, ()) is shown(what, {View.OTHER}) is Shown.LEFT_OUT


def test_with_several_causes_somebody_is_shown_the_most_of_any():
    assert not shows(Property.STORY, {View.HEADS_UP})
    assert shows(Property.STORY, {View.HEADS_UP, View.CONSENT})
    assert shown(Property.POSITION, {View.ANALYST, View.HEADS_UP}) is Shown.ROUNDED


@pytest.mark.parametrize(
    ("grants", "level"),
    [(["heads_up"], "heads_up"), (["heads_up", "hand_over"], "full"), (["oversight"], "full")],
)
def test_level_on_the_wire_follows_from_the_causes_of_the_grants(grants, level):
    assert level_of(views_of(grants)) == level


def test_no_listener_and_no_analyst_is_ever_shown_words_contact_or_names():
    private = (Property.STORY, Property.CONTACT, Property.ANSWERS, Property.JOURNEY)
    for what in (*private, Property.COLLEAGUES, Property.STAFF_ELSEWHERE):
        for view in (View.LISTENER, View.ANALYST, View.PASSENGER, View.OTHER):
            assert not shows(what, {view}), (what, view)
