"""What staff are told by text message and e-mail, in the languages of data/messages/.

What kind, how urgent, for whom, a link, a code to answer with: no story and no exact place (design,
D13).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from waylight.domain.alerts import Message

FOLDER = Path(__file__).resolve().parent.parent / "data" / "messages"

DEFAULT = "en"
FALLBACK = "other"
"""The template of a kind of message that has none: whoever waits for it must still hear of it."""

OF_EXERCISES = {"alert.withdrawn": "exercise.withdrawn", "reply.declined": "exercise.declined"}
"""What is said in other words in an exercise: a drill is of one team, so that no other has it, and
none is told when it declines."""

ROOM = ((3, 40), (2, 40), (2, 24), (1, 24), (1, 12))
"""How many kinds and how many characters of a name a text message has room for: the first of these
by which it is one segment, else two."""

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = "\f^{}\\[~]|€"
"""Two septets each, an escape in front (3GPP TS 23.038, 6.2.1)."""

_NEAREST = str.maketrans(
    {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-", 0xA0: " "}
)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Worded:
    """A message in words. `subject` and `body` are an e-mail's, empty where there is none."""

    template: str
    version: int
    language: str
    sms: str
    subject: str
    body: str


def languages() -> tuple[str, ...]:
    """Codes of all languages with messages, the default first."""
    return tuple(_catalogue())


def word(message: Message, language: str, *, replies: bool) -> Worded:
    """A message in a language, in English where there is none of that code. Never raises.

    With `replies` it says how to answer by text where it has a code. A text message is in GSM-7
    wherever its language is: one letter outside would cost more than half of each segment.
    """
    code = language if language in _catalogue() else DEFAULT
    catalogue = _catalogue()[code]
    name = message.kind if message.kind in catalogue["templates"] else FALLBACK
    if message.exercise:
        name = OF_EXERCISES.get(name, name)
    template = catalogue["templates"][name]
    is_gsm = catalogue["encoding"] == "gsm-7"
    kinds = [catalogue["kinds"].get(group, group) for group in message.category_groups]
    values = {
        "exercise": catalogue["exercise"] if message.exercise else "",
        "urgency": catalogue["urgency"].get(message.priority, ""),
        "kinds": ", ".join(kinds) or catalogue["kinds"]["other"],
        "recipient": " ".join(message.recipient.split()) or "Waylight",
        "link": message.link,
        "code": message.reply_code or "",
    }
    answering = replies and message.reply_code is not None
    values["reply"] = _filled(catalogue["reply"], values) if answering else ""

    def short(kinds_shown: int, name_limit: int) -> str:
        text = _filled(
            template["sms"],
            {
                **values,
                "kinds": _first(kinds, kinds_shown) or values["kinds"],
                "recipient": _cut(values["recipient"], name_limit),
            },
        )
        return gsm7(_on_one_line(text)) if is_gsm else _on_one_line(text)

    return Worded(
        template=name,
        version=template["version"],
        language=code,
        sms=_shortest_needed([short(*room) for room in ROOM]),
        subject=_on_one_line(_filled(template.get("subject", ""), values)),
        body=_filled(template.get("body", ""), values),
    )


def answers() -> Mapping[str, str]:
    """Each word that answers a message, of every language, and its step.

    The steps are `acknowledge` and `decline`.
    """
    return {
        word: step
        for catalogue in _catalogue().values()
        for step, words in catalogue["words"].items()
        for word in words
    }


def gsm7(text: str) -> str:
    """The text in letters of GSM-7: the nearest there is of each, else a question mark."""
    found = []
    for letter in text.translate(_NEAREST):
        plain = letter
        if letter not in _BASIC and letter not in _EXTENDED:
            plain = "".join(
                part
                for part in unicodedata.normalize("NFKD", letter)
                if not unicodedata.combining(part)
            )
        found += [one if one in _BASIC or one in _EXTENDED else "?" for one in plain]
    return "".join(found)


def segments(text: str) -> int:
    """How many short messages carry a text: 160 septets or 70 units of UCS-2, less in a chain."""
    if all(letter in _BASIC or letter in _EXTENDED for letter in text):
        size, single, chained = sum(1 + (letter in _EXTENDED) for letter in text), 160, 153
    else:
        size, single, chained = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if size <= single else -(-size // chained)


def _shortest_needed(texts: list[str]) -> str:
    for most in (1, 2):
        for text in texts:
            if segments(text) <= most:
                return text
    return texts[-1]


def _first(kinds: list[str], shown: int) -> str:
    more = f" (+{len(kinds) - shown})" if len(kinds) > shown else ""
    return ", ".join(kinds[:shown]) + more


def _cut(name: str, limit: int) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "."


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _filled(sentence: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), ""), sentence)


@cache
def _catalogue() -> Mapping[str, Mapping[str, Any]]:
    paths = sorted(FOLDER.glob("*.yaml"), key=lambda path: (path.stem != DEFAULT, path.stem))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}
