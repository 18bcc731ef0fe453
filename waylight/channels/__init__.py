"""WAYS TO REACH SOMEONE: bytes in, outcome out, no database connection held."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from waylight.channels.console import Console
from waylight.config import ConfigurationError
from waylight.domain.alerts import Message, Outcome


class Channel(Protocol):
    """The promise of every channel.

    `send` says what it knows and nothing more: `sent` when the channel took the message,
    `delivered` only when the far side confirmed it. It returns well within a lease, may be called
    from several threads at once, and what it raises counts as a failure that may pass.
    """

    def send(self, message: Message) -> Outcome:
        """Sends one message."""
        ...


KNOWN: Mapping[str, Callable[[], Channel]] = {"console": Console}
"""Every channel by the name that WAYLIGHT_CHANNELS gives it."""


def open_channels(names: Sequence[str]) -> dict[str, Channel]:
    """The channels of these names. Raises ConfigurationError for a name nobody knows."""
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise ConfigurationError(
            [
                f"WAYLIGHT_CHANNELS names {name}: there is {', '.join(sorted(KNOWN))}."
                for name in unknown
            ]
        )
    return {name: KNOWN[name]() for name in names}
