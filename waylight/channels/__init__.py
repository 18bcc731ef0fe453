"""WAYS TO REACH SOMEONE: bytes in, outcome out, no database connection held."""

from collections.abc import Callable, Mapping
from typing import Protocol

from waylight.channels.console import Console
from waylight.channels.providers import open_email, open_sms
from waylight.channels.webhook import Webhooks
from waylight.config import ConfigurationError, Settings
from waylight.domain.alerts import Message, Outcome


class Channel(Protocol):
    """The promise of every channel.

    What a message is sent to is in its `target`; a channel that needs one answers `refused` with
    the detail `address_unreadable` without it. `send` says what it knows and nothing more: `sent`
    when the channel took the message, `delivered` only when the far side confirmed it. It returns
    well within a lease, may be called from several threads at once, and what it raises counts as a
    failure that may pass.
    """

    def send(self, message: Message) -> Outcome:
        """Sends one message."""
        ...


def _web_push(settings: Settings) -> Channel:
    # What it is made of takes a second to import, and most deployments do without.
    from waylight.channels.web_push import WebPush  # noqa: PLC0415

    return WebPush.from_settings(settings)


KNOWN: Mapping[str, Callable[[Settings], Channel]] = {
    "console": lambda _settings: Console(),
    "web_push": _web_push,
    "sms": open_sms,
    "email": open_email,
    "webhook": Webhooks.from_settings,
}
"""Every channel by the name that WAYLIGHT_CHANNELS gives it."""


def open_channels(settings: Settings) -> dict[str, Channel]:
    """The channels in use, by name.

    Raises ConfigurationError for a name nobody knows, and for a channel that lacks a setting.
    """
    unknown = [name for name in settings.channels if name not in KNOWN]
    if unknown:
        raise ConfigurationError(
            [
                f"WAYLIGHT_CHANNELS names {name}: there is {', '.join(sorted(KNOWN))}."
                for name in unknown
            ]
        )
    return {name: KNOWN[name](settings) for name in settings.channels}
