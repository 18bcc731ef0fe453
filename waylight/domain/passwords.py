"""Which passwords are taken (NIST SP 800-63B-4): long ones that nobody would try first."""

import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

LEAST = 15
"""Characters. What the standard demands of a password that may be the only factor; of what it is
made nobody is told."""

MOST = 256
"""So that a long one costs no more than a short one; the standard demands 64 at least."""

OF_ITS_OWN = 8
"""Characters that must be left when everything anybody knows of the person is taken out."""

ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
)

LEAST_WORD, MOST_WORD = 5, 20
"""Letters of a listed word that is looked for within a password."""

BESIDE_IT = 4
"""Letters that must be left beside such a word, repeated or not: digits and signs are tried."""

SWAPPED = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"}
LEET = tuple(str.maketrans({**SWAPPED, "1": one, "!": one, "|": one}) for one in "il")
"""Digits and signs that people write for letters: what is tried as soon as the word is."""

_AROUND = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_SIGNS = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"(.{1,6}?)\1{2,}.{0,5}", re.DOTALL)
_TWICE = re.compile(r"(.{4,}?)\1+", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{3,}")
_LETTER = re.compile(r"[^\W\d_]")


def normal(password: str) -> str:
    """The one form of a text that keyboards write in several ways (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def fault(
    password: str, *, common: AbstractSet[str], known: Iterable[str]
) -> tuple[str, str] | None:
    """Why a password is not taken, as a code and a sentence that does not quote it; None if it is.

    `common` are those that people choose, in lower case; `known` is what anybody knows of the
    person and the service: names, the address, the organisation.
    """
    text = normal(password)
    if len(text) < LEAST:
        return "too_short", f"This must have {LEAST} characters or more; a few words are easy."
    if len(text) > MOST:
        return "too_long", f"This may have {MOST} characters."
    lower = text.casefold()
    if _is_common(lower, common):
        return "too_common", "This is one of those that are tried first: choose another."
    squeezed = _SIGNS.sub("", lower)
    left = _without(squeezed, known)
    if len(left) < len(squeezed) and (len(left) < OF_ITS_OWN or _is_common(left, common)):
        return "too_personal", "This is made of what anybody knows of you: choose another."
    return None


def _without(squeezed: str, known: Iterable[str]) -> str:
    """What is left of a password when the words anybody knows are taken out, whole or begun."""
    words = {word for about in known for word in _WORD.findall(normal(about).casefold())}
    begun = {word[:end] for word in words for end in range(4, len(word))} | words
    for word in sorted(begun, key=len, reverse=True):
        squeezed = squeezed.replace(word, "")
    return squeezed


def _is_common(lower: str, common: AbstractSet[str]) -> bool:
    """In the list, also with digits or signs around it, repeated or in leet; or a pattern."""
    squeezed = _SIGNS.sub("", lower)
    again = _TWICE.fullmatch(squeezed)
    return (
        lower in common
        or _AROUND.sub("", lower) in common
        or squeezed in common
        or (again is not None and again.group(1) in common)
        or any(_is_one_word(text, common) for text in (lower, squeezed))
        or bool(_REPEATED.fullmatch(lower))
        or _beside_rows(lower) < OF_ITS_OWN
    )


def _is_one_word(text: str, common: AbstractSet[str]) -> bool:
    """Whether hardly a letter is left beside one word of the list, as often as it is there."""
    typed = "".join(one for one in text if one.isalnum() or one in "@$!|")
    for table in LEET:
        meant = typed.translate(table)
        found = {
            meant[at : at + long]
            for long in range(LEAST_WORD, MOST_WORD + 1)
            for at in range(len(meant) - long + 1)
        }
        for word in found & common:
            if word.isalpha() and _letters_beside(typed, meant, word) < BESIDE_IT:
                return True
    return False


def _letters_beside(typed: str, meant: str, word: str) -> int:
    left, at = len(_LETTER.findall(typed)), meant.find(word)
    while at >= 0:
        left -= len(_LETTER.findall(typed[at : at + len(word)]))
        at = meant.find(word, at + len(word))
    return left


def _beside_rows(lower: str) -> int:
    """Characters that are in no run of four along a row of the alphabet or the keyboard."""
    rows = " ".join((*ROWS, *(row[::-1] for row in ROWS)))
    in_runs = {
        at + step for at in range(len(lower) - 3) if lower[at : at + 4] in rows for step in range(4)
    }
    return len(lower) - len(in_runs)
