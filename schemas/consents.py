"""Consent on the wire: whom a passenger lets read their report."""

from typing import Any

from marshmallow import Schema, fields

from schemas.common import Answer, Codes, Said, Timestamp, WireId, list_of
from waylight.domain.reports import ShareWith

RECIPIENTS = [word.value for word in ShareWith]


class ConsentReasonOut(Answer):
    """Why, as a code and its sentence in the caller's language."""

    code = fields.String(required=True)
    text = Said("consents", required=True)


class ReaderOut(Answer):
    """The one organisation that this consent is for, and why that one."""

    id = WireId("organisation", required=True)
    name = fields.String(required=True)
    reason = fields.Nested(ConsentReasonOut, required=True)


class ConsentOut(Answer):
    """Consent towards one recipient."""

    recipient = fields.String(required=True, metadata={"enum": RECIPIENTS})
    organisation = fields.Nested(ReaderOut, attribute="reader", required=True, allow_none=True)
    given_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Since when it holds; null where none is given."},
    )
    unavailable = fields.Nested(
        ConsentReasonOut,
        required=True,
        allow_none=True,
        metadata={"description": "Why it cannot be given; null where it can, or is."},
    )
    still_reads = fields.List(
        fields.Nested(ConsentReasonOut),
        required=True,
        metadata={
            "description": "Why the organisation reads the report also without this consent:"
            " withdrawing it does not change that. Say so before the person decides."
        },
    )


class PeriodOut(Answer):
    """A time in which consent held."""

    recipient = fields.String(required=True, metadata={"enum": RECIPIENTS})
    organisation = fields.String(required=True)
    given_at = Timestamp(required=True)
    withdrawn_at = Timestamp(required=True, allow_none=True)


class ConsentsOut(Schema):
    """Whom the passenger lets read the report, could let read it, and let read it before."""

    items = fields.List(fields.Nested(ConsentOut), required=True)
    history = fields.List(fields.Nested(PeriodOut), required=True)

    example: Any = {
        "items": [
            {
                "recipient": "police",
                "organisation": {
                    "id": "organisation_01jdw2s4x0e6qv3t8k5n7b9c1d",
                    "name": "British Transport Police",
                    "reason": {
                        "code": "whose_job",
                        "text": "Reports from there are this organisation's job.",
                    },
                },
                "given_at": "2026-11-22T08:15:03Z",
                "unavailable": None,
                "still_reads": [],
            }
        ],
        "history": [
            {
                "recipient": "police",
                "organisation": "British Transport Police",
                "given_at": "2026-11-22T08:15:03Z",
                "withdrawn_at": None,
            }
        ],
    }


class SharedReportOut(Answer):
    """One line of the reports that passengers let your organisation read."""

    id = WireId("report", required=True)
    given_at = Timestamp(required=True, metadata={"description": "Since when you may read it."})
    received_at = Timestamp(required=True)
    categories = Codes(required=True)
    mode = fields.String(required=True, allow_none=True)
    priority = fields.Integer(required=True, metadata={"minimum": 1, "maximum": 4})
    exercise = fields.Boolean(required=True)


SharedReportList = list_of(SharedReportOut)
