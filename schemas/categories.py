"""The words of a report on the wire, with their names in the caller's language."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import LANGUAGE, Said
from waylight import texts
from waylight.domain.categories import CATEGORIES, GROUPS, SEVERITIES
from waylight.domain.reports import Need


class CategoryOut(Schema):
    """Something that may be reported."""

    code = fields.String(required=True, metadata={"enum": list(CATEGORIES)})
    name = Said("categories", required=True)
    group = fields.String(required=True, metadata={"enum": list(GROUPS)})
    severity = fields.String(
        required=True,
        metadata={
            "enum": list(SEVERITIES),
            "description": "CAP 1.2; the least it is taken for: answers can raise it.",
        },
    )
    listed = fields.Boolean(
        required=True,
        metadata={"description": "Whether a single report of it may ever be public."},
    )
    elsewhere = fields.String(
        required=True, metadata={"description": "The nearest terms of other taxonomies."}
    )

    example = {
        "code": "being_followed",
        "name": "Being followed",
        "group": "pursuit",
        "severity": "Severe",
        "listed": False,
        "elsewhere": "TfL following",
    }


class WordOut(Schema):
    """A code and its name."""

    code = fields.String(required=True)
    name = fields.String(required=True)


class Categories(Schema):
    """Everything that a report may name, for a form in the caller's language."""

    language = fields.String(required=True)
    items = fields.List(fields.Nested(CategoryOut), required=True)
    groups = fields.List(fields.Nested(WordOut), required=True)
    needs = fields.List(fields.Nested(WordOut), required=True)


def vocabulary() -> dict[str, Any]:
    """The category table, the groups and the needs, named in the caller's language."""
    return {
        "language": LANGUAGE.get(),
        "items": list(CATEGORIES.values()),
        "groups": _named("groups", GROUPS),
        "needs": _named("needs", tuple(Need)),
    }


def _named(section: str, codes: tuple[str, ...]) -> list[dict[str, str]]:
    language = LANGUAGE.get()
    return [
        {"code": str(code), "name": texts.say(section, str(code), language, {})} for code in codes
    ]
