import pytest

from waylight.domain.passwords import LEAST, fault
from waylight.services.passwords import common

ROBIN = ("Robin Shah", "robin.shah@police.example", "Transport Police", "transport-police")


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
    ],
)
def test_password_that_is_tried_first_is_not(password, why):
    assert code(password) == why


def test_length_counts_characters_as_one_reads_them():
    # Sixteen signs of full width are as many letters after normalising.
    assert code("\uff41\uff4c\uff4f\uff4e\uff47 walk home") is None
    assert fault("e\u0301" * LEAST, common=(), known=()) is not None  # one letter, over and over
