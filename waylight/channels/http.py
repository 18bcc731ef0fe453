"""What the providers that speak HTTP have in common."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from waylight.domain.alerts import Outcome, Result

CONNECT_S = 5.0
LONGEST_WAIT_S = 600.0
LARGEST_ANSWER = 65_536


class Session(requests.Session):
    """A session that follows no redirect and believes no .netrc.

    The base URL is the operator's own; what a provider answers is not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def resolve_redirects(self, *_args: object, **_kwargs: object) -> Iterator[requests.Response]:
        """None."""
        return iter(())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401 - as requests declares it
        """As requests does it, with only so much of an answer."""
        response = super().send(request, **kwargs | {"stream": True})
        body = b""
        with response:
            for part in response.iter_content(8192):
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise requests.exceptions.ContentDecodingError("the answer is too large")
        response._content = body  # noqa: SLF001 - where requests itself keeps what it has read
        return response


def timeouts(within_s: float) -> tuple[float, float]:
    """How long connecting may take, and each read."""
    return min(CONNECT_S, within_s), within_s


def failure(response: requests.Response) -> Outcome | None:
    """What every provider means by these statuses; None for one that it explains itself."""
    status = response.status_code
    if status == 429 or status >= 500:
        return Outcome(
            Result.FAILED,
            "busy" if status == 429 else f"http_{status}",
            retry_after_s=retry_after_s(response.headers.get("Retry-After")),
        )
    if status in (401, 403):
        return Outcome(Result.FAILED, "key_refused")
    if status < 200 or 300 <= status < 400:
        return Outcome(Result.FAILED, f"http_{status}")
    return None


def object_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object that a provider answered; an empty one for anything else."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def retry_after_s(text: str | None) -> float | None:
    """The seconds of a `Retry-After` (RFC 9110, 10.2.3), at most ten minutes; None without one."""
    if not text:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        wait_s = (aware - datetime.now(UTC)).total_seconds()
    return min(wait_s, LONGEST_WAIT_S) if wait_s > 0 else None
