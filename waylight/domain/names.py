"""Names as people read them: of organisations, teams, hubs, places, programs and staff.

A name that is shown tells who somebody is. So nothing in it is invisible, turns the line around, or
is drawn like the letters of another script, and no two organisations have names that look alike.
"""

import re
import unicodedata
from collections.abc import Iterable

_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
"""Categories of what is drawn as nothing or turns the line around, and of what no standard says how
to draw. The plain space is one of them, and allowed."""

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for code in range(0xFE00, 0xFE10)
}
"""Letters, marks and a symbol that are drawn as nothing, and selectors of a variant."""

_JOINED = "[\u0620-\u0dff]"
_JOINER = re.compile(f"(?<={_JOINED})[\u200c\u200d](?={_JOINED})")
"""A joiner within a word of the scripts from Arabic to Sinhala changes how the word is written."""

ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC", "CHEROKEE"})
"""Scripts whose letters are drawn like one another's."""

_DRAWN_SO = {
    "a": "\u0430\u03b1",
    "b": "\u0432\u03b2",
    "c": "\u0441",
    "d": "\u0501",
    "e": "\u0435\u03b5",
    "h": "\u043d\u04bb\u03b7",
    "j": "\u0458",
    "k": "\u043a\u03ba",
    "l": "1i\u0131\u0456\u03b9\u04c0\u04cf",
    "m": "\u043c\u03bc",
    "n": "\u03bd",
    "o": "0\u043e\u03bf",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u057d",
    "w": "\u051d",
    "x": "\u0445\u03c7",
    "y": "\u0443\u03c5",
    "z": "\u03b6",
}
"""Small letters and digits that are drawn like one of ours, or whose capitals are."""

_ALIKE = str.maketrans({one: ours for ours, theirs in _DRAWN_SO.items() for one in theirs})


def read_name(text: str) -> str:
    """A name as it is kept (NFC). Raises ValueError, with what to do, for one that is not shown."""
    name = unicodedata.normalize("NFC", text)
    if not name or name != name.strip():
        raise ValueError("This must be one line with something to read, without spaces around it.")
    for one in _JOINER.sub("", name):
        if one != " " and (one in _BLANK or unicodedata.category(one) in _UNSEEN):
            raise ValueError(
                f"This has a character that cannot be seen or is no plain space (U+{ord(one):04X}):"
                " leave it out."
            )
    _check_alphabets(name)
    return name


def without_format(text: str) -> str:
    """A name that a device gives itself, without the characters that only turn its line around."""
    return "".join(one for one in text if unicodedata.category(one) != "Cf")


def looks(name: str) -> str:
    """What is left of a name at a glance: one text for all names that can be taken for it.

    Whatever their case, width, accents, spaces, punctuation and invisible characters, in whichever
    alphabet its letters are drawn so.
    """
    seen = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    # Vowels of Indic scripts are marks too, and are no accents: they combine as class 0.
    return "".join(
        one
        for one in seen
        if unicodedata.category(one)[0] in "LNM" and not unicodedata.combining(one)
    ).translate(_ALIKE)


def found_in(name: str, others: Iterable[str], *, own: str = "") -> str | None:
    """The other's name of two words or more that stands in this one; None where there is none.

    One word alone is often a place: a team of Camden is called so. What stands in our `own` name is
    ours too.
    """
    whole = {one: looks(one) for one in others if len(one.split()) > 1}
    here, ours = looks(name), looks(own)
    return next((one for one, it in whole.items() if it and it in here and it not in ours), None)


def _check_alphabets(name: str) -> None:
    for word in re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", name)):
        used = {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & ALPHABETS
        if len(used) > 1:
            both = " and ".join(one.capitalize() for one in sorted(used))
            raise ValueError(f"A word of this has {both} letters: write each in one alphabet.")
