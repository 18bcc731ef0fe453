"""How we know that a provider of messages is calling: by its token, or by its signature.

Whoever could forge a receipt could say that a message arrived, or that a team is coming.
"""

import base64
import hmac
from collections.abc import Iterable
from hashlib import sha1
from typing import Protocol
from urllib.parse import urlsplit

from flask import request

from api.wire.context import waylight
from api.wire.json import form_of
from waylight.domain.principals import Kind, Principal

LARGEST = 16_384
"""Bytes of what a provider sends: a receipt has hundreds, the longest text 1,600 letters."""


class Provider(Protocol):
    """How the calls of one provider are recognised; `scheme` is what the document calls that."""

    scheme: str

    def identify(self) -> Principal | None:
        """The provider; None where the call is not its own, or it is not set up."""
        ...


class NotifyToken:
    """GOV.UK Notify sends the bearer token that was typed into its settings."""

    scheme = "providerToken"

    def identify(self) -> Principal | None:
        """Notify, where the token is the one that was set."""
        request.max_content_length = LARGEST
        expected = waylight().settings.notify_callback_token
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not expected or scheme.lower() != "bearer":
            return None
        if not hmac.compare_digest(given.strip().encode(), expected.encode()):
            return None
        return Principal(kind=Kind.PROVIDER, name="notify")


class TwilioSignature:
    """Twilio signs the address it calls and the form it sends (HMAC-SHA1 under the auth token)."""

    scheme = "twilioSignature"

    def identify(self) -> Principal | None:
        """Twilio, where the signature is right for this address as the public knows it."""
        request.max_content_length = LARGEST
        settings = waylight().settings
        given = request.headers.get("X-Twilio-Signature", "")
        if not settings.twilio_auth_token or not given:
            return None
        pairs = [(name, value) for name, values in form_of(request).lists() for value in values]
        query = request.query_string.decode("latin-1")
        path = request.path + (f"?{query}" if query else "")
        right = (
            hmac.compare_digest(
                twilio_signature(settings.twilio_auth_token, base + path, pairs).encode(),
                given.encode(),
            )
            for base in _spellings(settings.base_url)
        )
        # Every spelling is compared, whichever fits.
        return Principal(kind=Kind.PROVIDER, name="twilio") if any(list(right)) else None


def twilio_signature(token: str, address: str, form: Iterable[tuple[str, str]]) -> str:
    """What Twilio puts into `X-Twilio-Signature` (its security documentation, 2025)."""
    signed = address + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), sha1)).decode()


def _spellings(base_url: str) -> tuple[str, ...]:
    """The address with and without the port that goes without saying: Twilio does either."""
    parts = urlsplit(base_url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if parts.port is None:
        return base_url, f"{parts.scheme}://{parts.netloc}:{usual}{parts.path}"
    if parts.port == usual:
        return base_url, f"{parts.scheme}://{parts.netloc.rpartition(':')[0]}{parts.path}"
    return (base_url,)
