"""The live stream on the wire (Server-Sent Events), and the tickets by which a page opens it."""

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import Schema, fields, pre_load, validate

from schemas.common import Body, Timestamp, WireId
from schemas.events import envelope
from waylight.domain.events import VERSION, PublicEvent
from waylight.domain.stream import TICKET_S

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": heartbeat\n\n"
OPEN = "stream.open"
RESET = "stream.reset"
PLACE = "stream.place"
CLOSING = "stream.closing"

LONGEST_ID = 128


class StreamQuery(Body):
    """What the stream is about, and where it goes on."""

    team = WireId(
        "team",
        load_default=None,
        metadata={"description": "Only this team's; otherwise all that you may know of."},
    )
    last_event_id = fields.String(
        load_default=None,
        validate=validate.Length(max=LONGEST_ID),
        metadata={
            "description": "The last `id` that you have, for clients that cannot send it as"
            " `Last-Event-ID`. The header counts where both are there."
        },
    )

    @pre_load
    def leave_ticket(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """A ticket says who calls; it has been read by now."""
        return {name: value for name, value in data.items() if name != "ticket"}


class TicketIn(Body):
    """What the stream is to be about."""

    team = WireId(
        "team",
        load_default=None,
        allow_none=True,
        metadata={"description": "Only this team's; otherwise all that you may know of."},
    )

    example = {"team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d"}


class TicketOut(Schema):
    """Opens the stream once, within half a minute, as you. Keep it nowhere."""

    ticket = fields.String(required=True)
    url = fields.String(
        required=True, metadata={"format": "uri", "description": "What to open: it is in there."}
    )
    expires_at = Timestamp(required=True)
    expires_in_s = fields.Constant(
        TICKET_S, required=True, metadata={"type": "integer", "examples": [TICKET_S]}
    )

    example = {
        "ticket": "waylight_st_T0tallyMadeUpTicketThatOpensNothingAtAll000",
        "url": "https://waylight.example/v1/alerts/stream?ticket=waylight_st_T0tallyMadeUp...",
        "expires_at": "2026-11-21T23:53:11Z",
        "expires_in_s": TICKET_S,
    }


def event_block(event: PublicEvent, *, base_url: str) -> bytes:
    """An event as it stands in the stream."""
    told = envelope(event, base_url=base_url)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        told["id"].encode(),
        event.type.encode(),
        orjson.dumps(told),
    )


def stream_block(
    kind: str, *, id: str | None = None, retry_ms: int | None = None, **said: Any
) -> bytes:
    """An event about the stream itself. An `id` is where a client goes on that comes back."""
    first = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    place = b"" if id is None else b"id: %b\n" % id.encode()
    data = orjson.dumps({"type": kind, "version": VERSION, **said})
    return b"%b%bevent: %b\ndata: %b\n\n" % (first, place, kind.encode(), data)
