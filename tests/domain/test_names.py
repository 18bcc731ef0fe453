"""Names are what they look like: nothing unseen in them, one alphabet to a word."""

import contextlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waylight.domain import names


@pytest.mark.parametrize(
    "name",
    [
        "Ada Ling",
        "King's Cross & St Pancras (demo)",
        "S\u00e3o Paulo",
        "\u0645\u06cc\u200c\u0631\u0648\u0645",  # Persian is written with ZWNJ
        "\u0915\u094d\u200d\u0937",  # Hindi with ZWJ
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0dbd\u0d82\u0d9a\u0dcf",  # and Sinhala
        "\u5c71\u7530 \u592a\u90ce",
        "\u041c\u0438\u043b\u0438\u0446\u0438\u044f Camden",
        "24 hours",
    ],
)
def test_names_of_people_and_places_stay_as_they_are(name):
    assert names.read_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\xa0",
        "\u3164",
        "\u2800",
        " Ada",
        "Ada ",
        "Ada\n",
        "Ada\u0007",
        "Ada\u202eylneuqerf",
        "\u2066Ada\u2069",
        "A\u200bda",
        "A\u200dda",
        "A\u200cda",
        "\u200c\u0645\u06cc",
        "\u0645\u200c\u200c\u06cc",
        "Ada\ufeff",
        "Ada\u00adLing",
        "Ada\u2003Ling",
        "Ada\U000e0041",
        "Ada\ue000",
        "Ada\ud800",
        "\u0412ritish Transport Police",
        "Tr\u03b1nsport",
    ],
)
def test_name_that_is_not_what_it_looks_like_is_refused_with_what_to_do(name):
    with pytest.raises(ValueError, match=r"leave it out|something to read|one alphabet"):
        names.read_name(name)


def test_each_control_format_and_private_character_and_odd_space_is_refused():
    unfit = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}
        and chr(code) != " "
    ]
    taken = []
    for one in unfit:
        with contextlib.suppress(ValueError):
            taken.append(names.read_name(f"a{one}b"))
    assert taken == []


def test_letters_and_their_marks_are_written_in_one_way():
    assert names.read_name("Zoe\u0308") == "Zo\u00eb"


@given(st.text(max_size=80))
def test_name_that_is_taken_is_taken_again_as_it_is(text):
    try:
        name = names.read_name(text)
    except ValueError:
        return
    assert names.read_name(name) == name
    assert name == name.strip() != ""


@pytest.mark.parametrize(
    "name",
    [
        "BRITISH TRANSPORT POLICE",
        "British  Transport-Police.",
        "BritishTransportPolice",
        "British Tr\u00e1nsport Police",
        "\uff22ritish Transport Police",
        "Br\u200bitish Transport Police",
        "\u0412ritish Tr\u0430nsport P\u043elice",
        "Brit1sh Transport P0lice",
    ],
)
def test_names_that_are_taken_for_one_another_look_the_same(name):
    assert names.looks(name) == names.looks("British Transport Police")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Metropolitan Police", "City Police"),
        ("\u0930\u093e\u092e", "\u0930\u092e"),
        ("Line 2", "Line 3"),
        ("\u5c71\u7530", "\u592a\u90ce"),
    ],
)
def test_other_names_look_different(one, other):
    assert names.looks(one) != names.looks(other)


def test_whole_name_of_another_is_found_in_a_name():
    others = ["British Transport Police", "Camden"]
    assert names.found_in("british-transport p\u043elice camden", others) == others[0]
    assert names.found_in("Camden night team", others) is None
    own = "British Transport Police Wales"
    assert names.found_in("British Transport Police Wales, Cardiff", others, own=own) is None
    assert names.found_in("British Transport Police", others, own="Police") == others[0]
