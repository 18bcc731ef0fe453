"""Text messages by Twilio's Messages resource, or by whoever speaks as it does."""

import requests

from waylight.channels.carried import Letter
from waylight.channels.http import Session, failure, object_of, timeouts
from waylight.domain.alerts import Outcome, Result

STATUS_PATH = "/v1/channels/twilio/status"

GONE = {21211: "no_such_number", 21610: "unsubscribed", 21614: "not_a_mobile"}
"""Errors that end all messages to a number (Twilio's error dictionary, 2025)."""

REFUSED = {21217: "no_such_number", 21612: "unreachable", 21617: "too_long"}


class Twilio:
    """Safe for several threads: each message has a session of its own."""

    name = "twilio"

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str,
        status_callback: str | None,
    ) -> None:
        self._url = f"{base_url}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._login = (account_sid, auth_token)
        self._from = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._callback = {"StatusCallback": status_callback} if status_callback else {}

    def carry(self, letter: Letter, *, within_s: float) -> Outcome:
        """Sends the short text."""
        form = {"To": letter.to, "Body": letter.worded.sms, **self._from, **self._callback}
        with Session() as session:
            response = session.post(
                self._url, data=form, auth=self._login, timeout=timeouts(within_s)
            )
        return _outcome(response)


def _outcome(response: requests.Response) -> Outcome:
    known = failure(response)
    if known is not None:
        return known
    said = object_of(response)
    code = said.get("code")
    if response.status_code in (200, 201) and said.get("sid"):
        return Outcome(Result.SENT, provider_ref=str(said["sid"]))
    if code in GONE:
        return Outcome(Result.GONE, GONE[code])
    if code in REFUSED:
        return Outcome(Result.REFUSED, REFUSED[code])
    # A sender that is not ours, a country that is switched off: ours to mend.
    is_code = isinstance(code, int)
    return Outcome(Result.FAILED, f"error_{code}" if is_code else f"http_{response.status_code}")
