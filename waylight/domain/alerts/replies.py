"""Answers by text message: `ACK 4F7K` from a telephone that was sent that code."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from waylight.domain.alerts.steps import State, Step

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without I, L, O and U (Douglas Crockford): 4 of them are 20 bits."""

CODE_LENGTH = 4

CODED = ("alert.created", "alert.updated", "incident.unanswered")
"""Messages that ask for an answer."""

CODE_LIVES = timedelta(hours=48)
"""How long a code is understood after its message was queued."""

WRONG_AN_HOUR = 10
"""Wrong answers of one telephone in an hour before none is tried: of a million codes, ten."""

NEUTRAL_A_DAY = 3
"""How often a telephone is told in a day that its answer could not be used."""

LONGEST = 1600
"""Characters of a text message that providers put together."""


@dataclass(frozen=True)
class Reply:
    """What somebody answered, as far as it is understood."""

    step: Step
    code: str


class Heard(StrEnum):
    """What became of an answer. The ones with a message are told by `reply.` and the word."""

    ACKNOWLEDGED = "acknowledged"
    DECLINED = "declined"
    ELSEWHERE = "elsewhere"
    """Another team has it."""
    OVER = "over"
    REFUSED = "refused"
    """The alert is in a state that this step does not lead from."""
    UNKNOWN = "unknown"
    """No word, no code, or not a code of this telephone."""
    IGNORED = "ignored"
    """A stranger's telephone, an answer that came before, or one too many."""


def read_reply(text: str, words: Mapping[str, str]) -> Reply | None:
    """The step and the code of an answer; None where either is missing.

    `words` are upper-case, each with the name of its step. Case, spaces and punctuation do not
    matter; O is taken for 0, I and L for 1; what follows the code is ignored.
    """
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).upper()
    kept = "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in plain).strip()
    for word in sorted(words, key=len, reverse=True):
        if kept.startswith(word):
            code = _code(kept[len(word) :])
            return Reply(Step(words[word]), code) if code else None
    return None


def _code(text: str) -> str | None:
    parts = text.split()
    for said in (parts[0] if parts else "", "".join(parts[:CODE_LENGTH])):
        code = re.sub("[IL]", "1", said.replace("O", "0"))
        if len(code) == CODE_LENGTH and all(symbol in SYMBOLS for symbol in code):
            return code
    return None


def told_instead(state: State, *, closed: bool) -> Heard | None:
    """What is said instead of acting on an answer that came too late; None where it is in time.

    Whoever was stood down may still join, but not by a text that was perhaps sent before they heard
    of it.
    """
    if state is State.WITHDRAWN:
        return Heard.ELSEWHERE
    return Heard.OVER if closed or state is State.CLOSED else None
