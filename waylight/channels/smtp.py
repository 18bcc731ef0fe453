"""E-mail by a mail server of the operator's choice (RFC 5321). It has no receipts."""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime

from waylight.channels.carried import Letter
from waylight.domain.alerts import Outcome, Result

NO_SUCH_MAILBOX = (b"5.1.1", b"5.1.10", b"5.2.1")
"""Enhanced status codes of a mailbox that does not exist or is closed (RFC 3463, RFC 7505)."""


class Smtp:
    """Safe for several threads: each message has a connection of its own."""

    name = "smtp"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: str,
        user: str | None,
        password: str | None,
        sender: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._security = host, port, security
        self._user, self._password, self._sender = user, password, sender
        self._domain = sender.rpartition("@")[2]
        self._tls = tls or ssl.create_default_context()

    def carry(self, letter: Letter, *, within_s: float) -> Outcome:
        """Hands the message to the server; `sent` once the server has answered for it."""
        mail = self._mail(letter)
        try:
            with self._connected(within_s) as server:
                if self._security == "starttls":
                    server.starttls(context=self._tls)
                if self._user:
                    server.login(self._user, self._password or "")
                return self._hand_over(server, mail)
        except smtplib.SMTPAuthenticationError:
            return Outcome(Result.FAILED, "login_refused")
        except smtplib.SMTPNotSupportedError:
            return Outcome(Result.FAILED, "no_starttls")
        except smtplib.SMTPResponseException as error:
            return Outcome(Result.FAILED, f"smtp_{error.smtp_code}")
        except (smtplib.SMTPException, OSError) as error:
            return Outcome(Result.FAILED, type(error).__name__)

    def _connected(self, within_s: float) -> smtplib.SMTP:
        # The name of this machine is nobody's business, and looking it up may hang.
        if self._security == "tls":
            return _TlsServer(
                self._host, self._port, self._domain, timeout=within_s, context=self._tls
            )
        return _Server(self._host, self._port, self._domain, timeout=within_s)

    def _hand_over(self, server: smtplib.SMTP, mail: EmailMessage) -> Outcome:
        try:
            server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            ((code, text),) = error.recipients.values()
            return _refused(code, text)
        return Outcome(Result.SENT, provider_ref=str(mail["Message-ID"]))

    def _mail(self, letter: Letter) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = letter.to
        mail["Subject"] = letter.worded.subject
        mail["Date"] = format_datetime(localtime())
        # The same at every attempt: a mailbox that got it twice can tell.
        mail["Message-ID"] = f"<delivery-{letter.message.delivery_id.hex}@{self._domain}>"
        # No holiday notice comes back (RFC 3834, 5).
        mail["Auto-Submitted"] = "auto-generated"
        if letter.message.priority == 1:
            mail["Importance"] = "high"
        mail.set_content(letter.worded.body)
        mail["Content-Language"] = letter.worded.language
        return mail


def _refused(code: int, text: bytes) -> Outcome:
    if code < 500:
        # Greylisting, a full mailbox.
        return Outcome(Result.FAILED, f"smtp_{code}")
    if text.startswith(NO_SUCH_MAILBOX):
        return Outcome(Result.GONE, "no_such_mailbox")
    return Outcome(Result.REFUSED, f"smtp_{code}")


class _Server(smtplib.SMTP):
    """Leaves politely, and minds nothing then: what the server took it has taken."""

    def __exit__(self, *_: object) -> None:
        with suppress(smtplib.SMTPException, OSError):
            self.docmd("QUIT")
        self.close()


class _TlsServer(_Server, smtplib.SMTP_SSL):
    """The same, with TLS from the first byte."""
