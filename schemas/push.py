"""Devices that get push messages, on the wire."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from schemas.alerts import HubRefOut, TeamRefOut
from schemas.common import Answer, Body, Name, Timestamp, WireId, list_of, strict_number
from waylight.domain import names
from waylight.domain.endpoints import LENGTH
from waylight.domain.push import NewDevice

POINT_BYTES = 65
SECRET_BYTES = 16
LAST_MS = 253_402_300_799_000
"""The last second of the year 9999."""

PUBLIC_KEY = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
"""The example of RFC 8291, Appendix A."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}", re.ASCII)


class Bytes(fields.Field[bytes]):
    """So many bytes in base64url, as browsers write them: with or without padding."""

    def __init__(self, length: int, **kwargs: Any) -> None:
        self.length = length
        symbols = -(-length * 8 // 6)
        metadata = {
            "type": "string",
            "pattern": f"^[A-Za-z0-9_-]{{{symbols}}}=*$",
            "maxLength": symbols + 2,
            **kwargs.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bytes:
        text = value if isinstance(value, str) else ""
        if len(text) <= 2 * self.length and _BASE64URL.fullmatch(text):
            bare = text.rstrip("=")
            try:
                found = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
            except ValueError:
                found = b""
            if len(found) == self.length:
                return found
        raise ValidationError(f"This must be {self.length} bytes in base64url.")


class Milliseconds(fields.Field[datetime]):
    """An instant as browsers write it: milliseconds since 1970."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime:
        try:
            milliseconds = strict_number(value)
        except (TypeError, ValueError):
            milliseconds = -1.0
        if not 0 <= milliseconds <= LAST_MS:
            raise ValidationError("This must be milliseconds since 1970, or null.")
        return datetime.fromtimestamp(milliseconds / 1000, UTC)


class DeviceName(Name):
    """A name that phones write themselves: nobody goes without alerts for what is put around it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        given = names.without_format(value) if isinstance(value, str) else value
        return super()._deserialize(given, attr, data, **kwargs)


class SubscriptionKeysIn(Schema):
    """What a browser made for this subscription alone. Others than these two are ignored."""

    class Meta:
        unknown = EXCLUDE

    p256dh = Bytes(
        POINT_BYTES,
        required=True,
        metadata={"description": "Its public key: a point of P-256, uncompressed."},
    )
    auth = Bytes(SECRET_BYTES, required=True, metadata={"description": "Its shared secret."})


class DeviceIn(Body):
    """What `PushSubscription.toJSON()` gives in a browser, and for which team or hub."""

    endpoint = fields.String(
        required=True,
        validate=validate.Length(max=LENGTH),
        metadata={"format": "uri", "description": "Where its push service takes messages."},
    )
    expirationTime = Milliseconds(  # noqa: N815 - the browser's name
        load_default=None,
        allow_none=True,
        metadata={
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": LAST_MS,
            "description": "When the subscription ends, in milliseconds since 1970; mostly null.",
        },
    )
    keys = fields.Nested(SubscriptionKeysIn, required=True)
    team = WireId(
        "team",
        load_default=None,
        metadata={"description": "A team of yours; or a hub, one of the two."},
    )
    hub = WireId("hub", load_default=None, metadata={"description": "A hub of yours."})
    name = DeviceName(
        most=80, required=True, metadata={"description": "What you call this device."}
    )
    application_server_key = Bytes(
        POINT_BYTES,
        load_default=None,
        metadata={
            "description": "The key it subscribed with, `subscription.options."
            "applicationServerKey`. Left out: the one it had, for a new device that of"
            " GET /v1/push/key."
        },
    )

    example: Any = {
        "endpoint": "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
        "expirationTime": None,
        "keys": {"p256dh": PUBLIC_KEY, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
        "team": "team_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "name": "Robin's phone",
    }

    @post_load
    def _device(self, data: dict[str, Any], **_: Any) -> NewDevice:
        stated = data["application_server_key"]
        return NewDevice(
            endpoint=data["endpoint"],
            p256dh=data["keys"]["p256dh"],
            auth=data["keys"]["auth"],
            name=data["name"],
            team_id=data["team"],
            hub_id=data["hub"],
            expires_at=data["expirationTime"],
            public_key=stated and base64.urlsafe_b64encode(stated).decode().rstrip("="),
        )


class PushKeyOut(Schema):
    """The key that browsers subscribe with."""

    public_key = fields.String(
        required=True,
        metadata={"description": "For `applicationServerKey` (RFC 8292): base64url."},
    )

    example = {"public_key": PUBLIC_KEY}


class DeviceOut(Answer):
    """A device of yours. Where it is reached, and its keys, are not told again."""

    id = WireId("device", required=True)
    name = fields.String(required=True)
    team = fields.Nested(TeamRefOut, required=True, allow_none=True)
    hub = fields.Nested(HubRefOut, required=True, allow_none=True)
    created_at = Timestamp(required=True)
    last_sent_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When its push service last took a message, to a minute or so."},
    )
    expires_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "When the subscription ends, or the key you signed in with."},
    )
    renew = fields.Boolean(
        required=True,
        metadata={
            "description": "It subscribed with a key that is being retired: unsubscribe in the"
            " browser, and subscribe again with that of GET /v1/push/key."
        },
    )
    rests_until = Timestamp(
        required=True,
        allow_none=True,
        metadata={
            "description": "Its push service did not answer in time again and again: nothing is"
            " sent to it before. Subscribe again to end that."
        },
    )

    example: Any = {
        "id": "device_01jdw2s4x0e6qv3t8k5n7b9c1d",
        "name": "Robin's phone",
        "team": {"id": "team_01jdw2s4x0e6qv3t8k5n7b9c1d", "name": "Camden rail response (demo)"},
        "hub": None,
        "created_at": "2026-11-21T18:00:12Z",
        "last_sent_at": "2026-11-21T23:52:41Z",
        "expires_at": None,
        "renew": False,
        "rests_until": None,
    }


DeviceList = list_of(DeviceOut)
