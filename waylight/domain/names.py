"""Names as people read them: of organisations, teams, hubs, places, programs and staff.

A name that is shown tells who somebody is. So nothing in it is invisible, turns the line around, or
is drawn like the letters of another script, and no two organisations have names that look alike.
"""

import re
import unicodedata
from collections.abc import Iterable

_UNSEEN = (
    r"\x00-\x1f\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"
    r"\u3000\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U0010ffff"
)
"""Control and format characters, what is drawn as nothing, every space but the plain one, and what
no standard says how to draw. Those above U+FFFF as they are: Python and JavaScript escape them in
two ways."""

_JOINED = r"\u0620-\u06dc\u06de-\u070e\u0710-\u088f\u0892-\u08e1\u08e3-\u0dff"
"""Of the scripts in which words are written with joiners: Arabic to Sinhala."""

_VISIBLE = rf"(?:[{_JOINED}](?:[\u200c\u200d][{_JOINED}])*|[^ {_JOINED}{_UNSEEN}])"

PATTERN = f"^{_VISIBLE}(?: *{_VISIBLE})*$"
"""Visible characters with plain spaces between them; a joiner only within a Persian or Indic word
and the like, where it changes how the word is written."""

_PATTERN = re.compile(PATTERN.removesuffix("$") + r"\Z")
_FAULT = re.compile(f"[{_UNSEEN}]")

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
    if _PATTERN.match(name):
        _check_alphabets(name)
        return name
    if not name.strip() or not (found := _fault(name)):
        raise ValueError("This must be one line with something to read, without spaces around it.")
    raise ValueError(
        f"This has a character that cannot be seen or is no plain space (U+{ord(found):04X}):"
        " leave it out."
    )


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


def _fault(name: str) -> str | None:
    # A joiner between letters that are joined is none.
    bare = re.sub(f"(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}])", "", name)
    found = _FAULT.search(bare)
    return found.group() if found else None


def _check_alphabets(name: str) -> None:
    for word in re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", name)):
        used = {unicodedata.name(letter, "").partition(" ")[0] for letter in word} & ALPHABETS
        if len(used) > 1:
            both = " and ".join(one.capitalize() for one in sorted(used))
            raise ValueError(f"A word of this has {both} letters: write each in one alphabet.")
