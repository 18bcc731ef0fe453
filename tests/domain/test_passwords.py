import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain.passwords import LEAST, fault
from waylight.services.passwords import common

ROBIN = (
    *("Robin Shah", "robin.shah@police.example", "Transport Police", "transport-police"),
    "Waylight",
)
PHRASE = (
    "river walk green seven umbrella window carpet yellow button corner drawer lemon marble pocket"
    " ribbon saddle teapot violin whistle candle paper engine garden island ladder mirror needle"
    " harbour password summer dragon monkey"
)
WORDS = PHRASE.split()


def code(password):
    found = fault(password, common=common(), known=ROBIN)
    return found and found[0]


@pytest.mark.parametrize(
    "password",
    [
        "a long walk by the river",
        "correct horse battery staple",
        "seven green umbrellas sing",
        "пятнадцать символов",
        "9f8a0d1c7b3e5f2a",
        "robin likes seven umbrellas",
        "x" + "lorem ipsum dolor sit amet " * 9,
    ],
)
def test_long_password_of_any_characters_is_taken(password):
    assert code(password) is None


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("river-walk-42!", "too_short"),
        ("a" * 257, "too_long"),
        ("password", "too_short"),
        ("password1234567", "too_common"),
        ("!!!Sunshine2026!!!", "too_common"),
        ("aaaaaaaaaaaaaaaa", "too_common"),
        ("abcabcabcabcabcabc", "too_common"),
        ("123456789012345", "too_common"),
        ("qwertyuiopasdfgh", "too_common"),
        ("poiuytrewq987654321", "too_common"),
        ("Transport-Police-2026", "too_personal"),
        ("robin.shah@police", "too_personal"),
        ("RobinShah!!!!2026", "too_personal"),
        ("passwordpassword", "too_common"),
        ("password1password1", "too_common"),
        ("password1password22", "too_common"),
        ("iloveyouiloveyou", "too_common"),
        ("iloveyouiloveyou!ab", "too_common"),
        ("1qaz2wsx1qaz2wsx", "too_common"),
        ("P@ssw0rdP@ssw0rd", "too_common"),
        ("P@ssw0rd1P@ssw0rd2", "too_common"),
        ("P@$$w0rd!12345678", "too_common"),
        ("p a s s w o r d 12345", "too_common"),
        ("\uff50assword\uff50assword", "too_common"),
        ("rob shah police 1", "too_personal"),
        ("robin shah 123456789", "too_personal"),
        ("robin shah password", "too_personal"),
        ("waylight 20262026", "too_common"),  # a word and three letters
    ],
)
def test_password_that_is_tried_first_is_not(password, why):
    assert code(password) == why


def test_length_counts_characters_as_one_reads_them():
    # Sixteen signs of full width are as many letters after normalising.
    assert code("\uff41\uff4c\uff4f\uff4e\uff47 walk home") is None
    assert (
        fault("e\u0301" * LEAST, common=frozenset(), known=()) is not None
    )  # one letter, over and over


@given(
    st.lists(st.sampled_from(WORDS), min_size=4, max_size=8, unique=True),
    st.sampled_from(["", " ", "-", "1", ". "]),
    st.sampled_from(["", "!", "2026", "7 7"]),
)
def test_phrase_of_several_words_is_taken_whatever_joins_them(words, between, after):
    assert code(between.join(words) + after) is None


@given(st.integers(0, 2**32))
def test_random_password_is_taken(seed):
    signs = "abcdefghijklmnopqrstuvwxyz0123456789!@$-_"
    assert code("".join(random.Random(seed).choices(signs, k=20))) is None


def test_person_with_a_short_name_makes_no_password_of_it():
    known = ("Ada Walker", "ada@walk.example", "Night Riders", "night-riders")
    for password in ("ada walk rider 1", "Ada.Walker.2026.2027", "adaadaadawalker1"):
        assert fault(password, common=common(), known=known) is not None
    assert fault("a long way to the harbour", common=common(), known=known) is None
