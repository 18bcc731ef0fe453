"""The channels `sms` and `email` with the providers that the settings name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from waylight.channels.carried import Carried, Carrier
from waylight.channels.notify import Notify
from waylight.channels.smtp import Smtp
from waylight.channels.twilio import STATUS_PATH, Twilio
from waylight.config import ConfigurationError, Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def open_sms(settings: Settings) -> Carried:
    """Text messages. Raises ConfigurationError with every setting that is missing."""
    carriers = _opened(
        "SMS",
        settings.sms_providers,
        {
            "notify": lambda: _notify("sms", settings),
            "twilio": lambda: _twilio(settings),
        },
    )
    return Carried(carriers, field="number", lease_s=settings.lease_s, replies=settings.sms_replies)


def open_email(settings: Settings) -> Carried:
    """E-mail. Raises ConfigurationError with every setting that is missing."""
    carriers = _opened(
        "EMAIL",
        settings.email_providers,
        {
            "smtp": lambda: _smtp(settings),
            "notify": lambda: _notify("email", settings),
        },
    )
    return Carried(carriers, field="email", lease_s=settings.lease_s)


def _opened(
    channel: str, names: Sequence[str], known: Mapping[str, Callable[[], Carrier]]
) -> list[Carrier]:
    variable, there_is = f"WAYLIGHT_{channel}_PROVIDERS", ", ".join(known)
    if not names:
        raise ConfigurationError(
            [f"{variable} is not set, and WAYLIGHT_CHANNELS names {channel.lower()}: {there_is}."]
        )
    problems = [
        f"{variable} names {name}: there is {there_is}." for name in names if name not in known
    ]
    carriers = []
    for name in names:
        try:
            if name in known:
                carriers.append(known[name]())
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return carriers


def _notify(kind: Literal["sms", "email"], settings: Settings) -> Notify:
    _need(
        "notify",
        WAYLIGHT_NOTIFY_API_KEY=settings.notify_api_key,
        WAYLIGHT_NOTIFY_TEMPLATES=any(
            name.partition(".")[0] == kind for name in settings.notify_templates
        ),
    )
    return Notify(
        kind,
        api_key=settings.notify_api_key or "",
        base_url=settings.notify_url,
        templates=settings.notify_templates,
    )


def _twilio(settings: Settings) -> Twilio:
    _need(
        "twilio",
        WAYLIGHT_TWILIO_ACCOUNT_SID=settings.twilio_account_sid,
        WAYLIGHT_TWILIO_AUTH_TOKEN=settings.twilio_auth_token,
        WAYLIGHT_TWILIO_FROM=settings.twilio_from,
    )
    # Twilio refuses a message whose callback it could never reach.
    reachable = settings.base_url.startswith("https://") or settings.profile != "production"
    return Twilio(
        account_sid=settings.twilio_account_sid or "",
        auth_token=settings.twilio_auth_token or "",
        sender=settings.twilio_from or "",
        base_url=settings.twilio_url,
        status_callback=settings.base_url + STATUS_PATH if reachable else None,
    )


def _smtp(settings: Settings) -> Smtp:
    _need("smtp", WAYLIGHT_SMTP_HOST=settings.smtp_host, WAYLIGHT_EMAIL_FROM=settings.email_from)
    if settings.smtp_security == "none" and (
        settings.smtp_host not in LOOPBACK or settings.smtp_user
    ):
        problem = "WAYLIGHT_SMTP_SECURITY none is for a mail server on this machine without a login"
        raise ConfigurationError([f"{problem}: set starttls or tls."])
    return Smtp(
        host=settings.smtp_host or "",
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=settings.smtp_password,
        sender=settings.email_from or "",
    )


def _need(provider: str, **settings: object) -> None:
    missing = [name for name, value in settings.items() if not value]
    if missing:
        raise ConfigurationError(
            [f"{name} is not set, and the provider {provider} needs it." for name in missing]
        )
