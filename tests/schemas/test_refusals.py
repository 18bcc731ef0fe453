"""What a schema says of a value that it refuses."""

from typing import Any

import pytest
from marshmallow import class_registry, fields, validate

import api.app  # noqa: F401 - every schema there is
from schemas.hubs import OverrideIn
from schemas.incidents import NoteIn
from schemas.organisations import OrganisationContactIn


def validators(field):
    yield from field.validators
    if isinstance(field, fields.List):
        yield from validators(field.inner)


def test_every_pattern_says_in_words_what_it_takes():
    silent, seen = set(), 0
    registry: dict[str, Any] = dict(class_registry._registry)
    for name, found in registry.items():
        for schema in found if isinstance(found, list) else ():
            for field, declared in schema._declared_fields.items():
                for one in validators(declared):
                    if isinstance(one, validate.Regexp):
                        seen += 1
                        if one.error == one.default_message:
                            silent.add((name, field, str(one.regex.pattern)))
    assert seen > 10
    assert silent == set()


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (OrganisationContactIn, {"phone": "call me"}),
        (OrganisationContactIn, {"sms": ""}),
        (OrganisationContactIn, {"url": "http://organisation.example"}),
        (OrganisationContactIn, {"url": "https://organisation.example/" + "x" * 300}),
        (NoteIn, {"text": ""}),
        (OverrideIn, {"status": "closed", "reason": ""}),
    ],
)
def test_one_fault_of_a_field_is_one_readable_line(schema, body):
    (lines,) = schema().validate(body).values()
    (line,) = lines
    assert line.endswith(".")
    assert "pattern" not in line
    assert "between" not in line
