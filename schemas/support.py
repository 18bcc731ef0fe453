"""Notes of support workers on the wire."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import Answer, Timestamp, WireId
from schemas.incidents import NoteIn


class SupportNoteIn(NoteIn):
    """A note: free text, sealed by a key of its case, never changed."""

    example = {"text": "Would like to be called after 18:00."}


class SupportNoteOut(Answer):
    """A note of a support worker."""

    id = WireId("note", required=True)
    at = Timestamp(required=True)
    by = fields.String(
        required=True, allow_none=True, metadata={"description": "A colleague, by name."}
    )
    text = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Null when its key cannot be opened."},
    )


class SupportNotesOut(Schema):
    """The notes of your support service about a report, oldest first: the newest 200."""

    items = fields.List(fields.Nested(SupportNoteOut), required=True)

    example: Any = {
        "items": [
            {
                "id": "note_01jdw2s4x0e6qv3t8k5n7b9c1d",
                "at": "2026-11-22T09:12:44Z",
                "by": "Noor Demo",
                "text": "Would like to be called after 18:00.",
            }
        ]
    }
