"""Events to endpoints of partners, signed as Standard Webhooks 1.0 has it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import UUID

import requests
from standardwebhooks import Webhook as Signer

from waylight.channels.guard import TOTAL_S, Guard, reason
from waylight.config import Settings
from waylight.domain.alerts import Message, Outcome, Result
from waylight.domain.webhooks import RETRY_AFTER_CAP_S
from waylight.ids import wire_id

USER_AGENT = "Waylight-Webhooks/1"


class Webhooks:
    """Posts the event of a message to its endpoint, signed by every secret that is alive.

    A 2xx is `delivered`, for the far side has confirmed it; 410 is `gone`; everything else may
    work later, a redirect too, which is never followed.
    """

    def __init__(
        self, guard: Guard, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        # Nothing an endpoint says beside its status is used.
        self._session = guard.session(answer_bytes=0)
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> "Webhooks":
        """As the settings have it; a call ends within half a lease."""
        return cls(
            Guard(
                loopback_ports=settings.allowed_loopback_ports,
                total_s=min(TOTAL_S, settings.lease_s / 2),
            )
        )

    def send(self, message: Message) -> Outcome:
        """Makes one attempt."""
        if message.target is None or message.event_id is None:
            return Outcome(Result.REFUSED, "address_unreadable")
        if message.body is None:
            return Outcome(Result.REFUSED, "no_longer_concerned")
        to, now = message.target.address, self._clock()
        headers = signed(message.event_id, message.body, to["secrets"], now=now)
        try:
            answer = self._session.post(to["url"], data=message.body, headers=headers)
        except requests.RequestException as error:
            return Outcome(Result.FAILED, reason(error))
        return _outcome(answer, now=now)


def signed(event_id: UUID, body: bytes, secrets: Sequence[str], *, now: datetime) -> dict[str, str]:
    """The headers of one attempt. The id is the event's: the same in every attempt and replay.

    The library signs the clock's face for the moment and knows one secret: it is given UTC, and
    asked once for each.
    """
    moment = datetime.fromtimestamp(int(now.timestamp()), UTC)
    event = wire_id("event", event_id)
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": event,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(
            Signer(secret).sign(event, moment, text) for secret in secrets
        ),
    }


def _outcome(answer: requests.Response, *, now: datetime) -> Outcome:
    detail = f"http_{answer.status_code}"
    if 200 <= answer.status_code < 300:
        return Outcome(Result.DELIVERED, detail)
    if answer.status_code == 410:
        return Outcome(Result.GONE, detail)
    return Outcome(
        Result.FAILED, detail, retry_after_s=retry_after(answer.headers.get("Retry-After"), now=now)
    )


def retry_after(text: str | None, *, now: datetime) -> float | None:
    """The seconds that a `Retry-After` asks for (RFC 9110), at most a day; None if unfit."""
    given = (text or "").strip()
    if given.isascii() and given.isdigit():
        return min(float(given[:9]), RETRY_AFTER_CAP_S)
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - now) / timedelta(seconds=1), 0.0), RETRY_AFTER_CAP_S)
