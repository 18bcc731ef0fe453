"""Which passwords are taken (NIST SP 800-63B-4): long ones that nobody would try first."""

import re
import unicodedata
from collections.abc import Collection, Iterable

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

_AROUND = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_SIGNS = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"(.{1,6}?)\1{2,}.{0,5}", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{4,}")


def normal(password: str) -> str:
    """The one form of a text that keyboards write in several ways (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def fault(
    password: str, *, common: Collection[str], known: Iterable[str]
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
    words = {word for about in known for word in _WORD.findall(normal(about).casefold())}
    for word in sorted(words, key=len, reverse=True):
        lower = lower.replace(word, "")
    if len(lower) < len(text) and len(_SIGNS.sub("", lower)) < OF_ITS_OWN:
        return "too_personal", "This is made of what anybody knows of you: choose another."
    return None


def _is_common(lower: str, common: Collection[str]) -> bool:
    """In the list, also with digits or signs around it; or a pattern."""
    return (
        lower in common
        or _AROUND.sub("", lower) in common
        or bool(_REPEATED.fullmatch(lower))
        or _beside_rows(lower) < OF_ITS_OWN
    )


def _beside_rows(lower: str) -> int:
    """Characters that are in no run of four along a row of the alphabet or the keyboard."""
    rows = " ".join((*ROWS, *(row[::-1] for row in ROWS)))
    in_runs = {
        at + step for at in range(len(lower) - 3) if lower[at : at + 4] in rows for step in range(4)
    }
    return len(lower) - len(in_runs)
