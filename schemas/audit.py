"""The audit log on the wire: pages for people, NDJSON and CSV for programs. Ids and codes alone."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import orjson
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from schemas.common import Answer, Body, PageQuery, QueryInteger, Timestamp, WireId, list_of
from waylight.domain.audit import ACTIONS, Entry
from waylight.ids import wire_id

NDJSON = "application/x-ndjson"
CSV = "text/csv"
MOST_EXPORTED = 100_000
LINES_AT_ONCE = 200

EXPORTED = (
    "id",
    "at",
    "action",
    "actor",
    "key",
    "organisation",
    "report",
    "incident",
    "alert",
    "subject",
    "request_id",
    "role",
)
"""The columns of an export, in order."""


CALLED = {
    "account": "staff",
    "identity": "staff",
    "session": "staff",
    "identity_provider": "provider",
    "grant": "organisation",
    "escalation": "organisation",
    "routing": "organisation",
}
"""What an entry's subject is called everywhere else, where its action has another word for it."""


class _Filters(Body):
    """Which entries."""

    actor = WireId(
        "staff", load_default=None, metadata={"description": "Only what this person did."}
    )
    report = WireId(
        "report", load_default=None, metadata={"description": "Only what is about this report."}
    )
    action = fields.String(
        load_default=None,
        validate=validate.OneOf(ACTIONS, error="This must be one of: {choices}."),
        metadata={
            "description": "Only this, such as `report.read`.",
            "examples": ["report.read"],
        },
    )
    since = Timestamp(
        data_key="from",
        load_default=None,
        metadata={"description": "Only from this instant on."},
    )
    until = Timestamp(load_default=None, metadata={"description": "Only before this instant."})

    @validates_schema(skip_on_field_errors=True)
    def ends_after_it_begins(self, data: dict[str, Any], **_: Any) -> None:
        """Raises ValidationError for a time that is none."""
        if data["since"] and data["until"] and data["until"] <= data["since"]:
            raise ValidationError("This must be later than `from`.", "until")


class AuditQuery(_Filters, PageQuery):
    """Which entries to list."""


class AuditExportQuery(_Filters):
    """Which entries to export."""

    limit = QueryInteger(
        load_default=MOST_EXPORTED,
        validate=validate.Range(min=1, max=MOST_EXPORTED),
        metadata={"description": "How many at most, the newest."},
    )


class AuditActorOut(Schema):
    """A person of your organisation, as they are called now."""

    id = WireId("staff", required=True)
    name = fields.String(required=True)


class SubjectId(fields.Field[str]):
    """What else an entry is about: the id of an address, a webhook, a key."""

    _CHECK_ATTRIBUTE = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": ["string", "null"]}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **_: Any) -> str | None:
        return _subject(obj.entry)


class AuditEntryOut(Answer):
    """One look or act. It says which report was read and never what stands in it."""

    id = WireId("audit", attribute="entry.id", required=True)
    at = Timestamp(attribute="entry.at", required=True)
    action = fields.String(attribute="entry.action", required=True)
    actor = fields.Nested(
        AuditActorOut,
        required=True,
        allow_none=True,
        metadata={"description": "Null for a program, a passenger, and the command line."},
    )
    role = fields.String(
        attribute="entry.role",
        required=True,
        allow_none=True,
        metadata={
            "description": "By which roles that person did it then, with commas between; for a key"
            " the role it was made with."
        },
    )
    key = WireId("key", attribute="entry.key_id", required=True, allow_none=True)
    report = WireId("report", attribute="entry.report_id", required=True, allow_none=True)
    incident = WireId("incident", attribute="entry.incident_id", required=True, allow_none=True)
    alert = WireId("alert", attribute="entry.alert_id", required=True, allow_none=True)
    subject = SubjectId(required=True, allow_none=True)
    request_id = fields.String(attribute="entry.request_id", required=True, allow_none=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """The attribute of the entry or of what is said beside it."""
        name = attr.removeprefix("entry.")
        return getattr(obj if name == attr else obj.entry, name, default)


AuditEntryList = list_of(AuditEntryOut)


def ndjson(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Lines of JSON, many at a time."""
    for some in _many(entries):
        yield b"".join(orjson.dumps(dict(_row(entry))) + b"\n" for entry in some)


def as_csv(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Lines of CSV (RFC 4180) with a header, many at a time.

    Ids, codes and times alone: nothing in it begins a formula of a spreadsheet.
    """
    yield (",".join(EXPORTED) + "\r\n").encode()
    for some in _many(entries):
        text = io.StringIO()
        csv.writer(text).writerows([value for _, value in _row(entry)] for entry in some)
        yield text.getvalue().encode()


def _many(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    some = []
    for entry in entries:
        some.append(entry)
        if len(some) == LINES_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _row(entry: Entry) -> Iterator[tuple[str, str | None]]:
    ids: tuple[tuple[str, UUID | None], ...] = (
        ("staff", entry.staff_id),
        ("key", entry.key_id),
        ("organisation", entry.organisation_id),
        ("report", entry.report_id),
        ("incident", entry.incident_id),
        ("alert", entry.alert_id),
    )
    values = (
        wire_id("audit", entry.id),
        entry.at.isoformat().replace("+00:00", "Z"),
        entry.action,
        *(None if id is None else wire_id(prefix, id) for prefix, id in ids),
        _subject(entry),
        entry.request_id,
        entry.role,
    )
    return zip(EXPORTED, values, strict=True)


def _subject(entry: Entry) -> str | None:
    noun = entry.action.partition(".")[0]
    prefix = CALLED.get(noun, noun)
    return None if entry.subject_id is None else wire_id(prefix, entry.subject_id)
