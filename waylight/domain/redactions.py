"""Redacting: what is hidden of a text, by place or as a whole. The original is never touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waylight.domain.errors import InvalidRequest, Problem

FIELDS = ("narrative", "description_of_person", "location_description")
"""The texts of a report that can be redacted."""

HIDDEN = "█"
"""Stands for each character that is hidden, so that the places of the others stay as they were."""


@dataclass(frozen=True)
class Redaction:
    """A redaction that was made."""

    id: UUID
    report_id: UUID
    field: str
    at: datetime


def sealed_as(redaction_id: UUID) -> str:
    """The name under which a redacted text is sealed with its report's key."""
    return f"redaction {redaction_id}"


def redacted(text: str, ranges: Sequence[tuple[int, int]]) -> str:
    """The text with each range (from a character, up to but without another) hidden.

    Counted in Unicode code points of the text as it is shown. Raises InvalidRequest for a range
    that does not lie in it.
    """
    problems = [
        Problem(
            f"/ranges/{n}",
            "not_in_the_text",
            f"This must be [from, to] with 0 <= from < to <= {len(text)}.",
        )
        for n, (start, end) in enumerate(ranges)
        if not 0 <= start < end <= len(text)
    ]
    if problems:
        raise InvalidRequest(problems=problems)
    hidden = {at for start, end in ranges for at in range(start, end)}
    return "".join(HIDDEN if at in hidden else letter for at, letter in enumerate(text))
