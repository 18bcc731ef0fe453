"""Every sentence Waylight says to a person, in the languages of data/texts/."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "data" / "texts"

DEFAULT = "en"

UNKNOWN = "\u2026"
"""Stands where a sentence has a placeholder and the caller has no value for it."""

SPOKEN_AS = {
    "mode": "modes",
    "capability": "capabilities",
    "group": "groups",
    "need": "needs",
    "role": "roles",
}
"""Placeholders whose values are codes, and the section that has the words for them."""

HEADER_LIMIT = 500
"""Characters of an Accept-Language header that are read: a hostile one must not cost time."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def languages() -> tuple[str, ...]:
    """Codes of all languages with texts, the default first. Raises nothing once loaded."""
    return tuple(_catalogue())


def reviewed(language: str) -> bool:
    """Whether a person who knows the subject has read the texts of a language."""
    return bool(_catalogue().get(language, {}).get("reviewed"))


def choose(accept_language: str | None, fallback: str | None) -> str:
    """The language to answer in: the caller's first choice that exists (RFC 9110, section 12.5.4).

    `fallback` is asked next, such as the language of the report itself, then English. A regional
    form matches its language; a malformed header is as good as none.
    """
    wishes = [*_wishes((accept_language or "")[:HEADER_LIMIT]), fallback or ""]
    for wish in wishes:
        language = wish.strip().lower().replace("_", "-").split("-")[0]
        if language in _catalogue():
            return language
    return DEFAULT


def say(section: str, code: str, language: str, params: Mapping[str, Any] | None = None) -> str:
    """The sentence of a code, its placeholders filled. Never raises.

    A code without a sentence in the language is said in English, and one without any is returned
    as it is; a placeholder without a value becomes an ellipsis.
    """
    sentence = _sentence(section, code, language)
    if sentence is None:
        return code
    values = params or {}

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        given = values.get(name)
        if given is None:
            return UNKNOWN
        word = str(given)
        return (name in SPOKEN_AS and _sentence(SPOKEN_AS[name], word, language)) or word

    return _PLACEHOLDER.sub(value, sentence)


def section(name: str, language: str) -> Mapping[str, str]:
    """All sentences of a section by code, in the language or else in English."""
    return {
        code: say(name, code, language) for code in _catalogue()[DEFAULT]["sections"].get(name, {})
    }


def _sentence(section: str, code: str, language: str) -> str | None:
    for chosen in (language, DEFAULT):
        sentence = _catalogue().get(chosen, {}).get("sections", {}).get(section, {}).get(code)
        if sentence is not None:
            return str(sentence)
    return None


def _wishes(header: str) -> list[str]:
    """The languages of an Accept-Language header, the most wanted first, without refused ones."""
    weighed = []
    for position, item in enumerate(header.split(",")):
        tag, _, parameter = item.partition(";")
        weight = 1.0
        if parameter.strip():
            try:
                weight = float(parameter.strip().removeprefix("q="))
            except ValueError:
                continue
        if tag.strip() and weight > 0:
            weighed.append((-weight, position, tag.strip()))
    return [tag for _, _, tag in sorted(weighed)]


@cache
def _catalogue() -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yaml"), key=lambda path: (path.stem != DEFAULT, path.stem)):
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
        sections = {name: value for name, value in text.items() if isinstance(value, dict)}
        found[text["language"]] = {"reviewed": text["reviewed"], "sections": sections}
    return found
