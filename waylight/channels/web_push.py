"""Push messages to the browsers of staff (RFC 8030), encrypted (RFC 8291) and signed (RFC 8292).

The push service sees to which device, how urgent and how long, and nothing else: what is said is
encrypted for the device, always equally long, and holds no story and no place (design, D13).
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self
from uuid import UUID

import requests
from py_vapid import VapidException
from pywebpush import WebPusher, WebPushException
from urllib3.util import parse_url

from waylight.channels.guard import Guard, reason
from waylight.config import ConfigurationError, Settings
from waylight.domain.alerts import Message, Outcome, Result
from waylight.domain.push import PRIORITY_WORDS, URGENCY, kept_for_s
from waylight.vault import Vault, VaultError

PADDED_TO = 1024
"""Bytes of what is said, before it is encrypted; a longer link makes it a multiple. RFC 8291 lets a
push service refuse more than 3,993."""

TOTAL_S = 5.0
"""Seconds of one message, from the first look for the name of the push service to its answer. The
known ones take a tenth of one, and anybody on the staff may name another."""

SIGNED_FOR_S = 12 * 3600
"""How long a signature is good; RFC 8292 lets a push service refuse more than 24 hours."""

SIGNATURES = 256
"""Push services whose signatures are kept: there are a handful, but anybody may name one."""

LONGEST_WAIT_S = 3600.0
"""What a push service that is busy may ask for."""

TAKEN = (200, 201, 202, 204)
GONE = (404, 410)
NOT_OURS = (401, 403)


class WebPush:
    """The channel `web_push`. `sent` is all that anybody knows: no device confirms."""

    def __init__(
        self, vault: Vault, session: requests.Session, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._vault = vault
        self._session = session
        self._signatures = _Signatures(vault, clock)
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The channel as it is set up. Raises ConfigurationError for what it lacks."""
        problems = []
        if not settings.vapid_keys:
            problems.append(
                "WAYLIGHT_VAPID_KEYS is not set, and the channel web_push needs it: `waylight key"
                " vapid` makes one."
            )
        if settings.vapid_subject is None:
            problems.append(
                "WAYLIGHT_VAPID_SUBJECT is not set, and the channel web_push needs it:"
                " mailto:somebody@your.example."
            )
        if problems:
            raise ConfigurationError(problems)
        guard = Guard(loopback_ports=settings.allowed_loopback_ports, total_s=TOTAL_S)
        # What a push service says beside its status is for its own log.
        return cls(Vault(settings), guard.session(answer_bytes=0))

    def send(self, message: Message) -> Outcome:
        """Sends one message to one device: `sent`, `gone` when it has unsubscribed, or why not."""
        if message.target is None:
            return Outcome(Result.REFUSED, "address_unreadable")
        address = message.target.address
        try:
            answer = self._push(message, message.target.id, address)
        except VaultError:
            return Outcome(Result.FAILED, "vapid_key_missing")
        except requests.RequestException as error:
            return Outcome(Result.FAILED, reason(error))
        except (WebPushException, VapidException, ValueError, LookupError):
            # Keys or an origin that the libraries cannot use; what they say may hold the endpoint.
            return Outcome(Result.REFUSED, "subscription_unusable")
        if answer.status_code in NOT_OURS:
            self._signatures.forget(address["vapid"], _origin(address["endpoint"]))
        return self._outcome(answer)

    def _push(
        self, message: Message, device_id: UUID, address: Mapping[str, str]
    ) -> requests.Response:
        headers = {
            "Authorization": self._signatures.of(address["vapid"], _origin(address["endpoint"])),
            "Content-Type": "application/octet-stream",
            "TTL": str(kept_for_s(message.kind, message.priority)),
            "Urgency": URGENCY[message.priority],
        }
        if message.alert_id is not None:
            headers["Topic"] = self._topic(message.alert_id, device_id)
        keys = {"p256dh": address["p256dh"], "auth": address["auth"]}
        pusher = WebPusher(
            {"endpoint": address["endpoint"], "keys": keys}, requests_session=self._session
        )
        answer: requests.Response = pusher.send(said(message), headers)
        return answer

    def _outcome(self, answer: requests.Response) -> Outcome:
        status = answer.status_code
        if status in TAKEN:
            return Outcome(Result.SENT)
        if status in GONE:
            return Outcome(Result.GONE, f"push_gone_{status}")
        if status in NOT_OURS:
            return Outcome(Result.FAILED, f"vapid_refused_{status}")
        if status == 429 or status >= 500:
            wait = self._asked_for(answer.headers)
            return Outcome(Result.FAILED, f"push_service_{status}", retry_after_s=wait)
        return Outcome(Result.REFUSED, f"push_refused_{status}")

    def _asked_for(self, headers: Mapping[str, str]) -> float | None:
        """The seconds of Retry-After (RFC 9110, 10.2.3), an hour at most."""
        text = headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), LONGEST_WAIT_S)
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        wait = until - datetime.fromtimestamp(self._clock(), UTC)
        return min(max(wait.total_seconds(), 0.0), LONGEST_WAIT_S)

    def _topic(self, alert_id: UUID, device_id: UUID) -> str:
        """Under which a later message of an alert replaces the one that waits (RFC 8030, 5.4).

        Another for each device: a push service must not see that two of them are one team.
        """
        digest = self._vault.keyed_hash("push topic", alert_id.bytes + device_id.bytes)
        return base64.urlsafe_b64encode(digest[:24]).decode()


def said(message: Message) -> bytes:
    """What the device reads, as JSON with spaces at its end: of equal length for all messages."""
    text = json.dumps(
        {
            "version": 1,
            "id": str(message.delivery_id),
            "type": ("exercise." if message.exercise else "") + message.kind,
            "exercise": message.exercise,
            "priority": PRIORITY_WORDS[message.priority],
            "alert": message.link.rpartition("/")[2] or None,
            "link": message.link or None,
        },
        separators=(",", ":"),
    ).encode()
    return text.ljust(-(-len(text) // PADDED_TO) * PADDED_TO)


class _Signatures:
    """One signature for each push service and key, made anew when half its time is over."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def of(self, public_key: str, audience: str) -> str:
        """The header `Authorization`. Raises VaultError without the key."""
        now = self._clock()
        with self._lock:
            signature, made_at = self._kept.get((public_key, audience), ("", 0.0))
        # A clock that was set back would make an old signature good for too long.
        if signature and made_at <= now < made_at + SIGNED_FOR_S / 2:
            return signature
        signature = self._vault.push_authorization(
            public_key, audience=audience, expires_at=int(now) + SIGNED_FOR_S
        )
        with self._lock:
            self._kept.pop((public_key, audience), None)
            while len(self._kept) >= SIGNATURES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[public_key, audience] = (signature, now)
        return signature

    def forget(self, public_key: str, audience: str) -> None:
        """Lets go of a signature that was refused."""
        with self._lock:
            self._kept.pop((public_key, audience), None)


def _origin(endpoint: str) -> str:
    url = parse_url(endpoint)
    default = {"https": 443, "http": 80}[url.scheme or "https"]
    port = "" if url.port in (None, default) else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}"
