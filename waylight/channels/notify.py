"""GOV.UK Notify: text messages and e-mail, by its official client."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Any, Literal

import requests
from notifications_python_client.notifications import NotificationsAPIClient

from waylight.channels.carried import Letter
from waylight.channels.http import Session, failure, object_of, timeouts
from waylight.domain.alerts import Outcome, Result

ADDRESS_FIELDS = ("phone_number", "email_address")
"""What begins the message of an error about the address."""


class _Client(NotificationsAPIClient):
    """The official client; it logs what the API says, which may quote the address. This one not."""

    def __init__(self, api_key: str, base_url: str) -> None:
        super().__init__(api_key, base_url=base_url)  # type: ignore[no-untyped-call] # published without types
        self.request_session = Session()

    def _perform_request(self, method: str, url: str, kwargs: dict[str, Any]) -> requests.Response:
        return self.request_session.request(method, url, **kwargs)

    def _process_json_response(self, response: requests.Response) -> requests.Response:
        return response


class Notify:
    """One kind of message by GOV.UK Notify. Safe for several threads."""

    name = "notify"

    def __init__(
        self,
        kind: Literal["sms", "email"],
        *,
        api_key: str,
        base_url: str,
        templates: Mapping[str, str],
    ) -> None:
        self._kind = kind
        self._api_key, self._base_url = api_key, base_url
        self._templates = templates
        # The client is for one thread at a time; a kept one has its connection still open.
        self._idle: LifoQueue[_Client] = LifoQueue()

    def carry(self, letter: Letter, *, within_s: float) -> Outcome:
        """Sends by the template that fits best; the delivery's id is its reference there."""
        template = template_for(
            self._templates, self._kind, letter.worded.template, letter.worded.language
        )
        if template is None:
            return Outcome(Result.FAILED, "no_template")
        with self._client() as client:
            client.timeout = timeouts(within_s)
            given = {
                "template_id": template,
                "personalisation": _placeholders(letter),
                "reference": str(letter.message.delivery_id),
            }
            response: requests.Response = (
                client.send_sms_notification(phone_number=letter.to, **given)  # type: ignore[no-untyped-call] # the same
                if self._kind == "sms"
                else client.send_email_notification(email_address=letter.to, **given)  # type: ignore[no-untyped-call] # the same
            )
        return _outcome(response)

    @contextmanager
    def _client(self) -> Iterator[_Client]:
        try:
            client = self._idle.get_nowait()
        except Empty:
            client = _Client(self._api_key, self._base_url)
        yield client
        # One that failed is not kept: nobody knows what its connection would say next.
        self._idle.put(client)


def template_for(
    templates: Mapping[str, str], kind: str, message: str, language: str
) -> str | None:
    """The template set for a message in a language, else for either, else for all of its kind."""
    for name in (
        f"{kind}.{message}.{language}",
        f"{kind}.{message}",
        f"{kind}.{language}",
        kind,
    ):
        if name in templates:
            return templates[name]
    return None


def _placeholders(letter: Letter) -> dict[str, str]:
    """All that a template may use; Notify leaves out what it does not ask for."""
    message, worded = letter.message, letter.worded
    return {
        "text": worded.sms,
        "subject": worded.subject,
        "body": worded.body,
        "link": message.link,
        "recipient": message.recipient,
        "code": message.reply_code or "",
    }


def _outcome(response: requests.Response) -> Outcome:
    known = failure(response)
    if known is not None:
        return known
    said = object_of(response)
    if response.status_code == 201 and said.get("id"):
        return Outcome(Result.SENT, provider_ref=str(said["id"]))
    if response.status_code == 400 and _is_about_the_address(said):
        return Outcome(Result.REFUSED, "address_refused")
    # A template that lacks a placeholder, a key of a trial account: ours to mend, and not the
    # address's fault.
    return Outcome(Result.FAILED, f"http_{response.status_code}")


def _is_about_the_address(said: Mapping[str, Any]) -> bool:
    errors = said.get("errors")
    return isinstance(errors, list) and any(
        isinstance(error, dict)
        and error.get("error") == "ValidationError"
        and str(error.get("message", "")).startswith(ADDRESS_FIELDS)
        for error in errors
    )
