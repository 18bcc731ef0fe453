import re
from dataclasses import replace
from uuid import UUID

import pytest
import yaml

from waylight import messages, texts
from waylight.domain.alerts import Message
from waylight.domain.categories import GROUPS

BASE_URL = "https://waylight.example.org"
MESSAGE = Message(
    delivery_id=UUID(int=1),
    alert_id=UUID(int=2),
    attempt=1,
    channel="sms",
    kind="alert.created",
    recipient="Camden rail response (demo)",
    priority=1,
    category_groups=("pursuit", "spiking"),
    exercise=False,
    link=f"{BASE_URL}/v1/alerts/alert_01jdw2s4x0e6qv3t8k5n7b9c1d",
    reply_code="4F7K",
)
LONGEST = replace(
    MESSAGE,
    exercise=True,
    recipient="Metropolitan and City Safer Transport Command, night desk",
    category_groups=("image_exposure", "contact"),
)
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def catalogue(language):
    return yaml.safe_load((messages.FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))


def templates():
    return list(catalogue("en")["templates"])


def test_messages_speak_the_languages_of_the_texts():
    assert messages.languages() == texts.languages()


@pytest.mark.parametrize("language", ["es", "ar"])
def test_every_language_has_every_template_in_the_same_version(language):
    english, other = catalogue("en"), catalogue(language)
    assert set(english) == set(other)
    assert set(english["templates"]) == set(other["templates"])
    for name, template in english["templates"].items():
        assert set(other["templates"][name]) == set(template), name
        assert other["templates"][name]["version"] == template["version"], name
    for part in ("urgency", "kinds", "words"):
        assert set(other[part]) == set(english[part])


def test_every_group_and_every_urgency_has_a_word():
    for language in messages.languages():
        assert set(catalogue(language)["kinds"]) == set(GROUPS)
        assert set(catalogue(language)["urgency"]) == {1, 2, 3, 4}


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize("kind", templates())
def test_no_text_message_needs_more_than_two_segments(kind, language):
    worded = messages.word(replace(LONGEST, kind=kind), language, replies=True)
    assert messages.segments(worded.sms) <= 2
    assert "{" not in worded.sms + worded.subject + worded.body


@pytest.mark.parametrize("kind", ["alert.created", "alert.withdrawn", "test"])
def test_usual_text_message_in_a_latin_language_is_one_segment(kind):
    usual = replace(MESSAGE, kind=kind, recipient="Camden rail", category_groups=("pursuit",))
    for language in ("en", "es"):
        assert messages.segments(messages.word(usual, language, replies=True).sms) == 1


@pytest.mark.parametrize("kind", templates())
@pytest.mark.parametrize("language", ["en", "es"])
def test_no_text_message_leaves_gsm_7_by_accident(kind, language):
    """A name with a letter outside costs that letter, not half of each segment."""
    odd = replace(MESSAGE, kind=kind, recipient="Équipe \u201cŁódź\u201d \u2014 夜 🌙")
    worded = messages.word(odd, language, replies=True)
    assert messages.gsm7(worded.sms) == worded.sms
    template = catalogue(language)["templates"][kind]["sms"]
    plain = PLACEHOLDER.sub("", template)
    assert messages.gsm7(plain) == plain


def test_message_says_what_kind_how_urgent_for_whom_a_link_and_a_code():
    text = messages.word(replace(MESSAGE, recipient="First"), "en", replies=True).sms
    assert text == (
        "URGENT Waylight: being followed, spiking. For First."
        f" {MESSAGE.link} Reply ACK 4F7K or DECLINE 4F7K"
    )


def test_message_with_much_to_say_says_the_most_of_it_that_fits():
    much = replace(LONGEST, category_groups=("contact", "image_exposure", "pursuit"))
    text = messages.word(much, "en", replies=True).sms
    assert "touching or assault, images or exposure, being followed" in text
    usual = replace(MESSAGE, recipient="Camden", category_groups=("contact", "pursuit", "other"))
    text = messages.word(usual, "en", replies=True).sms
    assert "touching or assault (+2)" in text
    assert messages.segments(text) == 1


def test_exercise_is_marked_first_wherever_an_alert_is_told():
    for language in texts.languages():
        mark = catalogue(language)["exercise"]
        for kind in templates():
            if kind in ("test", "reply.unknown"):
                continue
            worded = messages.word(
                replace(MESSAGE, kind=kind, exercise=True), language, replies=True
            )
            assert worded.sms.startswith(mark), (language, kind)
            if worded.subject:
                assert worded.subject.startswith(mark)
                assert worded.body.startswith(mark)


def test_test_message_says_that_it_is_one():
    worded = messages.word(replace(MESSAGE, kind="test"), "en", replies=True)
    assert all(part.startswith(("TEST", "This is a TEST")) for part in (worded.sms, worded.subject))


def test_message_that_cannot_be_answered_by_text_does_not_ask_for_it():
    for message, replies in ((MESSAGE, False), (replace(MESSAGE, reply_code=None), True)):
        text = messages.word(message, "en", replies=replies).sms
        assert "ACK" not in text
        assert text.endswith(MESSAGE.link)


def test_kind_and_language_without_words_of_their_own_are_still_told():
    worded = messages.word(replace(MESSAGE, kind="alert.folded"), "xx", replies=True)
    assert (worded.template, worded.language) == ("other", "en")
    assert MESSAGE.link in worded.sms


def test_line_breaks_in_a_name_reach_no_header():
    worded = messages.word(replace(MESSAGE, recipient="A\r\nBcc: x@y.example"), "en", replies=False)
    assert "\n" not in worded.subject
    assert "\r" not in worded.body


def test_no_word_means_two_things():
    words = [
        word
        for one in texts.languages()
        for said in catalogue(one)["words"].values()
        for word in said
    ]
    assert len(words) == len(set(words)) == len(messages.answers())


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("ش" * 70, 1),
        ("ش" * 71, 2),
        ("ش" * 135, 3),
        ("🌙" * 36, 2),
    ],
)
def test_segments_are_counted_as_networks_do(text, count):
    assert messages.segments(text) == count


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_end_of_a_drill_does_not_say_that_another_team_has_it(language):
    over = replace(MESSAGE, kind="alert.withdrawn", exercise=True)
    told = messages.word(over, language, replies=False)
    assert told.template == "exercise.withdrawn"
    assert told.sms.startswith(catalogue(language)["exercise"])
    real = messages.word(replace(over, exercise=False), language, replies=False)
    assert real.template == "alert.withdrawn"


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_whoever_declines_a_drill_does_not_read_that_another_team_is_told(language):
    declined = replace(MESSAGE, kind="reply.declined", exercise=True)
    told = messages.word(declined, language, replies=True)
    assert told.template == "exercise.declined"
    assert told.sms.startswith(catalogue(language)["exercise"])
    assert "4F7K" in told.sms
    real = messages.word(replace(declined, exercise=False), language, replies=True)
    assert real.template == "reply.declined"
